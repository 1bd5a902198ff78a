/** Why something is not published: a sentence and the kind of error that `publish` ends with. Data, so that a preview can list all of them. */
import { IoError, LcmMergeError, PublishError, UsageError } from '../errors.ts';

export interface Refusal {
  readonly kind: keyof typeof ERRORS;
  readonly message: string;
}

const ERRORS = { usage: UsageError, publish: PublishError, io: IoError } as const;

export function refusalError({ kind, message }: Refusal): LcmMergeError {
  return new ERRORS[kind](message);
}

/** @throws the first */
export function assertNoRefusal([first]: readonly Refusal[]): void {
  if (first) throw refusalError(first);
}

/** What `work` gives, or why it refuses. An error that is no refusal stays one. */
export async function orRefusal<Result>(work: Promise<Result>): Promise<Result | Refusal> {
  return work.catch((error: unknown) => {
    if (error instanceof LcmMergeError && Object.hasOwn(ERRORS, error.kind))
      return { kind: error.kind as Refusal['kind'], message: error.message };
    throw error;
  });
}

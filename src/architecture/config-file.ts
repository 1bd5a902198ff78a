/** Reads a config.json of a diffusers folder through a schema; every complaint names the file and the field. */
import { z } from 'zod';
import { FormatError, InputMissingError } from '../errors.ts';
import { readSmallFile } from '../formats/byte-source.ts';
import { complaint } from '../text/complaint.ts';

/** config.json files are a few KB; one of more than 1 MB is something else. */
const MAX_CONFIG_BYTES = 1 << 20;

/** A width, a count: SD1.5's largest is 49408; beyond a million a config could make us build tables without end. */
export const positive = z
  .number()
  .int()
  .positive()
  .max(1 << 20);
/** Layers of a kind: SD1.5 has 2 or 12. */
export const layerCount = z.number().int().positive().max(64);

/**
 * Parses `file` with `schema` and lets `resolve` turn it into what the caller needs; `refuse` ends with a FormatError.
 * @throws InputMissingError, FormatError
 */
export async function readConfig<Schema extends z.ZodType, Result>(
  file: string,
  schema: Schema,
  resolve: (raw: z.output<Schema>, refuse: (reason: string) => never) => Result,
): Promise<Result> {
  const refuse = (reason: string): never => {
    throw new FormatError(`${file}: ${reason}.`, { file });
  };
  const bytes = await readSmallFile(file, MAX_CONFIG_BYTES).catch((error: unknown) => {
    if (error instanceof InputMissingError)
      throw new InputMissingError(`${file} is missing; a diffusers folder has one.`, { file });
    throw error;
  });
  const parsed = schema.safeParse(parseJsonText(bytes, file), { reportInput: true });
  if (!parsed.success) refuse(describeIssues(parsed.error.issues));
  return resolve(parsed.data as z.output<Schema>, refuse);
}

/** JSON of a config or a vocabulary. @throws FormatError naming `file` */
export function parseJsonText(bytes: Uint8Array, file: string): unknown {
  try {
    return JSON.parse(withoutInfinity(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
  } catch (error) {
    const reason = error instanceof SyntaxError ? error.message : 'it is not UTF-8 text';
    throw new FormatError(`${file} is not valid JSON: ${reason}.`, { file }, { cause: error });
  }
}

/** The default of this field of diffusers' DPMSolverMultistepScheduler is −∞, which Python's json writes as a word that JSON does not have. */
function withoutInfinity(text: string): string {
  return text.replace(/("lambda_min_clipped"\s*:\s*)-Infinity\b/, '$1null');
}

/** Faults listed in one message; a reader needs no more to see what is wrong. */
const LISTED = 6;

/** What the validator found, one fault per field, as one sentence without its full stop; the issues must carry their input. */
export function describeIssues(issues: readonly z.core.$ZodIssue[]): string {
  const faults = new Map<string, string>();
  for (const issue of issues) {
    const field = issue.path.join('.') || 'the whole';
    const fault = issue.input === undefined && issue.code !== 'custom' ? 'is missing' : complaint(issue);
    if (!faults.has(field)) faults.set(field, `${field} ${fault}`);
  }
  const sentences = [...faults.values()];
  const more = sentences.length - LISTED;
  return sentences.slice(0, LISTED).join('; ') + (more > 0 ? `; and ${more} more` : '');
}

/**
 * One family of errors. A message is a full sentence: what was found, where, what was expected, what to do.
 * `exitCode` follows the table in exit-codes.ts (sysexits where one fits).
 */

export type ErrorKind =
  | 'usage' // the command line asks for something that does not exist or cannot be done
  | 'recipe' // the recipe is malformed or asks for something impossible
  | 'format' // a weight or config file is damaged, hostile, or not what it was taken for
  | 'merge' // the files are sound but do not fit together
  | 'input-missing' // a file or folder that is named is not there
  | 'io' // reading or writing failed: disk full, permissions
  | 'runtime' // a device or inference session failed
  | 'verification' // the result was made and found wrong
  | 'publish' // the gate or the target refused
  | 'unavailable'; // a service or device is not to be had

/** Where in which file something was found; every field that is known is set. */
export interface Place {
  readonly file?: string;
  /** 1-based. */
  readonly line?: number;
  /** 1-based. */
  readonly column?: number;
  readonly tensor?: string;
  /** Byte offset in `file`. */
  readonly offset?: number;
}

/** A mistake in a recipe, with the key that it is about. */
export interface RecipeProblem {
  /** Of the key or value in the recipe; empty where the text as a whole is at fault. */
  readonly path: readonly (string | number)[];
  /** 1-based. */
  readonly line: number;
  /** 1-based. */
  readonly column: number;
  readonly sentence: string;
}

export class LcmMergeError extends Error {
  override readonly name: string = 'LcmMergeError';
  readonly kind: ErrorKind;
  readonly place: Place;
  /** The same by keys of the recipe, where it is a recipe's mistake. */
  readonly located: readonly RecipeProblem[];

  constructor(
    kind: ErrorKind,
    message: string,
    place: Place = {},
    { located = [], ...options }: ErrorOptions & { readonly located?: readonly RecipeProblem[] } = {},
  ) {
    super(message, options);
    this.kind = kind;
    this.place = place;
    this.located = located;
  }
}

export class UsageError extends LcmMergeError {
  override readonly name = 'UsageError' as const;
  constructor(message: string) {
    super('usage', message);
  }
}

/** `problems` holds one `file:line:column: sentence` per mistake; the message joins them. */
export class RecipeError extends LcmMergeError {
  override readonly name = 'RecipeError' as const;
  readonly problems: readonly string[];
  constructor(problems: readonly string[], place: Place = {}, located: readonly RecipeProblem[] = []) {
    super('recipe', problems.join('\n'), place, { located });
    this.problems = problems;
  }
}

export class FormatError extends LcmMergeError {
  override readonly name = 'FormatError' as const;
  constructor(message: string, place: Place = {}, options?: ErrorOptions) {
    super('format', message, place, options);
  }
}

export class MergeError extends LcmMergeError {
  override readonly name = 'MergeError' as const;
  constructor(message: string, place: Place = {}, located: readonly RecipeProblem[] = []) {
    super('merge', message, place, { located });
  }
}

/** Tensors that fit nothing. `reason` says which; `globs` are what `allow_unmatched` would say to leave them out. */
export class UnmatchedError extends MergeError {
  readonly reason: string;
  readonly globs: readonly string[];
  constructor(
    { reason, remedy, globs }: { readonly reason: string; readonly remedy: string; readonly globs: readonly string[] },
    place: Place,
  ) {
    super(`${reason}\nNothing was merged. ${remedy}`, place);
    this.reason = reason;
    this.globs = globs;
  }
}

export class InputMissingError extends LcmMergeError {
  override readonly name = 'InputMissingError' as const;
  constructor(message: string, place: Place = {}, located: readonly RecipeProblem[] = []) {
    super('input-missing', message, place, { located });
  }
}

export class IoError extends LcmMergeError {
  override readonly name = 'IoError' as const;
  constructor(message: string, place: Place = {}, options?: ErrorOptions) {
    super('io', message, place, options);
  }
}

/** `blame`: a machine that has not enough memory, or whose driver died or hangs, says nothing about the graph that it ran. */
export class RuntimeFailure extends LcmMergeError {
  override readonly name = 'RuntimeFailure' as const;
  readonly blame: 'graph' | 'memory' | 'machine';
  constructor(
    message: string,
    { blame = 'graph', ...options }: ErrorOptions & { blame?: RuntimeFailure['blame'] } = {},
  ) {
    super('runtime', message, {}, options);
    this.blame = blame;
  }
}

export class VerificationError extends LcmMergeError {
  override readonly name = 'VerificationError' as const;
  constructor(message: string) {
    super('verification', message);
  }
}

export class PublishError extends LcmMergeError {
  override readonly name = 'PublishError' as const;
  constructor(message: string) {
    super('publish', message);
  }
}

/** `reason` says what is not to be had, `remedy` how to get it; the message is both. */
export class UnavailableError extends LcmMergeError {
  override readonly name = 'UnavailableError' as const;
  readonly reason: string;
  readonly remedy: string;
  constructor(reason: string, remedy: string) {
    super('unavailable', `${reason} ${remedy}`);
    this.reason = reason;
    this.remedy = remedy;
  }
}

/**
 * Errors on their way between processes: a structured clone keeps neither class nor fields, which say what kind of failure it is,
 * what is wrong with a recipe and which exit code the program has.
 */
import * as family from '../errors.ts';

export type PackedError =
  /** Something was thrown that is no error. */
  | { readonly thrown: unknown }
  | {
      readonly class: string;
      readonly message: string;
      readonly stack: string | undefined;
      readonly fields: Readonly<Record<string, unknown>>;
      readonly cause?: PackedError;
    };

type ErrorClass = { readonly prototype: Error };

/** What is not here arrives as a plain Error. */
const CLASSES: Readonly<Record<string, ErrorClass>> = { ...family, TypeError, RangeError, SyntaxError };

export function packError(thrown: unknown): PackedError {
  if (!(thrown instanceof Error)) return { thrown: canBeSent(thrown) ? thrown : String(thrown) };
  return {
    class: thrown.constructor.name,
    message: thrown.message,
    stack: thrown.stack,
    fields: Object.fromEntries(Object.entries(thrown).filter(([, value]) => canBeSent(value))),
    ...(thrown.cause !== undefined && { cause: packError(thrown.cause) }),
  };
}

export function unpackError(packed: PackedError): unknown {
  if ('thrown' in packed) return packed.thrown;
  const { message, stack, fields, cause } = packed;
  const error = new Error(message, cause && { cause: unpackError(cause) });
  Object.setPrototypeOf(error, (CLASSES[packed.class] ?? Error).prototype);
  Object.defineProperty(error, 'stack', { value: stack, writable: true, configurable: true });
  return Object.assign(error, fields);
}

function canBeSent(value: unknown): boolean {
  try {
    structuredClone(value);
    return true;
  } catch {
    return false;
  }
}

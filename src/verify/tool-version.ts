/**
 * Versions of the tool may write other graphs and configs for the same recipe. A package of another version that differs from what
 * this one would write is no proof of anything.
 */
import type { Lock } from '../export/lock.ts';
import { VERSION } from '../version.ts';

/** Undefined for a package that says it was baked by this version, or does not say. */
export function madeByAnother(lock: Lock | undefined): string | undefined {
  const version = lock?.tool.version;
  return version === undefined || version === VERSION
    ? undefined
    : `The package was baked by version ${version}, and this is ${VERSION}, which would write it otherwise. Verify it with that version, or bake it again:`;
}

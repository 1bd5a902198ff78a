/** What checks come to together, and where in a package that is written: what is known of a gate without running one. */
import type { CheckVerdict } from '../events.ts';
import type { Profile } from '../recipe/profile.ts';

export const VERIFICATION_FOLDER = 'verification';
/** In it: the clip that was judged. */
export const CLIP_FILE = 'frames.webp';

/** The ids of `CHECKS` (gate.ts) in their order, and how much of the gate must be asked for to have each. */
export const CHECK_ORDER: Readonly<Record<string, Profile>> = {
  integrity: 'quick',
  accounting: 'quick',
  sources: 'standard',
  configs: 'quick',
  graph: 'quick',
  weights: 'standard',
  recompute: 'quick',
  reproduce: 'full',
  run: 'quick',
  agreement: 'standard',
  targets: 'standard',
  effect: 'standard',
  frames: 'quick',
  reference: 'quick',
  fingerprint: 'quick',
  encoder: 'quick',
  timing: 'quick',
};

/** Passed only if every check is; one that failed outweighs one that could not tell. */
export function overall(checks: readonly { verdict: CheckVerdict }[]): CheckVerdict {
  if (checks.some(({ verdict }) => verdict === 'failed')) return 'failed';
  return checks.length > 0 && checks.every(({ verdict }) => verdict === 'passed') ? 'passed' : 'unknown';
}

/**
 * Accounting of one source file: every tensor ends in exactly one bucket — applied, ignored by a named rule, or unmatched.
 * Unmatched is an error unless the recipe's allow-list names it.
 */
import { matchesGlob } from 'node:path';
import { MergeError } from '../errors.ts';
import { nearest } from '../text/nearest.ts';

/** Why a tensor may be left aside; a closed list, so that a report can explain each. */
export const IGNORE_RULES = {
  'position-ids': 'an index buffer that is always 0…76; regenerated, never merged',
  'vae-encoder': 'the recipe asks for no VAE encoder',
  'text-projection': 'the pooled output is not used by SD1.5',
  'clip-vision': "CLIP's image encoder, which SD1.5 does not use",
  ema: 'averaged weights beside those that everybody loads; diffusers and the web UIs leave them aside too',
  'training-buffers': 'the noise schedule and the losses of the training, which the sampler makes or does not need',
  'other-component': 'a part of a checkpoint that the recipe does not take from this file',
  'positional-encoding': 'a sinusoid, checked against the formula and recomputed in float32',
  'spatial-weights': "a UNet stored beside the motion modules, which alone are taken, as AnimateDiff's loader does",
  'no-middle-block': 'the motion module has no part in the middle block',
  'bundled-embedding': 'a textual inversion packed with a LoRA, which is no part of the weights',
} as const;

export type IgnoreRule = keyof typeof IGNORE_RULES;

export interface Accounting {
  readonly tensors: number;
  readonly applied: number;
  /** How many tensors each rule put aside. */
  readonly ignored: Readonly<Partial<Record<IgnoreRule, number>>>;
  /** Left over, and allowed to be by the recipe. */
  readonly allowed_unmatched: readonly string[];
}

export interface Account {
  apply(tensor: string): void;
  ignore(rule: IgnoreRule, tensor: string): void;
  /** @throws MergeError listing every unmatched tensor that no glob of `allow` covers. */
  close(options: {
    allow?: readonly string[];
    candidates?: Iterable<string>;
    explain?: (tensor: string) => string | undefined;
  }): Accounting;
}

/** So many names are listed in an error; the rest is a number. */
const LISTED = 12;

export function openAccount(path: string, tensors: Iterable<string>): Account {
  const open = new Set(tensors);
  const total = open.size;
  const ignored: Partial<Record<IgnoreRule, number>> = {};
  let applied = 0;
  return {
    apply(tensor) {
      if (open.delete(tensor)) applied += 1;
    },
    ignore(rule, tensor) {
      if (open.delete(tensor)) ignored[rule] = (ignored[rule] ?? 0) + 1;
    },
    close({ allow, candidates = [], explain = () => undefined }) {
      const left = [...open].sort();
      const allowed = left.filter((name) => allow?.some((glob) => matchesGlob(name, glob)));
      const refused = left.filter((name) => !allowed.includes(name));
      if (refused.length > 0) {
        const names = [...candidates];
        const lines = refused.slice(0, LISTED).map((name) => {
          const near = nearest(name, names);
          const why = explain(name) ?? (near ? `did you mean ${near}?` : 'no such parameter');
          return `  ${name} (${why})`;
        });
        const more = refused.length > LISTED ? `\n  … and ${refused.length - LISTED} more` : '';
        throw new MergeError(
          `${path}: ${refused.length} of ${total} tensors fit nothing in this model:\n${lines.join('\n')}${more}\n` +
            `Nothing was merged. ${
              allow
                ? 'If they may be left out, list them (globs are fine) under allow_unmatched of this source.'
                : 'A base must be of SD1.5 structure to the last tensor.'
            }`,
          { file: path, tensor: refused[0] as string },
        );
      }
      return { tensors: total, applied, ignored, allowed_unmatched: allowed };
    },
  };
}

/**
 * Accounting of one source file: every tensor ends in exactly one bucket — applied, ignored by a named rule, or unmatched.
 * Unmatched is an error unless the recipe's allow-list names it.
 */
import { matchesGlob } from 'node:path';
import { UnmatchedError } from '../errors.ts';
import { didYouMean } from '../text/did-you-mean.ts';
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
  /** @throws UnmatchedError listing every unmatched tensor that no glob of `allow` covers. */
  close(options: CloseOptions): Accounting;
}

export interface CloseOptions {
  /** The recipe's list; left out where it can have none. */
  readonly allow?: readonly string[];
  /** Names that a tensor may have been meant to have. */
  readonly candidates?: Iterable<string>;
  /** Why a tensor was left over; undefined where its name alone tells. */
  readonly explain?: (tensor: string) => string | undefined;
  /** What tensors of one module have in common, and ends before a dot: they are told of together. The name itself by default. */
  readonly moduleOf?: (tensor: string) => string;
}

/** So many names are listed in an error; the rest is a number. */
const LISTED = 12;
/** Globs to copy. With more than these something else is wrong. */
const SUGGESTED = 3;

/** `role` is what the recipe calls the source. */
export function openAccount(path: string, tensors: Iterable<string>, role = 'this source'): Account {
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
    close({ allow, candidates = [], explain = () => undefined, moduleOf = (tensor) => tensor }) {
      const left = [...open].sort();
      const allowed = left.filter((name) => allow?.some((glob) => matchesGlob(name, glob)));
      const refused = left.filter((name) => !allowed.includes(name));
      if (refused.length > 0) {
        const names = [...candidates];
        const why = (name: string) => {
          const near = nearest(name, names);
          return explain(name) ?? (near ? didYouMean(near, name) : 'no such parameter');
        };
        const groups = grouped(refused, moduleOf, why);
        const lines = groups.slice(0, LISTED).map(({ glob, reason, count }) => {
          const together = count > 1 ? `${count} tensors: ` : '';
          return `  ${glob} (${together}${reason})`;
        });
        const untold = groups.slice(LISTED).reduce((sum, { count }) => sum + count, 0);
        const more = untold > 0 ? `\n  … and ${untold} more` : '';
        throw new UnmatchedError(
          {
            reason: `${path}: ${refused.length} of ${total} tensors fit nothing in this model:\n${lines.join('\n')}${more}`,
            remedy: allow ? remedy(role, groups) : 'A base must be of SD1.5 structure to the last tensor.',
            globs: allow && canBeWritten(groups) ? groups.map(({ glob }) => glob) : [],
          },
          { file: path, tensor: refused[0] as string },
        );
      }
      return { tensors: total, applied, ignored, allowed_unmatched: allowed };
    },
  };
}

interface Group {
  /** Matches the tensors of the group: the name of the only one, or `MODULE.*`. */
  readonly glob: string;
  readonly reason: string;
  readonly count: number;
}

/** Tensors of one module that were left over for the same reason. In reasons `.*` takes the place of each one's ending. */
function grouped(
  tensors: readonly string[],
  moduleOf: (tensor: string) => string,
  why: (tensor: string) => string,
): Group[] {
  const groups = new Map<string, { readonly glob: string; readonly reason: string; readonly names: string[] }>();
  for (const name of tensors) {
    const module = moduleOf(name);
    const ending = name.slice(module.length);
    const reason = ending === '' ? why(name) : why(name).replace(`${ending}?`, '.*?');
    const key = JSON.stringify([module, reason]);
    const known = groups.get(key) ?? { glob: `${module}.*`, reason, names: [] };
    known.names.push(name);
    groups.set(key, known);
  }
  return [...groups.values()].map(({ glob, reason, names: [first = '', ...others] }) =>
    others.length === 0 ? { glob: first, reason: why(first), count: 1 } : { glob, reason, count: others.length + 1 },
  );
}

/** What to do, with the lines to copy where they are few and can be written as they are. */
function remedy(role: string, groups: readonly Group[]): string {
  const first = 'Correct the names in the file, or take a file that was made for this model.';
  const globs = groups.map(({ glob }) => glob);
  return globs.length <= SUGGESTED && canBeWritten(groups)
    ? `${first} Or leave these tensors out, by this line under ${role} in the recipe:\n  allow_unmatched: [${globs.map((glob) => JSON.stringify(glob)).join(', ')}]\nThe rest of the file is merged then.`
    : `${first} Or leave these tensors out: list them (globs are fine) under allow_unmatched of ${role} in the recipe.`;
}

/** Does every glob mean its tensors and nothing else? Names may have characters that globs are made of. */
const canBeWritten = (groups: readonly Group[]) => groups.every(({ glob }) => /^[\w.*-]+$/.test(glob));

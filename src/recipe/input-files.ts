/**
 * Looks whether the files that a recipe names are there, before anything is read from them: a missing one is reported at
 * the line that names it, with the name that was probably meant.
 */

import { readdir, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { IoError } from '../errors.ts';
import { isReference } from '../hub/reference.ts';
import { nearest } from '../text/nearest.ts';
import { quote } from '../text/quote.ts';
import type { KeyPath } from './located-yaml.ts';
import type { Recipe } from './schema.ts';

export type Wanted = 'file' | 'folder' | 'file or folder';

/** The parts of a recipe that name inputs. */
export type NamedInputs = Pick<Recipe, 'base' | 'personalized' | 'lcm' | 'motion'> & {
  readonly verify: Pick<Recipe['verify'], 'reference'>;
};

export interface InputProblem {
  readonly path: KeyPath;
  readonly kind: 'missing' | 'wrong kind';
  readonly sentence: string;
}

/** System errors that say "there is no such thing", in the words of stat(2). */
const NOT_THERE: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'ELOOP']);

/** Longer than PATH_MAX: paths are shown whole. */
const WHOLE_PATH = 5000;

/** All local inputs that are missing or not what they should be. Throws IoError for what cannot even be looked at. */
export async function findInputProblems(recipe: Recipe): Promise<readonly InputProblem[]> {
  const problems: InputProblem[] = [];
  for (const [keyPath, path, wanted] of namedInputs(recipe)) {
    if (isReference(path)) continue;
    const found = await kindOf(path);
    if (found === 'nothing')
      problems.push({ path: keyPath, kind: 'missing', sentence: await describeMissing(path, wanted) });
    else if (!wanted.split(' or ').includes(found)) {
      const sentence = `A ${wanted} is needed here, but ${quote(path, WHOLE_PATH)} is a ${found}.`;
      problems.push({ path: keyPath, kind: 'wrong kind', sentence });
    }
  }
  return problems;
}

/** Every input that the recipe names: where, the path or reference, and what it must be. The one list of them. */
export function namedInputs({
  base,
  personalized,
  lcm,
  motion,
  verify,
}: NamedInputs): readonly (readonly [KeyPath, string, Wanted])[] {
  return [
    [['base', 'model'], base.model, 'file or folder'],
    ...(base.config === undefined ? [] : [[['base', 'config'], base.config, 'folder'] as const]),
    ...(base.vae === undefined ? [] : [[['base', 'vae'], base.vae, 'file or folder'] as const]),
    ...(base.text_encoder === undefined
      ? []
      : [[['base', 'text_encoder'], base.text_encoder, 'file or folder'] as const]),
    ...personalized.map(({ lora, checkpoint = '' }, index) =>
      lora === undefined
        ? ([['personalized', index, 'checkpoint'], checkpoint, 'file or folder'] as const)
        : ([['personalized', index, 'lora'], lora, 'file'] as const),
    ),
    ...(lcm ? [[['lcm', 'lora'], lcm.lora, 'file'] as const] : []),
    [['motion', 'module'], motion.module, 'file or folder'],
    ...(motion.base === undefined ? [] : [[['motion', 'base'], motion.base, 'file or folder'] as const]),
    ...motion.loras.map(({ lora }, index) => [['motion', 'loras', index, 'lora'], lora, 'file'] as const),
    ...(verify.reference === undefined ? [] : [[['verify', 'reference'], verify.reference, 'file'] as const]),
  ];
}

/** The recipe with every input under another name. */
export function mapInputs<Shape extends NamedInputs>(
  recipe: Shape,
  rename: (path: string, key: KeyPath) => string,
): Shape {
  const copy = structuredClone(recipe);
  for (const [key, path] of namedInputs(recipe)) {
    const holder = key
      .slice(0, -1)
      .reduce<unknown>((value, step) => (value as Record<string | number, unknown>)[step], copy);
    (holder as Record<string | number, unknown>)[key.at(-1) as string | number] = rename(path, key);
  }
  return copy;
}

export async function kindOf(path: string): Promise<'file' | 'folder' | 'device, socket or pipe' | 'nothing'> {
  try {
    const found = await stat(path);
    return found.isFile() ? 'file' : found.isDirectory() ? 'folder' : 'device, socket or pipe';
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (NOT_THERE.has(code)) return 'nothing';
    throw new IoError(`${quote(path, WHOLE_PATH)} cannot be looked at (${code}).`, { file: path }, { cause: error });
  }
}

/** Names the outermost part of `path` that is not there, and what stands beside it under a similar name. */
export async function describeMissing(path: string, wanted: Wanted): Promise<string> {
  const sentence = `The ${wanted} ${quote(path, WHOLE_PATH)} does not exist`;
  for (let gone = path; ; gone = dirname(gone)) {
    const parent = dirname(gone);
    const names = await readdir(parent).catch(() => undefined);
    if (!names && parent !== gone) continue;
    const obstacle = gone === path ? '' : quote(gone, WHOLE_PATH);
    if (names?.includes(basename(gone)))
      return obstacle
        ? `${sentence}: ${obstacle} is not a folder that can be read.`
        : `${sentence}: it is a symbolic link that leads nowhere.`;
    const near = nearest(basename(gone), names ?? []);
    return `${sentence}${obstacle && `, nor does ${obstacle}`}.${near === undefined ? '' : ` Did you mean ${quote(near)}?`}`;
  }
}

/**
 * Motion modules as AnimateDiff, AnimateLCM and diffusers ship them: which tensor is which parameter, and what γ multiplies.
 * Sources: AnimateDiff motion_module.py and utils/util.py; reference: formats.md §1b.
 */
import { animateDiffName } from '../architecture/names.ts';
import type { ModelParameter } from '../architecture/parameters.ts';
import { MergeError } from '../errors.ts';
import type { TensorFile } from '../formats/tensor-file.ts';
import type { Recipe } from '../recipe/schema.ts';
import type { Account } from './account.ts';
import { assertFloat } from './weight-type.ts';

const POSITIONAL = /\.pos_(encoder|embed)\.pe$/;

/** The part of a name that says which motion module it belongs to. */
const MODULE = /^.*?\.motion_modules\.\d+(?=\.)/;

export interface MotionLayout {
  /** Does the file have a module for the middle block? */
  readonly mid: boolean;
  /** Rows of the positional encoding that the file stores, or undefined where it stores none. */
  readonly stored: number | undefined;
  /** Tensor names as the tables have them → names in the file (training checkpoints prefix `module.`). */
  readonly tensors: ReadonlyMap<string, string>;
}

/** @throws MergeError when the file stores a positional encoding of a shape that none has. */
export function motionLayout(file: TensorFile): MotionLayout {
  const tensors = new Map([...file.tensors.keys()].map((name) => [name.replace(/^module\./, ''), name]));
  const stored = [...file.tensors.values()].find((entry) => POSITIONAL.test(entry.name));
  if (stored && !(stored.shape.length === 3 && stored.shape.every((length) => length > 0))) {
    throw new MergeError(
      `${file.source.name}: the positional encoding ${stored.name} has the shape [${stored.shape}], which should be [1, frames, channels].`,
      { file: file.source.name, tensor: stored.name },
    );
  }
  return {
    mid: [...tensors.keys()].some((name) => name.startsWith('mid_block.motion_modules.')),
    stored: stored?.shape.at(-2),
    tensors,
  };
}

/** Tensors of stored positional encodings; they are compared with the sinusoid, then recomputed. */
export function storedPositionalEncodings(file: TensorFile): string[] {
  return [...file.tensors.keys()].filter((name) => POSITIONAL.test(name));
}

/**
 * Finds the tensor of every motion parameter.
 * @throws MergeError naming what is missing or has another shape.
 */
export function matchMotion(
  parameters: readonly ModelParameter[],
  file: TensorFile,
  layout: MotionLayout,
  account: Account,
): Map<string, string> {
  const path = file.source.name;
  const found = new Map<string, string>();
  for (const { name, shape, kind } of parameters) {
    if (kind === 'positional-encoding') continue;
    const tensor = layout.tensors.get(animateDiffName(name)) ?? layout.tensors.get(name);
    const entry = tensor === undefined ? undefined : file.tensors.get(tensor);
    if (!entry) {
      throw new MergeError(`${path} lacks ${animateDiffName(name)} [${shape}]; a motion module for this base has it.`, {
        file: path,
        tensor: animateDiffName(name),
      });
    }
    if (entry.shape.join() !== shape.join()) {
      throw new MergeError(
        `${path}: ${entry.name} has the shape [${entry.shape}], the base's UNet calls for [${shape}]. The motion module was made for a model of another width.`,
        { file: path, tensor: entry.name },
      );
    }
    assertFloat(path, entry);
    found.set(name, entry.name);
    account.apply(entry.name);
  }
  const encodings = new Map(
    parameters
      .filter(({ kind }) => kind === 'positional-encoding')
      .map(({ name, shape }) => [MODULE.exec(name)?.[0], [1, layout.stored, shape.at(-1)]]),
  );
  for (const tensor of storedPositionalEncodings(file)) {
    const shape = encodings.get(MODULE.exec(tensor.replace(/^module\./, ''))?.[0]);
    const found = file.tensors.get(tensor)?.shape;
    if (shape && found?.join() !== shape.join()) {
      throw new MergeError(
        `${path}: the positional encoding ${tensor} has the shape [${found}]; beside the other tensors of the file it should be [${shape}].`,
        { file: path, tensor },
      );
    }
    if (shape) account.ignore('positional-encoding', tensor);
  }
  return found;
}

/**
 * What γ multiplies. `residual`: weight and bias of each module's proj_out, exact and linear in γ (diffusers:
 * out = proj_out(h) + residual). `weights`: every motion parameter, equation 2 of AnimateLCM read literally.
 */
export function motionGain({ gamma, mode }: Pick<Recipe['motion'], 'gamma' | 'mode'>, name: string): number {
  return mode === 'weights' || /\.motion_modules\.\d+\.proj_out\.(weight|bias)$/.test(name) ? gamma : 1;
}

/** Is it a parameter that γ has a say in? Never a positional encoding; with a second module to start from, every other. */
export function gammaApplies(
  { mode, base }: Pick<Recipe['motion'], 'mode' | 'base'>,
  { name, kind, motion }: ModelParameter,
): boolean {
  return motion && kind !== 'positional-encoding' && (base !== undefined || motionGain({ gamma: 0, mode }, name) === 0);
}

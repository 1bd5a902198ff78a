/** Recipes for models/tiny, and the checks that every baked package must stand. */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect } from 'vitest';
import { drain } from '../../src/events.ts';
import { LOCK_FILE, type Lock } from '../../src/export/lock.ts';
import { bake } from '../../src/export/package.ts';
import { firstNonFinite } from '../../src/merge/bake.ts';
import { type Plan, plan } from '../../src/merge/plan.ts';
import { readModelInfo } from '../../src/onnx/model-info.ts';
import { parseRecipe } from '../../src/recipe/load.ts';
import type { Recipe } from '../../src/recipe/schema.ts';

/** The recipe of reference.safetensors and of the golden files: α 0.8, β 1, γ 1. */
const TINY = {
  name: 'tiny',
  base: 'base',
  personalized: [{ lora: 'ink.safetensors', alpha: 0.8 }],
  lcm: { lora: 'lcm.safetensors', beta: 1, expect: { modules: 278 } },
  motion: { module: 'animatelcm.ckpt', gamma: 1 },
  sampler: { steps: 4, guidance: 1, beta_schedule: 'linear', original_steps: 50 },
  output: { frames: 16, width: 64, height: 64, dtype: 'fp16' },
};

/** One section of a recipe as it is written; a list takes the place of a list. */
type Section = Readonly<Record<string, unknown>> | readonly unknown[] | string | undefined;

/** The tiny recipe with some keys of some sections changed; `undefined` removes a section. */
export function tinyRecipe(changes: Readonly<Record<string, Section>> = {}): Recipe {
  return recipeIn('models/tiny', TINY, changes);
}

/** A recipe that lies in `folder`, with changes as in `tinyRecipe`. */
export function recipeIn(
  folder: string,
  document: Readonly<Record<string, unknown>>,
  changes: Readonly<Record<string, Section>> = {},
): Recipe {
  const merged: Record<string, unknown> = { ...document };
  for (const [section, change] of Object.entries(changes)) {
    const known = merged[section];
    merged[section] = isMapping(known) && isMapping(change) ? { ...known, ...change } : change;
  }
  return parseRecipe(JSON.stringify(merged), join(folder, 'recipe.yaml'));
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export interface Baked {
  readonly folder: string;
  readonly plan: Plan;
  readonly lock: Lock;
  /** A weight in PyTorch's layout, as the bits of its elements for fp16 and as numbers for fp32. */
  weight(component: string, name: string): Promise<Uint16Array | Float32Array>;
}

/**
 * Bakes `recipe` into the new folder `into` and holds the package to what holds for every package: the lock lists every
 * file with its true hash, every planned tensor lies where the graph says, and all of them are finite.
 */
export async function bakeAndCheck(recipe: Recipe, into: string): Promise<Baked> {
  const planned = await plan(recipe);
  const { lock } = await drain(bake(planned, { into }));
  expect(JSON.parse(await readFile(join(into, LOCK_FILE), 'utf8'))).toEqual(lock);
  for (const [file, { sha256, bytes }] of Object.entries(lock.outputs)) {
    expect((await stat(join(into, file))).size, file).toBe(bytes);
    const found = createHash('sha256').update(await readFile(join(into, file)));
    expect(found.digest('hex'), file).toBe(sha256);
  }
  for (const [component, tensors] of Object.entries(planned.tensors)) {
    const model = join(into, component, 'model.onnx');
    const external = (await readModelInfo(model)).initializers.filter((initializer) => initializer.external);
    expect(external.map(({ name }) => name).sort()).toEqual(tensors.map(({ name }) => name).sort());
    for (const initializer of external) {
      const data = await externalData(model, initializer);
      expect(firstNonFinite(data, recipe.output.dtype), initializer.name).toBe(-1);
    }
  }
  const weight = async (component: string, name: string) => {
    const model = join(into, component, 'model.onnx');
    const initializer = (await readModelInfo(model)).initializers.find((candidate) => candidate.name === name);
    if (!initializer) throw new RangeError(`${model} has no initializer ${name}.`);
    const { buffer } = await externalData(model, initializer);
    const data = recipe.output.dtype === 'fp16' ? new Uint16Array(buffer) : new Float32Array(buffer);
    const shape = planned.tensors[component as 'unet'].find((tensor) => tensor.name === name)?.shape ?? [];
    if (shape.length !== 2 || initializer.shape.join() === shape.join()) return data;
    const [rows, columns] = shape as [number, number];
    return data.map((_, i) => data[(i % columns) * rows + Math.floor(i / columns)] as number);
  };
  return { folder: into, plan: planned, lock, weight };
}

interface External {
  readonly name: string;
  readonly external?: { readonly location: string; readonly offset: number; readonly length: number };
}

async function externalData(model: string, { external }: External): Promise<Uint8Array<ArrayBuffer>> {
  const { location, offset, length } = external as Required<External>['external'];
  const bytes = await readFile(join(dirname(model), location));
  expect(offset + length).toBeLessThanOrEqual(bytes.length);
  return new Uint8Array(bytes.subarray(offset, offset + length));
}

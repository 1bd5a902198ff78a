/** Recipes for models/tiny, and the checks that every baked package must stand. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Component } from '../../src/architecture/names.ts';
import { drain } from '../../src/events.ts';
import { LOCK_FILE, type Lock } from '../../src/export/lock.ts';
import { bake } from '../../src/export/package.ts';
import { type Plan, plan } from '../../src/merge/plan.ts';
import { type InitializerInfo, readModelInfo } from '../../src/onnx/model-info.ts';
import { parseRecipe } from '../../src/recipe/load.ts';
import { dtypeOf } from '../../src/recipe/number-format.ts';
import type { Recipe } from '../../src/recipe/schema.ts';

/** The recipe of reference.safetensors and of the golden files: α 0.8, β 1, γ 1. */
const TINY = {
  name: 'tiny',
  base: { model: 'base', license: 'cc0-1.0' },
  personalized: [{ lora: 'ink.safetensors', alpha: 0.8, license: 'cc0-1.0' }],
  lcm: { lora: 'lcm.safetensors', beta: 1, license: 'cc0-1.0', expect: { modules: 278 } },
  motion: { module: 'animatelcm.ckpt', gamma: 1, license: 'cc0-1.0' },
  sampler: { steps: 4, guidance: 1, beta_schedule: 'linear', original_steps: 50 },
  output: { frames: 16, width: 64, height: 64, dtype: 'fp16' },
};

/** One section of a recipe as it is written; a list takes the place of a list. */
export type Section = Readonly<Record<string, unknown>> | readonly unknown[] | string | undefined;

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
  /** A weight by `component/name`, in PyTorch's layout. */
  weight(path: string): Float16Array | Float32Array;
}

/**
 * Bakes `recipe` into the new folder `into` and holds the package to what holds for every package: the lock lists every
 * file with its true hash, every planned tensor lies where the graph says, and all of them are finite.
 */
export async function bakeAndCheck(recipe: Recipe, into: string): Promise<Baked> {
  const planned = await plan(recipe);
  const { lock } = await drain(bake(planned, { into }));
  expect(JSON.parse(await readFile(join(into, LOCK_FILE), 'utf8'))).toEqual(lock);
  for (const [file, digest] of Object.entries(lock.outputs)) {
    const data = await readFile(join(into, file));
    const sha256 = createHash('sha256').update(data).digest('hex');
    expect({ sha256, bytes: data.length }, file).toEqual(digest);
  }
  const weights = new Map<string, () => Float16Array | Float32Array>();
  for (const component of planned.components) {
    const tensors = planned.tensors[component];
    const { initializers } = await readModelInfo(join(into, component, 'model.onnx'));
    const places = new Map(initializers.flatMap(({ name, external }) => (external ? [[name, external]] : [])));
    expect([...places.keys()].sort()).toEqual(tensors.map(({ name }) => name).sort());
    const files = new Map<string, Uint8Array>();
    for (const { location } of places.values())
      if (!files.has(location)) files.set(location, new Uint8Array(await readFile(join(into, component, location))));
    expect([...files.keys()]).toEqual([...files.keys()].map((_, i) => `model.onnx_data${i === 0 ? '' : `_${i}`}`));
    const broken: string[] = [];
    for (const { name, kind, shape } of tensors) {
      const { location, offset, length } = places.get(name) as External;
      const bytes = (files.get(location) as Uint8Array).slice(offset, offset + length);
      const elements =
        dtypeOf(recipe, component as Component) === 'fp16'
          ? new Float16Array(bytes.buffer)
          : new Float32Array(bytes.buffer);
      const isWhole = elements.length === shape.reduce((n, dim) => n * dim, 1) && elements.every(Number.isFinite);
      if (!isWhole) broken.push(name);
      weights.set(`${component}/${name}`, () => (kind === 'linear' ? transposed(elements, shape) : elements));
    }
    expect(broken).toEqual([]);
  }
  const weight = (path: string) => {
    const read = weights.get(path);
    if (!read) throw new RangeError(`The package has no weight ${path}.`);
    return read();
  };
  return { folder: into, plan: planned, lock, weight };
}

type External = NonNullable<InitializerInfo['external']>;

/** `[in, out]`, as a package stores Linear weights, to PyTorch's `[out, in]`. */
function transposed<T extends Float16Array | Float32Array>(stored: T, shape: readonly number[]): T {
  const [rows, columns] = shape as [number, number];
  return stored.map((_, i) => stored[(i % columns) * rows + Math.floor(i / columns)] as number) as T;
}

/** The packages that are tried in other hands, each baked from recipes/tiny.yaml, and what is sampled with them. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { drain } from '../../src/events.ts';
import { bake } from '../../src/export/package.ts';
import { plan } from '../../src/merge/plan.ts';
import { loadRecipe } from '../../src/recipe/load.ts';
import type { Recipe } from '../../src/recipe/schema.ts';

export interface Case {
  readonly name: string;
  readonly about: string;
  readonly output: Partial<Recipe['output']>;
  readonly norm: 'per-frame' | 'pooled';
  /** The case whose `weights/` PyTorch loads; the way of GroupNorm makes no difference to them. */
  readonly weights: string;
  readonly frames: number;
  readonly width: number;
  readonly height: number;
}

/** As `openEnvironment` and the Python side agree on it; guidance and negative prompt are for what takes them. */
export const CLIP = { prompt: 'a blue square', seed: 3, steps: 4, negative: 'ink', guidance: 2 } as const;

export const CASES: readonly Case[] = [
  {
    name: 'tiny',
    about: 'the package of the recipe as it is: fp16, static shapes, GroupNorm per frame',
    output: {},
    norm: 'per-frame',
    weights: 'fp16',
    ...{ frames: 16, width: 64, height: 64 },
  },
  {
    name: 'fp16',
    about: 'fp16, dynamic shapes, VAE encoder, GroupNorm pooled over frames as diffusers has it',
    output: { shapes: 'dynamic', weights: true, vae_encoder: true },
    norm: 'pooled',
    weights: 'fp16',
    ...{ frames: 8, width: 96, height: 64 },
  },
  {
    name: 'fp32',
    about: 'fp32, otherwise the same',
    output: { shapes: 'dynamic', dtype: 'fp32', weights: true, vae_encoder: true },
    norm: 'pooled',
    weights: 'fp32',
    ...{ frames: 8, width: 96, height: 64 },
  },
];

/** Bakes all cases below `folder`, each as CASE/package beside CASE/case.json, which tells the Python side what to sample. */
export async function bakeCases(folder: string): Promise<void> {
  const recipe = await loadRecipe('recipes/tiny.yaml');
  for (const { name, about, output, norm, weights, ...size } of CASES) {
    const own = join(folder, name);
    await rm(own, { recursive: true, force: true });
    const into = join(own, 'package');
    await mkdir(into, { recursive: true });
    const wanted = { ...recipe.output, ...output };
    const planned = await plan({ ...recipe, motion: { ...recipe.motion, norm }, output: wanted });
    const { bytes } = await drain(bake(planned, { into }));
    const described = {
      dtype: wanted.dtype,
      norm,
      weights: join(folder, weights, 'package/weights'),
      ...CLIP,
      ...size,
    };
    await writeFile(join(own, 'case.json'), JSON.stringify(described));
    console.log(`${into}: ${about}; ${(bytes / 1e6).toFixed(1)} MB`);
  }
}

/** The tiny package as test.ts wants it, and what the command line makes of it. */
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { frameName } from '../../src/cli/frames-folder.ts';
import { drain } from '../../src/events.ts';
import { bake } from '../../src/export/package.ts';
import { toFloat32 } from '../../src/formats/dtype.ts';
import { openTensorFile, readTensor } from '../../src/formats/tensor-file.ts';
import { plan } from '../../src/merge/plan.ts';
import { loadRecipe } from '../../src/recipe/load.ts';
import type { Recipe } from '../../src/recipe/schema.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Changes to the output of recipes/tiny.yaml. */
export type TinyOutput = Partial<Pick<Recipe['output'], 'max_shard_bytes' | 'dtype' | 'frames' | 'targets'>>;

export async function bakeTiny(into: string, output: TinyOutput): Promise<void> {
  const recipe = await loadRecipe(join(ROOT, 'recipes/tiny.yaml'));
  await mkdir(into);
  await drain(bake(await plan({ ...recipe, output: { ...recipe.output, ...output } }), { into }));
}

export interface Expected {
  readonly latents: Float32Array;
  /** RGB of all frames. */
  readonly pixels: Uint8Array;
}

/** What the command line makes of the package; `folder` is for its files. */
export async function runOnTheCommandLine(
  packageFolder: string,
  { prompt, seed, steps }: { prompt: string; seed: number; steps: number },
  folder: string,
): Promise<Expected> {
  const file = join(folder, 'latents.safetensors');
  const asked = ['--prompt', prompt, '--seed', String(seed), '--steps', String(steps), '--device', 'cpu'];
  const command = [join(ROOT, 'src/cli.ts'), 'run', packageFolder, ...asked, '--save-latents', file, '-o', folder];
  await promisify(execFile)(process.execPath, command);
  await using tensors = await openTensorFile(file);
  const latents = tensors.tensors.get('latents');
  if (!latents) throw new Error(`${file} has no latents.`);
  const names = Array.from({ length: latents.shape[2] as number }, (_, i) => frameName(i));
  const frames = await Promise.all(names.map((name) => sharp(join(folder, name)).removeAlpha().raw().toBuffer()));
  return {
    latents: toFloat32(await readTensor(tensors, latents), latents.dtype),
    pixels: new Uint8Array(Buffer.concat(frames)),
  };
}

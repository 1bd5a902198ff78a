/**
 * The merged weights as PyTorch users have them: safetensors in diffusers' layout, `weights/unet` (UNetMotionModel) and
 * `weights/text_encoder` (CLIPTextModel), with ModelSpec metadata and the lock. The VAE is the base's own and is not repeated.
 * Sources: diffusers models/modeling_utils.py; Stability-AI/ModelSpec 1.0.1 (hash_sha256 is of the tensors, without the header).
 */
import { createHash } from 'node:crypto';
import { mkdir, open } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { writingTo } from '../formats/byte-source.ts';
import { layOutSafetensors } from '../formats/safetensors.ts';
import type { BakeSession } from '../merge/bake.ts';
import { LOCK_METADATA } from '../merge/double-merge.ts';
import type { Plan, PlannedTensor } from '../merge/plan.ts';
import { digestFile } from './digest.ts';
import type { FileDigest, Lock } from './lock.ts';

const COMPONENTS = [
  { component: 'unet', file: 'diffusion_pytorch_model.safetensors' },
  { component: 'text_encoder', file: 'model.safetensors' },
] as const;

const FOLDER = 'weights';

/** The files of weights that a package may have beside its graphs, and their configs, by their path in it. */
export const WEIGHTS_FILES = COMPONENTS.map(({ component, file }) => ({
  component,
  file: `${FOLDER}/${component}/${file}`,
  config: `${FOLDER}/${component}/config.json`,
}));

/** What the header holds until the tensors are known. */
const NO_HASH = `0x${'0'.repeat(64)}`;

export interface WrittenTensor {
  readonly name: string;
  readonly bytes: number;
}

/** Bytes that will be written. */
export function diffusersWeightsBytes(plan: Plan): number {
  return COMPONENTS.reduce((sum, { component }) => sum + describe(plan, component).bytes, 0);
}

/**
 * Writes the tensors into `into`, in a pass of its own over the merge; yields each tensor when it is on its way and returns the
 * digests of the files by their names in the package. `lock` is what is known of it by now.
 */
export async function* writeDiffusersWeights(
  plan: Plan,
  session: BakeSession,
  lock: Lock,
  { into, signal }: { readonly into: string; readonly signal?: AbortSignal | undefined },
): AsyncGenerator<WrittenTensor, Record<string, FileDigest>> {
  const digests: Record<string, FileDigest> = {};
  for (const { component, file } of COMPONENTS) {
    const folder = `${FOLDER}/${component}`;
    await mkdir(join(into, folder), { recursive: true });
    const path = join(into, folder, file);
    yield* writeComponent(plan, session, { component, path, lock, signal });
    digests[`${folder}/${file}`] = await digestFile(path, signal);
  }
  return digests;
}

interface ComponentFile {
  readonly component: (typeof COMPONENTS)[number]['component'];
  readonly path: string;
  readonly lock: Lock;
  readonly signal: AbortSignal | undefined;
}

async function* writeComponent(
  plan: Plan,
  session: BakeSession,
  { component, path, lock, signal }: ComponentFile,
): AsyncGenerator<WrittenTensor> {
  const { descriptions } = describe(plan, component);
  const { header, ordered } = layOutSafetensors(path, descriptions, metadata(plan, lock));
  const hash = createHash('sha256');
  await using handle = await open(path, 'wx');
  await writingTo(path, handle.writeFile(header));
  const requests = ordered.map(({ tensor }) => ({ tensor: tensor.planned, transposed: false }));
  let [index, left] = [0, ordered[0]?.byteLength ?? 0];
  for await (const piece of session.tensors(requests, signal)) {
    hash.update(piece);
    await writingTo(path, handle.writeFile(piece));
    left -= piece.byteLength;
    if (left > 0) continue;
    const { tensor, byteLength } = ordered[index] as (typeof ordered)[number];
    if (left < 0) throw new RangeError(`${tensor.name} has ${-left} bytes too many.`);
    yield { name: tensor.name, bytes: byteLength };
    index += 1;
    left = ordered[index]?.byteLength ?? 0;
  }
  const at = Buffer.from(header).indexOf(NO_HASH);
  await writingTo(path, handle.write(Buffer.from(`0x${hash.digest('hex')}`), 0, NO_HASH.length, at));
  await writingTo(path, handle.sync());
}

function describe({ tensors, recipe: { output } }: Plan, component: 'unet' | 'text_encoder') {
  const [dtype, size] = output.dtype === 'fp16' ? (['F16', 2] as const) : (['F32', 4] as const);
  const descriptions = tensors[component].map((planned: PlannedTensor) => ({
    name: planned.name,
    shape: planned.shape,
    dtype,
    planned,
  }));
  const bytes = descriptions.reduce((sum, { shape }) => sum + shape.reduce((n, dim) => n * dim, size), 0);
  return { descriptions, bytes };
}

function metadata({ recipe, files }: Plan, lock: Lock): Record<string, string> {
  const { width, height, dtype } = recipe.output;
  return {
    format: 'pt', // without it transformers does not take the file for PyTorch's
    'modelspec.sai_model_spec': '1.0.1',
    'modelspec.architecture': 'stable-diffusion-v1',
    'modelspec.implementation': 'diffusers',
    'modelspec.title': recipe.name,
    'modelspec.resolution': `${width}x${height}`,
    'modelspec.prediction_type': 'epsilon',
    'modelspec.unet_dtype': dtype,
    'modelspec.merged_from': [...new Set(files.map(({ path }) => basename(path)))].join(', '),
    'modelspec.hash_sha256': NO_HASH,
    [LOCK_METADATA]: JSON.stringify(lock),
  };
}

/** The tiny package as test.ts wants it, and what the command line makes of it. */
import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import onnxProto from 'onnx-proto';
import sharp from 'sharp';
import { frameName } from '../../src/cli/frames-folder.ts';
import { drain } from '../../src/events.ts';
import { LOCK_FILE, type Lock } from '../../src/export/lock.ts';
import { bake } from '../../src/export/package.ts';
import { toFloat32 } from '../../src/formats/dtype.ts';
import { openTensorFile, readTensor } from '../../src/formats/tensor-file.ts';
import { plan } from '../../src/merge/plan.ts';
import { loadRecipe } from '../../src/recipe/load.ts';

const { onnx } = onnxProto;
const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Changes to the output of recipes/tiny.yaml. */
export interface TinyOutput {
  readonly max_shard_bytes?: number;
  readonly dtype?: 'fp16' | 'fp32';
  readonly frames?: number;
}

export async function bakeTiny(into: string, output: TinyOutput): Promise<void> {
  const recipe = await loadRecipe(join(ROOT, 'recipes/tiny.yaml'));
  await mkdir(into);
  await drain(bake(await plan({ ...recipe, output: { ...recipe.output, ...output } }), { into }));
}

/**
 * Puts a unet/model.webgpu.onnx beside model.onnx, over the same weights: the same graph with what such a graph has of its own at its
 * boundary, a `timestep` in float32.
 */
export async function addWebgpuGraph(folder: string): Promise<void> {
  const model = onnx.ModelProto.decode(await readFile(join(folder, 'unet/model.onnx')));
  const { FLOAT, INT64 } = onnx.TensorProto.DataType;
  const type = model.graph?.input?.find(({ name }) => name === 'timestep')?.type?.tensorType;
  if (!model.graph?.node || !type) throw new Error('unet/model.onnx has no timestep.');
  type.elemType = FLOAT;
  for (const node of model.graph.node)
    node.input = node.input?.map((name) => (name === 'timestep' ? 'whole' : name)) ?? [];
  const to = { name: 'to', type: onnx.AttributeProto.AttributeType.INT, i: INT64 };
  const cast = { opType: 'Cast', input: ['timestep'], output: ['whole'], attribute: [to] };
  model.graph.node.unshift(onnx.NodeProto.create(cast));
  const bytes = onnx.ModelProto.encode(model).finish();
  await writeFile(join(folder, 'unet/model.webgpu.onnx'), bytes);
  const lock: Lock = JSON.parse(await readFile(join(folder, LOCK_FILE), 'utf8'));
  const outputs = { ...lock.outputs, 'unet/model.webgpu.onnx': { sha256: '0'.repeat(64), bytes: bytes.length } };
  await writeFile(join(folder, LOCK_FILE), JSON.stringify({ ...lock, outputs }));
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

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { drain } from '../../src/events.ts';
import { bake } from '../../src/export/package.ts';
import { openTensorFile, readTensor } from '../../src/formats/tensor-file.ts';
import { openBake } from '../../src/merge/bake.ts';
import { type Plan, plan } from '../../src/merge/plan.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { tinyRecipe } from '../helpers/tiny.ts';

describe('output.weights', () => {
  let [folder, planned] = ['', undefined as unknown as Plan];
  let outputs: Readonly<Record<string, { sha256: string; bytes: number }>> = {};
  const shown = { done: 0, total: 0 };
  beforeAll(async () => {
    folder = await temporaryFolder();
    planned = await plan(tinyRecipe({ output: { weights: true } }));
    const { lock } = await drain(bake(planned, { into: folder }), (event) => {
      if (event.type === 'progress') Object.assign(shown, event);
    });
    outputs = lock.outputs;
  });

  it.each([
    ['unet', 'diffusion_pytorch_model.safetensors', 1253],
    ['text_encoder', 'model.safetensors', 36],
  ] as const)('holds the merged %s under its diffusers names, in PyTorch’s layout', async (component, name, count) => {
    await using file = await openTensorFile(join(folder, 'weights', component, name));
    expect(file.tensors.size).toBe(count);
    await using session = await openBake(planned);
    const tensors = planned.tensors[component].filter((_, i) => i % 40 === 0);
    const merged = session.tensors(tensors.map((tensor) => ({ tensor, transposed: false })));
    for (const tensor of tensors) {
      const entry = file.tensors.get(tensor.name);
      expect(entry).toMatchObject({ dtype: 'F16', shape: tensor.shape });
      const { value } = await merged.next();
      expect(Buffer.compare(await readTensor(file, entry as never), value as Uint8Array), tensor.name).toBe(0);
    }
  });

  it('says what it is: ModelSpec, with the hash of the tensors, and the lock without its outputs', async () => {
    const path = join(folder, 'weights/unet/diffusion_pytorch_model.safetensors');
    const bytes = await readFile(path);
    const data = bytes.subarray(8 + Number(bytes.readBigUInt64LE()));
    await using file = await openTensorFile(path);
    const { 'lcm_merge.lock': lock, ...spec } = file.metadata;
    expect(spec).toEqual({
      format: 'pt',
      'modelspec.sai_model_spec': '1.0.1',
      'modelspec.architecture': 'stable-diffusion-v1',
      'modelspec.implementation': 'diffusers',
      'modelspec.title': 'tiny',
      'modelspec.resolution': '64x64',
      'modelspec.prediction_type': 'epsilon',
      'modelspec.unet_dtype': 'fp16',
      'modelspec.merged_from':
        'diffusion_pytorch_model.safetensors, model.safetensors, ink.safetensors, lcm.safetensors, animatelcm.ckpt',
      'modelspec.hash_sha256': `0x${createHash('sha256').update(data).digest('hex')}`,
    });
    const { inputs, outputs: none } = JSON.parse(lock as string);
    expect(inputs).toHaveLength(6);
    expect(none).toEqual({});
  });

  it('is part of the lock and of the progress', async () => {
    for (const name of [
      'weights/unet/config.json',
      'weights/unet/diffusion_pytorch_model.safetensors',
      'weights/text_encoder/config.json',
      'weights/text_encoder/model.safetensors',
    ]) {
      const bytes = await readFile(join(folder, name));
      expect(outputs[name]).toEqual({
        sha256: createHash('sha256').update(bytes).digest('hex'),
        bytes: bytes.byteLength,
      });
    }
    expect(shown.done).toBe(shown.total);
  });

  it('is refused as a base for the LoRAs that are in it', async () => {
    const text_encoder = join(folder, 'weights/text_encoder/model.safetensors');
    const again = plan(tinyRecipe({ base: { model: 'base', text_encoder } }));
    await expect(again).rejects.toThrow(/ink\.safetensors \(personalized\[0\]\) is merged into the base already/);
  });
});

import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { toFloat32 } from '../../src/formats/dtype.ts';
import { openTensorFile, readTensor } from '../../src/formats/tensor-file.ts';
import { openBake } from '../../src/merge/bake.ts';
import { plan } from '../../src/merge/plan.ts';
import { type Family, type Tensors, writeFamily } from '../helpers/family.ts';

const TO_Q = 'down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight';
const FC1 = 'text_model.encoder.layers.0.mlp.fc1.weight';

/** A family, and beside its base a model that was tuned from it: some weights moved by known amounts. */
async function tunedFamily(): Promise<Family> {
  const move = (name: string, by: number) => (tensors: Tensors) => {
    const { data } = tensors.get(name) as { data: Float32Array };
    for (const i of data.keys()) data[i] = (data[i] as number) + by * (i % 3);
  };
  const tuned = await writeFamily({ alter: { unet: move(TO_Q, 0.25), text_encoder: move(FC1, -0.5) } });
  const family = await writeFamily();
  await cp(join(tuned.folder, 'base'), join(family.folder, 'tuned'), { recursive: true });
  return family;
}

async function weights(path: string, name: string): Promise<number[]> {
  await using file = await openTensorFile(path);
  const entry = file.tensors.get(name);
  if (!entry) throw new RangeError(name);
  return [...toFloat32(await readTensor(file, entry), entry.dtype)];
}

async function merged(family: Family, source: object, name: string): Promise<number[]> {
  const planned = await plan(family.recipe({ personalized: [{ checkpoint: 'tuned', ...source }] }));
  await using session = await openBake(planned);
  const tensor = Object.values(planned.tensors)
    .flat()
    .find((candidate) => candidate.name === name);
  if (!tensor) throw new RangeError(name);
  const { value } = await session.tensors([{ tensor, transposed: false }]).next();
  return [...toFloat32(value as Uint8Array, 'F32')];
}

describe('a whole model as a personalized source', async () => {
  const family = await tunedFamily();
  const base = await weights(join(family.folder, 'base/unet/diffusion_pytorch_model.safetensors'), TO_Q);
  const tuned = await weights(join(family.folder, 'tuned/unet/diffusion_pytorch_model.safetensors'), TO_Q);

  it('is itself at α = 1, and the base at 0', async () => {
    expect(await merged(family, { alpha: 1 }, TO_Q)).toEqual(tuned);
    expect(await merged(family, { alpha: 0 }, TO_Q)).toEqual(base);
  });

  it('is the base and a part of the difference in between, by component and block', async () => {
    const part = (share: number) => base.map((w, i) => w + share * ((tuned[i] as number) - w));
    expect(await merged(family, { alpha: 0.5 }, TO_Q)).toEqual(part(0.5));
    expect(await merged(family, { alpha: 0.5, blocks: { down_blocks: 0.5 } }, TO_Q)).toEqual(part(0.25));
    const text = join(family.folder, 'tuned/text_encoder/model.safetensors');
    expect(await merged(family, { alpha: 0, text_encoder: 1 }, FC1)).toEqual(await weights(text, FC1));
  });

  it('accounts for both of its files, its VAE aside', async () => {
    const document = { personalized: [{ checkpoint: 'tuned', alpha: 1, expect: { modules: 95 } }] };
    const error = await plan(family.recipe(document)).catch((thrown: Error) => thrown.message);
    const [, count] = /the recipe expects 95 modules, (\d+) were matched/.exec(String(error)) ?? [];
    const { files } = await plan(
      family.recipe({ personalized: [{ checkpoint: 'tuned', alpha: 1, expect: { modules: Number(count) } }] }),
    );
    const own = files.filter(({ role }) => role === 'personalized[0]');
    expect(own).toHaveLength(2);
    for (const { accounting } of own) expect(accounting.applied).toBe(accounting.tensors);
    const modules = own.flatMap((file) => Object.values(file.modules ?? {}));
    expect(modules.reduce((sum, n) => sum + n, 0)).toBe(Number(count));
  });

  it('may lack a text encoder', async () => {
    const other = await tunedFamily();
    await rm(join(other.folder, 'tuned/text_encoder'), { recursive: true });
    const { tensors } = await plan(other.recipe({ personalized: [{ checkpoint: 'tuned', alpha: 1 }] }));
    expect(tensors.text_encoder.every(({ terms }) => terms.length === 0)).toBe(true);
    expect(tensors.unet.find(({ name }) => name === TO_Q)?.terms).toMatchObject([{ kind: 'difference', scale: 1 }]);
  });
});

import { cp, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import onnxProto from 'onnx-proto';
import { beforeAll, describe, expect, it } from 'vitest';
import { drain } from '../../src/events.ts';
import { type Plan, plan } from '../../src/merge/plan.ts';
import { readModelInfo } from '../../src/onnx/model-info.ts';
import { openPackage } from '../../src/runtime/package-folder.ts';
import { sample, type Video } from '../../src/runtime/pipeline.ts';
import type { CheckContext } from '../../src/verify/check.ts';
import { CHECKS, digestPackage, verify } from '../../src/verify/gate.ts';
import { contextWith } from '../helpers/clip.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { bakeAndCheck, tinyRecipe } from '../helpers/tiny.ts';

const { onnx } = onnxProto;

describe('the gate on a package with a VAE encoder', () => {
  let sound: string;
  let planned: Plan;
  let video: Video;

  beforeAll(async () => {
    sound = join(await temporaryFolder(), 'package');
    await mkdir(sound);
    const output = { frames: 2, vae_encoder: true };
    ({ plan: planned } = await bakeAndCheck(tinyRecipe({ output }), sound));
    video = await drain(sample(await openPackage(sound), { prompt: 'a red circle', device: 'cpu' }));
  });

  const altered = async (alter: (folder: string) => Promise<unknown>): Promise<string> => {
    const folder = join(await temporaryFolder(), 'package');
    await cp(sound, folder, { recursive: true });
    await alter(folder);
    return folder;
  };

  const judge = async (id: string, folder: string, changes: Partial<CheckContext> = {}) => {
    const pkg = await openPackage(folder);
    const files = await digestPackage(folder);
    const check = CHECKS.find((candidate) => candidate.id === id);
    return check?.run(contextWith({ pkg, files, plan: planned, video, ...changes }));
  };

  it('passes it, and judges the encoder too', async () => {
    const report = await drain(verify(await altered(async () => undefined), { plan: planned }));
    const none = ['reference', 'fingerprint']; // nothing to compare with
    const made = CHECKS.filter(({ id, from }) => from !== 'full' && !none.includes(id));
    expect(report.checks.map(({ id, verdict }) => [id, verdict])).toEqual(made.map(({ id }) => [id, 'passed']));
    const encoder = report.checks.find(({ id }) => id === 'encoder');
    // the tiny VAE is a trained one: what it decodes, it knows again
    expect(encoder?.figures['correlation']).toBeGreaterThan(0.9);
  });

  it('passes it where symbolic shapes leave the size open', async () => {
    const folder = await temporaryFolder();
    const output = { frames: 2, width: 72, height: 64, shapes: 'dynamic', vae_encoder: true };
    const dynamic = await bakeAndCheck(tinyRecipe({ output }), folder);
    expect(await drain(verify(folder, { plan: dynamic.plan, profile: 'quick' }))).toMatchObject({ verdict: 'passed' });
  });

  it.each([
    ['failed', 'makes NaN of the first frame', 'quant_conv.bias', Number.NaN],
    ['failed', 'are all alike (standard deviation 0)', 'quant_conv.weight', 0],
  ])('encoder is %s where it %s', async (verdict, reason, name, value) => {
    const folder = await altered(async (at) => {
      await fill(at, name, value);
      if (value === 0) await fill(at, 'quant_conv.bias', 0);
    });
    const result = await judge('encoder', folder);
    expect(result?.verdict).toBe(verdict);
    expect(result?.reason).toContain(reason);
  });

  it('encoder is left out where there is none, or no clip', async () => {
    const pkg = await openPackage(sound);
    const { vae_encoder: _, ...graphs } = pkg.graphs;
    const applies = CHECKS.find(({ id }) => id === 'encoder')?.applies;
    expect(applies?.(contextWith({ pkg, video }))).toBe(true);
    expect(applies?.(contextWith({ pkg, video: new Error('none') }))).toBe(false);
    expect(applies?.(contextWith({ pkg: { ...pkg, graphs }, video }))).toBe(false);
  });

  it('weights fails on one NaN in the encoder, and recompute on a weight that is no more the base’s', async () => {
    const broken = await altered((at) => fill(at, 'quant_conv.bias', Number.NaN));
    expect((await judge('weights', broken))?.reason).toMatch(/quant_conv\.bias in .*vae_encoder.* is not finite/);
    const other = await altered((at) => fill(at, 'quant_conv.weight', 0.5));
    expect((await judge('recompute', other))?.reason).toMatch(/^quant_conv\.weight is 0\.5 at element/);
  });

  it('graph, recompute and integrity fail where the plan has an encoder and the package has none', async () => {
    const folder = await altered((at) => rm(join(at, 'vae_encoder'), { recursive: true }));
    expect((await judge('graph', folder))?.reason).toContain('vae_encoder/model.onnx is missing');
    expect((await judge('recompute', folder))?.reason).toContain('no vae_encoder, which the plan has');
    expect((await judge('integrity', folder))?.reason).toContain('vae_encoder/model.onnx is missing');
  });

  it('graph fails where the package has an encoder that the plan has not, or one with other names', async () => {
    const plain = await plan(tinyRecipe({ output: { frames: 2 } }));
    expect((await judge('graph', sound, { plan: plain }))?.reason).toMatch(
      /vae_encoder\/model\.onnx is nothing that the recipe makes/,
    );
    const renamed = await altered(async (at) => {
      const path = join(at, 'vae_encoder/model.onnx');
      const model = onnx.ModelProto.decode(await readFile(path));
      for (const value of [...(model.graph?.output ?? [])]) value.name = 'latent_sample';
      for (const node of model.graph?.node ?? [])
        node.output = (node.output ?? []).map((name) => (name === 'latent_parameters' ? 'latent_sample' : name));
      await writeFile(path, onnx.ModelProto.encode(model).finish());
    });
    expect((await judge('graph', renamed))?.reason).toMatch(
      /vae_encoder\/model\.onnx: unexpected output latent_sample; \S+ output latent_parameters should be FLOAT of rank 4, it is missing/,
    );
  });
});

/** Sets every element of one of the encoder's weights. */
async function fill(folder: string, name: string, value: number): Promise<void> {
  const { initializers } = await readModelInfo(join(folder, 'vae_encoder/model.onnx'));
  const place = initializers.find((initializer) => initializer.name === name)?.external;
  if (!place) throw new RangeError(`The encoder has no ${name}.`);
  await using file = await open(join(folder, 'vae_encoder', place.location), 'r+');
  const bytes = new Uint8Array(new Float16Array(place.length / 2).fill(value).buffer);
  await file.write(bytes, 0, bytes.length, place.offset);
}

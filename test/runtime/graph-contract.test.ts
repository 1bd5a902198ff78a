import { cp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import onnxProto from 'onnx-proto';
import { beforeAll, describe, expect, it } from 'vitest';
import { FormatError, InputMissingError } from '../../src/errors.ts';
import { drain } from '../../src/events.ts';
import { bake } from '../../src/export/package.ts';
import { plan } from '../../src/merge/plan.ts';
import { readRunnable } from '../../src/runtime/graph-contract.ts';
import { type GraphFile, graphFor, openPackage } from '../../src/runtime/package-folder.ts';
import { sample } from '../../src/runtime/pipeline.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { tinyRecipe } from '../helpers/tiny.ts';

const { onnx } = onnxProto;
type Model = InstanceType<typeof onnx.ModelProto>;

describe('readRunnable', () => {
  let sound: string;

  beforeAll(async () => {
    sound = await temporaryFolder();
    await drain(bake(await plan(tinyRecipe({ output: { frames: 2 } })), { into: sound }));
  });

  /** What opening and checking a copy of the package gives, after `alter`. */
  const checked = async (alter: (at: string) => unknown) => {
    const folder = await temporaryFolder();
    await cp(sound, folder, { recursive: true });
    await alter(folder);
    const pkg = await openPackage(folder);
    const [unet, text_encoder, vae_decoder] = (['unet', 'text_encoder', 'vae_decoder'] as const).map(
      (name) => graphFor(pkg.graphs[name], 'webgpu') as GraphFile, // none is made for it here: the portable ones
    ) as [GraphFile, GraphFile, GraphFile];
    return readRunnable(pkg, { unet, text_encoder, vae_decoder });
  };
  const edited = (part: string, alter: (model: Model) => void) => async (at: string) => {
    const path = join(at, part, 'model.onnx');
    const model = onnx.ModelProto.decode(await readFile(path));
    alter(model);
    await writeFile(path, onnx.ModelProto.encode(model).finish());
  };
  /** Changes where the first of the external tensors lies. */
  const placed = (key: string, value: string) =>
    edited('unet', (model) => {
      const tensor = model.graph?.initializer?.find(({ externalData }) => externalData?.length);
      const entry = tensor?.externalData?.find((candidate) => candidate.key === key);
      if (entry) entry.value = value;
    });

  it('lets pass what was baked', async () => {
    await expect(checked(() => undefined)).resolves.toHaveProperty('unet.info.inputs');
  });

  it('names a file of weights that is missing, which sampling does before it starts a process', async () => {
    const data = 'vae_decoder/model.onnx_data';
    const missing = checked((at) => rm(join(at, data)));
    await expect(missing).rejects.toThrow(InputMissingError);
    await expect(missing).rejects.toThrow(/vae_decoder\/model\.onnx_data is missing; \S+model\.onnx keeps its weights/);

    const folder = await temporaryFolder();
    await cp(sound, folder, { recursive: true });
    await truncate(join(folder, 'unet/model.onnx_data'), 1_000_000);
    await expect(drain(sample(await openPackage(folder), { prompt: 'x' }))).rejects.toThrow(
      /unet\/model\.cpu\.onnx: \S+ ends at byte \d+ of model\.onnx_data, which has 1000000; .*and \d+ more\. The package is damaged/,
    );
  });

  it('leaves broken numbers to the run, which names the graph they come out of', async () => {
    const folder = await temporaryFolder();
    await cp(sound, folder, { recursive: true });
    const path = join(folder, 'unet/model.onnx_data');
    const data = await readFile(path);
    data.fill(0xff, data.length - 8); // conv_out.bias
    await writeFile(path, data);
    await expect(drain(sample(await openPackage(folder), { prompt: 'x', steps: 1 }))).rejects.toThrow(
      /After step 1 of 1 the latents hold NaN: \S+unet\/model\.cpu\.onnx overflowed or holds broken weights/,
    );
  });

  it.each([
    ['lies in a parent folder', placed('location', '../../secret'), /beside the graph, not in "\.\.\/\.\.\/secret"/],
    ['lies in a parent folder by a detour', placed('location', 'a/../../secret'), /beside the graph/],
    ['lies at an absolute path', placed('location', '/etc/passwd'), /beside the graph, not in "\/etc\/passwd"/],
    ['lies on another drive', placed('location', 'C:\\secret'), /beside the graph/],
    ['begins before the file', placed('offset', '-4'), /has no proper place in model\.onnx_data \(offset -4/],
    ['begins nowhere', placed('offset', 'abc'), /has no proper place in model\.onnx_data \(offset NaN/],
    [
      'has another length than its shape',
      placed('length', '99999999999'),
      /takes 8192 bytes, its place .* has 99999999999/,
    ],
  ])('refuses a weight that %s', async (_, alter, reason) => {
    await expect(checked(alter)).rejects.toThrow(FormatError);
    await expect(checked(alter)).rejects.toThrow(reason);
  });

  it.each([
    [
      'another output',
      edited('unet', ({ graph }) => {
        const [output] = graph?.output ?? [];
        if (output) output.name = 'other';
      }),
      /unet\/model\.onnx: unexpected output other; output out_sample should be FLOAT of rank 5, it is missing/,
    ],
    [
      'text states that no number of chunks makes',
      edited('unet', ({ graph }) => {
        const tokens = graph?.input?.[2]?.type?.tensorType?.shape?.dim?.[1];
        if (tokens) tokens.dimValue = 100;
      }),
      /unet\/model\.onnx: encoder_hidden_states takes 100 tokens, which is no multiple of the 77 that/,
    ],
    [
      'the text encoder of a decoder',
      (at: string) => cp(join(at, 'vae_decoder'), join(at, 'text_encoder'), { recursive: true }),
      /text_encoder\/model\.onnx: unexpected input latent_sample/,
    ],
    [
      'a graph that is none',
      (at: string) => writeFile(join(at, 'vae_decoder/model.onnx'), 'hello'),
      /vae_decoder\/model/,
    ],
    [
      'the tokenizer of another vocabulary',
      async (at: string) => {
        const path = join(at, 'tokenizer/vocab.json');
        const vocab = JSON.parse(await readFile(path, 'utf8')) as Record<string, number>;
        await writeFile(path, JSON.stringify(Object.fromEntries(Object.entries(vocab).map(([t, id]) => [t, id + 1]))));
      },
      /tokenizer: vocab\.json has ids up to 645, the text encoder has embeddings for 645/,
    ],
    [
      'the tokenizer of another length',
      (at: string) => writeFile(join(at, 'tokenizer/tokenizer_config.json'), '{"model_max_length":100}'),
      /tokenizer: tokenizer_config\.json has model_max_length 100, the text encoder takes 77 tokens/,
    ],
  ])('refuses %s', async (_, alter, reason) => {
    await expect(checked(alter)).rejects.toThrow(FormatError);
    await expect(checked(alter)).rejects.toThrow(reason);
  });
});

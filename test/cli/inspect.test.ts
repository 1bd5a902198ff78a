/** `inspect` on graphs, which need no weights to be looked at. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import onnxProto from 'onnx-proto';
import { beforeAll, describe, expect, it } from 'vitest';
import { readUNetConfig } from '../../src/architecture/unet-config.ts';
import { unetStructure } from '../../src/architecture/unet-structure.ts';
import { readVaeConfig } from '../../src/architecture/vae-config.ts';
import { inspect } from '../../src/cli/commands/inspect.ts';
import { UsageError } from '../../src/errors.ts';
import { drain } from '../../src/events.ts';
import { TARGETS } from '../../src/export/targets/index.ts';
import { unetMotionGraph } from '../../src/export/unet-motion.ts';
import { vaeDecoderGraph } from '../../src/export/vae.ts';
import { layOutWeights } from '../../src/export/weight-file.ts';
import type { Dim, Graph } from '../../src/onnx/graph.ts';
import { serializeModel } from '../../src/onnx/proto.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const { onnx } = onnxProto;

interface UNetCase {
  readonly batch: number;
  readonly frames: number;
  readonly flops: number;
  readonly cross_attention_keys_values: number;
  readonly time_projections: number;
  readonly time_embedding: number;
}

const golden = JSON.parse(await readFile('test/golden/cost.json', 'utf8')) as {
  readonly unet: { readonly tiny: readonly [UNetCase] };
  readonly vae_decoder: { readonly tiny: readonly [{ readonly flops: number }] };
};

const BASE = 'models/tiny/base';

/** As users see it, or parsed. */
async function look(file: string, clip: { frames?: number; width?: number; height?: number } = {}) {
  const { frames, width, height } = clip;
  const shared = { json: undefined, quiet: false, color: undefined, help: false };
  const { text, value } = await inspect(
    { ...shared, file, frames, width, height } as unknown as Parameters<typeof inspect>[0],
    { paint: (_, words) => words, signal: new AbortController().signal, follow: drain },
  );
  return { text, value: JSON.parse(JSON.stringify(value)) };
}

async function write(file: string, graph: Graph): Promise<void> {
  const external = new Map(layOutWeights(graph).entries.map((entry) => [entry.name, entry]));
  await writeFile(file, serializeModel(graph, { external, producerVersion: 'test' }));
}

async function unet(target: keyof typeof TARGETS, lengths: Record<'batch' | 'frames' | 'height' | 'width', Dim>) {
  const structure = unetStructure(await readUNetConfig(`${BASE}/unet/config.json`), { mid: true });
  return unetMotionGraph(structure, {
    ...{ target: TARGETS[target], type: 'float16', tokens: 77, motionNorm: 'per-frame', positions: 32, ...lengths },
  });
}

/** FLOPs of a step as PyTorch counts them, less what the graph computes once (test/onnx/graph-cost.test.ts says what). */
function flopsOf({ flops, frames, batch, ...shared }: UNetCase, target: 'portable' | 'cuda' = 'portable'): number {
  return (
    flops -
    shared.cross_attention_keys_values * (1 - 1 / frames) -
    (target === 'cuda' ? 0 : shared.time_projections * (1 - 1 / (batch * frames))) -
    shared.time_embedding * (1 - 1 / batch)
  );
}

describe('a folder of graphs', () => {
  let dynamic: string;
  let fixed: string;

  beforeAll(async () => {
    [dynamic, fixed] = [await temporaryFolder(), await temporaryFolder()];
    for (const folder of [dynamic, fixed]) await mkdir(join(folder, 'unet'));
    const open = { batch: 'batch', frames: 'frames', height: 'height', width: 'width' };
    await write(join(dynamic, 'unet/model.onnx'), await unet('portable', open));
    const small = { batch: 1, frames: 16, height: 8, width: 8 };
    await write(join(fixed, 'unet/model.onnx'), await unet('portable', small));
    await write(join(fixed, 'unet/model.cuda.onnx'), await unet('cuda', small));
    await write(join(fixed, 'unet/model.cuda.3x128x64.onnx'), await unet('cuda', { ...small, frames: 3, width: 16 }));
    await mkdir(join(fixed, 'vae_decoder'));
    const vae = await readVaeConfig(`${BASE}/vae/config.json`);
    const target = TARGETS.portable;
    const image = { images: 'images', height: 64, width: 64 };
    await write(join(fixed, 'vae_decoder/model.onnx'), vaeDecoderGraph(vae, { target, type: 'float16', ...image }));
  });

  it('is shown with the cost of each graph at its shape', async () => {
    const { value, text } = await look(fixed);
    const [summary, ...graphs] = value.files;
    expect(summary).toMatchObject({ kind: 'package', verdict: 'not verified', lock: null });
    expect(
      graphs.map(({ file, costs }: { file: string; costs: { shape: string }[] }) => [file, costs.map((c) => c.shape)]),
    ).toEqual([
      [join(fixed, 'unet/model.onnx'), ['16×64×64']],
      [join(fixed, 'unet/model.cuda.onnx'), ['16×64×64']],
      [join(fixed, 'unet/model.cuda.3x128x64.onnx'), ['3×128×64']],
      [join(fixed, 'vae_decoder/model.onnx'), ['1×512×512']],
    ]);
    const decoding = golden.vae_decoder.tiny[0].flops;
    expect(graphs.map(({ costs }: { costs: { matrix_flops: number }[] }) => costs[0]?.matrix_flops)).toEqual([
      flopsOf(golden.unet.tiny[0], 'portable'),
      flopsOf(golden.unet.tiny[0], 'cuda'),
      expect.any(Number),
      decoding,
    ]);
    const { domains, costs } = graphs[1];
    expect(domains['com.microsoft']).toMatchObject({ MultiHeadAttention: 74 });
    expect(costs[0]).toMatchObject({ unknown_operators: {}, unsized_nodes: 0, lengths: {} });
    expect(costs[0].top_nodes.by_flops[0].matrix_flops).toBeGreaterThan(costs[0].top_nodes.by_flops[7].matrix_flops);
    expect(text).toMatch(/^ {4}model\.cuda\.3x128x64\.onnx +3×128×64 +\d+\+\d+ +\d+ M +[\d.]+ MB +[\d.]+ [kM]B$/m);
    expect(text).toContain('2.22 GFLOP of products');
    expect(text).toMatch(/^ {2}com\.microsoft {2}.*74\u00a0MultiHeadAttention/m);
  });

  it('with open lengths is looked at for another clip', async () => {
    const { value, text } = await look(dynamic, { frames: 16, width: 64, height: 64 });
    expect(value.files[1].costs).toMatchObject([
      { shape: '16×512×512', lengths: { batch: 1, frames: 16, height: 64, width: 64 } },
      { shape: '16×64×64', matrix_flops: flopsOf(golden.unet.tiny[0], 'portable') },
    ]);
    expect(text).toContain('One run at 16×64×64');
    const one = await look(join(dynamic, 'unet/model.onnx'), { frames: 3 });
    expect(one.value.costs.map(({ shape }: { shape: string }) => shape)).toEqual(['16×512×512', '3×512×512']);
  });

  it('is not looked at for a clip that it cannot have', async () => {
    await expect(look(fixed, { frames: 8 })).rejects.toThrow(UsageError);
    await expect(look(fixed, { frames: 8 })).rejects.toThrow(/no graph that another clip could be put into/);
    await expect(look(dynamic, { width: 100 })).rejects.toThrow('The width 100 is no multiple of 8.');
    await expect(look('models/tiny/lcm.safetensors', { frames: 8 })).rejects.toThrow(UsageError);
  });

  it('fits into 80 columns', async () => {
    for (const { text } of [await look(fixed), await look(dynamic, { frames: 3 })]) {
      const titles = new RegExp(`^(${fixed}|${dynamic})`); // whatever length the folder's name has
      expect(text.split('\n').filter((line) => line.length > 80 && !titles.test(line))).toEqual([]);
    }
  });
});

it('a graph that does not tell its shapes has no cost, and says why', async () => {
  const path = join(await temporaryFolder(), 'model.onnx');
  const io = (name: string) => ({ name, type: { tensorType: { elemType: 1, shape: { dim: [{ dimValue: 2 }] } } } });
  const graph = {
    node: [
      { name: 'a', opType: 'Mystery', domain: 'org.example', input: ['x'], output: ['y'] },
      { name: 'b', opType: 'Sqrt', input: ['x'], output: ['hidden'] },
    ],
    input: [io('x')],
    output: [io('y')],
  };
  await writeFile(
    path,
    onnx.ModelProto.encode({ irVersion: 10, opsetImport: [{ domain: '', version: 20 }], graph }).finish(),
  );
  const { value, text } = await look(path);
  expect(value.costs).toMatchObject([{ unknown_operators: { 'org.example:Mystery': 1 }, unsized_nodes: 1 }]);
  expect(text).toMatch(
    /cost +not known: 1 × org\.example:Mystery \(no formula\), 1 node of which the\s+file does not tell/,
  );
});

import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { readClipTextConfig } from '../../src/architecture/clip-config.ts';
import { readUNetConfig } from '../../src/architecture/unet-config.ts';
import { unetStructure } from '../../src/architecture/unet-structure.ts';
import { readVaeConfig } from '../../src/architecture/vae-config.ts';
import { clipTextGraph } from '../../src/export/clip-text.ts';
import { TARGETS } from '../../src/export/targets/index.ts';
import { unetMotionGraph } from '../../src/export/unet-motion.ts';
import { vaeDecoderGraph, vaeEncoderGraph } from '../../src/export/vae.ts';
import { layOutWeights } from '../../src/export/weight-file.ts';
import type { Graph } from '../../src/onnx/graph.ts';
import { serializeModel } from '../../src/onnx/proto.ts';
import { type Lengths, lengthOf, namesIn, resolveShape } from '../../src/onnx/shapes.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

describe('open lengths', () => {
  const lengths = { batch: 2, frames: 5, height: 7, 'batch size': 3 };
  it.each([
    [12, 12],
    ['frames', 5],
    ['batch*frames', 10],
    ['ceil(height/2)', 4],
    ['ceil(ceil(height/2)/2)*2', 4],
    ['4*height*frames', 140],
    ['frames + 1', 6],
    ['2*(height - frames)', 4],
    ['height//2', 3],
    ['floor(height/2)', 3],
    ['batch size', 3], // a name of another tool that is no expression
    ['width', undefined],
    ['height/2', undefined], // 3.5 is no length
    ['frames - height', undefined],
    ['frames*', undefined],
    ['(frames', undefined],
    ['frames height', undefined],
    ['round(height)', undefined],
    ['toString', undefined],
    ['?', undefined],
    ['', undefined],
  ])('%j is %j', (dim, expected) => {
    expect(lengthOf(dim, lengths)).toBe(expected);
  });

  it('are known all or not at all', () => {
    expect(resolveShape(['batch', 4, 'height'], lengths)).toEqual([2, 4, 7]);
    expect(resolveShape([], lengths)).toEqual([]);
    expect(resolveShape(['batch', 'width'], lengths)).toBeUndefined();
  });

  it('have names', () => {
    expect(namesIn('ceil(height/2)*batch*batch')).toEqual(['height', 'batch']);
    expect(namesIn('unk__7')).toEqual(['unk__7']);
    expect(namesIn('batch size')).toEqual(['batch', 'size']);
    expect(namesIn('?')).toEqual(['?']);
    expect(namesIn(3)).toEqual([]);
  });
});

/** Type and shape of every value that the nodes make when onnxruntime runs `graph` on zeros, weights being zeros too. */
async function shapesWhenRun(graph: Graph, lengths: Lengths): Promise<Map<string, string>> {
  const folder = await temporaryFolder();
  const layout = layOutWeights(graph);
  const everything: Graph = { ...graph, outputs: [...graph.values.values()] };
  const external = new Map(layout.entries.map((entry) => [entry.name, entry]));
  await writeFile(join(folder, 'model.onnx'), serializeModel(everything, { external, producerVersion: 'test' }));
  await writeFile(join(folder, 'model.onnx_data'), '');
  await truncate(join(folder, 'model.onnx_data'), layout.bytes);
  const session = await InferenceSession.create(join(folder, 'model.onnx'), { logSeverityLevel: 3 });
  try {
    const feeds = graph.inputs.map(({ name, type, shape }) => {
      const dims = resolveShape(shape, lengths) as number[];
      const count = dims.reduce((n, dim) => n * dim, 1);
      const data = type === 'int64' ? new BigInt64Array(count) : new Float32Array(count);
      return [name, new Tensor(type as 'int64' | 'float32', data as Float32Array & BigInt64Array, dims)] as const;
    });
    const results = await session.run(Object.fromEntries(feeds));
    return new Map(Object.entries(results).map(([name, { type, dims }]) => [name, `${type} [${dims}]`]));
  } finally {
    await session.release();
  }
}

const open = { height: 'height', width: 'width' } as const;
const BASE = 'models/tiny/base';

describe('declared shapes are those that onnxruntime finds when it runs', () => {
  it.each([
    {
      graph: 'unet',
      make: async () =>
        unetMotionGraph(unetStructure(await readUNetConfig(`${BASE}/unet/config.json`), { mid: true }), {
          ...{
            target: TARGETS.portable,
            type: 'float16',
            batch: 'batch',
            frames: 'frames',
            tokens: 77,
            motionNorm: 'pooled',
            positions: 32,
          },
          ...open,
        }),
      lengths: { batch: 2, frames: 3, height: 9, width: 14 }, // odd on the way down: ceil counts
    },
    {
      graph: 'unet of one shape for the CPU',
      make: async () =>
        unetMotionGraph(unetStructure(await readUNetConfig(`${BASE}/unet/config.json`), { mid: false }), {
          ...{
            target: TARGETS.cpu,
            type: 'float16',
            batch: 1,
            frames: 2,
            height: 8,
            width: 16,
            tokens: 77,
            motionNorm: 'per-frame',
          },
          positions: 32,
        }),
      lengths: {},
    },
    {
      graph: 'text encoder',
      make: async () =>
        clipTextGraph(await readClipTextConfig(`${BASE}/text_encoder/config.json`), {
          target: TARGETS.cpu,
          type: 'float16',
          batch: 'batch',
        }),
      lengths: { batch: 3 },
    },
    {
      graph: 'vae decoder',
      make: async () =>
        vaeDecoderGraph(await readVaeConfig(`${BASE}/vae/config.json`), {
          target: TARGETS.portable,
          type: 'float16',
          images: 'images',
          ...open,
        }),
      lengths: { images: 2, height: 5, width: 3 },
    },
    {
      graph: 'vae encoder',
      make: async () =>
        vaeEncoderGraph(await readVaeConfig(`${BASE}/vae/config.json`), {
          ...{ target: TARGETS.cpu, type: 'float16', images: 'images', ...open },
        }),
      lengths: { images: 2, height: 24, width: 40 },
    },
  ] as const)('$graph', { timeout: 60_000 }, async ({ make, lengths }) => {
    const graph = await make();
    const declared = new Map(
      [...graph.values.values()].map(({ name, type, shape }) => [name, `${type} [${resolveShape(shape, lengths)}]`]),
    );
    expect(declared.size).toBe(graph.nodes.flatMap(({ outputs }) => outputs.filter((name) => name !== '')).length);
    expect(declared).toEqual(await shapesWhenRun(graph, lengths));
  });
});

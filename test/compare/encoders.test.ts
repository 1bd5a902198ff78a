/** Encoders that a user brings: what they are fed, and what is refused. The graphs here give back their input. */
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openClipEncoders } from '../../src/compare/clip-encoders.ts';
import { openVideoFeatures } from '../../src/compare/video-features.ts';
import {
  addInput,
  addOutput,
  createGraph,
  type Dim,
  type ElementType,
  rootScope,
  type Value,
} from '../../src/onnx/graph.ts';
import * as op from '../../src/onnx/ops.ts';
import { serializeModel } from '../../src/onnx/proto.ts';
import { type InferenceHost, startHost } from '../../src/runtime/host.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const { picture } = JSON.parse(await readFile('test/golden/metrics.json', 'utf8')) as {
  picture: { height: number; width: number; side: number; data: number[]; pixel_values: number[] };
};
const { side } = picture;
const frames = { count: 1, width: picture.width, height: picture.height, data: Uint8Array.from(picture.data) };
const twice = { ...frames, count: 2, data: Uint8Array.from([...picture.data, ...picture.data.map((x) => 255 - x)]) };

let host: InferenceHost;
beforeAll(() => {
  host = startHost();
});
afterAll(async () => {
  await host[Symbol.asyncDispose]();
});

/** A graph whose output is its input as one row of numbers for each item. */
async function writeRows(
  path: string,
  [input, type, shape]: readonly [string, ElementType, readonly Dim[]],
  output: string,
): Promise<void> {
  const graph = createGraph('rows');
  const s = rootScope(graph, 'float32');
  const x = addInput(graph, input, type, shape);
  const numbers: Value = type === 'float32' ? x : op.Cast(s, x, { to: 'float32' });
  const length = shape.slice(1).reduce<number>((n, dim) => n * Number(dim), 1);
  addOutput(s, op.Reshape(s, numbers, [shape[0] as Dim, length]), output);
  await writeFile(path, serializeModel(graph, { producerVersion: 'test' }));
}

async function clipFolder(preprocessing: object = { crop_size: { height: side, width: side } }, cut = side) {
  const folder = await temporaryFolder();
  await cp('models/tiny/base/tokenizer', folder, { recursive: true });
  await mkdir(join(folder, 'onnx'));
  await writeRows(join(folder, 'text_model.onnx'), ['input_ids', 'int64', ['N', 77]], 'text_embeds');
  await writeRows(
    join(folder, 'onnx', 'vision_model.onnx'),
    ['pixel_values', 'float32', ['N', 3, cut, cut]],
    'image_embeds',
  );
  await writeFile(join(folder, 'preprocessor_config.json'), JSON.stringify(preprocessing));
  return folder;
}

describe('CLIP', () => {
  it('prepares pictures as CLIPImageProcessor does, in both places that exports use', async () => {
    const clip = await openClipEncoders(await clipFolder(), host, 'cpu');
    const [found] = await clip.images(frames);
    const off = (found as Float32Array).map((x, i) => Math.abs(x - (picture.pixel_values[i] as number)));
    expect(Math.max(...off)).toBeLessThan(0.06); // PIL and libvips round the same cubic differently, by levels of 255
    expect(off.reduce((a, b) => a + b, 0) / off.length).toBeLessThan(0.02);
    const both = await clip.images(twice);
    expect(both).toHaveLength(2);
    expect(both[0]).toEqual(found);
    expect(both[1]).not.toEqual(found);
  });

  it('cuts less than the shorter side where the preprocessor says so, and refuses more', async () => {
    const folder = await clipFolder({ size: { shortest_edge: side }, crop_size: side / 2 }, side / 2);
    const [found] = await (await openClipEncoders(folder, host, 'cpu')).images(frames);
    const [half, quarter] = [side / 2, side / 4];
    const middle = Array.from({ length: 3 * half * half }, (_, i) => {
      const [channel, y, x] = [Math.floor(i / half ** 2), Math.floor((i % half ** 2) / half), i % half];
      return picture.pixel_values[(channel * side + quarter + y) * side + quarter + x] as number;
    });
    expect(Math.max(...middle.map((x, i) => Math.abs(x - ((found as Float32Array)[i] as number))))).toBeLessThan(0.06);
    const larger = await clipFolder({ size: side, crop_size: 2 * side });
    await expect(openClipEncoders(larger, host, 'cpu')).rejects.toThrow(
      `size is ${side}, less than the crop_size ${2 * side}`,
    );
  });

  it('tokenizes the prompt', async () => {
    const clip = await openClipEncoders(await clipFolder(), host, 'cpu');
    const [circle, square] = [await clip.text('a red circle'), await clip.text('a blue square')];
    expect(circle).toHaveLength(77);
    expect(circle.filter((id, i) => id !== square[i])).toHaveLength(2);
  });

  it('refuses folders that are no such export, saying what was expected', async () => {
    const folder = await clipFolder();
    await writeRows(join(folder, 'text_model.onnx'), ['input_ids', 'int64', ['N', 77]], 'last_hidden_state');
    await expect(openClipEncoders(folder, host, 'cpu')).rejects.toThrow(
      /text_model\.onnx takes input_ids and gives last_hidden_state; expected input_ids to text_embeds/,
    );
    const empty = await temporaryFolder();
    await cp('models/tiny/base/tokenizer', empty, { recursive: true });
    await expect(openClipEncoders(empty, host, 'cpu')).rejects.toThrow(/text_model\.onnx is not there, nor .*onnx/);
  });
});

describe('video features', () => {
  const graph = async (shape: readonly Dim[]) => {
    const path = join(await temporaryFolder(), 'features.onnx');
    await writeRows(path, ['video', 'float32', shape], 'features');
    return path;
  };

  it.each([
    ['channels before frames', [1, 3, 2, 30, 48] as const, (frame: number, channel: number) => channel * 2 + frame],
    ['frames before channels', [1, 2, 3, 30, 48] as const, (frame: number, channel: number) => frame * 3 + channel],
  ])('fills %s, from −1 to 1', async (_, shape, planeOf) => {
    const features = await openVideoFeatures(await graph(shape), host, 'cpu');
    const found = await features(twice);
    expect(found).toHaveLength(2 * 3 * 30 * 48);
    for (const [frame, channel, pixel] of [
      [0, 0, 0],
      [0, 2, 100],
      [1, 1, 700],
    ] as const) {
      const level = twice.data[(frame * 30 * 48 + pixel) * 3 + channel] as number;
      expect(found[planeOf(frame, channel) * 30 * 48 + pixel]).toBeCloseTo((level / 255) * 2 - 1, 5);
    }
  });

  it('refuses clips of another length, and graphs that take no video', async () => {
    const features = await openVideoFeatures(await graph([1, 3, 16, 30, 48]), host, 'cpu');
    await expect(features(twice)).rejects.toThrow(/takes clips of 16 frames; these have 2/);
    await expect(openVideoFeatures(await graph([1, 3, 30, 48]), host, 'cpu')).rejects.toThrow(
      /takes video FLOAT \[1, 3, 30, 48\]; expected one FLOAT input/,
    );
  });
});

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readUNetConfig } from '../../src/architecture/unet-config.ts';
import { unetStructure } from '../../src/architecture/unet-structure.ts';
import { FormatError } from '../../src/errors.ts';
import { TARGETS } from '../../src/export/targets/index.ts';
import { unetMotionGraph } from '../../src/export/unet-motion.ts';
import { layOutWeights } from '../../src/export/weight-file.ts';
import type { Dim } from '../../src/onnx/graph.ts';
import { type ModelInfo, readModelInfo } from '../../src/onnx/model-info.ts';
import { serializeModel } from '../../src/onnx/proto.ts';
import type { Video } from '../../src/runtime/pipeline.ts';
import { runLimit } from '../../src/verify/limit.ts';
import { limitSection } from '../../src/verify/report/limit.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

async function unet(batch: Dim): Promise<ModelInfo> {
  const structure = unetStructure(await readUNetConfig('models/tiny/base/unet/config.json'), { mid: true });
  const graph = unetMotionGraph(structure, {
    ...{ target: TARGETS.portable, type: 'float16', batch, frames: 'frames', height: 'height', width: 'width' },
    ...{ tokens: 77, motionNorm: 'per-frame', positions: 32 },
  });
  const path = join(await temporaryFolder(), 'model.onnx');
  const external = new Map(layOutWeights(graph).entries.map((entry) => [entry.name, entry]));
  await writeFile(path, serializeModel(graph, { external, producerVersion: 'test' }));
  return readModelInfo(path);
}

/** Of 16 frames of 64²; steps of 20, 10 and 40 ms. */
const video = {
  frames: { count: 16, width: 64, height: 64, data: new Uint8Array() },
  timing: { load_ms: 1, denoise_ms: 70, step_ms: [20, 10, 40], decode_ms: 1, peak_bytes: 1 },
} as unknown as Video;

/** Multiplications and additions of a step of one prompt (test/golden/cost.json, less what the graph computes once). */
const STEP = 2_223_689_728;

describe('the limit of a run', () => {
  const rates = { matrix: { float32: 1e12, float16: 5e11 }, copy: 1e10 };

  it('is what the products or the memory take at least, the larger', async () => {
    const limit = runLimit(await unet(1), 'unet/model.onnx', { video, guidance: 1, rates });
    expect(limit).toMatchObject({ graph: 'unet/model.onnx', runs_per_step: 1, flops_per_step: STEP, step_ms: 20 });
    expect(limit.products_ms).toBeCloseTo(STEP / 1e9, 9); // at the better of the two rates
    expect(limit.memory_ms).toBeCloseTo((limit.least_bytes_per_step / 1e10) * 1000, 9);
    expect(limit.limit_ms).toBe(limit.products_ms);
    expect(limit.share).toBeCloseTo(STEP / 1e9 / 20, 9);
    expect(limit.achieved_flops_per_second).toBeCloseTo(STEP / 0.02, 0);
    const slow = runLimit(await unet(1), 'unet/model.onnx', { video, guidance: 1, rates: { ...rates, copy: 1e9 } });
    expect(slow.limit_ms).toBe(slow.memory_ms);
  });

  it('counts two runs where guidance meets a graph for one prompt, and one of a larger batch elsewhere', async () => {
    const twice = runLimit(await unet(1), 'g', { video, guidance: 2, rates });
    expect(twice).toMatchObject({ runs_per_step: 2, flops_per_step: 2 * STEP });
    const [of2, open] = [await unet(2), await unet('batch')].map((info) =>
      runLimit(info, 'g', { video, guidance: 2, rates }),
    );
    expect(of2).toMatchObject({ runs_per_step: 1 });
    expect(open).toMatchObject({ runs_per_step: 1 });
    // the time embedding alone is computed once for both
    expect(of2?.flops_per_step).toBeGreaterThan(1.99 * STEP);
    expect(of2?.flops_per_step).toBeLessThan(2 * STEP);
    expect(open?.flops_per_step).toBe(of2?.flops_per_step);
    expect(of2?.least_bytes_per_step).toBeLessThan(twice.least_bytes_per_step); // weights are read once
  });

  it('cannot be told of a graph that keeps its shapes to itself', async () => {
    const info = await unet(1);
    const bare = { ...info, values: [] };
    expect(() => runLimit(bare, 'unet/model.onnx', { video, guidance: 1, rates })).toThrow(FormatError);
    expect(() => runLimit(bare, 'unet/model.onnx', { video, guidance: 1, rates })).toThrow(
      /The work of unet\/model\.onnx cannot be worked out: it does not tell the shapes of \d+ nodes/,
    );
  });

  it('stands in the report as bars on one scale', async () => {
    const limit = runLimit(await unet(1), '<graph>', { video, guidance: 1, rates });
    const { html } = limitSection(limit).body;
    expect(html).toContain(
      'A step of <code>&#60;graph&#62;</code> has 2.22 GFLOP of products and attained 111 GFLOP/s',
    );
    expect([...html.matchAll(/width:([\d.]+)%/g)].map(([, width]) => Number(width))).toEqual([
      100,
      Number((5 * limit.products_ms).toFixed(1)),
      Number((5 * limit.memory_ms).toFixed(1)),
    ]);
  });
});

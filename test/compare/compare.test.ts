/** Packages side by side: what is sampled, what it is measured against, and what is written. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Compared, type CompareOptions, compare } from '../../src/compare/compare.ts';
import { gridRows, packageRows } from '../../src/compare/grid.ts';
import { sheetSvg } from '../../src/compare/sheet.ts';
import { comparisonCells, comparisonMarkdown } from '../../src/compare/table.ts';
import { drain, type Event } from '../../src/events.ts';
import { addInput, addOutput, createGraph, rootScope } from '../../src/onnx/graph.ts';
import * as op from '../../src/onnx/ops.ts';
import { serializeModel } from '../../src/onnx/proto.ts';
import { openPackage } from '../../src/runtime/package-folder.ts';
import { sample } from '../../src/runtime/pipeline.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { bakeAndCheck, tinyRecipe } from '../helpers/tiny.ts';

const output = { frames: 2, targets: ['portable'] };
const TEACHER = {
  lcm: undefined,
  motion: { module: 'animatediff.ckpt' },
  sampler: { kind: 'ddim', steps: 25, guidance: 4 },
};
let fast: string;
let teacher: string;
let features: string;

beforeAll(async () => {
  const folder = await temporaryFolder();
  fast = join(folder, 'fast');
  teacher = join(folder, 'teacher');
  await bakeAndCheck(tinyRecipe({ output }), fast);
  await bakeAndCheck(tinyRecipe({ ...TEACHER, output }), teacher);
  const graph = createGraph('features');
  const s = rootScope(graph, 'float32');
  const video = addInput(graph, 'video', 'float32', [1, 3, 2, 8, 8]);
  addOutput(s, op.Reshape(s, video, [1, 3 * 2 * 8 * 8]), 'features');
  features = join(folder, 'features.onnx');
  await writeFile(features, serializeModel(graph, { producerVersion: 'test' }));
});

const run = (options: Partial<CompareOptions>, onEvent?: (event: Event) => void): Promise<Compared> =>
  drain(compare({ packages: [fast], device: 'cpu', ...options }), onEvent);

describe('the rows', () => {
  it('of the grid: the teacher, then LCM, DDIM and DPM++ at each number of steps', () => {
    const rows = gridRows(['out/tiny'], 'out/slow', 4);
    expect(rows.map(({ id }) => id)).toEqual([
      'teacher',
      ...[1, 2, 4, 8].flatMap((n) => [`lcm-${n}`, `ddim-${n}`, `dpmpp_2m-${n}`]),
    ]);
    expect(rows[0]).toMatchObject({ package: 'out/slow', sampler: 'ddim', steps: 50, guidance: 4 });
    expect(rows[1]).toMatchObject({ label: 'LCM, 1 step', package: 'out/tiny', sampler: 'lcm', steps: 1, guidance: 1 });
    expect(new Set(gridRows(['a/x', 'b/x'], 'c', 2).map(({ id }) => id)).size).toBe(17);
    expect(gridRows(['a/x', 'b/x'], 'c', 2)[1]?.label).toBe('LCM (a/x), 1 step');
  });

  it('of packages: named by what tells them apart', () => {
    expect(packageRows(['out/a', 'out/b/'], undefined).map(({ label }) => label)).toEqual(['a', 'b']);
    expect(packageRows(['x/tiny'], 'y/tiny').map(({ label }) => label)).toEqual(['y/tiny', 'x/tiny']);
  });
});

describe('a grid', () => {
  let compared: Compared;
  const events: Event[] = [];
  beforeAll(async () => {
    const options = { teacher, grid: true, prompts: ['a blue square'], seed: 3, seeds: 2, videoFeatures: features };
    compared = await run(options, (event) => events.push(event));
  });

  it('has a clip of every row, prompt and seed, and says so', () => {
    const { rows, prompts, seeds, device } = compared.comparison;
    expect({ prompts, seeds, device }).toEqual({ prompts: ['a blue square'], seeds: [3, 4], device: 'cpu' });
    expect(rows.map(({ evaluations }) => evaluations)).toEqual([100, 1, 2, 2, 2, 4, 4, 4, 8, 8, 8, 16, 16]);
    expect(events.filter(({ type }) => type === 'progress')).toHaveLength(26);
    expect(events.at(-2)).toMatchObject({ stage: 'compare', done: 26, total: 26, unit: 'clips' });
  });

  it('shows the first clip of each row as soon as it is there', () => {
    const { rows } = compared.comparison;
    const tiles = events.filter((event) => event.type === 'tile');
    expect(tiles.map(({ index }) => rows[index]?.id).sort()).toEqual(rows.map(({ id }) => id).sort());
    for (const { index, total, label, frames, milliseconds } of tiles) {
      expect(total).toBe(13);
      expect(label).toBe(rows[index]?.label);
      expect(frames).toBe(compared.clips[index]);
      expect(milliseconds).toBeGreaterThan(0);
    }
    const kinds = events.flatMap(({ type }) => (type === 'tile' || type === 'progress' ? [type] : []));
    expect(kinds.slice(0, 4)).toEqual(['tile', 'progress', 'progress', 'tile']);
    expect(tiles[0]?.note).toMatch(/^motion [\d.]+$/);
    expect(tiles[1]?.note).toMatch(/^distance [\d.]+ · motion [\d.]+$/);
  });

  it('measures against the first row', () => {
    const [first, ...others] = compared.comparison.rows;
    expect(first).toMatchObject({ speedup: 1, distance: { pixels: 0, latents: 0 }, fvd: 0, guidance: 4 });
    for (const { distance, fvd, id } of others) {
      expect(distance.pixels, id).toBeGreaterThan(0);
      expect(fvd, id).toBeGreaterThan(0);
    }
    const off = (id: string) => others.find((row) => row.id === id)?.distance.latents ?? Number.NaN;
    expect(off('ddim-8')).toBeLessThan(off('ddim-2'));
    expect(off('dpmpp_2m-8')).toBeLessThan(off('dpmpp_2m-2'));
  });

  it.each([
    ['lcm-4', () => fast, { sampler: 'lcm', steps: 4, guidance: 1 }],
    ['dpmpp_2m-2', () => teacher, { sampler: 'dpmpp_2m', steps: 2, guidance: 4, timestep_spacing: 'trailing' }],
  ] as const)('%s is what `run` makes of those settings', async (id, folder, settings) => {
    const video = await drain(
      sample(await openPackage(folder()), { ...settings, prompt: 'a blue square', seed: 3, device: 'cpu' }),
    );
    const index = compared.comparison.rows.findIndex((row) => row.id === id);
    expect(compared.clips[index]?.data).toEqual(video.frames.data);
  });

  it('is shown as a table, as Markdown and as a sheet', async () => {
    const cells = comparisonCells(compared.comparison);
    expect(cells).toHaveLength(14);
    expect(cells[0]).toEqual([
      'row',
      'UNet runs',
      'denoising',
      'speedup',
      'pixels off',
      'latents off',
      'consistency',
      'motion',
      'FVD',
    ]);
    const page = comparisonMarkdown(compared.comparison, 'sheet.svg');
    expect(page).toMatch(
      /^2 clips a row on cpu: “a blue square”; seeds 3, 4\. Distances are from “Teacher: DDIM, 50 steps”\./,
    );
    expect(page.match(/^\|/gm)).toHaveLength(15);
    const svg = await sheetSvg(compared);
    expect(svg.match(/<image /g)).toHaveLength(13);
    expect(svg).toContain('>LCM, 1 step</text>');
    expect(svg).toContain('>1 UNet run, ');
    const { comparison } = compared;
    const near = { ...comparison, rows: comparison.rows.map((row) => ({ ...row, fvd: 0.0014565 })) };
    expect(comparisonCells(near)[1]?.at(-1)).toBe('0.00146');
    const escaped = await sheetSvg({ ...compared, comparison: { ...compared.comparison, prompts: ['<script>'] } });
    expect(escaped).not.toContain('<script>');
  });
});

describe('packages', () => {
  it('are sampled as their recipes say', async () => {
    const { comparison } = await run({ packages: [fast, teacher] });
    expect(comparison.rows).toMatchObject([
      { label: 'fast', sampler: 'lcm', steps: 4, guidance: 1, evaluations: 4 },
      { label: 'teacher', sampler: 'ddim', steps: 25, guidance: 4, evaluations: 50 },
    ]);
    expect(comparison.rows[1]).not.toHaveProperty('fvd');
  });

  it('of other shapes are refused, and so is a distribution of one clip', async () => {
    const other = join(await temporaryFolder(), 'other');
    await bakeAndCheck(tinyRecipe({ output: { ...output, frames: 3 } }), other);
    const sampled: Event[] = [];
    await expect(run({ packages: [fast, other] }, (event) => sampled.push(event))).rejects.toThrow(
      /fast makes 2 frames of 64×64, and .*other makes 3 frames of 64×64; only clips of one shape/,
    );
    expect(sampled).toEqual([]);
    await expect(run({ guidance: 3 })).rejects.toThrow(/without --grid every package is sampled as its recipe says/);
    await expect(run({ videoFeatures: features })).rejects.toThrow(/there is only one\. Give more prompts/);
    await expect(run({ packages: [] })).rejects.toThrow(/at least one package/);
  });

  it('an abort ends it', async () => {
    const controller = new AbortController();
    const running = run({ grid: true, signal: controller.signal }, ({ type }) => {
      if (type === 'progress') controller.abort(new Error('enough'));
    });
    await expect(running).rejects.toThrow('enough');
  });
});

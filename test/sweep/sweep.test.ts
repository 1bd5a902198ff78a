/** A grid of settings: each tile is what a bake of its recipe makes, though little of it is merged anew. */
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { drain, type Event, type Tile } from '../../src/events.ts';
import { bake } from '../../src/export/package.ts';
import { readModelInfo } from '../../src/onnx/model-info.ts';
import type { Recipe } from '../../src/recipe/schema.ts';
import { openPackage } from '../../src/runtime/package-folder.ts';
import { sample } from '../../src/runtime/pipeline.ts';
import { parseKnob } from '../../src/sweep/axis.ts';
import { planGrid } from '../../src/sweep/grid.ts';
import { sheetSvg } from '../../src/sweep/sheet.ts';
import { type Sweep, type SweepOptions, sweep } from '../../src/sweep/sweep.ts';
import { seenCells, sweepCells } from '../../src/sweep/table.ts';
import { openVariants } from '../../src/sweep/variants.ts';
import { SMALL, writeSmall } from '../helpers/small.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { recipeIn, tinyRecipe } from '../helpers/tiny.ts';

/** What is the same for every structure is looked at in the small one; what it costs, and all modules that LoRAs change, in the tiny one. */
const small = recipeIn((await writeSmall()).folder, SMALL, { verify: { seed: 3 } });
const tiny = tinyRecipe({ sampler: { steps: 2 }, verify: { prompt: 'a red circle', seed: 3 } });
const clip = { frames: 2 };
const knob = (text: string) => parseKnob(text, tiny);
const PATIENCE = { timeout: 240_000 };

const run = (
  options: Partial<SweepOptions> & Pick<SweepOptions, 'x'>,
  onEvent?: (event: Event) => unknown,
  of: Recipe = small,
): Promise<Sweep> => drain(sweep({ recipe: of }, { clip, device: 'cpu', ...options }), onEvent);

/** Every weight that a graph reads, by name, wherever it lies. */
async function weightsOf(path: string): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  const weights = new Map<string, Buffer>();
  for (const { name, external } of (await readModelInfo(path)).initializers) {
    if (!external) continue;
    const { location, offset, length } = external;
    const file = files.get(location) ?? (await readFile(join(dirname(path), location)));
    files.set(location, file);
    weights.set(name, file.subarray(offset, offset + length));
  }
  return weights;
}

describe('the tiles of a grid', PATIENCE, () => {
  it.each([
    ['tiny', 'alpha=0.4,0.8', 'beta=0.7,1'],
    ['small', 'personalized[0].text_encoder=0.2,1', 'alpha=0.4,0.8'],
    ['small', 'gamma=0,1', 'guidance=1,2'],
  ])(
    '(%s) over %s and %s have the weights of their own bakes, bit for bit, and show the same frames',
    async (family, x, y) => {
      const recipe = family === 'tiny' ? tiny : small;
      const options = { x: knob(x), y: knob(y), clip };
      const grid = await drain(planGrid(recipe, 'cpu', options));
      const folder = await temporaryFolder();
      await using variants = await openVariants(grid.tiles.map(({ plan }) => plan) as never, { folder });
      const swept = await run(options, undefined, recipe);
      for (const [i, { plan, index }] of grid.tiles.entries()) {
        const { package: made } = await drain(variants.make(i, i === 0 ? undefined : 'portable'));
        if (i !== 0 && i !== 3) continue; // what lies between two corners is made of the same parts
        if (i === 0) {
          // what onnxruntime does to the graph of the CPU is done once for all tiles
          const quick = made.graphs.unet.find(({ target }) => target === 'cpu')?.path as string;
          expect((await readModelInfo(quick)).operators['Cast'] ?? 0).toBeLessThan(700);
        }
        const into = join(await temporaryFolder(), 'baked');
        await mkdir(into);
        await drain(bake(plan, { into }));
        const baked = await openPackage(into);
        for (const part of ['unet', 'text_encoder', 'vae_decoder'] as const) {
          const graph = made.graphs[part].find(({ target }) => target === 'portable')?.path as string;
          const [found, expected] = [await weightsOf(graph), await weightsOf(baked.models[part])];
          expect([...found.keys()].sort()).toEqual([...expected.keys()].sort());
          const other = [...expected].filter(([name, bytes]) => !found.get(name)?.equals(bytes)).map(([name]) => name);
          expect(other, part).toEqual([]);
        }
        const { verify, sampler } = plan.recipe;
        const { frames } = await drain(
          sample(baked, { prompt: verify.prompt, seed: verify.seed, guidance: sampler.guidance, device: 'cpu' }),
        );
        expect(Buffer.from(frames.data).equals(Buffer.from(swept.clips[index]?.data ?? []))).toBe(true);
        await variants.release(i);
      }
    },
  );

  it('are told as they come, with what to write into the recipe; the figures have them row by row', async () => {
    const tiles: Tile[] = [];
    const other: Event[] = [];
    const axes = { x: knob('beta=0.7,1'), y: knob('gamma=1,0') };
    const listen = (event: Event) => {
      if (event.type === 'tile') tiles.push(event);
      else other.push(event);
    };
    const { figures, clips } = await run(axes, listen, tiny);
    // β changes more than γ, so its values are the outer loop
    expect(tiles.map(({ index }) => index)).toEqual([0, 2, 1, 3]);
    expect(tiles.map(({ label }) => label)).toEqual(['β 0.7  γ 1', 'β 0.7  γ 0', 'β 1  γ 1', 'β 1  γ 0']);
    expect(tiles[1]).toMatchObject({
      total: 4,
      settings: [
        { path: ['lcm', 'beta'], value: 0.7 },
        { path: ['motion', 'gamma'], value: 0 },
      ],
      frames: { count: 2, width: 64, height: 64 },
      note: expect.stringMatching(/^motion \S+, consistency \S+$/),
    });
    expect(other.filter(({ type }) => type === 'progress').at(-1)).toMatchObject({ stage: 'sweep', done: 4, total: 4 });
    expect(figures).toMatchObject({ device: 'cpu', clip: { frames: 2, width: 64 }, prompt: 'a red circle', seed: 3 });
    expect(figures.tiles.map(({ label, own }) => [label, own])).toEqual([
      ['β 0.7  γ 1', false],
      ['β 1  γ 1', true],
      ['β 0.7  γ 0', false],
      ['β 1  γ 0', false],
    ]);
    expect(clips[0]?.data).toEqual(tiles[0]?.frames.data);
    // merged: all; β's; γ's; and nothing, as both have been there
    const merged = figures.tiles.map((tile) => tile.merged.tensors);
    expect(merged[0]).toBeGreaterThan(1000);
    expect([merged[1], merged[2], merged[3]]).toEqual([278, 42, 0]);
    expect(figures.tiles[1]?.distance).toEqual({ pixels: 0, latents: 0 });
    expect(figures.tiles[0]?.distance?.pixels).toBeGreaterThan(0);
  });

  it('take no more than sampling where the knobs are the sampler’s and the seed', async () => {
    const { figures, clips } = await run({ x: knob('steps=1,2'), y: knob('seed=4,5'), seed: 9 });
    expect(figures.tiles.slice(1).map(({ merged }) => merged.bytes)).toEqual([0, 0, 0]);
    expect(new Set(clips.map(({ data }) => Buffer.from(data).toString('base64'))).size).toBe(4);
    expect(figures.tiles[0]).not.toHaveProperty('distance');
  });

  it('are shown as a table and as a sheet that moves', async () => {
    const swept = await run({ x: knob('steps=1,2') }, undefined, { ...small, name: '<b>' });
    const cells = sweepCells(swept.figures);
    expect(cells.map(([title]) => title)).toEqual(['tile', 'steps 1', 'steps 2 (as it is)']);
    expect(seenCells(swept.figures)[0]).toEqual(['tile', 'motion', 'consistency', 'pixels off']);
    const hostile = { ...swept, figures: { ...swept.figures, prompt: '<script>' } };
    const svg = await sheetSvg(hostile);
    expect(svg.match(/<image class="clip" width="256"/g)).toHaveLength(2);
    expect(svg).toContain('>steps 1</text>');
    expect(svg).toContain('steps(2) infinite');
    expect(svg.match(/class="own"/g)).toHaveLength(1);
    expect(svg).not.toContain('<script>');
  });
});

describe('a tile whose weights leave the range of fp16', PATIENCE, () => {
  it.each([
    ['α 100000000', 'alpha=1e8,0.8'],
    ['α 100000000', 'alpha=0.8,1e8,0.4'],
  ])('(%s) is left out with its reason, and the others are made: %s', async (label, x) => {
    const warnings: string[] = [];
    const done: number[] = [];
    const planned: unknown[] = [];
    const swept = await run({ x: knob(x) }, (event) => {
      if (event.type === 'warning') warnings.push(event.message);
      if (event.type === 'progress' && event.unit === 'steps') planned.push(event.detail);
      if (event.type === 'progress' && event.unit === 'clips' && event.stage === 'sweep') done.push(event.done);
    });
    const values = knob(x).values;
    expect(planned).toEqual(values.map((value) => `planning α ${value}`));
    expect(swept.figures.failed.map((tile) => [tile.label, tile.column])).toEqual([[label, values.indexOf(1e8)]]);
    expect(swept.figures.failed[0]?.reason).toMatch(/range of fp16|not finite|65504/);
    expect(warnings).toContainEqual(expect.stringMatching(/^α 100000000 is left out: /));
    expect(done).toEqual(values.map((_, i) => i + 1));
    expect(swept.figures.tiles.map(({ settings }) => settings[0]?.value)).toEqual(values.filter((v) => v !== 1e8));
    const alone = await run({ x: knob('alpha=0.8') });
    const own = swept.figures.tiles.findIndex((tile) => tile.own);
    expect(Buffer.from(swept.clips[own]?.data ?? []).equals(Buffer.from(alone.clips[0]?.data ?? []))).toBe(true);
    expect(await sheetSvg(swept)).toContain('>failed<title>');
    expect(sweepCells(swept.figures).map(([title]) => title)).toContain('α 100000000 (failed)');
  });

  it('ends the sweep where there is no other', async () => {
    await expect(run({ x: knob('alpha=1e8') })).rejects.toThrow(/fp16|finite/);
  });
});

describe('a sweep that does not end', PATIENCE, () => {
  it.each([
    ['is aborted while it merges', ({ type }: Event) => type === 'progress'],
    ['is aborted after a tile', ({ type }: Event) => type === 'tile'],
  ])('leaves nothing behind when it %s', async (_, isMoment) => {
    const folder = await temporaryFolder();
    const controller = new AbortController();
    const options = { x: knob('beta=0.7,1'), scratch: join(folder, 'weights'), signal: controller.signal };
    const running = run(options, (event) => {
      if (isMoment(event)) controller.abort(new Error('enough'));
    });
    await expect(running).rejects.toThrow('enough');
    expect(await readdir(folder)).toEqual([]);
  });

  it('leaves nothing behind when nobody asks for more of it', async () => {
    const folder = await temporaryFolder();
    const scratch = join(folder, 'weights');
    for await (const event of sweep({ recipe: small }, { x: knob('beta=0.7,1'), clip, device: 'cpu', scratch }))
      if (event.type === 'tile') break;
    expect(await readdir(folder)).toEqual([]);
  });

  it('takes away what a killed one has left', async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, 'weights.999999999.partial', 'unet'), { recursive: true });
    await run({ x: knob('steps=1'), scratch: join(folder, 'weights') });
    expect(await readdir(folder)).toEqual([]);
  });
});

describe('a grid that cannot be', () => {
  it.each([
    [{ x: knob('alpha=1'), y: knob('alpha=0') }, /^Both axes are personalized\[0\]\.alpha\./],
    [{ x: knob('alpha=0..1:11'), y: knob('beta=0..1:10') }, /^The grid has 110 clips \(11 × 10\); 100 at most/],
    [{ x: knob('steps=1,60') }, /^sampler\.steps cannot be 60\./],
    [{ x: { path: ['lcm', 'beta'], values: [] } }, /has no values/],
    [{ x: { path: ['output', 'frames'], values: [1] } }, /^output\.frames is no knob/],
    [{ x: knob('alpha=1'), clip: { width: 60 } }, /^No clip can be 2 frames of 60×64: width must be a multiple of 8/],
    [{ x: knob('alpha=1'), clip: { frames: 0 } }, /^No clip can be 0 frames/],
  ] as const)('is refused before anything is written: %#', async (options, sentence) => {
    const folder = await temporaryFolder();
    await expect(run({ ...options, scratch: join(folder, 'weights') } as SweepOptions)).rejects.toThrow(sentence);
    expect(await readdir(folder)).toEqual([]);
  });
});

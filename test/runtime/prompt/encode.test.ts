/** Prompts on models/tiny against PyTorch: text states, the graphs that take them, and whole trajectories. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { UsageError } from '../../../src/errors.ts';
import { drain, type Event } from '../../../src/events.ts';
import { bake } from '../../../src/export/package.ts';
import { plan } from '../../../src/merge/plan.ts';
import { readModelInfo } from '../../../src/onnx/model-info.ts';
import { lengthsFor } from '../../../src/runtime/graph-lengths.ts';
import { type HostTensor, startHost } from '../../../src/runtime/host.ts';
import { createGenerator } from '../../../src/runtime/noise.ts';
import { openPackage, type VideoPackage } from '../../../src/runtime/package-folder.ts';
import { sample } from '../../../src/runtime/pipeline.ts';
import { encodePrompts, preparePrompts } from '../../../src/runtime/prompt/encode.ts';
import { statesForm } from '../../../src/runtime/prompt/states.ts';
import type { Prompt, PromptKeyframe } from '../../../src/runtime/prompt/travel.ts';
import { openGolden } from '../../helpers/golden.ts';
import { relativeRms } from '../../helpers/numbers.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';
import { type Section, tinyRecipe } from '../../helpers/tiny.ts';

/** Relative RMS error against float32 on weights that were rounded to fp16: of graphs in fp16, and of those that compute in float32. */
const LIMIT = { portable: 3e-3, cpu: 1e-4 } as const;
/** Of whole trajectories, over graphs that compute in float32. */
const TRAJECTORY_LIMIT = 2e-3;

interface Seeded {
  readonly seed: number;
  readonly shape: readonly number[];
}
type Case = { readonly stride: number } & (
  | {
      readonly kind: 'unet';
      readonly timestep: number;
      readonly per_frame: boolean;
      readonly sample: Seeded;
      readonly encoder_hidden_states: Seeded;
    }
  | {
      readonly kind: 'states';
      readonly prompt: string;
      readonly weighted: boolean;
      readonly chunks: number;
      readonly shape: readonly number[];
    }
  | {
      readonly kind: 'travel';
      readonly keyframes: readonly PromptKeyframe[];
      readonly frames: number;
      readonly shape: readonly number[];
    }
  | {
      readonly kind: 'trajectory';
      readonly keyframes: readonly PromptKeyframe[];
      readonly negative: string;
      readonly seed: number;
      readonly steps: number;
      readonly guidance: number;
      readonly frames: number;
    }
);

/** Made by `python test/oracle/prompts.py`. */
const golden = await openGolden<Readonly<Record<string, Case>> & { readonly dropped: readonly [string, string][] }>(
  'test/golden/prompts.safetensors',
);
const casesOf = <K extends Case['kind']>(kind: K) =>
  Object.entries(golden.cases).filter(
    (entry): entry is [string, Extract<Case, { kind: K }>] => (entry[1] as Partial<Case>).kind === kind,
  );
const every = (values: Float32Array, stride: number) => values.filter((_, i) => i % stride === 0);

const PACKAGES = {
  'one prompt': { shapes: 'dynamic', prompt: { tokens: 'dynamic' } },
  'per frame': { shapes: 'dynamic', prompt: { tokens: 'dynamic', per_frame: true } },
  'two chunks': { frames: 2, prompt: { tokens: 154 } },
  'one chunk': { frames: 2 },
} as const;
const packages = {} as Record<keyof typeof PACKAGES, VideoPackage>;

beforeAll(async () => {
  const folder = await temporaryFolder();
  for (const [name, output] of Object.entries(PACKAGES) as [keyof typeof PACKAGES, Section][]) {
    const into = join(folder, name);
    await mkdir(into);
    await drain(bake(await plan(tinyRecipe({ output })), { into }));
    packages[name] = await openPackage(into);
  }
});

function randn({ seed, shape }: Seeded): HostTensor {
  const count = shape.reduce((n, dim) => n * dim, 1);
  return { type: 'float32', dims: shape, data: createGenerator(seed).randn(count) };
}

describe.each(['portable', 'cpu'] as const)('the UNet graph for %s agrees with diffusers', (target) => {
  it.each(['one prompt', 'per frame'] as const)('%s', async (name) => {
    const { unet } = packages[name].models;
    await using host = startHost();
    await using session = await host.load(target === 'cpu' ? unet.replace('.onnx', '.cpu.onnx') : unet, 'cpu');
    const cases = casesOf('unet').filter(([, { per_frame }]) => per_frame === (name === 'per frame'));
    expect(cases.length).toBeGreaterThan(1);
    for (const [tensor, { timestep, sample: noise, encoder_hidden_states, stride }] of cases) {
      const { outputs } = await session.run({
        sample: randn(noise),
        timestep: { type: 'int64', dims: [], data: BigInt64Array.of(BigInt(timestep)) },
        encoder_hidden_states: randn(encoder_hidden_states),
      });
      const found = every(outputs['out_sample']?.data as Float32Array, stride);
      expect(relativeRms(found, await golden.tensor(tensor)), tensor).toBeLessThan(LIMIT[target]);
    }
  });
});

/** States of prompts on the text encoder for the CPU, for a graph whose input has `tokens`. */
async function statesOf(
  prompts: readonly Prompt[],
  { frames = 1, weighted = false, tokens }: { frames?: number; weighted?: boolean; tokens: number },
) {
  const pkg = packages['per frame'];
  const inputs = [
    { name: 'sample', shape: [1, 4, frames, 8, 8] },
    { name: 'encoder_hidden_states', shape: [frames, tokens, 64] },
  ];
  const prepared = preparePrompts(pkg, inputs, prompts, { frames, weighted });
  await using host = startHost();
  await using session = await host.load(pkg.models.text_encoder.replace('.onnx', '.cpu.onnx'), 'cpu');
  return encodePrompts({ session, batch: undefined, inputs: [] }, prepared);
}

describe('text states agree with PyTorch', () => {
  it.each(casesOf('states'))('%s', async (name, { prompt, weighted, chunks, shape, stride }) => {
    const [states] = await statesOf([prompt], { weighted, tokens: 77 * chunks });
    expect(states?.dims).toEqual(shape);
    const found = every(states?.data as Float32Array, stride);
    expect(relativeRms(found, await golden.tensor(name))).toBeLessThan(LIMIT.cpu);
  });

  it.each(casesOf('travel'))('%s', async (name, { keyframes, frames, shape, stride }) => {
    const [states] = await statesOf([keyframes], { frames, tokens: 77 });
    expect(states?.dims).toEqual(shape);
    const found = every(states?.data as Float32Array, stride);
    expect(relativeRms(found, await golden.tensor(name))).toBeLessThan(LIMIT.cpu);
  });
});

describe('sample', () => {
  it.each(casesOf('trajectory'))('%s takes the way of diffusers', async (name, c) => {
    const { keyframes, negative, seed, steps, guidance, frames, stride } = c;
    const asked = { prompt: keyframes, negative, seed, steps, guidance, frames, device: 'cpu' } as const;
    const { latents, tokens } = await drain(sample(packages['per frame'], asked));
    expect(tokens).toBe(77);
    expect(relativeRms(every(latents, stride), await golden.tensor(name))).toBeLessThan(TRAJECTORY_LIMIT);
  });

  it('gives a prompt that stands still the clip that a graph for one prompt gives', async () => {
    const asked = { prompt: 'a red circle', seed: 1, steps: 1, frames: 2, device: 'cpu' } as const;
    const [one, per] = [
      await drain(sample(packages['one prompt'], asked)),
      await drain(sample(packages['per frame'], asked)),
    ];
    expect(relativeRms(per.latents, one.latents)).toBeLessThan(1e-5);
  });

  it('says which graph a prompt that changes wants, before it loads anything', async () => {
    const prompt = [
      { frame: 0, prompt: 'a red circle' },
      { frame: 1, prompt: 'a blue square' },
    ];
    const sampling = drain(sample(packages['one chunk'], { prompt, device: 'cpu' }));
    await expect(sampling).rejects.toThrow(UsageError);
    await expect(sampling).rejects.toThrow(
      /takes one prompt for all frames\. Bake with output\.prompt\.per_frame: true/,
    );
  });

  const long = golden.cases.dropped[0]?.[0] as string;

  it('warns of what has no room, and quotes it', async () => {
    const events: Event[] = [];
    const { tokens } = await drain(sample(packages['one chunk'], { prompt: long, steps: 1, device: 'cpu' }), (e) =>
      events.push(e),
    );
    expect(tokens).toBe(77);
    const [warning, ...others] = events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));
    expect(others).toEqual([]);
    expect(warning).toMatch(
      /^The prompt "a red circle on a white background, movi…" has \d+ tokens, and the UNet's graph takes 75: ".*circle" is left out\. Bake with output\.prompt\.tokens: 154, or dynamic/,
    );
  });

  it('has room for two chunks where the graph has, with both prompts as long', async () => {
    const events: Event[] = [];
    const asked = { prompt: long, negative: 'blurry', guidance: 2, steps: 1, device: 'cpu' } as const;
    const { tokens } = await drain(sample(packages['two chunks'], asked), (e) => events.push(e));
    expect(tokens).toBe(154);
    expect(events.filter(({ type }) => type === 'warning')).toEqual([]);
  });
});

describe('preparePrompts', () => {
  const inputs = (
    rows: number | string,
    tokens: number | string,
    sampleShape: readonly (number | string)[] = [1, 4, 2, 8, 8],
  ) => [
    { name: 'sample', shape: sampleShape },
    { name: 'encoder_hidden_states', shape: [rows, tokens, 64] },
  ];

  it('gives all prompts the chunks of the longest where the graph leaves their number open', () => {
    const { prompts } = preparePrompts(packages['one chunk'], inputs(1, 'tokens'), ['', 'circle '.repeat(151)], {
      frames: 2,
      weighted: false,
    });
    const [empty = [], circles = []] = prompts.map(([keyframe]) => keyframe?.chunks.map(({ ids }) => [...ids]) ?? []);
    expect(circles).toHaveLength(3);
    expect(empty).toEqual(Array(3).fill(empty[0]));
    const [first = [], , third = []] = circles;
    expect(first.slice(1, 76)).toEqual(Array(75).fill(first[1])); // cut after every 75th
    expect(third.slice(1)).toEqual([first[1], ...(empty[0] ?? []).slice(1, 76)]);
  });

  it.each(golden.cases.dropped)('drops of %.30s what diffusers drops', (prompt, dropped) => {
    const { warnings } = preparePrompts(packages['one chunk'], inputs(1, 77), [prompt], { frames: 2, weighted: false });
    const { tokenizer } = packages['one chunk'];
    expect(tokenizer.decode(tokenizer.encode(prompt).slice(76, -1))).toBe(dropped);
    expect(warnings[0]).toContain(JSON.stringify(dropped).slice(0, 100));
  });
});

describe('statesForm and lengths', () => {
  it.each([
    ['one chunk', 'unet', { tokens: 77, perFrame: false }, {}],
    ['two chunks', 'unet', { tokens: 154, perFrame: false }, {}],
    ['one prompt', 'unet', { tokens: undefined, perFrame: false }, { tokens: 77 }],
    ['per frame', 'unet', { tokens: undefined, perFrame: true }, { tokens: 77 }],
  ] as const)('%s', async (name, model, form, more) => {
    const { inputs } = await readModelInfo(packages[name].models[model]);
    expect(statesForm(inputs)).toEqual(form);
    const open = name === 'one prompt' || name === 'per frame';
    const clip = { batch: 2, frames: 6, width: 64, height: 48 };
    expect(lengthsFor(inputs, clip)).toEqual(open ? { batch: 2, frames: 6, height: 6, width: 8, ...more } : {});
    expect(lengthsFor(inputs, { ...clip, tokens: 231 })['tokens']).toBe(open ? 231 : undefined);
  });
});

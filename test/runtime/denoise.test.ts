import { describe, expect, it } from 'vitest';
import { readSavedScheduler, type SamplerKind, samplerConfig } from '../../src/architecture/sampler-config.ts';
import { type Denoising, denoise, type LoadedGraph } from '../../src/runtime/denoise.ts';
import type { HostTensor } from '../../src/runtime/host.ts';
import { createGenerator } from '../../src/runtime/noise.ts';
import { createScheduler } from '../../src/runtime/schedulers/index.ts';

const SHAPE = [1, 4, 2, 1, 1] as const;
const SCHEDULER = readSavedScheduler(
  { _class_name: 'LCMScheduler', steps_offset: 1, clip_sample: false, timestep_spacing: 'leading' },
  'scheduler_config.json',
);
const state = (value: number) => ({ dims: [1, 1], data: Float32Array.of(value) });
const [UNCONDITIONAL, CONDITIONAL] = [state(1), state(2)];

/** A UNet whose answer is its text state, everywhere; `rows` are the states of each of its runs, `samples` what it was given. */
function fakeUNet(batch: number | undefined) {
  const rows: number[][] = [];
  const samples: Float32Array[] = [];
  const unet: LoadedGraph = {
    batch,
    inputs: [{ name: 'timestep', type: 'INT64', shape: [] }],
    session: {
      run: async (feeds: Readonly<Record<string, HostTensor>>) => {
        const [sample, states] = [feeds['sample'] as HostTensor, feeds['encoder_hidden_states'] as HostTensor];
        rows.push([...(states.data as Float32Array)]);
        samples.push((sample.data as Float32Array).slice(0, 8));
        const data = (sample.data as Float32Array).map(
          (_, i) => (states.data as Float32Array)[Math.floor(i / 8)] as number,
        );
        return { outputs: { out_sample: { type: 'float32', dims: sample.dims, data } as const }, milliseconds: 1 };
      },
    },
  };
  return { unet, rows, samples };
}

async function sampled(
  kind: SamplerKind,
  steps: number,
  graph: LoadedGraph,
  asked: Pick<Denoising, 'states' | 'guidance'>,
) {
  const scheduler = createScheduler(samplerConfig(SCHEDULER, kind), steps);
  const done = [];
  for await (const step of denoise(graph, { ...asked, shape: SHAPE, scheduler, generator: createGenerator(0) }))
    if (step.kind === 'step') done.push(step);
  return done;
}

describe('denoise', () => {
  const kinds = ['lcm', 'ddim', 'dpmpp_2m', 'dpmpp_2m_karras', 'euler'] as const;

  it.each(kinds)('evaluates the UNet once a step without guidance: %s', async (kind) => {
    const { unet, rows } = fakeUNet(undefined);
    await sampled(kind, 5, unet, { states: [CONDITIONAL], guidance: 1 });
    expect(rows).toEqual(Array.from({ length: 5 }, () => [2]));
  });

  it.each(kinds)('with guidance in one run of two, or two of one, to the same latents: %s', async (kind) => {
    const [open, single] = [fakeUNet(undefined), fakeUNet(1)];
    const guided = { states: [UNCONDITIONAL, CONDITIONAL], guidance: 3 };
    const [a, b] = [await sampled(kind, 3, open.unet, guided), await sampled(kind, 3, single.unet, guided)];
    expect(open.rows).toEqual(Array.from({ length: 3 }, () => [1, 2]));
    expect(single.rows).toEqual([[1], [2], [1], [2], [1], [2]]);
    expect(b.map(({ latents }) => latents)).toEqual(a.map(({ latents }) => latents));
    // the answer is 1 + 3·(2 − 1) everywhere
    const [c] = await sampled(kind, 1, fakeUNet(1).unet, { states: [state(4)], guidance: 1 });
    const [d] = await sampled(kind, 1, fakeUNet(1).unet, guided);
    expect(d?.latents).toEqual(c?.latents);
  });

  it('gives the UNet what the sampler scales its latents to', async () => {
    const { unet, samples } = fakeUNet(1);
    await sampled('euler', 2, unet, { states: [CONDITIONAL], guidance: 1 });
    const noise = createGenerator(0).randn(8);
    for (const [i, x] of (samples[0] as Float32Array).entries()) expect(x).toBeCloseTo(noise[i] as number, 6);
    const plain = fakeUNet(1);
    const [first] = await sampled('ddim', 2, plain.unet, { states: [CONDITIONAL], guidance: 1 });
    expect(plain.samples[1]).toEqual(first?.latents);
  });
});

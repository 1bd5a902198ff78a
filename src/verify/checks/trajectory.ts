/**
 * The run came to an end, and what happened on the way is what a sampler and a trained network do: the first prediction finds
 * the noise that was put in, the estimates of the clean latents settle, and the latents end where those of pictures lie.
 * The limits are those of models/tiny with room to both sides; docs/gates.md has the figures that they were chosen by.
 */
import { samplerConfig } from '../../architecture/sampler-config.ts';
import { RuntimeFailure, UnavailableError } from '../../errors.ts';
import type { Video } from '../../runtime/pipeline.ts';
import { relativeRms } from '../../runtime/relative-rms.ts';
import { correlation, moments } from '../../runtime/statistics.ts';
import { type Check, type CheckResult, failed, passed, unknown } from '../check.ts';

/** Latents of SD1.5 have a standard deviation near 1 and stay below 10; a thousand is an explosion. */
const MAX_LATENT = 1000;
/** Scaled latents of a VAE have a standard deviation near 1. Those of one step, which are rough, had 2.1. */
const DEVIATION = { least: 0.2, most: 4 } as const;
/**
 * At the first timestep all but a few percent of the input is noise, so that a network that predicts noise gives back what it
 * was given (0.998); an untrained one gives something else (0).
 */
const NOISE_FOUND = 0.8;
/**
 * Of three steps or more the last changes the estimate by 0.70 of its size at most. When each step makes another picture of the
 * noise that it was given, the change is that of two pictures that have nothing to do with each other: 1.17 and more were seen.
 */
const LAST_CHANGE = 1;
const STEPS_TO_SETTLE = 3;

export const trajectory: Check = {
  id: 'run',
  proves:
    'the baked graphs run on the device from prompt to pixels; the first step finds the noise in its input, the estimates of the steps settle, and the latents end in the range of pictures',
  cost: 'one clip',
  from: 'quick',
  prepared: 'video',
  run({ video, pkg }) {
    if (video instanceof UnavailableError) return unknown(video.message);
    // memory, drivers and whoever ends processes: nothing of that is the package's fault
    if (video instanceof RuntimeFailure && video.blame !== 'graph') return unknown(video.message);
    if (video instanceof Error) return failed(`The run did not end well: ${video.message}`);
    for (const [i, latents] of video.trajectory.entries()) {
      const at = latents.findIndex((x) => !(Math.abs(x) <= MAX_LATENT));
      if (at >= 0)
        return failed(
          `After step ${i + 1} the latents hold ${latents[at]} at element ${at}; they should stay below ${MAX_LATENT}.`,
          { step: i + 1 },
        );
    }
    if (!video.decoded.finite) return failed('The VAE decoder gave values that are not finite.');
    const changes = video.estimates
      .slice(1)
      .map((estimate, i) => relativeRms(video.estimates[i] as Float32Array, estimate));
    return judge({
      deviation: moments(video.latents).deviation,
      changes,
      // what v-prediction and sample prediction give at the first timestep is not the noise
      noise_found:
        samplerConfig(pkg.scheduler).prediction_type === 'epsilon'
          ? correlation(video.first.given, video.first.noise.at(-1) as Float32Array)
          : undefined,
      noise_left: noiseLeft(video),
      ran: `${video.trajectory.length} steps on ${video.device}`,
    });
  },
};

/**
 * The correlation of the result with the noise that the last step was given: 0.04 at most in models/tiny, 0.12 and more under
 * another noise schedule. Reported, and no verdict: how much detail a large model makes of the noise itself is not known.
 */
function noiseLeft({ latents, trajectory, estimates }: Video): number | undefined {
  const [given, clean] = [trajectory.at(-2), estimates.at(-2)];
  if (!given || !clean) return undefined;
  let [along, size] = [0, 0];
  for (const [i, x] of clean.entries()) {
    along += x * (given[i] as number);
    size += x * x;
  }
  const noise = given.map((x, i) => x - (along / size) * (clean[i] as number));
  return correlation(latents, noise);
}

interface Course {
  readonly deviation: number;
  /** From each estimate to the next, of the size of the latter. */
  readonly changes: readonly number[];
  readonly noise_found: number | undefined;
  readonly noise_left: number | undefined;
  readonly ran: string;
}

function judge({ deviation, changes, noise_found, noise_left, ran }: Course): CheckResult {
  const steps = changes.length + 1;
  const last = changes.at(-1);
  const figures = {
    steps,
    deviation,
    ...(noise_found !== undefined && { noise_found }),
    ...(noise_left !== undefined && { noise_left }),
    ...(last !== undefined && { last_change: last, changes: changes.map((x) => x.toFixed(3)).join(', ') }),
  };
  if (noise_found !== undefined && !(noise_found >= NOISE_FOUND))
    return failed(
      `The first noise prediction has a correlation of ${noise_found.toFixed(3)} with the noise that it was given; that of a trained network is above ${NOISE_FOUND}.`,
      figures,
    );
  if (!(deviation >= DEVIATION.least && deviation <= DEVIATION.most))
    return failed(
      `The final latents have a standard deviation of ${deviation.toPrecision(3)}; those of pictures lie between ${DEVIATION.least} and ${DEVIATION.most}.`,
      figures,
    );
  if (steps >= STEPS_TO_SETTLE && !((last as number) <= LAST_CHANGE))
    return failed(
      `The last of ${steps} steps still changed the estimate of the clean latents by ${(last as number).toFixed(2)} of its size; it should have settled below ${LAST_CHANGE}.`,
      figures,
    );
  const settled = last === undefined ? '' : `, the last of which changed the estimate by ${(last * 100).toFixed(0)} %`;
  return passed(`${ran}${settled}; the final latents have a standard deviation of ${deviation.toFixed(3)}.`, figures);
}

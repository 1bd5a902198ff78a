/** The run came to an end, and the latents on the way were numbers of a sane size. */
import { UnavailableError } from '../../errors.ts';
import { type Check, failed, passed, unknown } from '../check.ts';

/** Latents of SD1.5 have a standard deviation near 1 and stay below 10; a thousand is an explosion. */
const MAX_LATENT = 1000;
/** Below this the latents have collapsed to one value. */
const MIN_DEVIATION = 1e-3;

export const trajectory: Check = {
  id: 'run',
  proves:
    'the baked graphs run on the device from prompt to pixels, and the latents of every step are finite and in range',
  cost: 'one clip',
  from: 'quick',
  prepared: 'video',
  run({ video }) {
    if (video instanceof UnavailableError) return unknown(video.message);
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
    const deviation = standardDeviation(video.latents);
    if (deviation < MIN_DEVIATION)
      return failed(`The final latents are all alike (standard deviation ${deviation}).`, { deviation });
    const steps = video.trajectory.length;
    return passed(
      `${steps} steps on ${video.device}; the final latents have a standard deviation of ${deviation.toFixed(3)}.`,
      { steps, deviation },
    );
  },
};

function standardDeviation(values: Float32Array): number {
  let [sum, squares] = [0, 0];
  for (const value of values) {
    sum += value;
    squares += value * value;
  }
  const mean = sum / values.length;
  return Math.sqrt(Math.max(0, squares / values.length - mean * mean));
}

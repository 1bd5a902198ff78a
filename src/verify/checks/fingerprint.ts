/** These bytes make the same clip as when they were first verified, whatever machine and device that was on. */
import { type Check, type CheckContext, failed, passed, unknown } from '../check.ts';
import { clipTolerance } from '../clip-tolerance.ts';
import { compareFingerprints, type Fingerprint, makeFingerprint } from '../fingerprint.ts';

export const fingerprint: Check = {
  id: 'fingerprint',
  proves:
    'the package makes the clip that its fingerprint recorded when it was first verified, within the tolerance of the device',
  cost: 'none',
  from: 'quick',
  applies: (context) => !(context.video instanceof Error) && expectedFingerprint(context) !== undefined,
  run(context) {
    const { video, earlier } = context;
    const wanted = expectedFingerprint(context);
    if (video instanceof Error || !wanted) throw new RangeError('fingerprint needs a clip and a fingerprint.');
    const other = changedFiles(context, wanted);
    if (other.length > 0)
      return failed(
        `The fingerprint in the package is of other bytes (${other.slice(0, 5).join(', ')}): they were changed after it was verified. Bake it again, or remove its verification folder if the change was meant.`,
      );
    const made = makeFingerprint(video, { run: runOf(context), package: wanted.package });
    const differing = Object.keys(wanted.run).filter((key) => made.run[key] !== wanted.run[key]);
    if (differing.length > 0)
      return unknown(
        `The fingerprint is of another run (${differing.map((key) => `${key}: ${wanted.run[key]}, now ${made.run[key]}`).join('; ')}), which this one cannot be compared with.`,
      );
    const difference = compareFingerprints(made, wanted);
    const tolerance = clipTolerance(video.device, wanted.device);
    const figures = { ...difference, tolerance: tolerance.latents, made_on: wanted.device };
    const found = `The latents differ by ${difference.latents.toExponential(1)} (limit ${tolerance.latents}) and the frames by ${difference.levels.toFixed(2)} levels (limit ${tolerance.levels}) from the ${earlier?.own ? '' : 'same package’s '}fingerprint made on ${wanted.device}`;
    return difference.latents <= tolerance.latents && difference.levels <= tolerance.levels
      ? passed(`${found}; ${difference.identical_frames} of ${video.frames.count} frames are identical.`, figures)
      : failed(`${found}.`, figures);
  },
};

/** The one that was there before; that of a package to be replaced counts only if it is of the same bytes. */
export function expectedFingerprint(context: Pick<CheckContext, 'earlier' | 'files'>): Fingerprint | undefined {
  const { earlier } = context;
  const found = earlier?.fingerprint;
  return found && (earlier.own || changedFiles(context, found).length === 0) ? found : undefined;
}

function changedFiles({ files }: Pick<CheckContext, 'files'>, { package: recorded }: Fingerprint): string[] {
  const names = new Set([...Object.keys(files), ...Object.keys(recorded)]);
  return [...names].filter((name) => files[name]?.sha256 !== recorded[name]);
}

/** What decides a clip beside the bytes. */
export function runOf({ request, video }: Pick<CheckContext, 'request' | 'video'>): Fingerprint['run'] {
  if (video instanceof Error) return {};
  const { count: frames, width, height } = video.frames;
  const { prompt, negative, seed, guidance } = request;
  return { prompt, negative, seed, guidance, steps: video.trajectory.length, frames, width, height };
}

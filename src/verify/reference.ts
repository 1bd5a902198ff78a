/**
 * A reference run, made elsewhere, that a recipe wants its own to equal (`verify.reference`): the fingerprint of a package, or a
 * tensor file with the names of models/tiny/reference.safetensors, whose numbers come from diffusers.
 */

import { FormatError } from '../errors.ts';
import { openFile } from '../formats/byte-source.ts';
import { toFloat32 } from '../formats/dtype.ts';
import { openTensorFile, readTensor } from '../formats/tensor-file.ts';
import { CHANNELS, framesFromDecoder } from '../runtime/frames.ts';
import type { Video } from '../runtime/pipeline.ts';
import { relativeRms } from '../runtime/relative-rms.ts';
import { meanDifference } from '../runtime/statistics.ts';
import type { ClipTolerance } from './clip-tolerance.ts';
import { compareFingerprints, makeFingerprint, readFingerprint } from './fingerprint.ts';

export interface ReferenceDifference {
  readonly what: string;
  readonly difference: number;
  readonly limit: number;
}

/** Initial latents are the same random numbers, whatever computes; torch's are met to 2e-6. */
const NOISE_LIMIT = 1e-5;

/** How far the run is from each thing that `file` tells of it. @throws InputMissingError, FormatError, IoError */
export async function compareWithReference(
  file: string,
  video: Video,
  tolerance: (...devices: readonly string[]) => ClipTolerance,
): Promise<readonly ReferenceDifference[]> {
  if (await isJson(file)) {
    const wanted = await readFingerprint(file);
    const { latents, levels } = compareFingerprints(makeFingerprint(video, { run: {}, package: {} }), wanted);
    const limit = tolerance(video.device, wanted.device);
    return [
      { what: 'latents', difference: latents, limit: limit.latents },
      { what: 'frames', difference: levels, limit: limit.levels },
    ];
  }
  return compareTensors(file, video, tolerance(video.device));
}

async function isJson(path: string): Promise<boolean> {
  await using source = await openFile(path);
  return source.size > 0 && (await source.read(0, 1))[0] === 0x7b;
}

async function compareTensors(file: string, video: Video, limit: ClipTolerance): Promise<ReferenceDifference[]> {
  await using tensors = await openTensorFile(file);
  const differences: ReferenceDifference[] = [];
  for (const [what, found] of tensorsOf(video)) {
    const entry = tensors.tensors.get(what);
    if (!entry) continue;
    const expected = toFloat32(await readTensor(tensors, entry), entry.dtype);
    const difference = expected.length === found.length ? relativeRms(found, expected) : Number.POSITIVE_INFINITY;
    differences.push({ what, difference, limit: what === 'latents.init' ? NOISE_LIMIT : limit.latents });
  }
  const pictures = tensors.tensors.get('frames');
  if (pictures) {
    const expected = toFloat32(await readTensor(tensors, pictures), pictures.dtype);
    differences.push({ what: 'frames', difference: levelsFrom(expected, video), limit: limit.levels });
  }
  if (!differences.some(({ what }) => what === 'latents'))
    throw new FormatError(
      `${file}: a reference has a tensor "latents" with the final latents of the run, beside it perhaps latents.init, latents.0 …, noise_pred.0, encoder_hidden_states and frames; this one has ${[...tensors.tensors.keys()].slice(0, 5).join(', ') || 'none'}.`,
      { file },
    );
  return differences;
}

/** What a run can be compared in, in the order in which it comes about. */
function tensorsOf({ first, trajectory, latents }: Video): readonly (readonly [string, Float32Array])[] {
  return [
    ['latents.init', first.before],
    ['encoder_hidden_states', concatenated(first.states.map(({ data }) => data))],
    ['noise_pred.0', concatenated(first.noise)],
    ...trajectory.map((values, i) => [`latents.${i}`, values] as const),
    ['latents', latents],
  ];
}

/** `[F, 3, H, W]` in −1 … 1. */
function levelsFrom(expected: Float32Array, { frames: { data, count, width, height } }: Video): number {
  if (expected.length !== data.length) return Number.POSITIVE_INFINITY;
  return meanDifference(data, framesFromDecoder(expected, [count, CHANNELS, height, width]).data);
}

function concatenated(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

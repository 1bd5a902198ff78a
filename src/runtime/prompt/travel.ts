/**
 * A prompt that changes on the way: keyframes with a prompt each, and text states between them interpolated frame by frame, linearly, as
 * diffusers' FreeNoise does (pipelines/free_noise_utils.py, `_lerp`). Needs nothing of Node.
 */
import { UsageError } from '../../errors.ts';
import { quote } from '../../text/quote.ts';
import type { Tensor } from '../denoise.ts';

export interface PromptKeyframe {
  /** From 0. */
  readonly frame: number;
  readonly prompt: string;
}

/** One text for all frames, or keyframes; frames before the first and after the last have theirs. */
export type Prompt = string | readonly PromptKeyframe[];

/** Where the next keyframe begins: a number and a colon, at the beginning, after a comma, a semicolon or in a line of its own. */
const KEYFRAME = /(?:^|[,;\n])\s*(\d+)\s*:/g;

/**
 * Reads `0: a red circle, 8: a blue square`. Commas that no number and colon follow belong to the prompt; so does a number whose
 * colon is written `\:`.
 * @throws UsageError for a text that begins with something else, or names a frame twice.
 */
export function parsePromptTravel(text: string): PromptKeyframe[] {
  const starts = [...text.matchAll(KEYFRAME)];
  if (starts[0]?.index !== 0) {
    throw new UsageError(
      `The prompt travel ${quote(text)} does not begin with a keyframe. Write a frame, a colon and a prompt for each: "0: a red circle, 8: a blue square".`,
    );
  }
  const keyframes = starts.map((start, i) => ({
    frame: Number(start[1]),
    prompt: text
      .slice(start.index + start[0].length, starts[i + 1]?.index)
      .replaceAll('\\:', ':')
      .trim(),
  }));
  return inOrder(keyframes);
}

/**
 * A prompt's keyframes in the order of their frames; one text is a keyframe at 0.
 * @throws UsageError for a frame that the clip has not, or that is named twice.
 */
export function keyframesOf(prompt: Prompt, frames: number): readonly PromptKeyframe[] {
  if (typeof prompt === 'string') return [{ frame: 0, prompt }];
  const outside = prompt.find(({ frame }) => !Number.isInteger(frame) || frame < 0 || frame >= frames);
  if (outside) {
    throw new UsageError(
      `The prompt ${quote(outside.prompt)} is for frame ${outside.frame}, but the clip has frames 0 to ${frames - 1}.`,
    );
  }
  return inOrder(prompt);
}

function inOrder(keyframes: readonly PromptKeyframe[]): PromptKeyframe[] {
  if (keyframes.length === 0) throw new UsageError('A prompt that travels needs at least one keyframe; it has none.');
  const sorted = keyframes.toSorted((a, b) => a.frame - b.frame);
  const twice = sorted.find(({ frame }, i) => sorted[i + 1]?.frame === frame);
  if (twice) throw new UsageError(`Frame ${twice.frame} has more than one prompt: a keyframe has one.`);
  return sorted;
}

/** States of every frame, `[F, T, D]`, from those of two or more keyframes, `[T, D]` each and in order. */
export function interpolateStates(
  keyframes: readonly { readonly frame: number; readonly states: Tensor }[],
  frames: number,
): Tensor {
  const [first, last] = [keyframes[0], keyframes.at(-1)] as [Keyed, Keyed];
  const { dims, data } = first.states;
  const all = new Float32Array(frames * data.length);
  for (let frame = 0; frame < frames; frame += 1) {
    const from = keyframes.findLast((keyframe) => keyframe.frame <= frame) ?? first;
    const to = keyframes.find((keyframe) => keyframe.frame >= frame) ?? last;
    all.set(between(from, to, frame), frame * data.length);
  }
  return { dims: [frames, ...dims], data: all };
}

interface Keyed {
  readonly frame: number;
  readonly states: Tensor;
}

function between(from: Keyed, to: Keyed, frame: number): Float32Array {
  if (from.frame >= to.frame) return from.states.data;
  const alpha = (frame - from.frame) / (to.frame - from.frame);
  return from.states.data.map((x, i) => (1 - alpha) * x + alpha * (to.states.data[i] as number));
}

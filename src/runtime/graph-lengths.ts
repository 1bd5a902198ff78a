/**
 * What the axes of a graph's inputs mean for a clip, so that a graph with open lengths can be looked at for a certain clip. Read
 * by the inputs' names and places: other exporters call their dimensions otherwise. Source: docs/formats.md, "What a package holds".
 */
import { VAE_SCALE } from '../architecture/vae-scale.ts';
import type { TensorInfo } from '../onnx/model-info.ts';
import { type Lengths, lengthOf } from '../onnx/shapes.ts';

export interface Clip {
  /** Prompts evaluated together: 2 with guidance. */
  readonly batch: number;
  readonly frames: number;
  /** In pixels. */
  readonly width: number;
  readonly height: number;
  /** Length of the text states; one chunk of a prompt where nothing is said. */
  readonly tokens?: number;
}

/** Frames that the VAE is handed at a time; its work is a multiple of one's. */
const IMAGES = 1;

/** Of a prompt's chunk. */
const TOKENS = 77;

type Axis = ((clip: Clip) => number) | undefined;

const batch: Axis = (clip) => clip.batch;
const images: Axis = () => IMAGES;
const tokens: Axis = (clip) => clip.tokens ?? TOKENS;
const [height, width]: Axis[] = [(clip) => clip.height / VAE_SCALE, (clip) => clip.width / VAE_SCALE];

/** By the input's name and rank. */
const AXES: Readonly<Record<string, readonly Axis[]>> = {
  'sample 5': [batch, undefined, (clip) => clip.frames, height, width],
  'encoder_hidden_states 3': [batch, tokens, undefined],
  'input_ids 2': [batch, undefined],
  'latent_sample 4': [images, undefined, height, width],
  'sample 4': [images, undefined, (clip) => clip.height, (clip) => clip.width],
};

const axesOf = ({ name, shape }: TensorInfo) => AXES[`${name} ${shape.length}`];

/**
 * Lengths for the names that the inputs leave open, where it is known what they mean. A length that follows from others, as
 * `batch * frames` of text states for every frame, needs no number of its own.
 */
export function lengthsFor(inputs: readonly TensorInfo[], clip: Clip): Lengths {
  const lengths: Record<string, number> = {};
  for (const input of inputs) {
    for (const [i, axis] of (axesOf(input) ?? []).entries()) {
      const dim = input.shape[i];
      if (axis && typeof dim === 'string' && lengthOf(dim, lengths) === undefined) lengths[dim] = axis(clip);
    }
  }
  return lengths;
}

/** `16 × 512 × 512` frames, width and height in pixels, or what the first input is where that is not known. */
export function describeClip(inputs: readonly TensorInfo[], lengths: Lengths): string {
  const read = (shape: TensorInfo['shape']) => shape.map((dim) => lengthOf(dim, lengths));
  const video = inputs.find(({ name, shape }) => name === 'sample' && shape.length === 5);
  const image = inputs.find(({ name, shape }) => name === 'latent_sample' && shape.length === 4);
  const pixels = (n: number | undefined) => (n === undefined ? '?' : n * VAE_SCALE);
  if (video) {
    const [, , f, h, w] = read(video.shape);
    return `${f ?? '?'}×${pixels(w)}×${pixels(h)}`;
  }
  if (image) {
    const [n, , h, w] = read(image.shape);
    return `${n ?? '?'}×${pixels(w)}×${pixels(h)}`;
  }
  const picture = inputs.find(({ name, shape }) => name === 'sample' && shape.length === 4);
  if (picture) {
    const [n, , h, w] = read(picture.shape);
    return [n, w, h].map((length) => length ?? '?').join('×');
  }
  return read(inputs[0]?.shape ?? [])
    .map((n) => n ?? '?')
    .join('×');
}

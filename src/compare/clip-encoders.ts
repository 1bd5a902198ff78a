/**
 * CLIP as two ONNX graphs that the user brings: prompts and frames to embeddings of one space. The layout is that of optimum's exports
 * (`text_model.onnx`, `vision_model.onnx`, tokenizer, preprocessor_config.json); pictures are prepared as transformers' CLIPImageProcessor does.
 */
import { join } from 'node:path';
import sharp from 'sharp';
import { z } from 'zod';
import { readConfig } from '../architecture/config-file.ts';
import { FormatError, InputMissingError } from '../errors.ts';
import { type ModelInfo, readModelInfo } from '../onnx/model-info.ts';
import { kindOf } from '../recipe/input-files.ts';
import type { Device } from '../runtime/device.ts';
import { CHANNELS, type Frames } from '../runtime/frames.ts';
import type { HostedSession, HostTensor, InferenceHost } from '../runtime/host.ts';
import { loadTokenizer } from '../runtime/tokenizer-folder.ts';

export interface ClipEncoders {
  text(prompt: string): Promise<Float32Array>;
  /** One embedding per frame. */
  images(frames: Frames): Promise<Float32Array[]>;
}

/** Frames in one evaluation: what fits any machine. */
const IMAGE_BATCH = 8;

/** CLIP's largest pictures have 448. */
const pixels = z.int().positive().max(4096);

const preprocessorSchema = z.looseObject({
  size: z.union([pixels, z.looseObject({ shortest_edge: pixels })]).optional(),
  crop_size: z
    .union([pixels, z.looseObject({ height: pixels, width: pixels }).refine(({ height, width }) => height === width)])
    .default(224),
  image_mean: z.array(z.number()).length(3).default([0.48145466, 0.4578275, 0.40821073]),
  image_std: z.array(z.number().positive()).length(3).default([0.26862954, 0.26130258, 0.27577711]),
});

interface Preprocessing {
  /** What the shorter side of a picture becomes, and the side of the square that is cut out of it. */
  readonly shortest: number;
  readonly side: number;
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** @throws InputMissingError or FormatError when the folder is not such an export. */
export async function openClipEncoders(folder: string, host: InferenceHost, device: Device): Promise<ClipEncoders> {
  const tokenizer = await loadTokenizer(folder);
  const preprocessing = await readPreprocessing(folder);
  const text = await openGraph(folder, 'text_model', ['input_ids', 'attention_mask'], 'text_embeds', host, device);
  const vision = await openGraph(folder, 'vision_model', ['pixel_values'], 'image_embeds', host, device);
  return {
    async text(prompt) {
      const ids = tokenizer.encodePadded(prompt);
      const dims = [1, ids.length];
      // the encoder takes its state from the first end-of-text token, so that what pads the prompt is masked by causality alone
      const feeds: Record<string, HostTensor> = { input_ids: { type: 'int64', dims, data: ids } };
      if (text.inputs.includes('attention_mask')) {
        feeds['attention_mask'] = { type: 'int64', dims, data: new BigInt64Array(ids.length).fill(1n) };
      }
      return embeddings(await text.session.run(feeds), 'text_embeds', 1)[0] as Float32Array;
    },
    async images(frames) {
      const all: Float32Array[] = [];
      for (let at = 0; at < frames.count; at += IMAGE_BATCH) {
        const count = Math.min(IMAGE_BATCH, frames.count - at);
        const pictures = await Promise.all(
          Array.from({ length: count }, (_, i) => prepare(frames, at + i, preprocessing)),
        );
        const { side } = preprocessing;
        const data = new Float32Array(count * CHANNELS * side * side);
        for (const [i, picture] of pictures.entries()) data.set(picture, i * picture.length);
        const reply = await vision.session.run({
          pixel_values: { type: 'float32', dims: [count, CHANNELS, side, side], data },
        });
        all.push(...embeddings(reply, 'image_embeds', count));
      }
      return all;
    },
  };
}

async function readPreprocessing(folder: string): Promise<Preprocessing> {
  const file = join(folder, 'preprocessor_config.json');
  const read = (
    { size, crop_size, image_mean, image_std }: z.output<typeof preprocessorSchema>,
    refuse: (reason: string) => unknown,
  ): Preprocessing => {
    const side = typeof crop_size === 'number' ? crop_size : crop_size.height;
    const shortest = typeof size === 'object' ? size.shortest_edge : (size ?? side);
    if (shortest < side) refuse(`size is ${shortest}, less than the crop_size ${side}; expected at least as much`);
    return { shortest, side, mean: image_mean, std: image_std };
  };
  if ((await kindOf(file)) !== 'file') return read(preprocessorSchema.parse({}), () => {});
  return readConfig(file, preprocessorSchema, read);
}

async function openGraph(
  folder: string,
  name: string,
  inputs: readonly string[],
  output: string,
  host: InferenceHost,
  device: Device,
): Promise<{ readonly session: HostedSession; readonly inputs: readonly string[] }> {
  const candidates = [join(folder, `${name}.onnx`), join(folder, 'onnx', `${name}.onnx`)];
  const kinds = await Promise.all(candidates.map(kindOf));
  const path = candidates.find((_, i) => kinds[i] === 'file');
  if (path === undefined) {
    throw new InputMissingError(
      `${candidates[0]} is not there, nor ${candidates[1]}. CLIPSIM takes a CLIP exported by optimum: text_model.onnx and vision_model.onnx beside vocab.json and merges.txt.`,
      { file: folder },
    );
  }
  const info = await readModelInfo(path);
  const names = info.inputs.map((input) => input.name);
  const strange = names.find((input) => !inputs.includes(input));
  if (strange !== undefined || !names.includes(inputs[0] as string) || !hasOutput(info, output)) {
    throw new FormatError(
      `${path} takes ${names.join(', ')} and gives ${info.outputs.map((o) => o.name).join(', ')}; expected ${inputs[0]} to ${output}. ` +
        'Export CLIP with its projections (optimum: --task feature-extraction of CLIPTextModelWithProjection and CLIPVisionModelWithProjection).',
      { file: path },
    );
  }
  return { session: await host.load(path, device), inputs: names };
}

const hasOutput = ({ outputs }: ModelInfo, name: string) => outputs.some((output) => output.name === name);

function embeddings(
  { outputs }: Awaited<ReturnType<HostedSession['run']>>,
  name: string,
  rows: number,
): Float32Array[] {
  const { data } = outputs[name] as HostTensor;
  const length = data.length / rows;
  return Array.from({ length: rows }, (_, i) => (data as Float32Array).slice(i * length, (i + 1) * length));
}

/** Shorter side to `shortest` by cubic interpolation, the middle cut out (both as CLIPImageProcessor rounds), normalised: `[3, side, side]`. */
async function prepare(
  { data, width, height }: Frames,
  index: number,
  { shortest, side, mean, std }: Preprocessing,
): Promise<Float32Array> {
  const size = width * height * CHANNELS;
  const picture = { raw: { width, height, channels: CHANNELS } } as const;
  const scaled = (length: number) => Math.floor((shortest * length) / Math.min(width, height));
  const [wide, high] = [scaled(width), scaled(height)];
  const resized = await sharp(data.subarray(index * size, (index + 1) * size), picture)
    .resize(wide, high, { fit: 'fill', kernel: 'cubic' })
    .raw()
    .toBuffer();
  const [left, top] = [Math.floor((wide - side) / 2), Math.floor((high - side) / 2)];
  const plane = side * side;
  return Float32Array.from({ length: CHANNELS * plane }, (_, i) => {
    const [channel, y, x] = [Math.floor(i / plane), Math.floor((i % plane) / side), i % side];
    const level = resized[((top + y) * wide + left + x) * CHANNELS + channel] as number;
    return (level / 255 - (mean[channel] as number)) / (std[channel] as number);
  });
}

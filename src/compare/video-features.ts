/**
 * The video network behind FVD as an ONNX graph that the user brings (I3D, VideoMAE …): a clip to one row of features.
 * It takes one float tensor, [N, 3, frames, height, width] or [N, frames, 3, height, width], of values from −1 to 1.
 */
import sharp from 'sharp';
import { FormatError } from '../errors.ts';
import { readModelInfo } from '../onnx/model-info.ts';
import type { Device } from '../runtime/device.ts';
import { CHANNELS, type Frames } from '../runtime/frames.ts';
import type { HostTensor, InferenceHost } from '../runtime/host.ts';

export type VideoFeatures = (frames: Frames) => Promise<Float32Array>;

/** I3D's own, for graphs that leave it open. */
const DEFAULT_SIDE = 224;

/** @throws FormatError when the graph takes no video. */
export async function openVideoFeatures(path: string, host: InferenceHost, device: Device): Promise<VideoFeatures> {
  const { inputs, outputs } = await readModelInfo(path);
  const [input, output] = [inputs[0], outputs[0]];
  const channelsAt = input?.shape.indexOf(CHANNELS) ?? -1;
  if (
    !input ||
    !output ||
    inputs.length > 1 ||
    input.type !== 'FLOAT' ||
    input.shape.length !== 5 ||
    ![1, 2].includes(channelsAt)
  ) {
    const found = inputs.map(({ name, type, shape }) => `${name} ${type} [${shape.join(', ')}]`).join(', ');
    throw new FormatError(
      `${path} takes ${found}; expected one FLOAT input [N, 3, frames, height, width] or [N, frames, 3, height, width].`,
      { file: path },
    );
  }
  const fixed = (axis: number) => (typeof input.shape[axis] === 'number' ? input.shape[axis] : undefined);
  const [count, height, width] = [fixed(3 - channelsAt), fixed(3) ?? DEFAULT_SIDE, fixed(4) ?? DEFAULT_SIDE];
  const session = await host.load(path, device);
  return async (frames) => {
    if (count !== undefined && count !== frames.count) {
      throw new FormatError(`${path} takes clips of ${count} frames; these have ${frames.count}.`, { file: path });
    }
    const data = await pixels(frames, { width, height, channelsFirst: channelsAt === 1 });
    const dims =
      channelsAt === 1 ? [1, CHANNELS, frames.count, height, width] : [1, frames.count, CHANNELS, height, width];
    const reply = await session.run({ [input.name]: { type: 'float32', dims, data } });
    return (reply.outputs[output.name] as HostTensor).data as Float32Array;
  };
}

async function pixels(
  frames: Frames,
  {
    width,
    height,
    channelsFirst,
  }: { readonly width: number; readonly height: number; readonly channelsFirst: boolean },
): Promise<Float32Array> {
  const size = frames.width * frames.height * CHANNELS;
  const raw = { width: frames.width, height: frames.height, channels: CHANNELS } as const;
  const plane = width * height;
  const data = new Float32Array(frames.count * CHANNELS * plane);
  for (let frame = 0; frame < frames.count; frame += 1) {
    const picture = await sharp(frames.data.subarray(frame * size, (frame + 1) * size), { raw })
      .resize(width, height, { fit: 'fill', kernel: 'cubic' })
      .raw()
      .toBuffer();
    for (let channel = 0; channel < CHANNELS; channel += 1) {
      const at = (channelsFirst ? channel * frames.count + frame : frame * CHANNELS + channel) * plane;
      for (let i = 0; i < plane; i += 1) data[at + i] = ((picture[i * CHANNELS + channel] as number) / 255) * 2 - 1;
    }
  }
  return data;
}

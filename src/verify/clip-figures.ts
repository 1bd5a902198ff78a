/**
 * Figures of a clip's latents, float32 `[1, C, F, h, w]`, that do not depend on their scale: how much frames have to do with each
 * other, and how much of what is in them is fine.
 */

/**
 * Mean square of the difference between neighbouring frames over twice the variance of each channel: 0 where nothing moves, 1 where frames
 * have nothing to do with each other.
 */
export function incoherence(latents: Float32Array, shape: readonly number[]): number {
  const [, channels, frames, h, w] = shape as [number, number, number, number, number];
  const area = h * w;
  let [differences, squares] = [0, 0];
  for (let c = 0; c < channels; c += 1) {
    const channel = latents.subarray(c * frames * area, (c + 1) * frames * area);
    squares += squaresAbout(channel) / channel.length;
    let sum = 0;
    for (let i = area; i < channel.length; i += 1) sum += ((channel[i] as number) - (channel[i - area] as number)) ** 2;
    differences += sum / (channel.length - area);
  }
  return differences / (2 * squares);
}

/**
 * The same between neighbouring pixels, within each frame: near 0 where a frame is smooth, 1 where it is white noise.
 */
export function detail(latents: Float32Array, shape: readonly number[]): number {
  const [, channels, frames, h, w] = shape as [number, number, number, number, number];
  const area = h * w;
  const neighbours = h * (w - 1) + (h - 1) * w;
  let [differences, squares] = [0, 0];
  for (let at = 0; at < channels * frames * area; at += area) {
    const image = latents.subarray(at, at + area);
    squares += squaresAbout(image) / area;
    let sum = 0;
    for (let i = 0; i < area; i += 1) {
      const x = image[i] as number;
      if (i % w > 0) sum += (x - (image[i - 1] as number)) ** 2;
      if (i >= w) sum += (x - (image[i - w] as number)) ** 2;
    }
    differences += sum / neighbours;
  }
  return differences / (2 * squares);
}

/** Standard deviation of all values. */
export function deviation(latents: Float32Array): number {
  return Math.sqrt(squaresAbout(latents) / latents.length);
}

/** Sum of squares about the mean. */
function squaresAbout(values: Float32Array): number {
  let [sum, squares] = [0, 0];
  for (const value of values) sum += value;
  const mean = sum / values.length;
  for (const value of values) squares += (value - mean) ** 2;
  return squares;
}

/**
 * How far the same clip may come out elsewhere, by the device that made it. models/tiny against diffusers in float32: 7e-5 by
 * the CPU's graphs, 1.3e-3 by the portable ones in fp16; the smallest faults that were tried (another original_steps, motion
 * GroupNorm pooled) gave 1.3e-2. GPUs sum fp16 in other orders; on WebGPU the sums themselves are fp16 (onnx.md §0).
 */
export interface ClipTolerance {
  /** Of latents and predictions, relative to their size. */
  readonly latents: number;
  /** Of pictures: mean, in levels of 0…255. */
  readonly levels: number;
}

const TOLERANCES: Readonly<Record<string, ClipTolerance>> = {
  cpu: { latents: 5e-3, levels: 0.3 },
  cuda: { latents: 2e-2, levels: 0.6 },
};
const OTHERS: ClipTolerance = { latents: 5e-2, levels: 2 };

/** Of two devices the wider. */
export function clipTolerance(...devices: readonly string[]): ClipTolerance {
  const all = devices.map((device) => TOLERANCES[device] ?? OTHERS);
  return { latents: Math.max(...all.map((t) => t.latents)), levels: Math.max(...all.map((t) => t.levels)) };
}

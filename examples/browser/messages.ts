/** What page and worker say to each other. The worker does everything that takes long, so that the page stays alive. */

export const DEVICES = ['auto', 'webgpu', 'wasm'] as const;
export type DeviceWish = (typeof DEVICES)[number];
export type Device = Exclude<DeviceWish, 'auto'>;

export type Request =
  /** `base` is the URL of the package's folder, with a slash at its end. */
  | { readonly type: 'load'; readonly base: string; readonly device: DeviceWish }
  | { readonly type: 'make'; readonly prompt: string; readonly seed: number; readonly steps: number }
  /** Ends what is being made after the step that it is in. */
  | { readonly type: 'stop' };

/** What the page shows of a package once its graphs are ready. */
export interface Loaded {
  readonly name: string;
  readonly device: Device;
  /** Why the CPU was taken where the GPU was wanted, as a sentence. */
  readonly note?: string;
  readonly frames: number;
  readonly width: number;
  readonly height: number;
  /** Suggested by the recipe. */
  readonly prompt: string;
  readonly seed: number;
  readonly steps: number;
  /** The most steps that the sampler takes. */
  readonly maxSteps: number;
  /** Bytes that were downloaded. */
  readonly bytes: number;
}

export interface Clip {
  readonly width: number;
  readonly height: number;
  readonly count: number;
  /** RGB, 8 bit, [count, height, width, 3]. */
  readonly data: Uint8Array;
}

export type Reply =
  | { readonly type: 'downloading'; readonly file: string; readonly done: number; readonly total: number }
  | { readonly type: 'preparing'; readonly what: string }
  | ({ readonly type: 'loaded' } & Loaded)
  /** `done` of `total` steps are taken; `preview` is one frame as it would look now. */
  | {
      readonly type: 'step';
      readonly done: number;
      readonly total: number;
      readonly milliseconds: number;
      readonly preview?: Clip;
    }
  | { readonly type: 'decoding' }
  /** `latents` are `[1, 4, F, h, w]`; `warnings` are sentences. */
  | {
      readonly type: 'made';
      readonly clip: Clip;
      readonly latents: Float32Array;
      readonly milliseconds: number;
      readonly warnings: readonly string[];
    }
  | { readonly type: 'stopped' }
  | { readonly type: 'failed'; readonly sentence: string };

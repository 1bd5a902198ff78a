/** A package that is loaded once and sampled many times: what a program that embeds lcm-merge holds. */
import { drain, type Event, type Stage } from '../events.ts';
import { chooseDevice } from './choose-device.ts';
import type { ClipLengths } from './clip-shape.ts';
import type { Device } from './device.ts';
import { openGraphs } from './graph-sessions.ts';
import { openPackage, type VideoPackage, weightType } from './package-folder.ts';
import { type ClipOptions, loadGraphs, sampleOn, type Video } from './pipeline.ts';

/** Lengths say which of the package's graphs to load, where it has several; a clip of others loads its own in their place. */
export interface LoadOptions extends ClipLengths {
  readonly device?: Device | 'auto';
  readonly allowFallback?: boolean | undefined;
  /** Of the loading alone; each sample takes one of its own. */
  readonly signal?: AbortSignal | undefined;
}

export interface LoadedPackage extends AsyncDisposable {
  readonly package: VideoPackage;
  readonly device: Device;
  /**
   * Samples one clip, handing each event to `onEvent`; samples that are asked for at once are taken one after the other. An aborted
   * sample ends the inference process at once, and the next one loads the graphs again.
   * @throws UsageError when the graph cannot do what is asked or the package is closed, RuntimeFailure when it fails on the way.
   */
  sample(options: ClipOptions, onEvent?: (event: Event) => unknown): Promise<Video>;
  /** The same as a stage: an async generator that yields the events and returns the clip. */
  stream(options: ClipOptions): Stage<Video>;
}

/**
 * Opens the package `folder` and loads its graphs on a device, in a process of their own that lives until this is disposed.
 * @throws InputMissingError, FormatError when the folder is no package, UnavailableError when the device does not work.
 */
export async function loadPackage(folder: string, options: LoadOptions = {}): Promise<LoadedPackage> {
  const pkg = await openPackage(folder);
  const choice = await chooseDevice(options.device ?? 'auto', weightType(pkg), options.signal);
  await using stack = new AsyncDisposableStack();
  const graphs = stack.use(openGraphs(pkg, choice, options));
  using _ending = graphs.endOn(options.signal);
  await loadGraphs(graphs, options);
  const resources = stack.move();

  let last = Promise.resolve();
  async function* stream(clip: ClipOptions): Stage<Video> {
    const before = last;
    const { promise, resolve } = Promise.withResolvers<void>();
    last = promise;
    try {
      await before;
      return yield* sampleOn(graphs, clip);
    } finally {
      resolve();
    }
  }
  return {
    package: pkg,
    device: choice.device,
    sample: (clip, onEvent) => drain(stream(clip), onEvent),
    stream,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

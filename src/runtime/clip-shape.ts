/**
 * The lengths of a clip: what a package's graphs fix, what is asked for, and what the recipe had. More frames than a graph takes, or
 * than the motion module has positions for, are made in windows (context-windows.ts).
 */
import { VAE_SCALE } from '../architecture/vae-scale.ts';
import { UsageError } from '../errors.ts';
import { MAX_CLIP_PIXELS, MAX_FRAMES } from '../recipe/schema.ts';
import { type ContextWindows, contextWindows, type WindowOptions } from './context-windows.ts';
import type { VideoPackage } from './package-folder.ts';

/** The lengths that a clip is asked for with. */
export interface ClipLengths extends WindowOptions {
  /** Frames and pixels; what the graph fixes need not be said, and more frames than it fixes are made in windows. */
  readonly frames?: number;
  readonly width?: number;
  readonly height?: number;
  /** Frames of a window; what the graph fixes or has positions for if not said. */
  readonly context?: number;
}

export type LatentShape = readonly [1, 4, frames: number, height: number, width: number];

export interface ClipShape {
  readonly shape: LatentShape;
  /** What the UNet is evaluated on: the clip, or one window of it. */
  readonly graphShape: LatentShape;
  readonly windows: ContextWindows | undefined;
}

/** What a package without a lock is sampled with. */
const DEFAULTS = { frames: 16, side: 512 };

/** Frames, and height and width of the latents; undefined is open. */
type Lengths = readonly [frames: number | undefined, height: number | undefined, width: number | undefined];

/** @throws UsageError for lengths that no graph of the package is made for, or that cannot be sampled. */
export function clipShape(pkg: VideoPackage, options: ClipLengths): ClipShape {
  const { lock, folder, max_frames } = pkg;
  const context = checked('window of frames', options.context, 1);
  const asked = [
    checked('frame count', options.frames, 1),
    checked('height', options.height, VAE_SCALE),
    checked('width', options.width, VAE_SCALE),
  ] as const;
  const fixed = fixedLengths(pkg, asked, context);
  const {
    frames: f = DEFAULTS.frames,
    height: h = DEFAULTS.side,
    width: w = DEFAULTS.side,
  } = lock?.recipe.output ?? {};
  const [height, width] = [fixed[1] ?? asked[1] ?? h / VAE_SCALE, fixed[2] ?? asked[2] ?? w / VAE_SCALE];
  const frames = asked[0] ?? fixed[0] ?? f;
  const window = fixed[0] ?? context ?? Math.min(frames, max_frames ?? frames);
  if (window > frames) {
    throw new UsageError(
      `A window of ${window} frames was asked for, and a clip of ${frames}: the clip must be as long as a window.`,
    );
  }
  if (max_frames !== undefined && window > max_frames) {
    throw new UsageError(
      `${window} frames at a time were asked for; the motion module of ${folder} has positional encodings for ${max_frames}.`,
    );
  }
  if (frames > MAX_FRAMES)
    throw new UsageError(`${frames} frames were asked for; ${MAX_FRAMES} at most can be sampled.`);
  const pixels = frames * height * width * VAE_SCALE ** 2;
  if (pixels > MAX_CLIP_PIXELS) {
    throw new UsageError(
      `${frames} frames of ${width * VAE_SCALE}×${height * VAE_SCALE} are ${pixels} pixels; ${MAX_CLIP_PIXELS} at most can be sampled.`,
    );
  }
  const windows = contextWindows(frames, window, options);
  return {
    shape: [1, 4, frames, height, width],
    graphShape: [1, 4, window, height, width],
    windows: window < frames ? windows : undefined,
  };
}

/** The clip that is made where nothing is said, in frames and pixels. @throws UsageError as clipShape does */
export function defaultClip(pkg: VideoPackage): Required<Pick<ClipLengths, 'frames' | 'width' | 'height'>> {
  const [, , frames, height, width] = clipShape(pkg, {}).shape;
  return { frames, width: width * VAE_SCALE, height: height * VAE_SCALE };
}

/** What the graph for these lengths fixes: one of the clip itself, or else the longest whose windows can make it. */
function fixedLengths(pkg: VideoPackage, asked: Lengths, context: number | undefined): Lengths {
  const made = fixedShapes(pkg);
  const fits = (n: number | undefined, wanted: number | undefined) => (n ?? wanted) === (wanted ?? n);
  const ofSize = made.filter(([, height, width]) => fits(height, asked[1]) && fits(width, asked[2]));
  const longest = ofSize.toSorted(([a = 0], [b = 0]) => b - a);
  const found =
    context === undefined
      ? (ofSize.find(([frames]) => fits(frames, asked[0])) ?? longest.find(([frames = 0]) => frames < (asked[0] ?? 0)))
      : ofSize.find(([frames]) => fits(frames, context));
  if (found) return found;
  const known = made.map(describeLengths).join(', or ');
  const wanted = describeLengths([context ?? asked[0], asked[1], asked[2]]);
  throw new UsageError(
    `${pkg.folder} is made for ${known}, not for ${context === undefined ? '' : 'windows of '}${wanted}. ` +
      'Bake with output.shapes: dynamic to choose at run time, or with a list of shapes.',
  );
}

/** What the package has graphs for, the default first. */
function fixedShapes({ graph, graphs }: VideoPackage): readonly Lengths[] {
  const listed = graphs.unet.flatMap(({ target, size }): Lengths[] => {
    const [frames, width, height] = size as [number, number, number];
    return target === 'portable' && size.length === 3 ? [[frames, height / VAE_SCALE, width / VAE_SCALE]] : [];
  });
  return [[graph.frames, graph.height, graph.width], ...listed];
}

/** In latents. @throws UsageError for what is no positive multiple of `unit` */
function checked(what: string, asked: number | undefined, unit: number): number | undefined {
  if (asked !== undefined && !(Number.isInteger(asked) && asked > 0 && asked % unit === 0)) {
    throw new UsageError(`The ${what} ${asked} is no positive ${unit === 1 ? 'whole number' : `multiple of ${unit}`}.`);
  }
  return asked === undefined ? undefined : asked / unit;
}

function describeLengths([frames, height, width]: Lengths): string {
  const parts = [
    frames === undefined ? undefined : `${frames} frames`,
    width === undefined ? undefined : `a width of ${width * VAE_SCALE}`,
    height === undefined ? undefined : `a height of ${height * VAE_SCALE}`,
  ];
  return parts.filter((part) => part !== undefined).join(' and ');
}

/** The clips that a package is made for: `output.shapes` and the frames, width and height beside it, which are the first of them. */
import type { SchemaProblem } from './problems.ts';
import type { ClipShape, Recipe } from './schema.ts';

const LENGTHS = ['frames', 'width', 'height'] as const;

/** All shapes that have a graph of their own; the first is the default. A symbolic graph is the default's alone. */
export function clipShapes({ shapes, frames, width, height }: Recipe['output']): readonly [ClipShape, ...ClipShape[]] {
  const first = { frames, width, height };
  return typeof shapes === 'string' ? [first] : [first, ...shapes.slice(1)];
}

/** `16 frames of 512×512` */
export function describeClip({ frames, width, height }: ClipShape): string {
  return `${frames} frames of ${width}×${height}`;
}

/** `16×512×512`, where there is little room. */
export function clipSize({ frames, width, height }: ClipShape): string {
  return `${frames}×${width}×${height}`;
}

/** `16 frames of 512×512, static shapes`, or all that there are. */
export function describeShapes(output: Recipe['output']): string {
  const each = clipShapes(output).map(describeClip);
  return typeof output.shapes === 'string'
    ? `${each}, ${output.shapes} shapes`
    : `${each.join(' or ')}, a graph for each`;
}

/** Enough to ask a model something: at 16×16 latents the innermost level of SD1.5 still has 2×2; eight frames have seven pairs of neighbours. */
const SMALL: ClipShape = { frames: 8, width: 128, height: 128 };

/** A small clip of a model, no larger than the one that it was made for. */
export function smallClip({ frames, width, height }: ClipShape): ClipShape {
  return {
    frames: Math.min(frames, SMALL.frames),
    width: Math.min(width, SMALL.width),
    height: Math.min(height, SMALL.height),
  };
}

/** Where `output.shapes` is a list, gives its first entry's lengths to `output`; what is said there besides must not differ. */
export function takeFirstShape(document: unknown): readonly SchemaProblem[] {
  const output = record(record(document)?.['output']);
  const shapes = output?.['shapes'];
  const first = record(Array.isArray(shapes) ? shapes[0] : undefined);
  if (!output || !first) return [];
  return LENGTHS.flatMap((key) => {
    const said = output[key];
    if (first[key] === undefined) return []; // which the schema will say
    output[key] = first[key];
    if (said === undefined || said === first[key]) return [];
    const sentence = `output.${key} (${String(said)}) differs from that of output.shapes[0] (${String(first[key])}), which is the default. Leave it out.`;
    return [{ path: ['output', key], part: 'value', sentence }];
  });
}

function record(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

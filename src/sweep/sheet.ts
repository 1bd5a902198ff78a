/**
 * The contact sheet of a sweep: the grid as an SVG whose tiles move, all in step. Each is a strip of frames that passes behind a window (CSS,
 * so that it also moves where the sheet is an image in a page); who wants no motion sees the first frames.
 */
import { frameIndices, sizeOnSheet, stripWebp } from '../compare/sheet.ts';
import { CLIP_FPS, type Frames } from '../runtime/frames.ts';
import { escapeHtml } from '../text/escape-html.ts';
import type { Axis } from './axis.ts';
import type { Sweep, SweptTile } from './sweep.ts';

/** Of a long clip, evenly spread; a strip of pictures has no more pixels than WebP allows. */
const MAX_FRAMES = 32;
const [LEFT, TOP, CAPTION, GAP] = [130, 30, 22, 10];

export async function sheetSvg({ figures, clips }: Sweep): Promise<string> {
  const { x, y, prompt, seed, tiles } = figures;
  const [first] = clips as [Frames];
  const indices = frameIndices(first.count, MAX_FRAMES);
  const { width, height } = sizeOnSheet(first);
  const [stepX, stepY] = [width + GAP, height + CAPTION + GAP];
  const drawn = await Promise.all(
    tiles.map(async (tile, i) => {
      const strip = await stripWebp(clips[i] as Frames, indices, { width, height });
      return tileSvg(tile, Buffer.from(strip).toString('base64'), {
        left: LEFT + tile.column * stepX,
        top: TOP + tile.row * stepY,
        width,
        height,
        frames: indices.length,
      });
    }),
  );
  const labelOf = (axis: Axis, i: number) => escapeHtml(`${axis.label} ${axis.values[i]}`);
  const columns = x.values.map(
    (_, i) =>
      `<text class="axis" text-anchor="middle" x="${LEFT + i * stepX + width / 2}" y="${TOP - 10}">${labelOf(x, i)}</text>`,
  );
  const rows = (y?.values ?? []).map(
    (_, i) => `<text class="axis" x="0" y="${TOP + i * stepY + height / 2 + 5}">${labelOf(y as Axis, i)}</text>`,
  );
  const right = LEFT + x.values.length * stepX;
  const bottom = TOP + (y?.values.length ?? 1) * stepY;
  const axes = [x, y].flatMap((axis) => axis?.label ?? []).join(' and ');
  const title = `${tiles.length} clips of “${prompt}”, seed ${seed}, over ${axes}`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="-12 -12 ${right + 24} ${bottom + 24}" width="${right + 24}" role="img" aria-label="${escapeHtml(title)}">
<style>text{font:11px system-ui,sans-serif;fill:#555}.axis{font-size:14px;font-weight:600;fill:#111}.own{fill:none;stroke:#111;stroke-width:2}
.clip{animation:play ${indices.length / CLIP_FPS}s steps(${indices.length}) infinite}@keyframes play{to{transform:translateX(-${width * indices.length}px)}}
@media(prefers-reduced-motion:reduce){.clip{animation:none}}</style>
<rect x="-12" y="-12" width="100%" height="100%" fill="#fff"/>
${[...columns, ...rows, ...drawn].join('\n')}
</svg>
`;
}

interface Window {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  readonly frames: number;
}

function tileSvg(
  { label, own, motion, consistency }: SweptTile,
  webp: string,
  { left, top, width, height, frames }: Window,
): string {
  const caption = `${own ? 'now · ' : ''}motion ${motion.toFixed(1)} · ${consistency.toFixed(2)}`;
  return [
    `<svg x="${left}" y="${top}" width="${width}" height="${height}"><title>${escapeHtml(label)}</title>`,
    `<image class="clip" width="${width * frames}" height="${height}" href="data:image/webp;base64,${webp}"/></svg>`,
    own ? `<rect class="own" x="${left - 2}" y="${top - 2}" width="${width + 4}" height="${height + 4}"/>` : '',
    `<text x="${left}" y="${top + height + 16}">${caption}</text>`,
  ].join('');
}

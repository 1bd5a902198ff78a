/**
 * The contact sheet of a comparison, as the paper's Fig. 3: a line of frames for each row, one below the other. An SVG, whose labels
 * are set by whoever shows it: a picture would need fonts, and servers have none.
 */
import sharp from 'sharp';
import { CHANNELS, type Frames } from '../runtime/frames.ts';
import { escapeHtml } from '../text/escape-html.ts';
import { count, threeFigures } from '../text/quantity.ts';
import type { Compared, ComparedRow } from './compare.ts';

/** Frames shown of a clip, evenly spread. */
const COLUMNS = 8;
/** Of a frame on the sheet, in pixels: small clips are enlarged in whole multiples, large ones reduced. */
const SIDE = 128;
const [LABEL, LINE, GAP] = [230, 20, 6];

/** The sheet as SVG, with the frames in it. */
export async function sheetSvg({ comparison, clips }: Compared): Promise<string> {
  const [first] = clips as [Frames];
  const indices = frameIndices(first.count);
  const { width, height } = sizeOnSheet(first);
  const strips = await Promise.all(clips.map((frames) => stripWebp(frames, indices, { width, height })));
  const right = LABEL + indices.length * width;
  const rows = comparison.rows.map((row, i) => {
    const y = i * (height + GAP);
    const lines = labelOf(row).map(
      (text, n) =>
        `<text x="0" y="${y + height / 2 + (n - 1) * LINE + 5}"${n === 0 ? ' class="name"' : ''}>${escapeHtml(text)}</text>`,
    );
    const data = Buffer.from(strips[i] as Uint8Array).toString('base64');
    return `${lines.join('')}<image x="${LABEL}" y="${y}" width="${right - LABEL}" height="${height}" href="data:image/webp;base64,${data}"/>`;
  });
  const bottom = comparison.rows.length * (height + GAP) - GAP;
  const title = `${comparison.rows.length} ways to sample “${comparison.prompts[0]}”, seed ${comparison.seeds[0]}`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="-12 -12 ${right + 24} ${bottom + 24}" width="${right + 24}" role="img" aria-label="${escapeHtml(title)}">
<style>text{font:14px system-ui,sans-serif;fill:#555}.name{font-weight:600;fill:#111}</style>
<rect x="-12" y="-12" width="100%" height="100%" fill="#fff"/>
${rows.join('\n')}
</svg>
`;
}

function labelOf({ label, evaluations, denoise_ms, speedup, consistency }: ComparedRow): string[] {
  return [
    label,
    `${count(evaluations, 'UNet run')}, ${Math.round(denoise_ms)} ms`,
    `${threeFigures(speedup)}×, consistency ${consistency.toFixed(3)}`,
  ];
}

/** Frames that are shown of so many, evenly spread. */
export function frameIndices(count: number, most = COLUMNS): number[] {
  const shown = Math.min(most, count);
  return Array.from({ length: shown }, (_, i) => Math.floor((i * count) / shown));
}

export function sizeOnSheet({ width, height }: Pick<Frames, 'width' | 'height'>) {
  const scale = width <= SIDE ? Math.floor(SIDE / width) : SIDE / width;
  return { width: Math.round(width * scale), height: Math.round(height * scale) };
}

/** Frames beside each other. */
export async function stripWebp(
  { data, width, height }: Frames,
  indices: readonly number[],
  to: { readonly width: number; readonly height: number },
): Promise<Uint8Array> {
  const line = width * CHANNELS;
  const strip = new Uint8Array(indices.length * line * height);
  for (const [column, index] of indices.entries()) {
    for (let y = 0; y < height; y += 1) {
      const from = (index * height + y) * line;
      strip.set(data.subarray(from, from + line), (y * indices.length + column) * line);
    }
  }
  return sharp(strip, { raw: { width: width * indices.length, height, channels: CHANNELS } })
    .resize(to.width * indices.length, to.height, { fit: 'fill', kernel: to.width > width ? 'nearest' : 'lanczos3' })
    .webp({ quality: 90 })
    .toBuffer();
}

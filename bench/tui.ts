/**
 * What a frame of clips side by side costs on its way through Ink to a terminal that reads everything at once.
 *
 *     npm run build && node bench/tui.ts [PACKAGE]
 *
 * Per size of the terminal and number of clips: CPU milliseconds a frame and kilobytes written. The clips are noise, in which every cell has two
 * colours of its own and which costs the most, or that of a verified package. A clip has 8 frames a second, so 125 ms are all there is.
 */
import { Writable } from 'node:stream';
import { Box, render } from 'ink';
import { createElement } from 'react';
import { CLIP_FPS, type Frames } from '../src/runtime/frames.ts';
import type { Cells } from '../src/tui/pixels.ts';
import { hearTile, startWall, tickWall, type Wall } from '../src/tui/wall.ts';
import { readClip } from '../src/verify/clip.ts';
import { describeLoad, describeMachine } from './measure.ts';

// Node reads no TSX
const built = (path: string) => import(new URL(`../dist/tui/${path}`, import.meta.url).href);
const { WallView } = await built('panes/wall.js');
const { ThemeContext } = await built('theme.js');

const SIZES: readonly Cells[] = [
  { columns: 80, rows: 24 },
  { columns: 120, rows: 40 },
  { columns: 250, rows: 70 },
];
const TILES = [1, 4, 9, 16];
const LOOPS = 4;

const [folder] = process.argv.slice(2);
const clip = folder === undefined ? noise() : await readClip(folder);
process.stdout.write(`${describeMachine()}\nload ${describeLoad()}\n`);
for (const size of SIZES) for (const tiles of TILES) await measure(size, tiles);

async function measure({ columns, rows }: Cells, tiles: number): Promise<void> {
  let bytes = 0;
  const stdout = Object.assign(
    new Writable({
      write(chunk: Buffer, _, done) {
        bytes += chunk.length;
        done();
      },
    }),
    { isTTY: true, columns, rows },
  );
  const element = (wall: Wall) =>
    createElement(
      ThemeContext,
      { value: { paint: (_: unknown, text: string) => text, depth: 24 } },
      createElement(Box, { width: columns, height: rows }, createElement(WallView, { wall, cells: { columns, rows } })),
    );
  let wall = Array.from({ length: tiles }, (_, index) => ({
    index,
    total: tiles,
    label: `α ${index / 10}`,
    frames: clip,
    milliseconds: 1,
  })).reduce(hearTile, startWall(tiles));
  const options = { stdout, interactive: true, alternateScreen: true, incrementalRendering: true, maxFps: 1000 };
  const app = render(element(wall), options);
  let now = 0;
  const play = async () => {
    for (let frame = 0; frame < clip.count; frame++) {
      now += 1000 / CLIP_FPS;
      wall = tickWall(wall, now);
      app.rerender(element(wall));
      await app.waitUntilRenderFlush();
    }
  };
  await play(); // each frame is drawn once
  bytes = 0;
  const before = process.cpuUsage();
  for (let loop = 0; loop < LOOPS; loop++) await play();
  const { user, system } = process.cpuUsage(before);
  const frames = LOOPS * clip.count;
  process.stdout.write(
    `${`${columns}×${rows}`.padEnd(7)} ${String(tiles).padStart(2)} clips  ${((user + system) / 1000 / frames).toFixed(1).padStart(6)} ms  ${(bytes / 1000 / frames).toFixed(0).padStart(4)} kB\n`,
  );
  app.unmount();
}

function noise(): Frames {
  const [width, height, count] = [64, 64, 16];
  let x = 1; // a linear congruential generator
  const data = Uint8Array.from({ length: width * height * count * 3 }, () => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return x >>> 24;
  });
  return { width, height, count, data };
}

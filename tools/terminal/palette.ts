/** The colours of a dark terminal: 16 of our own, then the 6×6×6 cube and the greys of xterm (its 256colres.h). */
import type { Cell, Color } from './cells.ts';

export const BACKGROUND = 0x0d1117;
export const FOREGROUND = 0xd7dde4;

/** Black to white, then the bright ones. */
const ANSI = [
  0x30363d, 0xff7b72, 0x56d364, 0xe3b341, 0x79c0ff, 0xd2a8ff, 0x56d4dd, 0xc9d1d9, 0x8b949e, 0xffa198, 0x7ee787,
  0xf2cc60, 0xa5d6ff, 0xe2c5ff, 0x8ae9f0, 0xffffff,
] as const;

const CUBE = [0, 95, 135, 175, 215, 255] as const;

/** How much of a dim text's colour is left; the rest is the ground's. */
const DIM = 0.66;

/** What a cell is painted with, as 0xrrggbb. */
export function paintOf({ foreground, background, dim, inverse }: Cell): {
  readonly ink: number;
  readonly ground: number;
} {
  const [front, back] = [toRgb(foreground, FOREGROUND), toRgb(background, BACKGROUND)];
  const [ink, ground] = inverse ? [back, front] : [front, back];
  return { ink: dim ? mix(ink, ground, DIM) : ink, ground };
}

function toRgb(color: Color, byDefault: number): number {
  if (color === 'default') return byDefault;
  if ('rgb' in color) return color.rgb;
  const { palette } = color;
  if (palette < 16) return ANSI[palette] ?? byDefault;
  if (palette >= 232) return (8 + 10 * (palette - 232)) * 0x010101;
  const level = (divisor: number) => CUBE[Math.floor((palette - 16) / divisor) % 6] ?? 0;
  return (level(36) << 16) | (level(6) << 8) | level(1);
}

function mix(a: number, b: number, share: number): number {
  const channel = (shift: number) =>
    Math.round(((a >> shift) & 255) * share + ((b >> shift) & 255) * (1 - share)) << shift;
  return channel(16) | channel(8) | channel(0);
}

export function hex(rgb: number): string {
  return `#${rgb.toString(16).padStart(6, '0')}`;
}

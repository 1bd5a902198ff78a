/**
 * The colours of the report, each for light and for dark. Text of every colour in `TEXT` stands on every one in `GROUNDS`, and each
 * pair in `PAIRS` together; a test holds all of them to WCAG's contrast of 4.5.
 */
import type { CheckVerdict } from '../../events.ts';

type Colour = readonly [light: string, dark: string];

export const PALETTE = {
  page: ['#f5f4f0', '#121318'],
  card: ['#ffffff', '#1b1d24'],
  well: ['#f0eee8', '#14161c'],
  line: ['#dcd9d0', '#343743'],
  ink: ['#1c1e25', '#ecebf3'],
  muted: ['#565966', '#a9acba'],
  accent: ['#3148b8', '#a3b4ff'],
  good: ['#14653a', '#79dba2'],
  'good-soft': ['#e1f3e7', '#15301f'],
  bad: ['#a8231b', '#ffa39a'],
  'bad-soft': ['#fde9e7', '#3b1b19'],
  unsure: ['#735000', '#efc368'],
  'unsure-soft': ['#fbf0d5', '#34290f'],
  bar: ['#4c64d8', '#8296f5'],
  rest: ['#85889a', '#767a8c'],
  track: ['#e6e5ee', '#2a2d38'],
  'heat-0': ['#fff6ec', '#20222a'],
  'heat-1': ['#fde0c2', '#392b24'],
  'heat-2': ['#fabd88', '#623a20'],
  'heat-3': ['#ef9150', '#8f4a1b'],
  'heat-4': ['#b9480f', '#e58a48'],
  'heat-5': ['#7f2d05', '#ffc893'],
  'on-heat-0': ['#1c1e25', '#ecebf3'],
  'on-heat-1': ['#1c1e25', '#ecebf3'],
  'on-heat-2': ['#1c1e25', '#ecebf3'],
  'on-heat-3': ['#1c1e25', '#ffffff'],
  'on-heat-4': ['#ffffff', '#1c1e25'],
  'on-heat-5': ['#ffffff', '#1c1e25'],
} as const satisfies Record<string, Colour>;

export type ColourName = keyof typeof PALETTE;

export const TEXT = ['ink', 'muted', 'accent', 'good', 'bad', 'unsure'] as const satisfies readonly ColourName[];
export const GROUNDS = ['page', 'card', 'well'] as const satisfies readonly ColourName[];

/** Steps of the heat map. */
export const HEATS = [0, 1, 2, 3, 4, 5] as const;

export const PAIRS: readonly (readonly [text: ColourName, ground: ColourName])[] = [
  ...(['good', 'bad', 'unsure'] as const).flatMap((name) =>
    ([name, 'ink', 'muted'] as const).map((text) => [text, `${name}-soft`] as const),
  ),
  ...HEATS.map((heat) => [`on-heat-${heat}`, `heat-${heat}`] as const),
];

/** The class of what belongs to a verdict. */
export const VERDICT_CLASS: Readonly<Record<CheckVerdict, string>> = {
  passed: 'good',
  failed: 'bad',
  unknown: 'unsure',
};

/** The palette as custom properties. */
export function colourProperties(): string {
  const declarations = (mode: 0 | 1) =>
    Object.entries(PALETTE)
      .map(([name, colour]) => `--${name}:${colour[mode]}`)
      .join(';');
  return `:root{color-scheme:light dark;${declarations(0)}}\n@media (prefers-color-scheme:dark){:root{${declarations(1)}}}`;
}

/** The axes of a grid as people write them: `lcm.beta=0.7,1,1.3`, `alpha=0.4..1:4`; and the grid where nothing is said. */
import { UsageError } from '../errors.ts';
import { findKnob, knobAt, knobsOf, type RecipeKnob } from '../recipe/knobs.ts';
import { type KeyPath, keyName } from '../recipe/located-yaml.ts';
import type { Recipe } from '../recipe/schema.ts';
import { nearest } from '../text/nearest.ts';
import { withoutNoise } from '../text/quantity.ts';
import { quote } from '../text/quote.ts';

/** A number of the recipe, and the values that it is turned to. */
export interface Knob {
  readonly path: KeyPath;
  readonly values: readonly number[];
}

/** One with what it is called in this grid: `α`, or `α ink` where `α` would not tell. */
export interface Axis extends Knob {
  readonly label: string;
}

/** Clips of a grid; every one is merged and sampled, and nobody looks at more. */
export const MAX_TILES = 100;

/** Short for the paths that are turned most. */
const SHORT: Readonly<Record<string, RegExp>> = {
  alpha: /^personalized\[\d+\]\.alpha$/,
  beta: /^lcm\.beta$/,
  gamma: /^motion\.gamma$/,
  guidance: /^sampler\.guidance$/,
  steps: /^sampler\.steps$/,
  seed: /^verify\.seed$/,
};

/** @throws UsageError saying what is wrong with the knob or its values */
export function parseKnob(text: string, recipe: Recipe): Knob {
  const cut = text.lastIndexOf('=');
  if (cut < 0) {
    throw new UsageError(
      `${quote(text)} gives a knob no values. Write them behind it: ${text || 'alpha'}=0.4,0.7,1 or ${text || 'alpha'}=0.4..1:4 (four from 0.4 to 1).`,
    );
  }
  const values = parseValues(text.slice(cut + 1), text);
  const twice = values.find((value, i) => values.indexOf(value) !== i);
  if (twice !== undefined) throw new UsageError(`${quote(text)} has ${twice} twice. Keep one.`);
  return { path: parseKnobPath(text.slice(0, cut), recipe), values };
}

/** `0.4,0.7,1`, `0.4..1:4`, or both; `whole` is what they were written in. */
export function parseValues(text: string, whole = text): readonly number[] {
  const values = text.split(',').flatMap((part) => {
    const range = /^(.+?)\.\.(.+):(\d+)$/.exec(part.trim());
    if (!range) return [readNumber(part, whole)];
    const [, from, to, count] = range as unknown as [string, string, string, string];
    return spread(readNumber(from, whole), readNumber(to, whole), Number(count), whole);
  });
  if (values.length > MAX_TILES) {
    throw new UsageError(`${quote(whole)} has ${values.length} values; a grid has ${MAX_TILES} clips at most.`);
  }
  return values;
}

function readNumber(text: string, whole: string): number {
  if (/^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i.test(text)) return Number(text);
  throw new UsageError(
    `${quote(text)} in ${quote(whole)} is no number. Values are numbers with commas between them (0.4,0.7,1), or FROM..TO:COUNT (0.4..1:4).`,
  );
}

function spread(from: number, to: number, count: number, whole: string): number[] {
  if (count < 2 || count > MAX_TILES)
    throw new UsageError(`${quote(whole)} asks for ${count} values between two; 2 to ${MAX_TILES} can be made.`);
  return Array.from({ length: count }, (_, i) => withoutNoise(from + ((to - from) * i) / (count - 1)));
}

/** `personalized[0].blocks.IN08` as a path, or a short name. @throws UsageError for what is no knob of the recipe */
export function parseKnobPath(written: string, recipe: Recipe): KeyPath {
  const text = written.trim();
  const short = SHORT[text];
  if (short) return onlyOne(text, short, recipe);
  const path = splitPath(text);
  if (path && findKnob(recipe, path)) return path;
  const names = knobsOf(recipe).map((knob) => keyName(knob.path));
  const near = nearest(text, [...Object.keys(SHORT), ...names]);
  throw new UsageError(
    `${quote(text)} is no knob of ${recipe.name}. ${near ? `Did you mean ${near}?` : `It has ${names.join(', ')}.`}`,
  );
}

function onlyOne(text: string, pattern: RegExp, recipe: Recipe): KeyPath {
  const found = knobsOf(recipe).filter(({ path }) => pattern.test(keyName(path)));
  const [knob] = found;
  if (found.length === 1 && knob) return knob.path;
  throw new UsageError(
    found.length === 0
      ? `${recipe.name} has no ${text}: it has no source that it would belong to.`
      : `${recipe.name} has ${found.length} sources with ${text}: say which. ${found.map(({ path, of }) => `${keyName(path)} (${of})`).join(', ')}.`,
  );
}

/** As keyName writes it; undefined for what it would not write. */
function splitPath(text: string): KeyPath | undefined {
  const path: (string | number)[] = [];
  const part = /\.?(\w+)|\[(\d+)\]|\.("(?:[^"\\]|\\.)*")/y;
  for (let match = part.exec(text); match; match = part.exec(text)) {
    const [, word, index, quoted] = match;
    path.push(word ?? (index === undefined ? (JSON.parse(quoted as string) as string) : Number(index)));
    if (part.lastIndex === text.length) return path;
  }
  return undefined;
}

/** Labels without the names of files where the symbols alone tell the two apart. */
export function labelAxes(recipe: Recipe, x: Knob, y: Knob | undefined): readonly [Axis, Axis?] {
  const [first, second] = [knobAt(recipe, x.path), y && knobAt(recipe, y.path)];
  const labelOf = (knob: RecipeKnob, other: RecipeKnob | undefined) =>
    knob.symbol === other?.symbol ? knob.label : knob.symbol;
  const across = { ...x, label: labelOf(first, second) };
  return y && second ? [across, { ...y, label: labelOf(second, first) }] : [across];
}

/** What sets each clip of the grid apart, row by row: `α 0.4  β 1`. */
export function clipLabels(x: Axis, y?: Axis): readonly string[] {
  const ofRow = (row: string) => x.values.map((value) => `${x.label} ${value}${row}`);
  return y ? y.values.flatMap((value) => ofRow(`  ${y.label} ${value}`)) : ofRow('');
}

/** Three values of the first strength and of the second, around the recipe's own. */
export function defaultAxes(recipe: Recipe): readonly [x: Knob, y?: Knob] {
  const strengths = knobsOf(recipe).filter(({ path }) => ['alpha', 'beta', 'gamma'].includes(String(path.at(-1))));
  const [x, y] = strengths.map(aroundItsValue) as [Knob, Knob?]; // every recipe has γ
  return y ? [x, y] : [x];
}

/** The value, and one on each side of it a quarter of the usual range away; above it, where there is nothing below. */
export function aroundItsValue({ path, value, range: [from, to], whole }: RecipeKnob): Knob {
  const quarter = (to - from) / 4;
  const step = whole ? Math.max(1, Math.round(quarter)) : Number(quarter.toFixed(1));
  const first = value >= from && value - step < from ? value : value - step;
  return { path, values: [0, 1, 2].map((i) => withoutNoise(first + i * step)) };
}

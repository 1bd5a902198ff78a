/** Strengths side by side, as they are typed: `personalized[0].alpha=0.4,1`, one knob or two with a space between. Pure. */
import { UsageError } from '../errors.ts';
import { knobsOf } from '../recipe/knobs.ts';
import { type KeyPath, keyName } from '../recipe/located-yaml.ts';
import type { Recipe } from '../recipe/schema.ts';
import { aroundItsValue, defaultAxes, type Knob, labelAxes, parseKnob } from '../sweep/axis.ts';
import type { SweepSource } from './comparison.ts';
import type { Editor } from './editor.ts';
import { isSamePath } from './form.ts';

/** What stands in the line to begin with: the knob at `path`, if there is one there, and others that are turned most. */
export function firstKnobs(recipe: Recipe, path: KeyPath | undefined, count: 1 | 2): string {
  const usual = defaultAxes(recipe).filter((knob) => knob !== undefined);
  const here = knobsOf(recipe).find((knob) => path && isSamePath(knob.path, path));
  const chosen = here ? [aroundItsValue(here), ...usual.filter((knob) => !isSamePath(knob.path, here.path))] : usual;
  return chosen.slice(0, count).map(written).join(' ');
}

function written({ path, values }: Knob): string {
  return `${keyName(path)}=${values.join(',')}`;
}

/** What is typed as what is to be compared, or a sentence that says what is wrong with it. */
export function sweepOf(text: string, recipe: Recipe, { file, text: draft }: Editor): SweepSource | string {
  const [first, second, ...more] = text.trim().split(/\s+/);
  if (!first) return 'Type a knob and its values: personalized[0].alpha=0.4,1';
  if (more.length > 0) return `Two knobs at most make a grid, but there are ${2 + more.length}.`;
  try {
    const across = parseKnob(first, recipe);
    const [x, y] = labelAxes(recipe, across, second === undefined ? undefined : parseKnob(second, recipe));
    const total = x.values.length * (y?.values.length ?? 1);
    if (total < 2) return 'One value is no comparison: type two or more with commas between them.';
    const { prompt, seed } = recipe.verify;
    return { kind: 'sweep', recipe: file, text: draft, x, ...(y && { y }), total, suggests: { prompt, seed } };
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
}

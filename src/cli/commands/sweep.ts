/** `sweep`: a grid over one or two numbers of a recipe as a moving contact sheet and a table; or, with --pick, what was chosen written into the recipe. */
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { UsageError } from '../../errors.ts';
import type { Setting } from '../../events.ts';
import { openStaging } from '../../export/staging.ts';
import { writingTo } from '../../formats/byte-source.ts';
import { planRecipe } from '../../publish/plan-recipe.ts';
import { editRecipe } from '../../recipe/edit.ts';
import { withKnob } from '../../recipe/knobs.ts';
import { loadRecipe } from '../../recipe/load.ts';
import { type KeyPath, keyName } from '../../recipe/located-yaml.ts';
import { saveRecipe } from '../../recipe/save.ts';
import type { Recipe } from '../../recipe/schema.ts';
import { assertOffered } from '../../runtime/device.ts';
import { defaultAxes, type Knob, parseKnob, parseKnobPath, parseValues } from '../../sweep/axis.ts';
import { sheetSvg } from '../../sweep/sheet.ts';
import { sweep } from '../../sweep/sweep.ts';
import { sweepCells } from '../../sweep/table.ts';
import { table } from '../../text/columns.ts';
import { count } from '../../text/quantity.ts';
import type { Arguments } from '../command-table.ts';
import type { Command, Outcome } from '../context.ts';

const [FIGURES, SHEET] = ['sweep.json', 'sheet.svg'] as const;

export const sweepCommand: Command<'sweep'> = async (args, { signal, follow }) => {
  if (args.pick !== undefined) return pick(args, args.pick);
  const { device, prompt, negative, seed, frames, width, height, offline, lock } = args;
  const plan = await follow(planRecipe(args.recipe, { signal, offline, lock }));
  assertOffered(device ?? plan.recipe.verify.device);
  const [x, y] = axesOf(args, plan.recipe, parseKnob) ?? defaultAxes(plan.recipe);
  const clip = Object.fromEntries(Object.entries({ frames, width, height }).filter(([, n]) => n !== undefined));
  await using folder = await openStaging(resolve(args.out), (names) => {
    const foreign = names.find((name) => name !== FIGURES && name !== SHEET);
    return foreign && `holds ${foreign}, which is no file of an earlier sweep`;
  });
  const scratch = join(folder.path, 'weights');
  const swept = await follow(sweep(plan, { x, y, clip, prompt, negative, seed, device, scratch, signal }));
  const put = (name: string, text: string) =>
    writingTo(join(folder.path, name), writeFile(join(folder.path, name), text));
  await put(FIGURES, `${JSON.stringify(swept.figures, null, 2)}\n`);
  await put(SHEET, await sheetSvg(swept));
  signal.throwIfAborted();
  const out = await folder.commit();
  const cells = sweepCells(swept.figures);
  return {
    text: `${table(cells, { right: (cells[0] ?? []).map((_, i) => i).slice(1) })}\n\n${join(out, SHEET)}`,
    value: { out, ...swept.figures },
  };
};

/** What --x and --y say; undefined where they say nothing. */
function axesOf<Axis>(
  { x, y }: Pick<Arguments<'sweep'>, 'x' | 'y'>,
  recipe: Recipe,
  parse: (text: string, recipe: Recipe) => Axis,
): readonly [x: Axis, y?: Axis] | undefined {
  if (x === undefined && y === undefined) return undefined;
  if (x === undefined) throw new UsageError('--y is given without --x. A grid of one knob has it as --x.');
  return y === undefined ? [parse(x, recipe)] : [parse(x, recipe), parse(y, recipe)];
}

/** Nothing is sampled: the values come from a sheet that somebody has looked at, and need not be among those of the grid. */
async function pick(args: Arguments<'sweep'>, picked: string): Promise<Outcome> {
  const recipe = await loadRecipe(args.recipe);
  const pathOf = (text: string) => parseKnobPath(text.replace(/=[^"]*$/, ''), recipe);
  const paths = axesOf(args, recipe, pathOf) ?? defaultAxes(recipe).map((axis) => (axis as Knob).path);
  const values = parseValues(picked);
  if (values.length !== paths.length) {
    const names = paths.map((path) => keyName(path as KeyPath)).join(' and ');
    throw new UsageError(
      `--pick has ${count(values.length, 'value')}, and ${count(paths.length, 'knob')} would be set: ${names}. Give a value for each.`,
    );
  }
  const settings = paths.map((path, i): Setting => ({ path: path as KeyPath, value: values[i] as number }));
  settings.reduce((turned, { path, value }) => withKnob(turned, path, value), recipe);
  await saveRecipe(recipe.file, editRecipe(recipe.text, settings), { replaces: recipe.text });
  const said = settings.map(({ path, value }) => `${keyName(path)}: ${value}`);
  return { text: `${recipe.file}: ${said.join(', ')}`, value: { recipe: recipe.file, settings } };
}

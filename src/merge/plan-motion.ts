/** The motion module's part of a plan: the source of every motion parameter and what γ makes of it. */
import { blockWeight } from '../architecture/block-map.ts';
import { animateDiffName } from '../architecture/names.ts';
import type { ModelParameter } from '../architecture/parameters.ts';
import type { TensorFile } from '../formats/tensor-file.ts';
import { recipeMistake } from '../recipe/place.ts';
import type { Recipe } from '../recipe/schema.ts';
import { openAccount } from './account.ts';
import type { Term } from './adapters/adapter.ts';
import { checkExpectation } from './expectation.ts';
import { type MotionLayout, matchMotion, motionGain } from './motion.ts';
import type { PlanFiles, TensorRef } from './plan-files.ts';

/** What becomes of one motion parameter: gain · (source + terms). A positional encoding has no source; it is computed. */
export interface MotionContribution {
  readonly source: TensorRef | null;
  readonly gain: number;
  readonly terms: readonly Term[];
}

/** By parameter name. @throws MergeError when the file does not fit the base */
export function planMotion(
  recipe: Recipe,
  parameters: readonly ModelParameter[],
  { file, layout, files }: { file: TensorFile; layout: MotionLayout; files: PlanFiles },
): Map<string, MotionContribution> {
  const index = files.add(file, 'motion');
  const account = openAccount(file.source.name, file.tensors.keys());
  const found = matchMotion(parameters, file, layout, account);
  const { allow_unmatched, expect } = recipe.motion;
  files.settle(
    index,
    account.close({ allow: allow_unmatched, candidates: parameters.map(({ name }) => animateDiffName(name)) }),
  );
  checkExpectation(recipe, ['motion'], {
    path: file.source.name,
    expected: expect?.modules,
    found: new Set([...found.keys()].map((name) => name.replace(/(?<=\.motion_modules\.\d+)\..*$/, ''))).size,
  });
  return new Map(
    parameters.map(({ name, kind }) => {
      const tensor = found.get(name);
      const gamma = recipe.motion.gamma * blockWeight(recipe.motion.blocks, 'unet', name);
      const gain = kind === 'positional-encoding' ? 1 : motionGain({ ...recipe.motion, gamma }, name);
      return [name, { source: tensor === undefined ? null : { file: index, tensor }, gain, terms: [] }];
    }),
  );
}

/** @throws MergeError at the recipe's line when there are more frames than positions */
export function checkFrames(recipe: Recipe, { positions }: MotionLayout): void {
  if (recipe.output.frames > positions) {
    throw recipeMistake(
      recipe,
      ['output', 'frames'],
      `output.frames is ${recipe.output.frames}, but ${recipe.motion.module} has positional encodings for ${positions} frames. Ask for ${positions} or fewer.`,
    );
  }
}

/** Are the block weights of a recipe about this model? What they name must be there, and must be what the source can change. */
import { type BlockWeights, isBlockName, isVector, matchingKeys } from '../architecture/block-map.ts';
import { TEXT_ENCODER_BLOCK } from '../architecture/block-names.ts';
import type { Component } from '../architecture/names.ts';
import type { ModelParameter } from '../architecture/parameters.ts';
import type { UNetStructure } from '../architecture/unet-structure.ts';
import type { KeyPath } from '../recipe/located-yaml.ts';
import { recipeMistake } from '../recipe/place.ts';
import type { Recipe } from '../recipe/schema.ts';
import { nearest } from '../text/nearest.ts';
import { quote } from '../text/quote.ts';
import { gammaApplies } from './motion.ts';

type Parameters = Readonly<Record<Component, readonly ModelParameter[]>>;

/** What a source's weights may speak of, in words and as parameters. */
interface Reach {
  readonly of: string;
  readonly parameters: readonly (readonly [Component, ModelParameter])[];
}

/**
 * Checks the block weights of every source. `configFile` is the UNet's.
 * @throws MergeError at the recipe's line, for a block name where the UNet has other layers than SD1.5, and for a path or a
 * pattern that describes nothing.
 */
export function checkBlocks(recipe: Recipe, unet: UNetStructure, parameters: Parameters, configFile: string): void {
  for (const { key, blocks, reach } of weighed(recipe, parameters)) {
    checkLayers(recipe, key, blocks, unet, configFile);
    if (!isVector(blocks)) checkPaths(recipe, key, blocks, reach);
  }
}

function* weighed(recipe: Recipe, parameters: Parameters) {
  const of = (component: Component, wanted: (parameter: ModelParameter) => boolean) =>
    parameters[component].filter(wanted).map((parameter) => [component, parameter] as const);
  const spatial: Reach = {
    of: 'of the UNet or the text encoder',
    parameters: [...of('unet', ({ motion }) => !motion), ...of('text_encoder', () => true)],
  };
  for (const [i, { blocks }] of recipe.personalized.entries())
    yield { key: ['personalized', i, 'blocks'], blocks, reach: spatial };
  if (recipe.lcm) yield { key: ['lcm', 'blocks'], blocks: recipe.lcm.blocks, reach: spatial };
  const { mode } = recipe.motion;
  const scaled: Reach = {
    of:
      mode === 'residual'
        ? 'that γ multiplies (mode: residual: each motion module’s proj_out)'
        : 'of the motion module',
    parameters: of('unet', (parameter) => gammaApplies(recipe.motion, parameter)),
  };
  yield { key: ['motion', 'blocks'], blocks: recipe.motion.blocks, reach: scaled };
  const linear: Reach = {
    of: 'of the motion module that a LoRA can change',
    parameters: of('unet', ({ kind, motion }) => motion && kind === 'linear'),
  };
  for (const [i, { blocks }] of recipe.motion.loras.entries())
    yield { key: ['motion', 'loras', i, 'blocks'], blocks, reach: linear };
}

/** IN00…OUT11 count SD1.5's layers; in a UNet with more or fewer they would name others than the recipe means. */
function checkLayers(
  recipe: Recipe,
  key: KeyPath,
  blocks: BlockWeights,
  { config: { block_out_channels: widths, layers_per_block: layers } }: UNetStructure,
  configFile: string,
): void {
  if (widths.length === 4 && layers === 2) return;
  const naming =
    isVector(blocks) || Object.keys(blocks).some((name) => isBlockName(name) && name !== TEXT_ENCODER_BLOCK);
  if (!naming) return;
  throw recipeMistake(
    recipe,
    key,
    `The recipe weighs blocks by name, which are made for 4 blocks of 2 layers; ${configFile} has ${widths.length} of ` +
      `${layers}. Name paths (down_blocks.0) or patterns of parameter names instead.`,
  );
}

function checkPaths(
  recipe: Recipe,
  key: KeyPath,
  blocks: Readonly<Record<string, number>>,
  { of, parameters }: Reach,
): void {
  const idle = new Set(Object.keys(blocks).filter((name) => !isBlockName(name)));
  for (const [component, { name }] of parameters) {
    if (idle.size === 0) return;
    for (const described of matchingKeys(blocks, component, name)) idle.delete(described);
  }
  const [first] = idle;
  if (first === undefined) return;
  const near = nearest(first, modulePaths(parameters.map(([, { name }]) => name)));
  throw recipeMistake(
    recipe,
    [...key, first],
    `${quote(first)} describes no parameter ${of}.${near === undefined ? '' : ` Did you mean ${quote(near)}?`}`,
  );
}

/** `a.b.c` → `a`, `a.b`, `a.b.c`, each once. */
function modulePaths(names: readonly string[]): Set<string> {
  const paths = new Set<string>();
  for (const name of names) {
    const parts = name.split('.');
    for (let length = 1; length <= parts.length; length += 1) paths.add(parts.slice(0, length).join('.'));
  }
  return paths;
}

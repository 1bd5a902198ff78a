/** The strength of everything that changes a weight, worked out anew from the recipe and the files' own alpha and rank. */
import { blockWeight } from '../architecture/block-map.ts';
import type { Component } from '../architecture/names.ts';
import type { Term } from '../merge/adapters/adapter.ts';
import { motionGain } from '../merge/motion.ts';
import type { Plan, PlannedTensor } from '../merge/plan.ts';
import type { Role, TensorRef } from '../merge/plan-files.ts';
import type { Recipe } from '../recipe/schema.ts';

/** What is asked of a source file. */
export interface SourceScalars {
  /** The shape of a tensor. */
  readonly shapeOf: (ref: TensorRef) => readonly number[];
  /** The number of a tensor that has one. */
  readonly scalar: (ref: TensorRef) => Promise<number>;
}

/** What γ makes of the whole result. */
export function expectedGain({ files, recipe }: Plan, { source, component, name }: PlannedTensor): number {
  if (source === null || files[source.file]?.role !== 'motion') return 1;
  const { gamma, mode, blocks } = recipe.motion;
  return motionGain({ mode, gamma: gamma * blockWeight(blocks, component, name) }, name);
}

/** How a file's alpha and rank count. */
const FACTOR = {
  'alpha/rank': (alpha: number, rank: number) => alpha / rank,
  raw: () => 1,
  rslora: (alpha: number, rank: number) => alpha / Math.sqrt(rank),
} as const;

/** The operand whose first length is the rank, by kind. */
const RANKED_BY: Readonly<Partial<Record<Term['kind'], readonly string[]>>> = {
  lora: ['down'],
  loha: ['w1_b'],
  lokr: ['w1_b', 'w2_b'],
  glora: ['a2'],
};

/** The scale of a term; `around` is the DoRA that decomposes it and has the strength in its place. */
export async function expectedScale(
  { recipe }: Plan,
  { component, name }: PlannedTensor,
  term: Term,
  { shapeOf, scalar }: SourceScalars,
  around?: Term,
): Promise<number> {
  const { whole, blocks, scale } = sourceOf(recipe, term.of, component);
  const strength = around ? 1 : whole * blockWeight(blocks, component, name);
  const ranked = 'rank' in term ? term : 'ranked' in term ? term.ranked : undefined;
  if (!ranked) return strength;
  const refs = term.operands as Readonly<Record<string, TensorRef>>;
  const measured = RANKED_BY[term.kind]?.find((operand) => refs[operand]);
  const rank = measured ? (shapeOf(refs[measured] as TensorRef)[0] as number) : ranked.rank;
  const alpha = refs['alpha'] ? await scalar(refs['alpha']) : (ranked.alpha ?? rank);
  // a file may declare itself rank-stabilised where the recipe leaves the convention to it
  const convention = scale === 'alpha/rank' ? ranked.convention : scale;
  return strength * FACTOR[convention](alpha, rank);
}

/** What the recipe says of the source that asked for a term. */
function sourceOf(recipe: Recipe, role: Role, component: Component) {
  const index = Number(/\d+/.exec(role)?.[0]);
  // what a module has over the one that it starts from is no adapter, and has no alpha of its own
  if (role === 'motion') return { whole: recipe.motion.gamma, blocks: recipe.motion.blocks, scale: 'raw' as const };
  const lora = role.startsWith('motion.loras') ? recipe.motion.loras[index] : undefined;
  if (lora) return { whole: lora.alpha, blocks: lora.blocks, scale: lora.scale };
  const source = role === 'lcm' ? recipe.lcm : recipe.personalized[index];
  if (!source) throw new RangeError(`The recipe has no source ${role}.`);
  const whole = 'beta' in source ? source.beta : component === 'text_encoder' ? source.text_encoder : source.alpha;
  return { whole, blocks: source.blocks, scale: source.scale };
}

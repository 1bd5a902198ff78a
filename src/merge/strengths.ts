/** At what strength each source acts in each block: the recipe's number times the block weights, as the plan applies them. */
import { blockOf, blockWeight } from '../architecture/block-map.ts';
import { motionGain } from './motion.ts';
import { motionLoraSources } from './motion-lora.ts';
import type { Plan, PlannedTensor } from './plan.ts';
import { adapterSources } from './plan-adapters.ts';
import type { Role } from './plan-files.ts';

/** The least and the greatest strength among a block's parameters; equal where no path or pattern tells them apart. */
export type Range = readonly [least: number, greatest: number];

/** Source → block (IN00 … OUT11, BASE) → strength; blocks that the source does not change are left out. */
export type BlockStrengths = Readonly<Partial<Record<Role, Readonly<Record<string, Range>>>>>;

export function blockStrengths(plan: Plan): BlockStrengths {
  const { recipe } = plan;
  const tensors = [...plan.tensors.unet, ...plan.tensors.text_encoder];
  const adapters = [...adapterSources(recipe), ...motionLoraSources(recipe)].map(({ role, strength, blocks }) => {
    const changed = tensors.filter(({ terms }) => terms.some(({ of }) => of === role));
    const strengthOf = ({ component, name }: PlannedTensor) =>
      strength[component === 'text_encoder' ? 'text_encoder' : 'unet'] * blockWeight(blocks, component, name);
    return [role, rangesOf(changed, strengthOf)] as const;
  });
  const { gamma, blocks, mode, base } = recipe.motion;
  const scaled = tensors.filter(
    ({ name, kind }) =>
      name.includes('.motion_modules.') &&
      kind !== 'positional-encoding' &&
      (base !== undefined || motionGain({ gamma: 2, mode }, name) === 2),
  );
  const motion = rangesOf(scaled, ({ name }) => gamma * blockWeight(blocks, 'unet', name));
  return Object.fromEntries([...adapters, ['motion', motion] as const]);
}

function rangesOf(
  tensors: readonly PlannedTensor[],
  strengthOf: (tensor: PlannedTensor) => number,
): Readonly<Record<string, Range>> {
  const byBlock = Map.groupBy(tensors, ({ component, name }) => blockOf(component, name) ?? component);
  const order = ['IN', 'M', 'OUT', 'BASE'];
  const rank = (block: string) => order.findIndex((group) => block.startsWith(group));
  const entries = [...byBlock].map(([block, list]) => {
    const strengths = list.map(strengthOf);
    return [block, [Math.min(...strengths), Math.max(...strengths)]] as const;
  });
  return Object.fromEntries(entries.sort(([a], [b]) => rank(a) - rank(b) || (a < b ? -1 : 1)));
}

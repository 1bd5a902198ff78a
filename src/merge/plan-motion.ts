/**
 * The motion module's part of a plan: the source of every motion parameter, what γ makes of it, and the motion LoRAs on it.
 *
 *   without motion.base   w = g·(m + Σ ΔLoRA)            g = γ·block where γ applies (motion.ts), else 1
 *   with it               w = mb + γ·block·(m − mb) + Σ ΔLoRA
 */
import { blockWeight } from '../architecture/block-map.ts';
import { animateDiffName } from '../architecture/names.ts';
import type { ModelParameter } from '../architecture/parameters.ts';
import { recipeMistake } from '../recipe/place.ts';
import type { Recipe } from '../recipe/schema.ts';
import { type Account, openAccount } from './account.ts';
import type { Term } from './adapters/adapter.ts';
import { checkExpectation } from './expectation.ts';
import { matchMotion, motionGain, storedPositionalEncodings } from './motion.ts';
import { type MotionFile, openMotionFile } from './motion-file.ts';
import { motionHost, motionLoraSources, warnOfMiddle } from './motion-lora.ts';
import { planAdapter } from './plan-adapters.ts';
import type { PlanFiles, Role, TensorRef } from './plan-files.ts';

/** What becomes of one motion parameter: gain · (source + terms). A positional encoding has no source; it is computed. */
export interface MotionContribution {
  readonly source: TensorRef | null;
  readonly gain: number;
  readonly terms: readonly Term[];
}

export interface PlannedMotion {
  /** By parameter name. */
  readonly contributions: ReadonlyMap<string, MotionContribution>;
  /** To compare with the sinusoid before merging. */
  readonly stored_positional_encodings: readonly TensorRef[];
  readonly warnings: readonly string[];
}

/** The recipe's motion modules. */
export interface Motion {
  readonly module: MotionFile;
  readonly base?: MotionFile;
}

/** @throws MergeError when a file is no motion module for SD1.5, or the two have different parts. */
export async function openMotion(recipe: Recipe, files: PlanFiles): Promise<Motion> {
  const module = await openMotionFile(files, 'module', recipe.motion.module);
  if (recipe.motion.base === undefined) return { module };
  const base = await openMotionFile(files, 'base', recipe.motion.base);
  if (base.layout.mid !== module.layout.mid) {
    const [has, lacks] = module.layout.mid ? [module, base] : [base, module];
    throw recipeMistake(
      recipe,
      ['motion', 'base'],
      `motion.base and motion.module must have the same parts, but ${has.file.source.name} has a module for the middle block and ` +
        `${lacks.file.source.name} has none.`,
    );
  }
  return { module, base };
}

/** `parameters` are all of the UNet's. @throws MergeError when a file does not fit the base */
export async function planMotion(
  recipe: Recipe,
  parameters: readonly ModelParameter[],
  { motion: { module, base }, files }: { motion: Motion; files: PlanFiles },
): Promise<PlannedMotion> {
  const { motion } = recipe;
  const ours = parameters.filter((parameter) => parameter.motion);
  const warnings: string[] = [];
  const stored: TensorRef[] = [];

  const take = (source: MotionFile, role: Role) => {
    const index = files.add(source.file, role);
    const account = openAccount(source.file.source.name, source.file.tensors.keys(), 'motion');
    const found = matchMotion(ours, source.file, source.layout, account);
    if (source.wholeUnet) {
      const left = ignoreSpatial(source, parameters, account);
      warnings.push(
        `${role} (${source.file.source.name}) holds a whole UNet. Its motion modules are taken, its ${left} other tensors are not: those come from the base.`,
      );
    }
    const modules = new Set([...found.keys()].map((name) => name.replace(/(?<=\.motion_modules\.\d+)\..*$/, ''))).size;
    files.settle(
      index,
      account.close({ allow: motion.allow_unmatched, candidates: ours.map(({ name }) => animateDiffName(name)) }),
      { modules: { unet: modules } },
    );
    for (const tensor of storedPositionalEncodings(source.file)) stored.push({ file: index, tensor });
    const ref = (name: string): TensorRef => ({ file: index, tensor: found.get(name) as string });
    return { ref, modules };
  };

  const origin = base && take(base, 'motion.base');
  const target = take(module, 'motion');
  checkExpectation(recipe, ['motion'], {
    path: module.file.source.name,
    expected: motion.expect?.modules,
    found: target.modules,
  });

  const deltas = new Map<string, Term[]>();
  const host = motionHost(ours, module.layout);
  for (const source of motionLoraSources(recipe)) {
    const planned = await planAdapter(files, source, host);
    checkExpectation(recipe, source.key, { path: source.path, expected: source.modules, found: planned.modules });
    for (const { parameter, term } of planned.terms)
      deltas.set(parameter.name, [...(deltas.get(parameter.name) ?? []), term]);
    warnings.push(...planned.warnings, ...warnOfMiddle(source, planned.accounting));
  }

  const contribution = ({ name, kind }: ModelParameter): MotionContribution => {
    if (kind === 'positional-encoding') return { source: null, gain: 1, terms: [] };
    const gamma = motion.gamma * blockWeight(motion.blocks, 'unet', name);
    const loras = deltas.get(name) ?? [];
    if (!origin)
      return { source: target.ref(name), gain: motionGain({ gamma, mode: motion.mode }, name), terms: loras };
    const difference: Term = {
      kind: 'difference',
      of: 'motion',
      operands: { weight: target.ref(name), origin: origin.ref(name) },
      scale: gamma,
    };
    return { source: origin.ref(name), gain: 1, terms: [difference, ...loras] };
  };
  return {
    contributions: new Map(ours.map((parameter) => [parameter.name, contribution(parameter)])),
    stored_positional_encodings: stored,
    warnings,
  };
}

/** AnimateDiff's trainer saves the UNet with its motion modules; its loader takes those alone. Tells how many tensors are left. */
function ignoreSpatial({ layout }: MotionFile, parameters: readonly ModelParameter[], account: Account): number {
  const spatial = parameters.flatMap(({ name, motion }) => (motion ? [] : (layout.tensors.get(name) ?? [])));
  for (const tensor of spatial) account.ignore('spatial-weights', tensor);
  return spatial.length;
}

/** What a plan comes to in figures: the sum of equation 2, what each file gives, and what is written for each component. */
import { basename } from 'node:path';
import { COMPONENT_EXPORTS, graphsOf } from '../export/graphs.ts';
import { IGNORE_RULES, type IgnoreRule } from '../merge/account.ts';
import type { Plan, PlannedFile, PlannedTensor } from '../merge/plan.ts';
import { strengthOf } from '../merge/source-strength.ts';
import { dtypeOf } from '../recipe/number-format.ts';
import type { Recipe } from '../recipe/schema.ts';
import { formatBytes, formatNumber } from '../text/quantity.ts';

/** AnimateLCM's eq. 2 with the recipe's numbers and files; a γ in the residual is no weight of τ, but stands where it does. */
export function equation({ personalized, lcm, motion }: Recipe): string {
  const terms = [
    ...personalized.map(({ alpha, lora, checkpoint = '' }) => [alpha, lora ?? checkpoint] as const),
    ...(lcm ? [[lcm.beta, lcm.lora] as const] : []),
    [motion.gamma, motion.module] as const,
  ];
  return `w′ = w0 + ${terms.map(([strength, file]) => `${formatNumber(strength)}·τ(${basename(file)})`).join(' + ')}`;
}

export interface FileFigures {
  readonly role: PlannedFile['role'];
  readonly strength: string;
  readonly size: string;
  /** `110 of 188`, or all of them. */
  readonly tensors: string;
  readonly modules: string;
  readonly rank: string;
  readonly file: string;
  /** What was left aside, and why: a line for each rule. */
  readonly ignored: readonly string[];
  /** What the recipe lets go unmatched, as a sentence. */
  readonly unmatched?: string;
}

/** Names of unmatched tensors that are told; the rest is a number. */
const MAX_NAMES = 6;

export function fileFigures({ recipe, files }: Pick<Plan, 'recipe' | 'files'>): readonly FileFigures[] {
  return files.map(({ role, path, bytes, accounting, modules, ranks }) => {
    const { tensors, applied, ignored, allowed_unmatched: left } = accounting;
    const rules = Object.entries(ignored) as [IgnoreRule, number][];
    const more = left.length > MAX_NAMES ? ` … and ${left.length - MAX_NAMES} more` : '';
    return {
      role,
      strength: shownStrength(recipe, role),
      size: formatBytes(bytes),
      tensors: applied === tensors ? String(tensors) : `${applied} of ${tensors}`,
      modules: modules ? String(Object.values(modules).reduce((sum, n) => sum + n, 0)) : '–',
      rank: ranks?.join(', ') || '–',
      file: basename(path),
      ignored: rules.map(([rule, n]) => `${role}: ${n} ignored by ${rule}, ${IGNORE_RULES[rule]}`),
      ...(left.length > 0 && {
        unmatched: `${role}: ${left.length} unmatched, as its allow_unmatched says: ${left.slice(0, MAX_NAMES).join(', ')}${more}`,
      }),
    };
  });
}

const SYMBOLS: Readonly<Record<string, string>> = { alpha: 'α', beta: 'β', gamma: 'γ' };

function shownStrength(recipe: Recipe, role: PlannedFile['role']): string {
  const [first] = Object.entries(strengthOf(recipe, role) ?? {});
  return first ? `${SYMBOLS[first[0]]} ${formatNumber(first[1])}` : '–';
}

export interface ComponentFigures {
  readonly folder: string;
  readonly tensors: number;
  /** By a LoRA, a checkpoint or γ. */
  readonly changed: number;
  /** Of its weights as they are written; padding between them is left out. */
  readonly bytes: number;
  /** Names in the folder. */
  readonly files: readonly string[];
}

export function componentFigures(plan: Plan): readonly ComponentFigures[] {
  return COMPONENT_EXPORTS.filter(({ component }) => plan.components.includes(component)).map((row) => {
    const tensors = plan.tensors[row.component];
    const size = dtypeOf(plan.recipe, row.component) === 'fp16' ? 2 : 4;
    return {
      folder: row.folder,
      tensors: tensors.length,
      changed: tensors.filter(isChanged).length,
      bytes: tensors.reduce((sum, { shape }) => sum + shape.reduce((n, dim) => n * dim, size), 0),
      files: [...graphsOf(plan, row).map(({ file }) => file), 'model.onnx_data'],
    };
  });
}

const isChanged = ({ terms, gain }: PlannedTensor) => gain !== 1 || terms.some(({ scale }) => scale !== 0);

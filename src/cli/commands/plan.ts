/** `plan`, and `--dry-run`: everything that the plan has decided, as tables and as one JSON object. */
import { basename } from 'node:path';
import type { Component } from '../../architecture/names.ts';
import { type Cost, predictCost } from '../../export/cost.ts';
import { layOutComponents } from '../../export/layouts.ts';
import { fetchedFile, makeLock } from '../../export/lock.ts';
import { measureEffects } from '../../merge/bake.ts';
import { type Effects, effectWarnings } from '../../merge/effects.ts';
import type { Plan, PlannedFile } from '../../merge/plan.ts';
import { strengthOf } from '../../merge/source-strength.ts';
import { type BlockStrengths, blockStrengths, type Range } from '../../merge/strengths.ts';
import { planRecipe } from '../../publish/plan-recipe.ts';
import { describeShapes } from '../../recipe/clip-shapes.ts';
import type { Recipe } from '../../recipe/schema.ts';
import { table } from '../../text/columns.ts';
import { formatBytes, formatNumber } from '../../text/quantity.ts';
import { type Paint, sanitise } from '../../text/terminal.ts';
import type { Command, Outcome } from '../context.ts';

export const planCommand: Command<'plan'> = async (args, { signal, follow, paint }) => {
  const plan = await follow(planRecipe(args.recipe, { ...args, signal }));
  const outcome = describePlan(plan, paint);
  if (!args.effects) return outcome;
  const effects = await follow(measureEffects(plan, signal));
  const found = effectWarnings(effects, plan.files);
  const warnings = [...outcome.value.warnings, ...found];
  const text = [outcome.text, renderEffects(effects, paint), ...found.map((warning) => renderWarning(warning, paint))];
  return { value: { ...outcome.value, warnings, effects }, text: text.join('\n\n') };
};

export function describePlan(plan: Plan, paint: Paint): Outcome & { readonly value: Summary } {
  const value = summarise(plan);
  return { value, text: render(value, paint) };
}

type Summary = ReturnType<typeof summarise>;

function summarise(plan: Plan) {
  const { recipe, motion, warnings } = plan;
  // counted by the lock itself, so that plan and package cannot disagree
  const { rules } = makeLock(plan, { inputs: [], outputs: {} });
  const layouts = layOutComponents(plan);
  const components = layouts.map(({ component, folder, layout }) => {
    const tensors = plan.tensors[component].length;
    const files = layout.files.map(({ location, bytes }) => ({ file: `${folder}/${location}`, bytes }));
    return [component, { files, bytes: layout.bytes, tensors, rules: rules[component] ?? {} }] as const;
  });
  return {
    name: recipe.name,
    sources: plan.files.map((file) => describeSource(recipe, file)),
    components: Object.fromEntries(components) as Partial<Record<Component, (typeof components)[number][1]>>,
    motion: describeMotion(motion),
    sampler: recipe.sampler,
    output: recipe.output,
    bytes: components.reduce((sum, [, { bytes }]) => sum + bytes, 0),
    strengths: blockStrengths(plan),
    cost: predictCost(plan, layouts),
    warnings,
  };
}

const describeMotion = ({ stored_positional_encodings: _, ...motion }: Plan['motion']) => motion;

function describeSource(
  recipe: Recipe,
  { role, path, container, bytes, accounting, modules, ranks, alphas }: PlannedFile,
) {
  const strength = strengthOf(recipe, role);
  const fetched = fetchedFile(recipe, path);
  return {
    role,
    file: path,
    container,
    bytes,
    ...accounting,
    ...(modules && { modules, ranks, alphas }),
    ...(strength && { strength }),
    ...(fetched && { reference: fetched.reference, commit: fetched.commit }),
  };
}

function render(plan: Summary, paint: Paint): string {
  const heading = (text: string) => paint('bold', text);
  const { dtype, vae_dtype = dtype, targets } = plan.output;
  const components = Object.entries(plan.components);
  return [
    heading(sanitise(plan.name)),
    `${describeShapes(plan.output)}, ${dtype}${vae_dtype === dtype ? '' : ` (VAE ${vae_dtype})`}, targets ${targets.join(', ')}; ${plan.sampler.kind}, ${plan.sampler.steps} steps, guidance ${plan.sampler.guidance}`,
    ...(plan.motion.stretched_from === undefined
      ? []
      : [`${plan.motion.positions} motion positions, stretched from ${plan.motion.stretched_from}`]),
    '',
    heading('Sources'),
    table([['role', 'file', 'container', 'size', 'tensors', 'applied'], ...plan.sources.map(sourceRow)], {
      right: [3, 4, 5],
    }),
    '',
    heading('LoRAs and motion'),
    table([
      ['role', 'modules', 'rank', 'alpha', 'strength'],
      ...plan.sources.filter(({ strength }) => strength).map(adapterRow),
    ]),
    '',
    ...renderStrengths(plan.strengths, heading),
    ...plan.sources.flatMap(leftAside),
    heading('Tensors by rule'),
    table(
      components.flatMap(([component, { rules }]) =>
        Object.entries(rules).map(([rule, n]) => [component, String(n), rule]),
      ),
      { right: [1] },
    ),
    '',
    heading('Weights to write'),
    table(
      [
        ...components.flatMap(([, { files }]) => files.map(({ file, bytes }) => [file, formatBytes(bytes)])),
        ['in all', formatBytes(plan.bytes)],
      ],
      { right: [1] },
    ),
    '',
    heading('What it takes'),
    renderCost(plan.cost),
    ...plan.warnings.flatMap((warning) => ['', renderWarning(warning, paint)]),
  ].join('\n');
}

const renderWarning = (warning: string, paint: Paint) => `${paint('yellow', 'warning:')} ${sanitise(warning)}`;

type Source = Summary['sources'][number];

function sourceRow({ role, file, container, bytes, tensors, applied }: Source): string[] {
  return [role, sanitise(basename(file)), container, formatBytes(bytes), String(tensors), String(applied)];
}

function adapterRow({ role, modules, ranks, alphas, strength }: Source): string[] {
  const counts = Object.entries(modules ?? {}).filter(([, n]) => n > 0);
  return [
    role,
    counts.map(([component, n]) => `${n} ${component}`).join(', ') || '–',
    (ranks ?? []).join(', ') || '–',
    (alphas ?? []).map((alpha) => (alpha === null ? 'none' : formatNumber(alpha))).join(', ') || '–',
    Object.entries(strength ?? {})
      .map(([name, value]) => `${name} ${formatNumber(value)}`)
      .join(', '),
  ];
}

/** Nothing for sources that act everywhere alike: their strength stands above. */
function renderStrengths(strengths: BlockStrengths, heading: (text: string) => string): string[] {
  const uneven = (Object.entries(strengths) as [string, Readonly<Record<string, Range>>][]).filter(([, blocks]) => {
    const values = Object.entries(blocks).flatMap(([block, range]) => (block === 'BASE' ? [] : range));
    return new Set(values).size > 1;
  });
  if (uneven.length === 0) return [];
  const names = [...new Set(uneven.flatMap(([, blocks]) => Object.keys(blocks)))];
  const shown = (range: Range | undefined) => {
    if (!range) return '–';
    const [least, greatest] = range;
    return least === greatest ? formatNumber(least) : `${formatNumber(least)} … ${formatNumber(greatest)}`;
  };
  const rows = names.map((block) => [block, ...uneven.map(([, blocks]) => shown(blocks[block]))]);
  return [heading('Strength by block'), table([['block', ...uneven.map(([role]) => role)], ...rows]), ''];
}

function renderCost({ read_bytes, written_bytes, flops, seconds, peak_bytes }: Cost): string {
  return (
    `${formatBytes(read_bytes)} to read, ${formatBytes(written_bytes)} to write, ${formatNumber(Number((flops / 1e9).toPrecision(3)))} GFLOP; ` +
    `about ${formatNumber(seconds)} s and ${formatBytes(Number(peak_bytes.toPrecision(2)))} of memory to bake`
  );
}

function leftAside({ role, ignored, allowed_unmatched }: Source): string[] {
  const rules = Object.entries(ignored).map(([rule, n]) => `${role}: ${n} ignored (${rule})`);
  const allowed =
    allowed_unmatched.length === 0 ? [] : [`${role}: ${allowed_unmatched.length} unmatched, as the recipe allows`];
  const lines = [...rules, ...allowed];
  return lines.length === 0 ? [] : [...lines, ''];
}

/** ‖Δ‖/‖W‖ in percent, a row per block and a column per source. */
function renderEffects({ sampled, unchanged, sources, blocks, pairs }: Effects, paint: Paint): string {
  const roles = Object.keys(sources) as (keyof typeof sources)[];
  const cells = (values: Effects['sources'], kept: number) => [
    ...roles.map((role) => (values[role] === undefined ? '–' : percent(values[role]))),
    percent(kept),
  ];
  return [
    paint('bold', `Effects: ‖Δ‖/‖W‖ by block, on ${percent(sampled)} of the changed weights`),
    table(
      [
        ['block', ...roles, 'unchanged after rounding'],
        ...Object.entries(blocks).map(([block, { sources: ofBlock, unchanged: kept }]) => [
          block,
          ...cells(ofBlock, kept),
        ]),
        ['all', ...cells(sources, unchanged)],
      ],
      { right: roles.map((_, i) => i + 1).concat(roles.length + 1) },
    ),
    ...pairs.map(
      ({ a, b, cosine, opposed }) =>
        `${a} and ${b}: cosine ${cosine.toFixed(3)}, opposite signs in ${percent(opposed)} of the weights that both change`,
    ),
  ].join('\n');
}

function percent(value: number): string {
  return `${Number((value * 100).toPrecision(3))} %`;
}

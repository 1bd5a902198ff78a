/** What a recipe comes to: the sum with its strengths, the files with what is taken from them; or what is wrong with it. */
import { basename } from 'node:path';
import { formatBytes, formatNumber, table } from '../../cli/format.ts';
import type { Plan, PlannedFile } from '../../merge/plan.ts';
import { describeShapes } from '../../recipe/clip-shapes.ts';
import type { Recipe } from '../../recipe/schema.ts';
import type { PlanView } from '../state.ts';
import { Marked, Words } from '../theme.tsx';
import { Pane, type PaneProps } from './pane.tsx';

export interface PlanPaneProps extends Pick<PaneProps, 'box' | 'focused' | 'offset' | 'onLimit'> {
  readonly view: PlanView | undefined;
}

export function PlanPane({ view, ...pane }: PlanPaneProps) {
  return (
    <Pane
      title="Plan"
      {...pane}
      head={view && <Words style="bold">{view.status === 'ready' ? view.plan.recipe.name : view.recipe}</Words>}
    >
      {view === undefined && <Words>No recipe has been planned. Choose one in Recipes and press Enter.</Words>}
      {view?.status === 'reading' && <Marked mark="working">Reading the recipe and the headers of its files</Marked>}
      {view?.status === 'wrong' &&
        view.problems.map((problem) => (
          <Marked key={problem} mark="failed">
            {problem}
          </Marked>
        ))}
      {view?.status === 'ready' && <Planned plan={view.plan} out={view.out} />}
    </Pane>
  );
}

function Planned({ plan, out }: { readonly plan: Plan; readonly out: string }) {
  const { recipe, files, warnings } = plan;
  const { kind, steps, guidance } = recipe.sampler;
  return (
    <>
      <Words>{equation(recipe)}</Words>
      <Words>{`${describeShapes(recipe.output)}, ${recipe.output.dtype}; ${kind}, ${steps} steps, guidance ${formatNumber(guidance)}`}</Words>
      <Words>{`“${recipe.verify.prompt}”, seed ${recipe.verify.seed} → ${out}`}</Words>
      <Words> </Words>
      {table([HEADINGS, ...files.map((file) => sourceRow(recipe, file))], { right: [2, 3] })
        .split('\n')
        .map((row, i) => (
          <Words
            key={i === 0 ? 'headings' : `${files[i - 1]?.role} ${files[i - 1]?.path}`}
            style={i === 0 ? 'dim' : undefined}
            wrap="truncate-end"
          >
            {row}
          </Words>
        ))}
      {warnings.map((warning) => (
        <Marked key={warning} mark="warning">
          {warning}
        </Marked>
      ))}
    </>
  );
}

/** AnimateLCM's eq. 2 with the recipe's numbers and files; a γ in the residual is no weight of τ, but stands where it does. */
function equation({ personalized, lcm, motion }: Recipe): string {
  const terms = [
    ...personalized.map(({ alpha, lora, checkpoint = '' }) => [alpha, lora ?? checkpoint] as const),
    ...(lcm ? [[lcm.beta, lcm.lora] as const] : []),
    [motion.gamma, motion.module] as const,
  ];
  return `w′ = w0 + ${terms.map(([strength, file]) => `${formatNumber(strength)}·τ(${basename(file)})`).join(' + ')}`;
}

const HEADINGS = ['source', 'strength', 'size', 'tensors', 'modules', 'rank', 'file'];

function sourceRow(recipe: Recipe, { role, path, bytes, accounting, modules, ranks }: PlannedFile): string[] {
  const { tensors, applied } = accounting;
  const changed = Object.values(modules ?? {}).reduce((sum, n) => sum + n, 0);
  return [
    role,
    strengthOf(recipe, role),
    formatBytes(bytes),
    applied === tensors ? String(tensors) : `${applied} of ${tensors}`,
    modules ? String(changed) : '–',
    ranks?.join(', ') || '–',
    basename(path),
  ];
}

function strengthOf({ personalized, lcm, motion }: Recipe, role: PlannedFile['role']): string {
  if (role === 'motion') return `γ ${formatNumber(motion.gamma)}`;
  if (role === 'lcm') return `β ${formatNumber(lcm?.beta ?? 0)}`;
  const source =
    personalized.find((_, i) => role === `personalized[${i}]`) ??
    motion.loras.find((_, i) => role === `motion.loras[${i}]`);
  return source ? `α ${formatNumber(source.alpha)}` : '–';
}

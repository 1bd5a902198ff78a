/** What a recipe comes to: the sum with its strengths, what each file gives, what is written; or what is wrong with it. */
import { Box } from 'ink';
import { useMemo } from 'react';
import type { Plan } from '../../merge/plan.ts';
import { describeShapes } from '../../recipe/clip-shapes.ts';
import { table } from '../../text/columns.ts';
import { formatBytes, formatNumber } from '../../text/quantity.ts';
import type { PlanView } from '../model.ts';
import { componentFigures, equation, type FileFigures, fileFigures } from '../plan-figures.ts';
import { Marked, Words } from '../theme.tsx';
import { PANE_SIDES, Pane, type PaneProps } from './pane.tsx';

export interface PlanPaneProps extends Pick<PaneProps, 'box' | 'focused' | 'offset' | 'onLimit'> {
  readonly view: PlanView | undefined;
  /** A newer plan is being read: this is what held before. */
  readonly stale?: boolean;
}

export function PlanPane({ view, stale = false, ...pane }: PlanPaneProps) {
  return (
    <Pane title="Plan" {...pane} head={view && <Head view={view} stale={stale} />}>
      {view === undefined && <Words>No recipe has been planned. Choose one in Recipes and press Enter.</Words>}
      {view?.status === 'reading' && <Marked mark="working">Reading the recipe and the headers of its files</Marked>}
      {view?.status === 'wrong' && <Wrong problems={view.problems} />}
      {view?.status === 'ready' && <Planned plan={view.plan} out={view.out} columns={pane.box.width - PANE_SIDES} />}
    </Pane>
  );
}

function Head({ view, stale }: { readonly view: PlanView; readonly stale: boolean }) {
  const name = view.status === 'ready' ? view.plan.recipe.name : view.recipe;
  if (!stale) return <Words style="bold">{name}</Words>;
  return <Marked mark="working" style="bold">{`${name}, as it was before the last change`}</Marked>;
}

function Wrong({ problems }: { readonly problems: readonly string[] }) {
  return (
    <>
      {problems.map((problem) => (
        <Marked key={problem} mark="failed">
          {problem}
        </Marked>
      ))}
      <Words> </Words>
      <Marked mark="note">Nothing is written while this is so.</Marked>
    </>
  );
}

function Planned({ plan, out, columns }: { readonly plan: Plan; readonly out: string; readonly columns: number }) {
  const { recipe, warnings } = plan;
  const { kind, steps, guidance } = recipe.sampler;
  const files = useMemo(() => fileFigures(plan), [plan]);
  return (
    <>
      {warnings.map((warning) => (
        <Marked key={warning} mark="warning">
          {warning}
        </Marked>
      ))}
      {files.map(({ unmatched }) =>
        unmatched === undefined ? null : (
          <Marked key={unmatched} mark="warning">
            {unmatched}
          </Marked>
        ),
      )}
      <Words>{equation(recipe)}</Words>
      <Words>{`${describeShapes(recipe.output)}, ${recipe.output.dtype}; ${kind}, ${steps} steps, guidance ${formatNumber(guidance)}`}</Words>
      <Words>{`“${recipe.verify.prompt}”, seed ${recipe.verify.seed}`}</Words>
      <Words> </Words>
      <Table rows={fileRows(files, columns)} />
      {files.flatMap(({ ignored }) =>
        ignored.map((line) => (
          <Marked key={line} mark="note">
            {line}
          </Marked>
        )),
      )}
      <Words> </Words>
      <Written plan={plan} out={out} />
    </>
  );
}

function Written({ plan, out }: { readonly plan: Plan; readonly out: string }) {
  const components = useMemo(() => componentFigures(plan), [plan]);
  const bytes = components.reduce((sum, { bytes: own }) => sum + own, 0);
  const rows = components.map(({ folder, tensors, changed, bytes: own }) => [
    folder,
    String(tensors),
    String(changed),
    formatBytes(own),
  ]);
  return (
    <>
      <Words style="bold">{`→ ${out}  ${formatBytes(bytes)} of weights`}</Words>
      <Table rows={[['part', 'tensors', 'changed', 'size'], ...rows]} right={[1, 2, 3]} />
      {components.map(({ folder, files }) => (
        <Box key={folder} paddingLeft={2}>
          <Words style="dim">{`${folder}/ ${files.join(' ')}`}</Words>
        </Box>
      ))}
    </>
  );
}

type Column = readonly [title: string, cell: (file: FileFigures) => string];

const NARROW: readonly Column[] = [
  ['source', ({ role }) => role],
  ['strength', ({ strength }) => strength],
  ['tensors', ({ tensors }) => tensors],
  ['file', ({ file }) => file],
];
const WIDE: readonly Column[] = [
  ...NARROW.slice(0, 2),
  ['size', ({ size }) => size],
  ['tensors', ({ tensors }) => tensors],
  ['modules', ({ modules }) => modules],
  ['rank', ({ rank }) => rank],
  ['file', ({ file }) => file],
];
/** From here on all columns have room, and a file's name in the last one as well. */
const WIDE_FROM = 90;

function fileRows(files: readonly FileFigures[], columns: number): string[][] {
  const shown = columns < WIDE_FROM ? NARROW : WIDE;
  return [shown.map(([title]) => title), ...files.map((file) => shown.map(([, cell]) => cell(file)))];
}

/** The first row is a heading. A line that is too long is cut: what ends it is told elsewhere. */
function Table({ rows, right = [] }: { readonly rows: readonly string[][]; readonly right?: readonly number[] }) {
  const [heading = '', ...lines] = table(rows, { right }).split('\n');
  return (
    <>
      <Words style="dim" wrap="truncate-end">
        {heading}
      </Words>
      {lines.map((line) => (
        <Words key={line} wrap="truncate-end">
          {line}
        </Words>
      ))}
    </>
  );
}

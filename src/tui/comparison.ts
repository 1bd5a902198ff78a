/**
 * Clips side by side: packages are marked in a list, or one recipe is sampled at several strengths; then their clips move on one
 * wall, with the figures below. Pure; who runs the stage reads `requestOf`.
 */

import { whyNotBeside } from '../compare/beside.ts';
import type { FoundPackage } from '../compare/find-packages.ts';
import { packageRows } from '../compare/grid.ts';
import type { Event } from '../events.ts';
import { type Axis, clipLabels } from '../sweep/axis.ts';
import { formatDuration } from '../text/quantity.ts';
import { hearStage, type StageRow } from './job.ts';
import { isMove } from './keys.ts';
import { LINES, moved } from './moves.ts';
import { hearTile, obeyWall, startWall, tickWall, type Wall, type WallCommand } from './wall.ts';

/** One recipe, with one or two of its numbers at each of their values. */
export interface SweepSource {
  readonly kind: 'sweep';
  /** Its file, and its text at the time. */
  readonly recipe: string;
  readonly text: string;
  readonly x: Axis;
  readonly y?: Axis;
  /** Of clips. */
  readonly total: number;
  /** What the recipe is verified with. */
  readonly suggests?: { readonly prompt: string; readonly seed: number };
}

export type ComparisonSource = { readonly kind: 'packages' } | SweepSource;

/** What is sampled with; what is not said is as the first recipe says. */
export interface Wish {
  readonly prompt?: string;
  readonly seed?: number;
}

/** What a stage is asked for: `packages` are folders, the first is what the others are measured against. */
export type ComparisonRequest = Wish &
  ({ readonly kind: 'packages'; readonly packages: readonly string[] } | SweepSource);

export type ComparisonRun =
  | { readonly status: 'choosing' }
  | (Watched & { readonly status: 'running' | 'stopping'; readonly row?: StageRow })
  /** The figures as cells, titles first. */
  | (Watched & { readonly status: 'done'; readonly figures: readonly (readonly string[])[] })
  | (Watched & { readonly status: 'stopped' })
  | (Watched & { readonly status: 'failed'; readonly problems: readonly string[] });

interface Watched {
  readonly request: ComparisonRequest;
  /** As far as they are known. */
  readonly sampled: Wish;
  readonly wall: Wall;
  readonly warnings: readonly string[];
}

export interface Comparison extends Wish {
  readonly source: ComparisonSource;
  /** Undefined while they are looked for. */
  readonly packages: readonly FoundPackage[] | undefined;
  readonly selected: number;
  /** Folders, in the order in which they were marked. */
  readonly marked: readonly string[];
  readonly run: ComparisonRun;
  /** Why the last command did nothing. */
  readonly notice?: string;
}

export type ComparisonCommand = WallCommand | 'page-up' | 'page-down' | 'open' | 'toggle' | 'back';

export const NO_COMPARISON: Comparison = {
  source: { kind: 'packages' },
  packages: undefined,
  selected: 0,
  marked: [],
  run: { status: 'choosing' },
};

/** One clip is no comparison. */
const LEAST = 2;

/** The packages were looked for; marks of those that are gone go with them. */
export function packagesFound(comparison: Comparison, packages: readonly FoundPackage[]): Comparison {
  const folders = new Set(packages.map(({ folder }) => folder));
  return {
    ...comparison,
    packages,
    selected: Math.max(0, Math.min(comparison.selected, packages.length - 1)),
    marked: comparison.marked.filter((folder) => folders.has(folder)),
  };
}

/** An empty prompt is the recipe's again. */
export function setPrompt({ prompt: _, notice: __, ...comparison }: Comparison, text: string): Comparison {
  return text.trim() === '' ? comparison : { ...comparison, prompt: text.trim() };
}

/** An empty seed is the recipe's again; what is no seed says so. */
export function setSeed(comparison: Comparison, text: string): Comparison {
  const { seed: _, notice: __, ...without } = comparison;
  if (text.trim() === '') return without;
  const seed = Number(text);
  if (/^\s*\d+\s*$/.test(text) && Number.isSafeInteger(seed)) return { ...without, seed };
  return { ...comparison, notice: `“${text}” is no seed; a whole number from 0 on is.` };
}

export function obeyComparison({ notice: _, ...comparison }: Comparison, command: ComparisonCommand): Comparison {
  const { run } = comparison;
  if (command === 'open') return start(comparison);
  if (run.status === 'choosing') return choose(comparison, command);
  if (command === 'back') {
    if (run.status === 'running') return { ...comparison, run: { ...run, status: 'stopping' } };
    return run.status === 'stopping'
      ? comparison
      : { ...comparison, source: { kind: 'packages' }, run: { status: 'choosing' } };
  }
  if (command === 'page-up' || command === 'page-down') return comparison;
  const wall = obeyWall(run.wall, command === 'toggle' ? 'play' : command);
  return wall === run.wall ? comparison : { ...comparison, run: { ...run, wall } };
}

export function hearComparison(comparison: Comparison, event: Event, at: number): Comparison {
  const { run } = comparison;
  if (run.status !== 'running' && run.status !== 'stopping') return comparison;
  switch (event.type) {
    case 'tile': {
      const { type: _, stage: __, ...tile } = event;
      return { ...comparison, run: { ...run, wall: hearTile(run.wall, tile) } };
    }
    case 'warning':
      return { ...comparison, run: { ...run, warnings: [...new Set([...run.warnings, event.message])] } };
    default: {
      const row = hearStage(run.row, event, at);
      return row === undefined || row === run.row ? comparison : { ...comparison, run: { ...run, row } };
    }
  }
}

/** It is done. `figures` are cells, titles first; without them they are what the clips came with. */
export function compared(comparison: Comparison, figures?: readonly (readonly string[])[]): Comparison {
  return ended(comparison, (run) => ({ ...run, status: 'done', figures: figures ?? figuresOf(run.wall) }));
}

export function comparisonFailed(comparison: Comparison, problems: readonly string[]): Comparison {
  return ended(comparison, (run) => ({ ...run, status: 'failed', problems }));
}

export function comparisonStopped(comparison: Comparison): Comparison {
  return ended(comparison, (run) => ({ ...run, status: 'stopped' }));
}

/** Time has passed; the same comparison as long as no frame is due. */
export function tickComparison(comparison: Comparison, now: number): Comparison {
  const { run } = comparison;
  if (run.status === 'choosing') return comparison;
  const wall = tickWall(run.wall, now);
  return wall === run.wall ? comparison : { ...comparison, run: { ...run, wall } };
}

export function isComparing({ run: { status } }: Comparison): boolean {
  return status === 'running' || status === 'stopping';
}

/** What is being compared, or was; the same object as long as it is the same run. */
export function requestOf({ run }: Comparison): ComparisonRequest | undefined {
  return run.status === 'choosing' ? undefined : run.request;
}

/** Prompt and seed that will be taken, and where they come from when nothing was said. */
export function wishOf(comparison: Comparison): Wish {
  const { source, prompt, seed, packages, marked, selected } = comparison;
  const first = packages?.find(({ folder }) => folder === marked[0]) ?? packages?.[selected];
  const ofPackage = first?.kind === 'package' ? first.suggests : undefined;
  const suggested = source.kind === 'sweep' ? source.suggests : ofPackage;
  return { ...suggested, ...(prompt !== undefined && { prompt }), ...(seed !== undefined && { seed }) };
}

/** Why a package cannot be marked, as a sentence; undefined when it can. */
export function whyNot({ packages, marked }: Comparison, found: FoundPackage): string | undefined {
  if (found.kind === 'broken') return found.problem;
  const first = packages?.find(({ folder }) => folder === marked[0]);
  return first?.kind === 'package' ? whyNotBeside(first, found) : undefined;
}

// ---------------------------------------------------------------------------------------------------- choosing

function choose(comparison: Comparison, command: Exclude<ComparisonCommand, 'open'>): Comparison {
  if (command === 'toggle') return toggle(comparison);
  if (!isMove(command)) return comparison;
  const { selected, packages = [] } = comparison;
  return { ...comparison, selected: moved(selected, LINES[command], packages.length) };
}

function toggle(comparison: Comparison): Comparison {
  const { packages, selected, marked } = comparison;
  const found = packages?.[selected];
  if (!found) return comparison;
  const without = marked.filter((folder) => folder !== found.folder);
  const reason = without.length < marked.length ? undefined : whyNot(comparison, found);
  if (reason !== undefined) return { ...comparison, notice: reason };
  return { ...comparison, marked: without.length < marked.length ? without : [...marked, found.folder] };
}

/** Also again, with another prompt or seed. */
function start(comparison: Comparison): Comparison {
  if (isComparing(comparison)) return comparison;
  const { source, marked, prompt, seed } = comparison;
  const wish: Wish = { ...(prompt !== undefined && { prompt }), ...(seed !== undefined && { seed }) };
  if (source.kind === 'sweep')
    return begin(
      comparison,
      { ...source, ...wish },
      startWall(source.total, source.y && source.x.values.length, clipLabels(source.x, source.y)),
    );
  if (marked.length < LEAST)
    return {
      ...comparison,
      notice: 'Mark two packages or more with Space; the first is what the others are measured against.',
    };
  if (wishOf(comparison).prompt === undefined)
    return { ...comparison, notice: 'The first package was not baked by lcm-merge and suggests no prompt. Type one.' };
  const labels = packageRows(marked, undefined).map(({ label }) => label);
  return begin(
    comparison,
    { kind: 'packages', packages: marked, ...wish },
    startWall(labels.length, undefined, labels),
  );
}

function begin(comparison: Comparison, request: ComparisonRequest, wall: Wall): Comparison {
  return { ...comparison, run: { status: 'running', request, sampled: wishOf(comparison), wall, warnings: [] } };
}

function ended(comparison: Comparison, end: (run: Watched) => ComparisonRun): Comparison {
  const { run } = comparison;
  if (run.status !== 'running' && run.status !== 'stopping') return comparison;
  const { request, sampled, wall, warnings } = run;
  return { ...comparison, run: end({ request, sampled, wall, warnings }) };
}

function figuresOf({ tiles }: Wall): readonly (readonly string[])[] {
  const rows = tiles.flatMap((tile) =>
    tile ? [[tile.label, formatDuration(tile.milliseconds), tile.note ?? '']] : [],
  );
  return [['clip', 'made in', ''], ...rows];
}

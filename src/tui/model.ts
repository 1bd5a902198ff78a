/** What the terminal UI knows, and what can happen to it: types, and the few ways in which everybody changes them. */
import type { FoundPackage } from '../compare/find-packages.ts';
import type { Event } from '../events.ts';
import type { Plan } from '../merge/plan.ts';
import type { MadePackage } from '../publish/make-package.ts';
import type { Published } from '../publish/place.ts';
import type { Publication } from '../publish/preview.ts';
import type { Recipe } from '../recipe/schema.ts';
import type { Frames } from '../runtime/frames.ts';
import type { Finding } from '../survey/identify.ts';
import type { Findings } from '../verify/report.ts';
import { type Comparison, NO_COMPARISON } from './comparison.ts';
import type { Editor, Failing } from './editor.ts';
import type { Effect, WorkKind } from './effects.ts';
import type { Input } from './input.ts';
import type { Job, LogLine } from './job.ts';
import type { Command } from './keys.ts';
import type { Aside, PaneName } from './layout.ts';
import type { Playback } from './playback.ts';
import { NO_PUBLICATION, type PublicationView, type PublicationWish } from './publication.ts';
import { NO_RECIPES, type RecipeEntry, type RecipeList } from './recipe-list.ts';
import type { SourceList } from './sources.ts';
import type { Wall } from './wall.ts';

/** What a recipe's text comes to. While a new text is planned, the last answer stays. */
export interface Planning {
  readonly recipe: string;
  readonly text: string;
  readonly reading: boolean;
  readonly answer?: Planned;
}

export type Planned =
  /** `out` is where a job would put the package. */
  | { readonly status: 'ready'; readonly plan: Plan; readonly out: string }
  | { readonly status: 'wrong'; readonly problems: readonly string[] };

/** The result moving, or why nothing moves. */
export type Clip =
  | ({ readonly status: 'ready'; readonly frames: Frames } & Playback)
  | { readonly status: 'absent'; readonly reason: string };

export type ScrollArea = PaneName | 'help';

/** What is being worked on. */
export interface Work {
  readonly kind: WorkKind;
  readonly stopping: boolean;
}

export interface State {
  readonly recipes: RecipeList;
  /** Of every recipe that was opened, by its file. */
  readonly editors: Readonly<Record<string, Editor>>;
  /** The recipe that the panes speak of. */
  readonly open: string | undefined;
  readonly planning: Planning | undefined;
  readonly pane: PaneName;
  readonly aside: Aside;
  readonly zoomed: boolean;
  readonly cover: 'help' | 'quit' | undefined;
  readonly input: Input | undefined;
  /** Which of the list above the line is chosen: commands, or files. */
  readonly choice: number;
  /** Files that can be a source, as they were listed last. */
  readonly sources: SourceList | undefined;
  /** The line that is being acted on: it comes back where that fails. */
  readonly asked: Input | undefined;
  readonly work: Work | undefined;
  readonly job: Job | undefined;
  /** A package that was made at another time and is looked at instead of what the job made. */
  readonly viewed: Job | undefined;
  readonly clip: Clip | undefined;
  readonly comparison: Comparison;
  readonly publication: PublicationView;
  /** Of which publication a preview was asked for. */
  readonly previewing: PublicationWish | undefined;
  /** What the last command came to, until the next one. */
  readonly notice: LogLine | undefined;
  /** A recipe to be handed to the person's editor, with the terminal. */
  readonly external: string | undefined;
  /** First line that is shown; a missing one means the beginning, or the end in the job's log. */
  readonly scroll: Readonly<Partial<Record<ScrollArea, number>>>;
  /** How far each can be scrolled, as measured on the screen. */
  readonly limits: Readonly<Partial<Record<ScrollArea, number>>>;
  /** Leave as soon as the work has stopped. */
  readonly leaving: boolean;
  /** Set when it is time to go. */
  readonly exit: number | undefined;
  /** What the last action asks to be done. */
  readonly effects: readonly Effect[];
}

export type Action =
  | { readonly type: 'begin' }
  | { readonly type: 'command'; readonly command: Command; readonly at: number }
  /** Text for the input line. */
  | { readonly type: 'typed'; readonly text: string }
  | { readonly type: 'found'; readonly entries: readonly RecipeEntry[]; readonly select?: string | undefined }
  | { readonly type: 'packages'; readonly packages: readonly FoundPackage[] }
  /** `again`: the file counts, whatever was made of it here. */
  | { readonly type: 'opened'; readonly recipe: string; readonly text: string; readonly again?: true }
  /** A recipe that was not there before, perhaps in place of another. */
  | { readonly type: 'created'; readonly recipe: string; readonly replaces?: string; readonly sentence?: string }
  | { readonly type: 'saved'; readonly recipe: string; readonly text: string; readonly edit?: true }
  /** What could be a source of the recipe, with what is to be said of the looking. */
  | {
      readonly type: 'sources';
      readonly recipe: string;
      readonly findings: readonly Finding[];
      readonly remark?: string | undefined;
    }
  /** What was typed could not be done. */
  | { readonly type: 'refused'; readonly problems: readonly string[] }
  | {
      readonly type: 'planned';
      readonly recipe: string;
      readonly text: string;
      readonly plan: Plan;
      readonly out: string;
    }
  | {
      readonly type: 'not-planned';
      readonly recipe: string;
      readonly text: string;
      readonly problems: readonly string[];
      /** The same, with what tells which fields they are about. */
      readonly failure: Failing;
    }
  /** Something that was asked for could not be done. */
  | { readonly type: 'complaint'; readonly problems: readonly string[] }
  /** The person's editor has given the terminal back. */
  | { readonly type: 'edited' }
  | { readonly type: 'event'; readonly event: Event; readonly at: number }
  | { readonly type: 'made'; readonly made: MadePackage; readonly at: number }
  /** Clips are done; their figures as cells, titles first, where there are more than came with the clips. */
  | { readonly type: 'compared'; readonly figures?: readonly (readonly string[])[] | undefined }
  /** What shows without reading the files; then the same with their hashes. */
  | { readonly type: 'surveyed'; readonly wish: PublicationWish; readonly survey: Publication }
  | { readonly type: 'previewed'; readonly wish: PublicationWish; readonly survey: Publication }
  | { readonly type: 'preview-event'; readonly wish: PublicationWish; readonly event: Event; readonly at: number }
  | { readonly type: 'not-previewed'; readonly wish: PublicationWish; readonly problems: readonly string[] }
  | { readonly type: 'published'; readonly wish: PublicationWish; readonly result: Published }
  /** A package of another time is to be looked at; undefined findings are those of one that was never verified. */
  | { readonly type: 'viewed'; readonly folder: string; readonly findings: Findings | undefined }
  /** Work that tells by its events alone what it came to. */
  | { readonly type: 'finished'; readonly kind: WorkKind }
  | { readonly type: 'broken'; readonly kind: WorkKind; readonly problems: readonly string[]; readonly at: number }
  | { readonly type: 'stopped'; readonly kind: WorkKind; readonly at: number }
  | { readonly type: 'clip'; readonly folder: string; readonly frames: Frames }
  | { readonly type: 'no-clip'; readonly folder: string; readonly reason: string }
  /** Time has passed, for what is elapsed … */
  | { readonly type: 'clock'; readonly at: number }
  /** … and for what moves. */
  | { readonly type: 'tick'; readonly at: number }
  | { readonly type: 'measured'; readonly area: ScrollArea; readonly limit: number }
  /** Asked from outside to end. */
  | { readonly type: 'terminated' };

export const INITIAL: State = {
  recipes: NO_RECIPES,
  editors: {},
  open: undefined,
  planning: undefined,
  pane: 'recipes',
  aside: 'job',
  zoomed: false,
  cover: undefined,
  input: undefined,
  choice: 0,
  sources: undefined,
  asked: undefined,
  work: undefined,
  job: undefined,
  viewed: undefined,
  clip: undefined,
  comparison: NO_COMPARISON,
  publication: NO_PUBLICATION,
  previewing: undefined,
  notice: undefined,
  external: undefined,
  scroll: {},
  limits: {},
  leaving: false,
  exit: undefined,
  effects: [],
};

export function ask(state: State, ...effects: readonly Effect[]): State {
  return { ...state, effects: [...state.effects, ...effects] };
}

export function say(state: State, mark: LogLine['mark'], text: string): State {
  return { ...state, notice: { mark, text } };
}

/** The first line of an area that is shown. */
export function scrollOf({ scroll, limits }: State, area: ScrollArea): number {
  const limit = limits[area] ?? 0;
  return Math.min(limit, scroll[area] ?? (area === 'bake' ? limit : 0));
}

/** The editor of the recipe that is open. */
export function editorOf({ editors, open = '' }: State): Editor | undefined {
  return editors[open];
}

/** The clips that stand side by side. */
export function wallOf({ comparison: { run } }: State): Wall | undefined {
  return run.status === 'choosing' ? undefined : run.wall;
}

/** Whose clip and checks are shown. */
export function shownJob({ viewed, job }: State): Job | undefined {
  return viewed ?? job;
}

/** How the recipe of the job wants to be verified, as far as it is known. */
export function verifyWish({ planning, job, viewed }: State): Recipe['verify'] | undefined {
  if (viewed) return undefined;
  const isOfJob = planning?.recipe === job?.recipe && planning?.answer?.status === 'ready';
  return isOfJob ? planning.answer.plan.recipe.verify : undefined;
}

/** A plan as the pane shows it; the one before it, while a new one is being read. */
export type PlanView = { readonly recipe: string } & ({ readonly status: 'reading' } | Planned);

export function planView({ planning }: State): { readonly view: PlanView | undefined; readonly stale: boolean } {
  if (!planning) return { view: undefined, stale: false };
  const { recipe, answer, reading } = planning;
  return { view: { recipe, ...(answer ?? { status: 'reading' }) }, stale: reading && answer !== undefined };
}

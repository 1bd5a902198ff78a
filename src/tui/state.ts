/** What the terminal UI knows, and how it changes: a pure reducer over the events of a job and the commands of the keys. */
import { EXIT_CODES } from '../cli/exit-codes.ts';
import type { Event } from '../events.ts';
import type { Plan } from '../merge/plan.ts';
import type { MadePackage } from '../publish/make-package.ts';
import type { Frames } from '../runtime/frames.ts';
import { endJob, hear, isBusy, type Job, type LogLine, startJob } from './job.ts';
import type { Command, KeyContext } from './keys.ts';
import { PANES, type PaneName } from './layout.ts';

/** `recipe` is the path under which it was listed. */
export type PlanView = { readonly recipe: string } & (
  | { readonly status: 'reading' }
  /** `out` is where a job would put the package. */
  | { readonly status: 'ready'; readonly plan: Plan; readonly out: string }
  | { readonly status: 'wrong'; readonly problems: readonly string[] }
);

/** The result moving, or why nothing moves. */
export type Clip =
  | { readonly status: 'ready'; readonly frames: Frames; readonly at: number; readonly playing: boolean }
  | { readonly status: 'absent'; readonly reason: string };

export type ScrollArea = PaneName | 'help';

export interface State {
  /** Undefined while they are looked for. */
  readonly recipes: readonly string[] | undefined;
  readonly selected: number;
  readonly pane: PaneName;
  readonly cover: 'help' | 'confirm' | undefined;
  readonly plan: PlanView | undefined;
  readonly job: Job | undefined;
  readonly clip: Clip | undefined;
  /** First line that is shown; a missing one means the beginning, or the end in the job's log. */
  readonly scroll: Readonly<Partial<Record<ScrollArea, number>>>;
  /** How far each can be scrolled, as measured on the screen. */
  readonly limits: Readonly<Partial<Record<ScrollArea, number>>>;
  /** Leave as soon as the job has stopped. */
  readonly leaving: boolean;
  /** Set when it is time to go. */
  readonly exit: number | undefined;
}

export type Action =
  | { readonly type: 'command'; readonly command: Command; readonly at: number }
  | { readonly type: 'found'; readonly recipes: readonly string[] }
  | { readonly type: 'planned'; readonly recipe: string; readonly plan: Plan; readonly out: string }
  | { readonly type: 'not-planned'; readonly recipe: string; readonly problems: readonly string[] }
  | { readonly type: 'event'; readonly event: Event; readonly at: number }
  | { readonly type: 'made'; readonly made: MadePackage; readonly at: number }
  | { readonly type: 'broken'; readonly problems: readonly string[]; readonly at: number }
  | { readonly type: 'stopped'; readonly at: number }
  | { readonly type: 'clip'; readonly frames: Frames }
  | { readonly type: 'no-clip'; readonly reason: string }
  /** Time has passed. */
  | { readonly type: 'clock'; readonly at: number }
  /** Time for the next frame. */
  | { readonly type: 'next-frame' }
  | { readonly type: 'measured'; readonly area: ScrollArea; readonly limit: number }
  /** Asked from outside to end. */
  | { readonly type: 'terminated' };

export const INITIAL: State = {
  recipes: undefined,
  selected: 0,
  pane: 'recipes',
  cover: undefined,
  plan: undefined,
  job: undefined,
  clip: undefined,
  scroll: {},
  limits: {},
  leaving: false,
  exit: undefined,
};

const PAGE = 10;

export function contextOf({ cover, pane }: State): KeyContext {
  return cover ?? pane;
}

export function scrollOf({ scroll, limits }: State, area: ScrollArea): number {
  const limit = limits[area] ?? 0;
  return Math.min(limit, scroll[area] ?? (area === 'bake' ? limit : 0));
}

export function reduce(state: State, action: Action): State {
  const { job } = state;
  switch (action.type) {
    case 'command':
      return obey(state, action.command, action.at);
    case 'found':
      return { ...state, recipes: action.recipes, selected: 0 };
    case 'planned':
      return answer(state, { recipe: action.recipe, status: 'ready', plan: action.plan, out: action.out });
    case 'not-planned':
      return answer(state, { recipe: action.recipe, status: 'wrong', problems: action.problems });
    case 'event':
      return isBusy(job) ? { ...state, job: hear(job, action.event, action.at) } : state;
    case 'made':
      return job ? ended(state, finish(job, action.made, action.at)) : state;
    case 'broken':
      return job ? ended(state, endJob(job, 'failed', action.at, failures(action.problems))) : state;
    case 'stopped':
      return job ? ended(state, endJob(job, 'stopped', action.at, [STOPPED])) : state;
    case 'clip':
      return { ...state, clip: { status: 'ready', frames: action.frames, at: 0, playing: true } };
    case 'no-clip':
      return { ...state, clip: { status: 'absent', reason: action.reason } };
    case 'clock':
      return isBusy(job) ? { ...state, job: { ...job, at: action.at } } : state;
    case 'next-frame':
      return state.clip?.status === 'ready' && state.clip.playing ? turn(state, 1, true) : state;
    case 'measured':
      return { ...state, limits: { ...state.limits, [action.area]: action.limit } };
    case 'terminated':
      return leave(state);
  }
}

const STOPPED: LogLine = { mark: 'stopped', text: 'Stopped. What was unfinished has been removed.' };

function failures(problems: readonly string[]): LogLine[] {
  return problems.map((text) => ({ mark: 'failed', text }));
}

/** A plan that was asked for and not replaced by another wish since. */
function answer(state: State, plan: PlanView): State {
  const awaited = state.plan?.status === 'reading' && state.plan.recipe === plan.recipe;
  return awaited ? { ...state, plan } : state;
}

function finish(job: Job, { folder, report, published }: MadePackage, at: number): Job {
  if (report.verdict === 'passed') {
    const where: LogLine[] = published === undefined ? [] : [{ mark: 'passed', text: `Published to ${published}` }];
    return endJob(job, 'passed', at, [{ mark: 'passed', text: `Passed: ${folder}` }, ...where], folder);
  }
  const reasons = report.checks
    .filter(({ verdict }) => verdict !== 'passed')
    .map(({ id, verdict, reason }): LogLine => ({ mark: verdict, text: `${id}: ${reason}` }));
  const kept: LogLine = { mark: 'failed', text: `Has not passed and must not be used. It is kept in ${folder}` };
  return endJob(job, 'refused', at, [...reasons, kept], folder);
}

/** Whoever was watching the job is shown what it came to. */
function ended(state: State, job: Job): State {
  const next = { passed: 'run', refused: 'gate' } as const;
  const to = job.status === 'passed' || job.status === 'refused' ? next[job.status] : state.pane;
  const unanswered = state.plan?.status === 'reading' && state.plan.recipe === job.recipe;
  return {
    ...state,
    job,
    plan: unanswered ? undefined : state.plan,
    pane: state.pane === 'bake' ? to : state.pane,
    cover: state.cover === 'confirm' ? undefined : state.cover,
    exit: state.leaving ? EXIT_CODES.done : state.exit,
  };
}

// ---------------------------------------------------------------------------------------------------- commands

function obey(state: State, command: Command, at: number): State {
  switch (command) {
    case 'up':
      return move(state, -1);
    case 'down':
      return move(state, 1);
    case 'page-up':
      return move(state, -PAGE);
    case 'page-down':
      return move(state, PAGE);
    case 'first':
      return move(state, -Infinity);
    case 'last':
      return move(state, Infinity);
    case 'open': {
      const recipe = state.recipes?.[state.selected];
      return recipe === undefined ? state : { ...state, pane: 'plan', ...reading(state, recipe) };
    }
    case 'make':
      return make(state, at);
    case 'play':
      return state.clip?.status === 'ready'
        ? { ...state, clip: { ...state.clip, playing: !state.clip.playing } }
        : state;
    case 'earlier-frame':
      return turn(state, -1, false);
    case 'later-frame':
      return turn(state, 1, false);
    case 'go-recipes':
      return { ...state, pane: 'recipes' };
    case 'go-plan':
      return { ...state, pane: 'plan' };
    case 'go-bake':
      return { ...state, pane: 'bake' };
    case 'go-run':
      return { ...state, pane: 'run' };
    case 'go-gate':
      return { ...state, pane: 'gate' };
    case 'next-pane':
      return { ...state, pane: neighbour(state.pane, 1) };
    case 'previous-pane':
      return { ...state, pane: neighbour(state.pane, -1) };
    case 'back':
      return state.pane === 'bake' && state.job?.status === 'running' ? stop(state) : { ...state, pane: 'recipes' };
    case 'help':
      return { ...state, cover: 'help', scroll: { ...state.scroll, help: 0 } };
    case 'close':
      return { ...state, cover: undefined };
    case 'interrupt':
      return state.job?.status === 'running' ? stop(state) : { ...state, exit: EXIT_CODES.SIGINT };
    case 'quit':
      return isBusy(state.job) ? { ...state, cover: 'confirm' } : leave(state);
    case 'leave':
      return leave(state);
  }
}

function reading({ scroll }: State, recipe: string): Pick<State, 'plan' | 'scroll'> {
  return { plan: { recipe, status: 'reading' }, scroll: { ...scroll, plan: 0 } };
}

/** Whose plan or job is looked at, that recipe; else the selected one. One job at a time. */
function make(state: State, at: number): State {
  const shown = state.pane === 'plan' ? state.plan : state.pane === 'bake' ? state.job : undefined;
  const recipe = state.pane === 'recipes' ? state.recipes?.[state.selected] : shown?.recipe;
  if (recipe === undefined || isBusy(state.job)) return state;
  const { bake, ...scroll } = state.scroll;
  return {
    ...state,
    pane: 'bake',
    ...reading({ ...state, scroll }, recipe),
    job: startJob(recipe, at),
    clip: undefined,
  };
}

function stop(state: State): State {
  return state.job ? { ...state, job: { ...state.job, status: 'stopping' }, cover: undefined } : state;
}

function leave(state: State): State {
  return isBusy(state.job) ? { ...stop(state), leaving: true } : { ...state, exit: EXIT_CODES.done };
}

function neighbour(pane: PaneName, by: 1 | -1): PaneName {
  return PANES.at((PANES.indexOf(pane) + by) % PANES.length) ?? pane;
}

/** In the list of recipes the selection moves, elsewhere the text. */
function move(state: State, by: number): State {
  const area = state.cover === 'help' ? 'help' : state.pane;
  if (area === 'recipes') {
    const last = Math.max(0, (state.recipes?.length ?? 0) - 1);
    return { ...state, selected: Math.min(last, Math.max(0, state.selected + by)) };
  }
  const limit = state.limits[area] ?? 0;
  const to = Math.min(limit, Math.max(0, scrollOf(state, area) + by));
  const { [area]: _, ...others } = state.scroll;
  const follows = area === 'bake' && to === limit; // at its end a log stays at its end
  return { ...state, scroll: follows ? others : { ...others, [area]: to } };
}

function turn(state: State, by: 1 | -1, playing: boolean): State {
  if (state.clip?.status !== 'ready') return state;
  const { count } = state.clip.frames;
  return { ...state, clip: { ...state.clip, at: (state.clip.at + by + count) % count, playing } };
}

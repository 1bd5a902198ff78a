/** What is worked on, one thing at a time: how it begins, what it tells, and how it ends. */
import { EXIT_CODES } from '../exit-codes.ts';
import { type Comparison, comparisonFailed, comparisonStopped, hearComparison, requestOf } from './comparison.ts';
import { recipeAt, savingOf } from './drafts.ts';
import type { Effect, WorkKind } from './effects.ts';
import { endJob, hear, type LogLine, startJob } from './job.ts';
import { asideOf, type PaneName } from './layout.ts';
import { type Action, ask, type State, say } from './model.ts';
import {
  hearPublication,
  type PublicationRun,
  type PublicationView,
  publicationFailed,
  publicationStopped,
} from './publication.ts';

/** What is being done, as the beginning of a sentence. */
export const WORKING: Readonly<Record<WorkKind, string>> = {
  make: 'A recipe is being baked',
  new: 'Files are being looked at',
  compare: 'Clips are being made',
  publish: 'A package is being published',
};

/** Why nothing can begin now, said; undefined when it can. */
export function busy(state: State): State | undefined {
  if (!state.work) return undefined;
  return say(state, 'warning', `${WORKING[state.work.kind]}. Wait for that, or press Ctrl-C to stop it.`);
}

/** One at a time: what is asked for while another works is refused with a sentence. */
export function begin(state: State, kind: WorkKind, effect: Effect, change: (state: State) => State): State {
  return busy(state) ?? ask({ ...change(state), work: { kind, stopping: false } }, effect);
}

/** Whose job is looked at, that recipe; else the open or the chosen one. What is unsaved is saved first. */
export function make(state: State, at: number): State {
  const recipe = (state.pane === 'bake' ? state.job?.recipe : undefined) ?? recipeAt(state);
  if (recipe === undefined) return say(state, 'note', 'Choose a recipe first.');
  const editor = state.editors[recipe];
  const save = savingOf(editor);
  return begin(state, 'make', { do: 'make', recipe, ...(save && { save }) }, (before) => {
    const { bake: _, gate: __, ...scroll } = before.scroll;
    const next = focus(
      { ...before, scroll, open: recipe, job: startJob(recipe, at), viewed: undefined, clip: undefined },
      'bake',
    );
    return editor ? next : ask(next, { do: 'open', recipe });
  });
}

export function stop(state: State): State {
  if (!state.work || state.work.stopping) return state;
  const job = state.work.kind === 'make' && state.job ? { ...state.job, status: 'stopping' as const } : state.job;
  const cover = state.cover === 'quit' ? undefined : state.cover;
  return ask({ ...state, job, cover, work: { ...state.work, stopping: true } }, { do: 'stop' });
}

/** At once, or when what is worked on has been cleaned up. */
export function leave(state: State): State {
  return state.work ? { ...stop(state), leaving: true } : { ...state, exit: EXIT_CODES.done };
}

/** Nothing is worked on any more. */
export function endWork(state: State): State {
  const cover = state.cover === 'quit' ? undefined : state.cover;
  return { ...state, work: undefined, cover, exit: state.leaving ? EXIT_CODES.done : state.exit };
}

/** The line that could not be acted on is there again, with the reason, unless another is typed by now. */
export function refused({ asked, ...before }: State, problems: readonly string[]): State {
  const state = { ...before, asked: undefined };
  const problem = problems.join(' ');
  return asked && !state.input ? { ...state, input: { ...asked, problem } } : say(state, 'failed', problem);
}

// ------------------------------------------------------------------------------------------------------ by the slices

/** A pane gets the focus; a preview of what would be published is made when it is looked at. */
export function focus(state: State, pane: PaneName): State {
  const next = { ...state, pane, aside: asideOf(pane, state.aside) };
  return pane === 'publish' ? previewing(next) : next;
}

/** Begins and stops what the comparison says that it does. */
export function withComparison(state: State, comparison: Comparison): State {
  const [before, after] = [state.comparison, comparison];
  if (before === after) return state;
  const request = requestOf(after);
  if (after.run.status === 'running' && request && request !== requestOf(before))
    return begin(state, 'compare', { do: 'compare', request }, (free) => ({ ...free, comparison }));
  const next = { ...state, comparison };
  if (after.run.status === 'stopping' && before.run.status === 'running') return stop(next);
  return next;
}

export function withPublication(state: State, publication: PublicationView): State {
  const [before, after] = [state.publication.run, publication.run];
  if (after.status === 'publishing' && before.status !== 'publishing')
    return begin(state, 'publish', publishing(after), (free) => ({ ...free, publication }));
  const next = { ...state, publication };
  if (after.status === 'stopping' && before.status === 'publishing') return stop(next);
  return state.pane === 'publish' ? previewing(next) : next;
}

function publishing({ wish, survey }: Extract<PublicationRun, { status: 'publishing' | 'stopping' }>): Effect {
  return { do: 'publish', wish, ...(survey.target?.hub?.head !== undefined && { over: survey.target.hub.head }) };
}

function previewing(state: State): State {
  const { run } = state.publication;
  if (run.status !== 'reading' || run.wish === state.previewing) return state;
  return ask({ ...state, previewing: run.wish }, { do: 'preview', wish: run.wish });
}

// -------------------------------------------------------------------------------------------------- what is heard of it

type Hearing = (state: State, heard: Extract<Action, { type: 'event' }>) => State;

const HEAR: Readonly<Record<WorkKind, Hearing>> = {
  make: (state, { event, at }) => (state.job ? { ...state, job: hear(state.job, event, at) } : state),
  new: (state) => state,
  compare: (state, { event, at }) => ({ ...state, comparison: hearComparison(state.comparison, event, at) }),
  publish: (state, { event, at }) => {
    const { publication } = state;
    const { run } = publication;
    return 'wish' in run ? { ...state, publication: hearPublication(publication, run.wish, event, at) } : state;
  },
};

export const listen: Hearing = (state, heard) => (state.work ? HEAR[state.work.kind](state, heard) : state);

type Ending = (state: State, problems: readonly string[], at: number) => State;

/** How what was worked on ends when something breaks … */
export const BREAK: Readonly<Record<WorkKind, Ending>> = {
  make: (state, problems, at) =>
    endMake(
      state,
      'failed',
      at,
      problems.map((text) => ({ mark: 'failed', text })),
    ),
  new: refused,
  compare: (state, problems) => ({ ...state, comparison: comparisonFailed(state.comparison, problems) }),
  publish: (state, problems) => onWish(state, (view, wish) => publicationFailed(view, wish, problems)),
};

/** … and when it was stopped. */
export const STOP: Readonly<Record<WorkKind, Ending>> = {
  make: (state, _, at) => endMake(state, 'stopped', at, [{ mark: 'stopped', text: STOPPED }]),
  new: (state) => say(state, 'stopped', 'Stopped.'),
  compare: (state) => ({ ...state, comparison: comparisonStopped(state.comparison) }),
  publish: (state) => onWish(state, publicationStopped),
};

const STOPPED = 'Stopped. What was unfinished has been removed.';

function endMake(state: State, status: 'failed' | 'stopped', at: number, lines: readonly LogLine[]): State {
  return state.job ? { ...state, job: endJob(state.job, status, at, lines) } : state;
}

type OnWish = (
  view: PublicationView,
  wish: Extract<PublicationView['run'], { wish: object }>['wish'],
) => PublicationView;

function onWish(state: State, change: OnWish): State {
  const { run } = state.publication;
  return 'wish' in run ? { ...state, publication: change(state.publication, run.wish) } : state;
}

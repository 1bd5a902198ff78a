/**
 * How what the terminal UI knows changes: a pure reducer over the events of stages and the commands of keys. What is to be done
 * outside (reading, baking, saving) it puts into `effects`; the store does that and nothing else.
 */

import { wishesOf } from '../publish/place.ts';
import { obey, onInput } from './commands.ts';
import { compared, packagesFound, tickComparison } from './comparison.ts';
import { answer, plan } from './drafts.ts';
import { markSaved, nextProblem, openEditor } from './editor.ts';
import { typeText } from './input.ts';
import { finishJob, jobOf } from './job.ts';
import { type Action, ask, type Clip, editorOf, type State, say, shownJob } from './model.ts';
import { START, tick } from './playback.ts';
import {
  choosePackage,
  hearPublication,
  offerPackages,
  previewed,
  publicationFailed,
  published,
  surveyed,
} from './publication.ts';
import { listRecipes } from './recipe-list.ts';
import { sourcesFound } from './source-list.ts';
import { BREAK, endWork, focus, leave, listen, refused, STOP, withPublication } from './work.ts';

export { INITIAL, type State } from './model.ts';

type Handler<A extends Action> = (state: State, action: A) => State;

const HANDLERS: { readonly [T in Action['type']]: Handler<Extract<Action, { type: T }>> } = {
  begin: (state) => ask(state, { do: 'find-recipes' }, { do: 'find-packages' }),
  command: (state, { command, at }) => obey(state.notice ? { ...state, notice: undefined } : state, command, at),
  typed: (state, { text }) => (state.input ? onInput(state, typeText(state.input, text)) : state),
  found: (state, { entries, select }) => ({ ...state, recipes: listRecipes(state.recipes, entries, select) }),
  packages: (state, { packages }) => {
    const folders = packages.flatMap((found) => (found.kind === 'package' ? [found.folder] : []));
    const listed = { ...state, comparison: packagesFound(state.comparison, packages) };
    return withPublication(listed, offerPackages(listed.publication, folders));
  },
  // files that it names may have changed, too, so that it is planned again in any case; another that was chosen since stays chosen
  opened: (state, { recipe, text, again = false }) => {
    const editor = reopened(state, recipe, text, again);
    const editors = { ...state.editors, [recipe]: editor };
    return state.open === recipe ? plan({ ...state, editors }, editor) : { ...state, editors };
  },
  created: (state, { recipe, replaces = '', sentence }) => {
    const { [replaces]: _, ...editors } = state.editors;
    const next = focus({ ...state, editors, open: recipe, asked: undefined }, 'recipe');
    const told = sentence === undefined ? next : say(next, 'passed', sentence);
    return ask(told, { do: 'find-recipes', select: recipe }, { do: 'open', recipe });
  },
  saved: (state, { recipe, text, edit }) => {
    const editor = state.editors[recipe];
    if (!editor) return state;
    const editors = { ...state.editors, [recipe]: markSaved(editor, text) };
    const next = { ...state, editors, external: edit ? recipe : state.external };
    return ask(say(next, 'passed', `Saved ${recipe}.`), { do: 'find-recipes' });
  },
  sources: sourcesFound,
  refused: (state, { problems }) => refused(state, problems),
  planned: (state, { plan, out, ...of }) => answer(state, of, { status: 'ready', plan, out }),
  'not-planned': (state, { problems, failure, ...of }) => answer(state, of, { status: 'wrong', problems }, failure),
  complaint: (state, { problems }) => say(state, 'failed', problems.join(' ')),
  edited: (state) => {
    const recipe = state.external;
    if (recipe === undefined) return state;
    return ask({ ...state, external: undefined }, { do: 'open', recipe }, { do: 'find-recipes' });
  },
  event: listen,
  made: (state, { made, at }) => {
    const job = state.job && finishJob(state.job, made, at);
    const shown = { ...state, viewed: undefined, clip: undefined };
    const told = job && state.pane === 'bake' ? focus(shown, job.status === 'passed' ? 'run' : 'gate') : shown;
    const to = made.report.verdict === 'passed' ? targetOf(state) : undefined;
    const publication = choosePackage(state.publication, made.folder, to);
    const next = ask(endWork(withPublication({ ...told, job }, publication)), { do: 'find-packages' });
    const editor = editorOf(next);
    return editor ? plan(next, editor) : next; // what was wrong with its files may have been put right
  },
  compared: (state, { figures }) => endWork({ ...state, comparison: compared(state.comparison, figures) }),
  surveyed: (state, { wish, survey }) => withPublication(state, surveyed(state.publication, wish, survey)),
  previewed: (state, { wish, survey }) => withPublication(state, previewed(state.publication, wish, survey)),
  'preview-event': (state, { wish, event, at }) => ({
    ...state,
    publication: hearPublication(state.publication, wish, event, at),
  }),
  'not-previewed': (state, { wish, problems }) => ({
    ...state,
    publication: publicationFailed(state.publication, wish, problems),
  }),
  published: (state, { wish, result }) => {
    const publication = published(state.publication, wish, result);
    return ask(endWork({ ...state, publication }), { do: 'find-packages' });
  },
  viewed: (state, { folder, findings }) =>
    focus({ ...state, viewed: jobOf(folder, findings), clip: undefined, scroll: { ...state.scroll, gate: 0 } }, 'run'),
  finished: endWork,
  broken: (state, { kind, problems, at }) => endWork(BREAK[kind](state, problems, at)),
  stopped: (state, { kind, at }) => endWork(STOP[kind](state, [], at)),
  clip: (state, { folder, frames }) => ofShown(state, folder, { status: 'ready', frames, ...START }),
  'no-clip': (state, { folder, reason }) => ofShown(state, folder, { status: 'absent', reason }),
  clock: (state, { at }) =>
    state.job && state.work?.kind === 'make' ? { ...state, job: { ...state.job, at } } : state,
  tick: (state, { at }) => {
    const { clip, comparison } = state;
    const nextClip = clip?.status === 'ready' ? tick(clip, clip.frames.count, at) : clip;
    const next = tickComparison(comparison, at);
    return nextClip === clip && next === comparison ? state : { ...state, clip: nextClip, comparison: next };
  },
  measured: (state, { area, limit }) => ({ ...state, limits: { ...state.limits, [area]: limit } }),
  terminated: leave,
};

/** A clip of another package than the one that is looked at by now is too late. */
function ofShown(state: State, folder: string, clip: Clip): State {
  return shownJob(state)?.folder === folder ? { ...state, clip } : state;
}

export function reduce(before: State, action: Action): State {
  const state = before.effects.length === 0 ? before : { ...before, effects: [] };
  return (HANDLERS[action.type] as Handler<Action>)(state, action);
}

/**
 * What somebody else has made of a file, perhaps in an editor of their own, is another step that can be undone. The cursor stays where
 * it was, unless there is a mistake now.
 */
function reopened({ editors }: State, recipe: string, text: string, again: boolean) {
  const known = editors[recipe];
  if (!known) return openEditor(recipe, text);
  if (known.text === text || (known.saved === text && !again)) return markSaved(known, text);
  const next = openEditor(recipe, text);
  return {
    ...next,
    undo: [...known.undo, { text: known.text, cursor: known.cursor }],
    cursor: nextProblem(next) ?? known.cursor,
  };
}

/** Where the recipe of the job says that the package goes. */
function targetOf({ planning }: State) {
  const target = planning?.answer?.status === 'ready' ? planning.answer.plan.recipe.publish : undefined;
  return target && wishesOf(target);
}

/** What each command does, wherever it comes from: a key, the palette, or the line that was typed. */

import { basename, dirname, join } from 'node:path';
import { EXIT_CODES } from '../exit-codes.ts';
import { type ComparisonCommand, obeyComparison, setPrompt, setSeed, wishOf } from './comparison.ts';
import { recipeAt, savingOf, unsavedFiles, withEditor } from './drafts.ts';
import { type Editor, nextProblem, obeyEditor, rowAt, setValue, setValues, typedValue } from './editor.ts';
import type { RowKind } from './form.ts';
import { hasList, type Input, isInputCommand, obeyInput, type Purpose, startInput, textOf } from './input.ts';
import { type Command, isEditorCommand, isMove, type KeyContext, type Move } from './keys.ts';
import { PANES, type PaneName } from './layout.ts';
import { ask, editorOf, type ScrollArea, type State, say, scrollOf, wallOf } from './model.ts';
import { LINES } from './moves.ts';
import { findCommands } from './palette.ts';
import { obeyPlayback, type PlaybackCommand } from './playback.ts';
import { obeyPublication, setTarget } from './publication.ts';
import { filterRecipes, moveInRecipes, nameIn } from './recipe-list.ts';
import { listSources, sourcesShown } from './source-list.ts';
import { takeSource, takesFile } from './sources.ts';
import { firstKnobs, sweepOf } from './sweeping.ts';
import { begin, busy, focus, leave, make, stop, withComparison, withPublication } from './work.ts';

/** Where keys are pressed now. */
export function contextOf(state: State): KeyContext {
  const { input } = state;
  if (input) return hasList(input) ? 'palette' : 'input';
  return contextBelow(state);
}

/** Where they are when nothing is typed. */
export function contextBelow(state: State): KeyContext {
  const { cover, pane, comparison, publication } = state;
  if (cover) return cover;
  if (pane === 'recipe' && editorOf(state)?.bar !== undefined) return 'bars';
  if (pane === 'publish' && publication.run.status === 'asking') return 'confirm';
  return pane === 'compare' && comparison.run.status !== 'choosing' ? 'wall' : pane;
}

/** `at` is when, in milliseconds of a clock that only grows. */
export function obey(state: State, command: Command, at: number): State {
  if (state.input) return typing(state, state.input, command, at);
  if (isMove(command)) return move(state, command);
  if (command === 'next-problem') return toNextProblem(state);
  if (isEditorCommand(command)) return onEditor(state, (editor) => obeyEditor(editor, command));
  return COMMANDS[command]?.(state, at) ?? state;
}

type Obey = (state: State, at: number) => State;

const COMMANDS: Readonly<Partial<Record<Command, Obey>>> = {
  open: (state) => OPEN[state.pane]?.(state) ?? state,
  toggle: (state) =>
    state.pane === 'recipe' ? onEditor(state, (editor) => obeyEditor(editor, 'toggle')) : onComparison(state, 'toggle'),
  back: (state) => BACK[contextBelow(state)]?.(state) ?? focus(state, 'recipes'),
  confirm: (state) => withPublication(state, obeyPublication(state.publication, 'confirm')),
  make,
  stop,
  'new-recipe': (state) => startTyping(state, 'folder', 'Make a recipe of the weight files in', '.', { fresh: true }),
  duplicate: (state) => onRecipe(state, (recipe) => ask(state, { do: 'duplicate', recipe })),
  rename: (state) =>
    onRecipe(state, (recipe) =>
      startTyping(state, 'rename', `New name of ${recipe}`, nameIn(state.recipes, recipe), { fresh: true }),
    ),
  'edit-text': (state) =>
    onRecipe(state, (recipe) => {
      const saving = savingOf(state.editors[recipe]);
      return saving ? ask(state, { do: 'save', ...saving, edit: true }) : { ...state, external: recipe };
    }),
  reload: (state) => ask(state, { do: 'find-recipes' }, { do: 'find-packages' }),
  filter: (state) => startTyping(state, 'filter', 'Filter', state.recipes.filter),
  'set-value': typeValue,
  'add-source': (state) => listSources(state, 'Add', undefined),
  save: (state) => {
    const saving = savingOf(editorOf(state));
    return saving ? ask(state, { do: 'save', ...saving }) : say(state, 'note', 'There is nothing to save.');
  },
  'save-as': (state) => {
    const editor = editorOf(state);
    return editor ? startTyping(state, 'save-as', 'Save as', basename(editor.file)) : say(state, 'note', NO_EDITOR);
  },
  'read-again': (state) => {
    const editor = editorOf(state);
    return editor ? ask(state, { do: 'open', recipe: editor.file, again: true }) : say(state, 'note', NO_EDITOR);
  },
  strengths: (state) => typeKnobs(state, 1),
  sweep: (state) => typeKnobs(state, 2),
  'choose-tile': chooseTile,
  view,
  'set-prompt': (state) => startTyping(state, 'prompt', 'Prompt', wishOf(state.comparison).prompt ?? ''),
  'set-seed': (state) =>
    startTyping(state, 'seed', 'Seed', String(wishOf(state.comparison).seed ?? ''), { fresh: true }),
  'set-target': (state) =>
    startTyping(state, 'target', 'Folder, hf:// or oci:// to publish to', state.publication.to ?? '', { fresh: true }),
  'previous-package': (state) => withPublication(state, obeyPublication(state.publication, 'left')),
  'next-package': (state) => withPublication(state, obeyPublication(state.publication, 'right')),
  play: (state) => onPlayback(state, 'play'),
  'earlier-frame': (state) => onPlayback(state, 'earlier-frame'),
  'later-frame': (state) => onPlayback(state, 'later-frame'),
  'next-pane': (state) => focus(state, neighbour(state.pane, 1)),
  'previous-pane': (state) => focus(state, neighbour(state.pane, -1)),
  zoom: (state) => ({ ...state, zoomed: !state.zoomed }),
  palette: (state) => ({ ...startTyping(state, 'command', 'Command'), choice: 0 }),
  help: (state) => ({ ...state, cover: 'help', scroll: { ...state.scroll, help: 0 } }),
  close: (state) => ({ ...state, cover: undefined }),
  interrupt,
  quit: (state) => (state.work || unsavedFiles(state).size > 0 ? { ...state, cover: 'quit' } : leave(state)),
  leave,
  ...(Object.fromEntries(
    PANES.map((pane): [`go-${PaneName}`, Obey] => [`go-${pane}`, (state) => focus(state, pane)]),
  ) as Record<`go-${PaneName}`, Obey>),
};

const OPEN: Readonly<Partial<Record<PaneName, (state: State) => State>>> = {
  recipes: (state) => {
    const recipe = state.recipes.selected;
    if (recipe === undefined) return state;
    const known = state.editors[recipe];
    const next = focus({ ...state, open: recipe, scroll: { ...state.scroll, plan: 0 } }, 'recipe');
    return known && unsavedFiles(state).has(recipe) ? withEditor(next, known) : ask(next, { do: 'open', recipe });
  },
  compare: (state) => onComparison(state, 'open'),
  publish: (state) => withPublication(state, obeyPublication(state.publication, 'open')),
};

const BACK: Readonly<Partial<Record<KeyContext, (state: State) => State>>> = {
  recipes: (state) => ({ ...state, recipes: filterRecipes(state.recipes, '') }),
  bars: (state) => onEditor(state, (editor) => obeyEditor(editor, 'close')),
  run: leaveView,
  gate: leaveView,
  wall: (state) => (state.work ? focus(state, 'recipe') : onComparison(state, 'back')),
  confirm: (state) => withPublication(state, obeyPublication(state.publication, 'back')),
};

function onRecipe(state: State, change: (recipe: string) => State): State {
  const recipe = recipeAt(state);
  return recipe === undefined ? say(state, 'note', 'Choose a recipe first.') : change(recipe);
}

/** First the work stops, then the program does; in between it is asked about what would be lost. */
function interrupt(state: State): State {
  if (state.work && !state.work.stopping) return stop(state);
  if (unsavedFiles(state).size > 0 && state.cover !== 'quit') return { ...state, cover: 'quit' };
  return { ...state, exit: EXIT_CODES.SIGINT };
}

/** Nothing is right before it has been looked at. */
function toNextProblem(state: State): State {
  const editor = editorOf(state);
  return editor && state.planning?.reading && !nextProblem(editor)
    ? say(state, 'note', 'The recipe is still being checked.')
    : onEditor(state, (before) => obeyEditor(before, 'next-problem'));
}

function onEditor(state: State, change: (editor: Editor) => Editor): State {
  const editor = editorOf(state);
  return editor ? withEditor(state, change(editor)) : say(state, 'note', NO_EDITOR);
}

const NO_EDITOR = 'No recipe is open. Choose one in Recipes.';

function onComparison(state: State, command: ComparisonCommand): State {
  return withComparison(state, obeyComparison(state.comparison, command));
}

/** In Run the clip moves, elsewhere the wall does. */
function onPlayback(state: State, command: PlaybackCommand): State {
  if (contextBelow(state) === 'wall') return onComparison(state, command);
  const { clip } = state;
  return clip?.status === 'ready' ? { ...state, clip: obeyPlayback(clip, command, clip.frames.count) } : state;
}

function neighbour(pane: PaneName, by: 1 | -1): PaneName {
  return PANES.at((PANES.indexOf(pane) + by) % PANES.length) ?? pane;
}

// ---------------------------------------------------------------------------------------------------------- moving

/** In lists and forms the cursor moves, elsewhere the text. */
function move(state: State, command: Move): State {
  const context = contextBelow(state);
  const by = LINES[command];
  switch (context) {
    case 'recipes':
      return { ...state, recipes: moveInRecipes(state.recipes, by) };
    case 'recipe':
    case 'bars':
      return onEditor(state, (editor) => obeyEditor(editor, command));
    case 'compare':
    case 'wall':
      return onComparison(state, command);
    case 'confirm':
      return scroll(state, 'publish', by);
    case 'quit':
    case 'input':
    case 'palette':
      return state;
    default:
      return scroll(state, context, by);
  }
}

function scroll(state: State, area: ScrollArea, by: number): State {
  const limit = state.limits[area] ?? 0;
  const to = Math.min(limit, Math.max(0, scrollOf(state, area) + by));
  const { [area]: _, ...others } = state.scroll;
  const follows = area === 'bake' && to === limit; // at its end a log stays at its end
  return { ...state, scroll: follows ? others : { ...others, [area]: to } };
}

// ---------------------------------------------------------------------------------------------------------- typing

function startTyping(state: State, purpose: Purpose, label: string, text = '', options?: { fresh: boolean }): State {
  return { ...state, input: startInput(purpose, label, text, options) };
}

/** What is typed changes what is seen at once, where it only changes that. */
export function onInput(state: State, input: Input): State {
  const next = { ...state, input, choice: 0 };
  return input.purpose === 'filter' ? { ...next, recipes: filterRecipes(state.recipes, textOf(input)) } : next;
}

function typing(state: State, input: Input, command: Command, at: number): State {
  if (isInputCommand(command)) return onInput(state, obeyInput(input, command));
  switch (command) {
    case 'commit':
      return COMMIT[input.purpose]({ ...state, input: undefined, asked: undefined }, textOf(input), input, at);
    case 'close':
      return { ...onInput(state, startInput(input.purpose, '', '')), input: undefined };
    case 'up':
    case 'down': {
      const list = input.purpose === 'source' ? sourcesShown(state) : findCommands(contextBelow(state), textOf(input));
      const last = list.length - 1;
      return { ...state, choice: Math.max(0, Math.min(last, state.choice + LINES[command])) };
    }
    case 'interrupt':
      return obey({ ...state, input: undefined }, command, at);
    default:
      return state;
  }
}

/** The line was not taken: it stays, with what is wrong with it. */
function refuse(state: State, input: Input, problem: string): State {
  return { ...state, input: { ...input, problem } };
}

type Commit = (state: State, text: string, input: Input, at: number) => State;

const COMMIT: Readonly<Record<Purpose, Commit>> = {
  filter: (state) => state,
  command: (state, text, _, at) => {
    const chosen = findCommands(contextBelow(state), text)[state.choice];
    return chosen ? obey(state, chosen.does, at) : say(state, 'note', `No command is called ${text}.`);
  },
  value: (state, text, input) => {
    const editor = editorOf(state);
    const changed = editor && setValue(editor, text);
    if (typeof changed === 'string') return refuse(state, input, changed);
    return changed ? withEditor(state, changed) : state;
  },
  source: (state, _, input) => {
    const editor = editorOf(state);
    const chosen = sourcesShown({ ...state, input })[state.choice];
    if (!editor || !state.sources || !chosen) return state;
    const changed = takeSource(editor, state.sources, chosen);
    return typeof changed === 'string' ? refuse(state, input, changed) : withEditor(state, changed);
  },
  folder: (state, text, input) => {
    const folder = text.trim() === '' ? '.' : text.trim();
    return begin(state, 'new', { do: 'new', folder }, (before) => ({ ...before, asked: input }));
  },
  rename: (state, text, asked) =>
    onRecipe(state, (recipe) => ask({ ...state, asked }, { do: 'rename', recipe, name: text.trim() })),
  'save-as': (state, text, input) => {
    const editor = editorOf(state);
    const name = text.trim();
    if (!editor || name === '') return state;
    if (basename(name) !== name)
      return refuse(state, input, 'Type a name without a folder: the paths in a recipe are read from where it lies.');
    const file = /\.ya?ml$/.test(name) ? name : `${name}.yaml`;
    return ask(state, { do: 'save-as', recipe: editor.file, to: join(dirname(editor.file), file), text: editor.text });
  },
  knobs: (state, text, input) => {
    const editor = editorOf(state);
    const answer = state.planning?.answer;
    if (!editor || answer?.status !== 'ready') return say(state, 'warning', NOT_PLANNED);
    const source = sweepOf(text, answer.plan.recipe, editor);
    if (typeof source === 'string') return refuse(state, input, source);
    const refused = busy(state);
    if (refused) return refused;
    return withComparison(focus(state, 'compare'), obeyComparison({ ...state.comparison, source }, 'open'));
  },
  prompt: (state, text) => ({ ...state, comparison: setPrompt(state.comparison, text) }),
  seed: (state, text) => withComparison(state, setSeed(state.comparison, text)),
  target: (state, text) => withPublication(state, setTarget(state.publication, text)),
};

/** Of these one types another, rather than goes on with what is there. */
const REPLACED: ReadonlySet<RowKind> = new Set(['strength', 'number', 'file']);

function typeValue(state: State): State {
  const editor = editorOf(state);
  const row = editor && rowAt(editor);
  if (!row) return state;
  if (row.kind === 'flag' || row.kind === 'choice') return onEditor(state, (before) => obeyEditor(before, 'toggle'));
  if (row.kind === 'blocks' && editor.bar === undefined) {
    const opened = obeyEditor(editor, 'open');
    if (opened.bar !== undefined) return withEditor(state, opened);
  }
  if (row.kind === 'file' && takesFile(row.path)) return listSources(state, row.label, row.path, typedValue(editor));
  return startTyping(state, 'value', row.label, typedValue(editor), {
    fresh: REPLACED.has(row.kind) || editor.bar !== undefined,
  });
}

const NOT_PLANNED = 'The recipe cannot be baked yet; Plan says why. Then its strengths can be compared.';

/** The knob under the cursor first, where it is one. */
function typeKnobs(state: State, count: 1 | 2): State {
  const editor = editorOf(state);
  const answer = state.planning?.answer;
  if (!editor || answer?.status !== 'ready') return say(state, 'warning', NOT_PLANNED);
  const label = count === 1 ? 'Values to see side by side' : 'Two knobs and their values';
  return startTyping(state, 'knobs', label, firstKnobs(answer.plan.recipe, rowAt(editor)?.path, count));
}

/** The clip and the checks that a package came with, without baking it again. */
function view(state: State): State {
  const { comparison, publication, pane } = state;
  const { run, packages, selected } = comparison;
  if (pane === 'publish') return viewPackage(state, publication.folder);
  if (run.status === 'choosing') return viewPackage(state, packages?.[selected]?.folder);
  if (run.request.kind === 'packages') return viewPackage(state, run.request.packages[run.wall.selected]);
  return say(state, 'note', 'This clip was made for the sweep; no package lies behind it.');
}

function viewPackage(state: State, folder: string | undefined): State {
  return folder === undefined
    ? say(state, 'note', 'There is no package to look at.')
    : ask(state, { do: 'view', folder });
}

/** Back to the packages, and to what the job made. */
function leaveView(state: State): State {
  if (!state.viewed) return focus(state, 'recipes');
  const next = focus({ ...state, viewed: undefined, clip: undefined }, 'compare');
  const made = state.job?.folder;
  return made === undefined ? next : ask(next, { do: 'read-clip', folder: made });
}

/** The values of the chosen clip become the recipe's. */
function chooseTile(state: State): State {
  const wall = wallOf(state);
  const tile = wall?.tiles[wall.selected];
  const { run } = state.comparison;
  if (!tile) return say(state, 'note', 'This clip is not there.');
  if (run.status === 'choosing' || run.request.kind === 'packages' || !tile.settings)
    return say(state, 'note', 'This is a package as it is: there is nothing to put into a recipe.');
  const editor = state.editors[run.request.recipe];
  if (!editor) return state;
  const next = withEditor(focus({ ...state, open: editor.file }, 'recipe'), setValues(editor, tile.settings));
  return say(next, 'passed', `${tile.label}: taken into ${editor.file}. u undoes it, s saves it.`);
}

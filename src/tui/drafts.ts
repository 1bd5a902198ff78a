/** Recipes that are open: their texts as they are on the screen, and what each of them would come to. */
import { type Editor, type Failing, hearProblems, isDirty, problemsFrom } from './editor.ts';
import type { Saving } from './effects.ts';
import { ask, type Planned, type Planning, type State } from './model.ts';

/** A new state of the open recipe; a text that was not planned yet is. */
export function withEditor(state: State, editor: Editor): State {
  const next: State = { ...state, editors: { ...state.editors, [editor.file]: editor } };
  const { planning } = state;
  if (planning?.recipe === editor.file && planning.text === editor.text) return next;
  return plan(next, editor);
}

export function plan(state: State, { file: recipe, text }: Editor): State {
  const before = state.planning?.recipe === recipe ? state.planning.answer : undefined;
  const planning: Planning = { recipe, text, reading: true, ...(before && { answer: before }) };
  return ask({ ...state, planning }, { do: 'plan', recipe, text });
}

/** To a text that was asked about and is not replaced by another since. */
export function answer(
  state: State,
  { recipe, text }: { readonly recipe: string; readonly text: string },
  given: Planned,
  failure?: Failing,
): State {
  const { planning, editors } = state;
  if (planning?.recipe !== recipe || planning.text !== text) return state;
  const editor = editors[recipe];
  return {
    ...state,
    planning: { ...planning, reading: false, answer: given },
    ...(editor && {
      editors: { ...editors, [recipe]: hearProblems(editor, text, failure ? problemsFrom(editor, failure) : []) },
    }),
  };
}

/** What was changed in a recipe and is not in its file. */
export function savingOf(editor: Editor | undefined): Saving | undefined {
  if (!editor || !isDirty(editor)) return undefined;
  const { file: recipe, text, saved: replaces } = editor;
  return { recipe, text, replaces };
}

/** Files with changes that are not saved. */
export function unsavedFiles({ editors }: State): ReadonlySet<string> {
  return new Set(Object.values(editors).flatMap((editor) => (isDirty(editor) ? [editor.file] : [])));
}

/** The recipe that a command of this pane is about: in the list the chosen one, elsewhere the open one. */
export function recipeAt({ pane, recipes, open }: State): string | undefined {
  return pane === 'recipes' ? recipes.selected : open;
}

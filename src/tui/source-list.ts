/** How the list of files that can be sources comes and goes above the line: it is opened, filled, and narrowed down. */
import type { KeyPath } from '../recipe/located-yaml.ts';
import { startInput, textOf } from './input.ts';
import { type Action, ask, editorOf, type State } from './model.ts';
import { firstChoice, type SourceChoice, sourceChoices } from './sources.ts';

/** The files that can be a source, or that of `field`; those that were found before are there at once. */
export function listSources(state: State, label: string, field: KeyPath | undefined, text = ''): State {
  const editor = editorOf(state);
  if (!editor) return state;
  const { file: recipe } = editor;
  const findings = state.sources?.recipe === recipe ? state.sources.findings : undefined;
  const next = {
    ...state,
    input: startInput('source', label, text, { fresh: true }),
    sources: { recipe, field, findings },
  };
  return ask(toFirstSource(next), { do: 'find-sources', recipe });
}

function toFirstSource(state: State): State {
  return { ...state, choice: firstChoice(sourcesShown(state)) };
}

/** What the list of files shows, narrowed down by what is typed. */
export function sourcesShown(state: State): readonly SourceChoice[] {
  const editor = editorOf(state);
  const { input, sources } = state;
  return editor && input && sources ? sourceChoices(sources, editor, input) : [];
}

/** The files that were looked for, if that is still of interest. */
export function sourcesFound(state: State, { recipe, findings, remark }: Extract<Action, { type: 'sources' }>): State {
  if (state.sources?.recipe !== recipe) return state;
  const next = { ...state, sources: { ...state.sources, findings, remark } };
  const { input } = state;
  return input?.purpose === 'source' && (input.fresh || textOf(input) === '') ? toFirstSource(next) : next;
}

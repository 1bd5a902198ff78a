/** The panes where the arrangement puts them, or what covers them all. */
import { Box } from 'ink';
import type { ReactNode } from 'react';
import { contextBelow } from './commands.ts';
import { unsavedFiles } from './drafts.ts';
import type { Arrangement, PaneBox, PaneName } from './layout.ts';
import { editorOf, planView, type ScrollArea, type State, scrollOf, shownJob, verifyWish } from './model.ts';
import { BakePane } from './panes/bake.tsx';
import { ComparePane } from './panes/compare.tsx';
import { GatePane } from './panes/gate.tsx';
import { HelpPane } from './panes/help.tsx';
import { PalettePane } from './panes/palette.tsx';
import { PlanPane } from './panes/plan.tsx';
import { PublishPane } from './panes/publish.tsx';
import { RecipePane } from './panes/recipe.tsx';
import { RecipesPane } from './panes/recipes.tsx';
import { RunPane } from './panes/run.tsx';
import { SourcesPane } from './panes/sources.tsx';
import type { Store } from './store.ts';

export interface BodyProps {
  readonly state: State;
  readonly store: Store;
  readonly arrangement: Exclude<Arrangement, { kind: 'too-small' }>;
}

interface Place {
  readonly box: PaneBox;
  readonly focused: boolean;
}

export function Body({ state, store, arrangement }: BodyProps) {
  const scroll = (area: ScrollArea) => ({
    offset: scrollOf(state, area),
    onLimit: (limit: number) => store.dispatch({ type: 'measured', area, limit }),
  });
  if (state.input?.purpose === 'source') return <SourcesPane box={arrangement.whole} state={state} />;
  if (state.input?.purpose === 'command') return <PalettePane box={arrangement.whole} state={state} />;
  if (state.cover === 'help') {
    const at = contextBelow({ ...state, cover: undefined });
    return <HelpPane box={arrangement.whole} at={at} {...scroll('help')} />;
  }
  const wish = verifyWish(state);
  const shown = shownJob(state);
  const draw: Readonly<Record<PaneName, (place: Place) => ReactNode>> = {
    recipes: (place) => <RecipesPane {...place} list={state.recipes} unsaved={unsavedFiles(state)} />,
    recipe: (place) => <RecipePane {...place} editor={editorOf(state)} />,
    plan: (place) => <PlanPane {...place} {...planView(state)} {...scroll('plan')} />,
    bake: (place) => <BakePane {...place} job={state.job} {...scroll('bake')} />,
    run: (place) => (
      <RunPane {...place} clip={state.clip} preview={shown?.preview} job={shown} budgets={wish?.budgets} />
    ),
    gate: (place) => <GatePane {...place} job={shown} profile={wish?.profile} {...scroll('gate')} />,
    compare: (place) => <ComparePane {...place} comparison={state.comparison} {...scroll('compare')} />,
    publish: (place) => <PublishPane {...place} publication={state.publication} {...scroll('publish')} />,
  };
  if (arrangement.kind === 'tabs') return draw[state.pane]({ box: arrangement.whole, focused: true });
  return (
    <Box height={arrangement.whole.height} flexShrink={0}>
      {arrangement.columns.map((column) => (
        <Box key={column[0]?.pane} flexDirection="column" flexShrink={0}>
          {column.map(({ pane, ...box }) => (
            <Box key={pane}>{draw[pane]({ box, focused: pane === state.pane })}</Box>
          ))}
        </Box>
      ))}
    </Box>
  );
}

/** The recipes that were found. */
import { Words } from '../theme.tsx';
import { PANE_ENDS, Pane, type PaneProps } from './pane.tsx';

export interface RecipesPaneProps extends Pick<PaneProps, 'box' | 'focused'> {
  readonly recipes: readonly string[] | undefined;
  readonly selected: number;
}

const NONE = 'There is no YAML file here, nor in recipes/. Start lcm-merge where your recipes are.';

export function RecipesPane({ recipes, selected, box, focused }: RecipesPaneProps) {
  const middle = Math.floor((box.height - PANE_ENDS) / 2);
  const furthest = Math.max(0, (recipes?.length ?? 0) - (box.height - PANE_ENDS));
  const offset = Math.min(furthest, Math.max(0, selected - middle));
  return (
    <Pane title="Recipes" box={box} focused={focused} offset={offset}>
      {recipes === undefined && <Words>Looking for recipes …</Words>}
      {recipes?.length === 0 && <Words>{NONE}</Words>}
      {recipes?.map((path, i) => (
        <Words key={path} style={i === selected ? 'bold' : undefined} wrap="truncate-start">
          {`${i === selected ? '▸' : ' '} ${path}`}
        </Words>
      ))}
    </Pane>
  );
}

/** The recipes that were found, each with what it makes or what is wrong with it. */
import { Box, useIsScreenReaderEnabled } from 'ink';
import { cellWidth } from '../cell-width.ts';
import { type RecipeList, shownRecipes } from '../recipe-list.ts';
import { Words } from '../theme.tsx';
import { PANE_ENDS, PANE_SIDES, Pane, type PaneProps } from './pane.tsx';

export interface RecipesPaneProps extends Pick<PaneProps, 'box' | 'focused'> {
  readonly list: RecipeList;
  /** Files with changes that are not saved. */
  readonly unsaved: ReadonlySet<string>;
}

const NONE =
  'There is no recipe here, nor in recipes/. Press n to make one from the weight files of a folder, or start lcm-merge where your recipes are.';

export function RecipesPane({ list, unsaved, box, focused }: RecipesPaneProps) {
  const isRead = useIsScreenReaderEnabled();
  const shown = shownRecipes(list);
  const rows = box.height - PANE_ENDS - (list.filter === '' ? 0 : 1);
  const at = shown.findIndex(({ file }) => file === list.selected);
  const offset = Math.min(Math.max(0, shown.length - rows), Math.max(0, at - Math.floor(rows / 2)));
  const name = Math.min(Math.max(0, ...shown.map(({ file }) => cellWidth(file))), Math.floor(box.width * 0.6));
  return (
    <Pane
      title="Recipes"
      box={box}
      focused={focused}
      offset={offset}
      head={
        list.filter === '' ? undefined : (
          <Words>{`filter “${list.filter}”: ${shown.length} of ${list.entries?.length ?? 0}`}</Words>
        )
      }
    >
      {list.entries === undefined && <Words>Looking for recipes …</Words>}
      {list.entries?.length === 0 && <Words>{NONE}</Words>}
      {list.entries !== undefined && list.entries.length > 0 && shown.length === 0 && (
        <Words>Nothing fits the filter. Press / and then Enter to show all.</Words>
      )}
      {isRead && shown.length > 0 && <Words>{`${at + 1} of ${shown.length}`}</Words>}
      {(isRead ? shown.slice(at, at + 1) : shown).map(({ file, summary, problem }) => {
        const chosen = file === list.selected;
        return (
          <Box key={file} gap={2} width={box.width - PANE_SIDES} height={1} overflow="hidden">
            <Box {...((summary ?? problem) !== undefined && { width: name + 4, flexShrink: 0 })}>
              <Box width={2} flexShrink={0}>
                <Words style="bold">{chosen ? '▸' : ' '}</Words>
              </Box>
              <Words style={chosen ? 'bold' : undefined} wrap="truncate-start">
                {`${file}${unsaved.has(file) ? ' ●' : ''}`}
              </Words>
            </Box>
            {problem !== undefined && (
              <Words style="red" wrap="truncate-end">
                {`✗ ${problem}`}
              </Words>
            )}
            {problem === undefined && summary !== undefined && (
              <Words style="dim" wrap="truncate-end">
                {summary}
              </Words>
            )}
          </Box>
        );
      })}
    </Pane>
  );
}

/** The files that can be chosen as a source, with what each of them is; the chosen one is taken by Enter. */
import { Box } from 'ink';
import type { PaneBox } from '../layout.ts';
import type { State } from '../model.ts';
import { sourcesShown } from '../source-list.ts';
import { Marked, Words } from '../theme.tsx';
import { PANE_ENDS, PANE_SIDES, Pane } from './pane.tsx';

export interface SourcesPaneProps {
  readonly box: PaneBox;
  readonly state: State;
}

export function SourcesPane({ box, state }: SourcesPaneProps) {
  const { sources, choice } = state;
  const shown = sourcesShown(state);
  const isLooking = sources?.findings === undefined;
  const head = [isLooking, sources?.remark !== undefined].filter(Boolean).length;
  const rows = box.height - PANE_ENDS - head;
  const offset = Math.max(0, Math.min(shown.length - rows, choice - Math.floor(rows / 2)));
  const width = box.width - PANE_SIDES;
  const longest = Math.max(0, ...shown.map(({ path }) => [...path].length));
  const paths = Math.min(longest + 2, Math.floor(width * 0.55));
  return (
    <Pane
      title={sources?.field ? 'Choose a file' : 'Add a source'}
      box={box}
      focused
      offset={offset}
      head={
        head > 0 ? (
          <>
            {isLooking && <Marked mark="working">Looking at the files here</Marked>}
            {sources?.remark !== undefined && <Words wrap="truncate-end">{`! ${sources.remark}`}</Words>}
          </>
        ) : undefined
      }
    >
      {!isLooking && shown.length === 0 && <Words>{NONE}</Words>}
      {shown.map(({ path, what, isNow, unfit }, i) => (
        <Box key={path} height={1} width={width} gap={2} overflow="hidden">
          <Box width={paths} flexShrink={0}>
            <Words
              style={i === choice ? 'bold' : unfit === undefined ? undefined : 'dim'}
              wrap="truncate-middle"
            >{`${i === choice ? '▸' : ' '} ${path}`}</Words>
          </Box>
          <Words style="dim" wrap="truncate-end">
            {`${isNow ? 'now: ' : ''}${unfit === undefined ? what : `✗ ${what}. ${unfit}`}`}
          </Words>
        </Box>
      ))}
    </Pane>
  );
}

const NONE = 'No file here can be used for that. Type the path of one, from the folder of the recipe.';

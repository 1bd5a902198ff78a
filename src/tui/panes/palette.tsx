/** The commands that fit what is typed, with their keys; the chosen one is run by Enter. */
import { Box } from 'ink';
import { contextBelow } from '../commands.ts';
import { textOf } from '../input.ts';
import { label } from '../keys.ts';
import type { PaneBox } from '../layout.ts';
import type { State } from '../model.ts';
import { findCommands } from '../palette.ts';
import { Words } from '../theme.tsx';
import { PANE_ENDS, Pane } from './pane.tsx';

export interface PalettePaneProps {
  readonly box: PaneBox;
  readonly state: State;
}

export function PalettePane({ box, state }: PalettePaneProps) {
  const found = findCommands(contextBelow(state), state.input ? textOf(state.input) : '');
  const rows = box.height - PANE_ENDS;
  const offset = Math.max(0, Math.min(found.length - rows, state.choice - Math.floor(rows / 2)));
  const width = 2 + Math.max(0, ...found.map(({ help }) => help.length));
  return (
    <Pane title="Commands" box={box} focused offset={offset}>
      {found.length === 0 && <Words>No command is called like that. Erase some of it.</Words>}
      {found.map(({ does, help, keys }, i) => (
        <Box key={does} height={1} overflow="hidden">
          <Box width={width + 2} flexShrink={1}>
            <Words style={i === state.choice ? 'bold' : undefined} wrap="truncate-end">
              {`${i === state.choice ? '▸' : ' '} ${help}`}
            </Words>
          </Box>
          <Box flexShrink={0}>
            <Words style="dim">{keys.map(label).join(' ')}</Words>
          </Box>
        </Box>
      ))}
    </Pane>
  );
}

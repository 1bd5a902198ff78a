/** All keys, from the table that they are handled by. */
import { Box } from 'ink';
import { helpSections, type KeyContext } from '../keys.ts';
import { Words } from '../theme.tsx';
import { Pane, type PaneProps } from './pane.tsx';

export interface HelpPaneProps extends Pick<PaneProps, 'box' | 'offset' | 'onLimit'> {
  /** Where help was asked for. */
  readonly at: KeyContext;
}

export function HelpPane({ at, ...pane }: HelpPaneProps) {
  const sections = helpSections(at);
  const width = 2 + Math.max(...sections.flatMap(({ rows }) => rows.map(([keys]) => keys.length)));
  return (
    <Pane title="Keys" {...pane} focused>
      {sections.map(({ title, rows }) => (
        <Box key={title} flexDirection="column">
          <Words style="bold">{title}</Words>
          {rows.map(([keys, help]) => (
            <Box key={`${keys} ${help}`} paddingLeft={2}>
              <Box width={width} flexShrink={0}>
                <Words>{keys}</Words>
              </Box>
              <Words>{help}</Words>
            </Box>
          ))}
        </Box>
      ))}
    </Pane>
  );
}

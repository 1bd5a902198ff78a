/**
 * A frame with a title, lines that stay (`head`) and lines that scroll. The pane with the focus is drawn bold, whatever the colours; to a
 * screen reader it alone is read, whole, below its title.
 */
import { Box, type DOMElement, Text, useBoxMetrics, useIsScreenReaderEnabled } from 'ink';
import { type ReactNode, use, useEffect, useEffectEvent, useRef } from 'react';
import type { PaneBox } from '../layout.ts';
import { readAloud } from '../read-aloud.ts';
import { ThemeContext } from '../theme.tsx';

export interface PaneProps {
  readonly title: string;
  readonly box: PaneBox;
  readonly focused: boolean;
  readonly head?: ReactNode;
  readonly children?: ReactNode;
  /** First line of `children` that is shown. */
  readonly offset?: number;
  /** Told how far `children` can be scrolled, whenever that changes. */
  readonly onLimit?: (limit: number) => void;
}

/** Borders to the left and right, and a space inside each. */
export const PANE_SIDES = 4;
/** Title above, border below. */
export const PANE_ENDS = 2;

const BORDERS = {
  focused: { style: 'bold', left: '┏━ ', fill: '━', right: '┓' },
  other: { style: 'round', left: '╭─ ', fill: '─', right: '╮' },
} as const;

export function Pane({ title, box, focused, head, children, offset = 0, onLimit }: PaneProps) {
  const { paint, depth } = use(ThemeContext);
  const viewport = useRef<DOMElement>(null);
  const content = useRef<DOMElement>(null);
  const limit = Math.max(0, useBoxMetrics(content).height - useBoxMetrics(viewport).clientHeight);
  const tell = useEffectEvent((found: number) => onLimit?.(found));
  useEffect(() => tell(limit), [limit]);
  const { style, left, fill, right } = focused ? BORDERS.focused : BORDERS.other;
  const isRead = useIsScreenReaderEnabled();
  if (isRead && !focused) return null;
  const room = box.width - left.length - 2;
  const name = title.length <= room ? title : `${title.slice(0, room - 1)}…`;
  const line = `${left}${name} ${fill.repeat(Math.max(0, room - name.length))}${right}`;
  const top = focused ? paint(['bold', 'cyan'], line) : line;
  return (
    <Box flexDirection="column" width={box.width} height={box.height} flexShrink={0}>
      <Box height={1} flexShrink={0}>
        <Text wrap="truncate-end" aria-label={`${readAloud(title)}:`}>
          {top}
        </Text>
      </Box>
      <Box
        borderStyle={style}
        {...(focused && depth > 1 && { borderColor: 'cyan' })}
        borderTop={false}
        flexDirection="column"
        flexGrow={1}
        flexShrink={1}
        paddingX={1}
        overflow="hidden"
      >
        {head !== undefined && (
          <Box flexDirection="column" flexShrink={0}>
            {head}
          </Box>
        )}
        <Box
          ref={viewport}
          flexDirection="column"
          flexGrow={1}
          flexShrink={1}
          flexBasis={0}
          overflow="hidden"
          contentOffsetY={offset}
        >
          <Box ref={content} flexDirection="column" flexShrink={0}>
            {children}
          </Box>
        </Box>
      </Box>
    </Box>
  );
}

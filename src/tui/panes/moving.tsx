/** One frame of a clip, drawn by what the terminal has for pictures. */
import { Box, Text, Transform, useIsScreenReaderEnabled } from 'ink';
import { use, useEffect, useLayoutEffect, useMemo } from 'react';
import type { Frames } from '../../runtime/frames.ts';
import { blockGraphics, type Drawing } from '../drawing.ts';
import { GraphicsContext } from '../graphics.ts';
import type { Cells } from '../pixels.ts';
import { describeFrames } from '../read-aloud.ts';
import { ThemeContext, Words } from '../theme.tsx';

export interface MovingProps {
  readonly frames: Frames;
  /** Of any clip that it moves with: it begins again where its own frames end. */
  readonly at: number;
  readonly room: Cells;
  /** Cells that may be drawn; default: what can be drawn in time. */
  readonly budget?: number | undefined;
}

export function Moving(props: MovingProps) {
  const isRead = useIsScreenReaderEnabled();
  return isRead ? <Words>{describeFrames(props.frames)}</Words> : <Drawn {...props} />;
}

function Drawn({ frames, at, room: { columns, rows }, budget }: MovingProps) {
  const graphics = useGraphics();
  const drawing = useMemo(
    () => graphics.draw(frames, { columns, rows }, budget),
    [graphics, frames, columns, rows, budget],
  );
  const frame = at % frames.count;
  useEffect(() => drawing.shown?.(frame), [drawing, frame]);
  useLayoutEffect(() => drawing.end, [drawing]);
  return <Lines {...drawing} frame={frame} />;
}

function useGraphics() {
  const { depth } = use(ThemeContext);
  const given = use(GraphicsContext);
  const blocks = useMemo(() => blockGraphics(depth), [depth]);
  return given ?? blocks;
}

/** Ink lays out a blank of the picture's size and puts the picture in its place at the end: measuring and cutting coloured text costs three times as much. */
function Lines({ cells, lines, frame }: Drawing & { readonly frame: number }) {
  const blank = useMemo(() => Array<string>(cells.rows).fill('▀'.repeat(cells.columns)).join('\n'), [cells]);
  const picture = lines(frame);
  return (
    <Box width={cells.columns} height={cells.rows} flexShrink={0}>
      <Transform transform={(_, row) => picture[row] ?? ''}>
        <Text aria-hidden wrap="truncate-end">
          {blank}
        </Text>
      </Transform>
    </Box>
  );
}

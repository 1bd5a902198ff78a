/** The result, moving. */
import { Box, Text } from 'ink';
import { use, useMemo } from 'react';
import type { Frames } from '../../runtime/frames.ts';
import { halfBlocks, shrink, sizeIn } from '../pixels.ts';
import type { Clip } from '../state.ts';
import { ThemeContext, Words } from '../theme.tsx';
import { PANE_ENDS, PANE_SIDES, Pane, type PaneProps } from './pane.tsx';

export interface FramesPaneProps extends Pick<PaneProps, 'box' | 'focused'> {
  readonly clip: Clip | undefined;
}

/** The line below the picture. */
const CAPTION = 1;

export function FramesPane({ clip, box, focused }: FramesPaneProps) {
  return (
    <Pane title="Frames" box={box} focused={focused}>
      {clip === undefined && <Words>No frames yet: they are shown when a job has run.</Words>}
      {clip?.status === 'absent' && <Words>{`There are no frames to show. ${clip.reason}`}</Words>}
      {clip?.status === 'ready' && (
        <Moving {...clip} columns={box.width - PANE_SIDES} rows={box.height - PANE_ENDS - CAPTION} />
      )}
    </Pane>
  );
}

interface MovingProps extends Extract<Clip, { status: 'ready' }> {
  readonly columns: number;
  readonly rows: number;
}

function Moving({ frames, at, playing, columns, rows }: MovingProps) {
  const { depth } = use(ThemeContext);
  const draw = useMemo(() => createDrawing(frames, { columns, rows }, depth), [frames, columns, rows, depth]);
  const { width, height, count } = frames;
  return (
    <Box flexDirection="column" alignItems="center">
      <Text wrap="truncate-end">{draw(at)}</Text>
      <Words wrap="truncate-end">{`${playing ? '▶' : '‖'} frame ${at + 1} of ${count}, ${width}×${height}`}</Words>
    </Box>
  );
}

/** Each frame is drawn once, when it is first shown. */
function createDrawing(
  { width, height, data }: Frames,
  cells: { columns: number; rows: number },
  depth: number,
): (frame: number) => string {
  const drawn: string[] = [];
  const to = sizeIn({ width, height }, cells);
  const bytes = width * height * 3;
  return (frame) =>
    (drawn[frame] ??= halfBlocks(
      shrink({ width, height, data: data.subarray(frame * bytes, (frame + 1) * bytes) }, to),
      depth,
    ));
}

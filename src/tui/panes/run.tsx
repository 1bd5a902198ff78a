/** The result, moving; until there is one, what the last step of sampling came to. */
import { Box, useIsScreenReaderEnabled } from 'ink';
import { use, useMemo } from 'react';
import type { Preview } from '../../events.ts';
import type { Frames } from '../../runtime/frames.ts';
import { halfBlocks, shrink, sizeIn } from '../pixels.ts';
import { describeFrames } from '../read-aloud.ts';
import type { Clip } from '../state.ts';
import { Picture, ThemeContext, Words } from '../theme.tsx';
import { PANE_ENDS, PANE_SIDES, Pane, type PaneProps } from './pane.tsx';

export interface RunPaneProps extends Pick<PaneProps, 'box' | 'focused'> {
  readonly clip: Clip | undefined;
  readonly preview: Preview | undefined;
}

/** The line below the picture. */
const CAPTION = 1;

export function RunPane({ clip, preview, box, focused }: RunPaneProps) {
  const cells = { columns: box.width - PANE_SIDES, rows: box.height - PANE_ENDS - CAPTION };
  return (
    <Pane title="Run" box={box} focused={focused}>
      {!clip && !preview && <Words>No frames yet: they are shown when a job has run.</Words>}
      {!clip && preview && <Step preview={preview} {...cells} />}
      {clip?.status === 'absent' && <Words>{`There are no frames to show. ${clip.reason}`}</Words>}
      {clip?.status === 'ready' && <Moving {...clip} {...cells} />}
    </Pane>
  );
}

interface Cells {
  readonly columns: number;
  readonly rows: number;
}

function Step({ preview: { step, total, width, height, pixels }, ...cells }: Cells & { readonly preview: Preview }) {
  const frames = useMemo(() => ({ width, height, count: 1, data: pixels }), [width, height, pixels]);
  return <Frame frames={frames} at={0} caption={`… step ${step} of ${total}, ${width}×${height}`} {...cells} />;
}

function Moving({ frames, at, playing, ...cells }: Cells & Extract<Clip, { status: 'ready' }>) {
  const { width, height, count } = frames;
  const caption = `${playing ? '▶' : '‖'} frame ${at + 1} of ${count}, ${width}×${height}`;
  return <Frame frames={frames} at={at} caption={caption} {...cells} />;
}

interface FrameProps extends Cells {
  readonly frames: Frames;
  readonly at: number;
  readonly caption: string;
}

function Frame({ frames, at, caption, columns, rows }: FrameProps) {
  const { depth } = use(ThemeContext);
  const draw = useMemo(() => createDrawing(frames, { columns, rows }, depth), [frames, columns, rows, depth]);
  const isRead = useIsScreenReaderEnabled();
  const says = useMemo(() => (isRead ? describeFrames(frames) : ''), [isRead, frames]);
  return (
    <Box flexDirection="column" alignItems="center">
      <Picture says={says}>{draw(at)}</Picture>
      <Words wrap="truncate-end">{caption}</Words>
    </Box>
  );
}

/** Each frame is drawn once, when it is first shown. */
function createDrawing({ width, height, data }: Frames, cells: Cells, depth: number): (frame: number) => string {
  const drawn: string[] = [];
  const to = sizeIn({ width, height }, cells);
  const bytes = width * height * 3;
  return (frame) =>
    (drawn[frame] ??= halfBlocks(
      shrink({ width, height, data: data.subarray(frame * bytes, (frame + 1) * bytes) }, to),
      depth,
    ));
}

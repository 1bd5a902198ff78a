/** A wall of clips: as many as can be recognised, moving in step, and a line about the one that is selected. */
import { Box, Text, useIsScreenReaderEnabled } from 'ink';
import { use } from 'react';
import { formatDuration } from '../../text/quantity.ts';
import { type Style, sanitise } from '../../text/terminal.ts';
import type { Cells } from '../pixels.ts';
import { describePlayback } from '../playback.ts';
import { describeFrames } from '../read-aloud.ts';
import { ThemeContext, Words } from '../theme.tsx';
import { arrangeWall, FRAME, frameCount, labelOf, type Wall, type WallArrangement } from '../wall.ts';
import { Moving } from './moving.tsx';

export interface WallViewProps {
  readonly wall: Wall;
  /** The room that it has; all of it, inside a pane. */
  readonly cells: Cells;
  /** Are the clips that are not there still being made? */
  readonly coming: boolean;
}

/** The line below the tiles. */
const FOOT = 1;

export function WallView({ wall, cells, coming }: WallViewProps) {
  const arrangement = arrangeWall(wall, { columns: cells.columns, rows: cells.rows - FOOT });
  const { rows } = arrangement;
  const seen = rows.flat().length;
  return (
    <Box flexDirection="column" width={cells.columns} height={cells.rows} overflow="hidden">
      <Box flexDirection="column" flexGrow={1} overflow="hidden">
        {rows.map((row) => (
          <Box key={row[0]} flexShrink={0}>
            {row.map((index) => (
              <TileView key={index} wall={wall} index={index} coming={coming} {...arrangement} />
            ))}
          </Box>
        ))}
      </Box>
      <Words wrap="truncate-end">{foot(wall, seen, coming)}</Words>
    </Box>
  );
}

/** `3 of 9  α 0.4  β 1 · ▶ frame 3 of 16 · motion 6.3, consistency 0.815 · 2.10 s` */
function foot(wall: Wall, seen: number, coming: boolean): string {
  const { selected, total, tiles } = wall;
  const tile = tiles[selected];
  const there = tiles.filter((one) => one !== undefined).length;
  return [
    `${selected + 1} of ${total}${seen < total ? ` (${seen} in sight)` : ''}  ${labelOf(wall, selected)}`.trimEnd(),
    ...(there > 0 ? [describePlayback(wall, frameCount(wall))] : []),
    ...(tile ? [tile.note ?? '', formatDuration(tile.milliseconds)] : [absence(coming)]),
  ]
    .filter((part) => part !== '')
    .join(' · ');
}

const FRAMES = {
  selected: { corners: ['┏', '┓', '┗', '┛'], side: '┃', fill: '━', style: ['bold', 'cyan'] },
  other: { corners: [' ', ' ', ' ', ' '], side: ' ', fill: ' ', style: undefined },
} as const satisfies Record<
  string,
  { corners: readonly string[]; side: string; fill: string; style: Style | undefined }
>;

type TileViewProps = { readonly wall: Wall; readonly index: number; readonly coming: boolean } & WallArrangement;

const absence = (coming: boolean) => (coming ? 'still to come' : 'not made');

/** The label stands in the frame above, the note in the one below; of a tile that is not selected the frame is blank. */
function TileView({ wall, index, coming, tile: { columns, rows }, budget }: TileViewProps) {
  const { paint } = use(ThemeContext);
  const isRead = useIsScreenReaderEnabled();
  const isSelected = index === wall.selected;
  const tile = wall.tiles[index];
  if (isRead) {
    const said = [labelOf(wall, index), tile ? describeFrames(tile.frames) : absence(coming), tile?.note ?? ''];
    return <Words>{(isSelected ? '▸' : '') + said.filter((part) => part !== '').join(', ')}</Words>;
  }
  const { corners, side, fill, style } = FRAMES[isSelected ? 'selected' : 'other'];
  const inside = { columns: columns - FRAME, rows: rows - FRAME };
  const coloured = (text: string) => (style === undefined ? text : paint(style, text));
  const edge = (left: string, text: string, right: string) => {
    const words = text === '' ? '' : `${shorten(sanitise(text), inside.columns - 1)} `;
    return coloured(`${left}${words}${fill.repeat(inside.columns - words.length)}${right}`);
  };
  const label = `${isSelected ? '▸' : ' '}${labelOf(wall, index)}`;
  const sides = coloured(Array<string>(inside.rows).fill(side).join('\n'));
  return (
    <Box flexDirection="column" width={columns} height={rows} flexShrink={0}>
      <Text wrap="truncate-end">{edge(corners[0], label, corners[1])}</Text>
      <Box height={inside.rows}>
        <Text>{sides}</Text>
        <Box width={inside.columns} height={inside.rows} justifyContent="center" alignItems="center">
          {tile ? (
            <Moving frames={tile.frames} at={wall.at} room={inside} budget={budget} />
          ) : (
            <Words>{coming ? '…' : '–'}</Words>
          )}
        </Box>
        <Text>{sides}</Text>
      </Box>
      <Text wrap="truncate-end">{edge(corners[2], figuresIn(tile?.note ?? '', inside.columns - 1), corners[3])}</Text>
    </Box>
  );
}

/** As many figures of a note as fit: half a figure is none. */
function figuresIn(note: string, width: number): string {
  const figures = note.split(/(?=, | · )/);
  const fits = figures.findLastIndex((_, i) => figures.slice(0, i + 1).join('').length <= width);
  return figures.slice(0, Math.max(1, fits + 1)).join('');
}

function shorten(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}

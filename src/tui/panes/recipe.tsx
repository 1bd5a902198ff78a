/** The recipe as a form: sliders, choices and bars; what is wrong stands below its field, what a field means at the foot. */
import { useIsScreenReaderEnabled } from 'ink';
import { useMemo } from 'react';
import { type Json, writeFlow } from '../../recipe/yaml-write.ts';
import { formatNumber } from '../../text/quantity.ts';
import { printable } from '../../text/quote.ts';
import type { Style } from '../../text/terminal.ts';
import { barsOf, glyphOf } from '../block-bars.ts';
import { cellWidth } from '../cell-width.ts';
import { type Editor, type Form, formOf, isDirty } from '../editor.ts';
import type { Row } from '../form.ts';
import { MARKS } from '../marks.ts';
import { Marked, Words } from '../theme.tsx';
import { PANE_ENDS, PANE_SIDES, Pane, type PaneProps } from './pane.tsx';

export interface RecipePaneProps extends Pick<PaneProps, 'box' | 'focused'> {
  /** Undefined where no recipe is open. */
  readonly editor: Editor | undefined;
}

interface Line {
  readonly key: string;
  readonly text: string;
  readonly style?: Style | undefined;
  /** Index of the row that it belongs to. */
  readonly row: number;
}

/** Lines of help that there are room for beside so many lines of the form. */
const helpLines = (height: number): number => (height >= 24 ? 4 : height >= 13 ? 2 : 0);

export function RecipePane({ editor, box, focused }: RecipePaneProps) {
  const width = box.width - PANE_SIDES;
  const height = box.height - PANE_ENDS;
  const form = useMemo(() => editor && formOf(editor), [editor]);
  const drawing = useMemo(() => editor && form && draw(editor, form, width, height), [editor, form, width, height]);
  const isRead = useIsScreenReaderEnabled();
  const title = editor && form ? titleOf(editor, form, width) : 'Recipe';
  return (
    <Pane title={title} box={box} focused={focused}>
      {!drawing && <Words>No recipe is open. Choose one in Recipes and press Enter.</Words>}
      {isRead && editor && form && <Spoken editor={editor} form={form} />}
      {!isRead &&
        drawing?.map(({ key, text, style }) => (
          <Words key={key} style={style} wrap="truncate-end">
            {text}
          </Words>
        ))}
    </Pane>
  );
}

/** What a title has besides the file. */
const TITLE_ROOM = 24;
/** For a screen reader: the field under the cursor, what is wrong with it and what it means. */
function Spoken({ editor, form: { rows, others, at } }: { readonly editor: Editor; readonly form: Form }) {
  const row = rows[at];
  return (
    <>
      {others.map(({ line, sentence }) => (
        <Words key={`${line} ${sentence}`}>{`Line ${line}: ${sentence}`}</Words>
      ))}
      {row && <Words>{`${row.label}, ${spokenValue(row, editor.bar)}${row.isDefault ? ', default' : ''}`}</Words>}
      {row?.problems.map((sentence) => (
        <Marked key={sentence} mark="failed">
          {sentence}
        </Marked>
      ))}
      {editor.notice !== undefined && <Marked mark="warning">{editor.notice}</Marked>}
      {row && <Words>{`${row.section}, field ${at + 1} of ${rows.length}. ${row.help}`}</Words>}
    </>
  );
}

/** `0.80, strength`, `IN04 0.5` */
function spokenValue({ kind, value, path }: Row, chosen: number | undefined): string {
  if (value === undefined) return 'not set';
  const bar = chosen === undefined ? undefined : barsOf(value, path)?.bars[chosen];
  if (bar) return `${bar.block} ${formatNumber(bar.weight)}`;
  const text = kind === 'strength' && typeof value === 'number' ? numberText(value) : plain(value, Infinity);
  return kind === 'strength' || kind === 'choice' ? `${text}, ${kind}` : text;
}

/** How many mistakes there are stands above: they may be out of sight. */
function titleOf(editor: Editor, { rows, others }: Form, width: number): string {
  const count = others.length + rows.reduce((sum, { problems }) => sum + problems.length, 0);
  const [sign] = MARKS.failed;
  const file = cutMiddle(printable(editor.file), Math.max(8, width - TITLE_ROOM));
  return ['Recipe', file, isDirty(editor) && '● unsaved', count > 0 && `${sign} ${count}`].filter(Boolean).join(' ');
}

/** Exactly `height` lines: a stretch of the form around the cursor's row, then the foot. */
function draw(editor: Editor, { rows, others, at }: Form, width: number, height: number): readonly Line[] {
  const labels = Math.min(Math.max(8, ...rows.map(({ label }) => cellWidth(label))), Math.floor(width * 0.36));
  const lines: Line[] = others.flatMap(({ line, sentence }, i) =>
    problemLines(`other ${i}`, `Line ${line}: ${sentence}`, 0, width),
  );
  for (const [i, row] of rows.entries()) {
    if (row.section !== (rows[i - 1]?.section ?? ''))
      lines.push({ key: `section ${i}`, text: row.section, style: 'dim', row: i });
    const isAt = i === at;
    const bar = isAt ? editor.bar : undefined;
    const text = `${isAt ? '▸' : ' '} ${padCells(cutMiddle(row.label, labels), labels)} ${valueText(row, width - labels - 3)}`;
    lines.push({ key: `row ${i}`, text, style: isAt ? 'bold' : row.isDefault ? 'dim' : undefined, row: i });
    if (bar !== undefined) lines.push({ key: 'bar', text: ' '.repeat(labels + 3) + pointer(row, bar), row: i });
    row.problems.forEach((sentence, j) => {
      lines.push(...problemLines(`problem ${i} ${j}`, sentence, i, width));
    });
  }
  const foot = footLines(editor, rows[at], width, helpLines(height));
  const room = Math.max(1, height - foot.length);
  const shown = windowAround(lines, at, room);
  const blank = Array.from(
    { length: room - shown.length },
    (_, i): Line => ({ key: `blank ${i}`, text: ' ', row: -1 }),
  );
  return [...shown, ...blank, ...foot];
}

/** The cursor's row in the middle, with as much as possible of what is wrong with it. */
function windowAround(lines: readonly Line[], at: number, room: number): readonly Line[] {
  const cursor = lines.findIndex(({ key }) => key === `row ${at}`);
  const furthest = Math.max(0, lines.length - room);
  const offset = Math.min(furthest, Math.max(0, cursor - Math.floor((room - 1) / 2)));
  return lines.slice(offset, offset + room);
}

/** Lines of a mistake that leave the fields around it in sight. */
const MAX_PROBLEM = 4;

function problemLines(key: string, sentence: string, row: number, width: number): Line[] {
  const [sign, style] = MARKS.failed;
  const all = wrap(sentence, width - 4);
  const shown = all.length <= MAX_PROBLEM ? all : [...all.slice(0, MAX_PROBLEM - 1), '… Plan (3) has all of it.'];
  return shown.map((text, i) => ({
    key: `${key} ${i}`,
    text: `  ${i === 0 ? sign : ' '} ${text}`,
    style,
    row,
  }));
}

/** Why the last command did nothing, else what the field under the cursor is. */
function footLines({ notice }: Editor, row: Row | undefined, width: number, most: number): Line[] {
  if (notice !== undefined) {
    const [sign] = MARKS.warning; // yellow is not read on white
    return clip(wrap(notice, width - 2), Math.max(1, most)).map((text, i) => ({
      key: `notice ${i}`,
      text: `${i === 0 ? sign : ' '} ${text}`,
      style: 'bold',
      row: -1,
    }));
  }
  return whole(row?.help ?? '', width, most).map((text, i) => ({ key: `help ${i}`, text, style: 'dim', row: -1 }));
}

// ------------------------------------------------------------------------------------------------------- values

const DEFAULT = ' default';

function valueText(row: Row, room: number): string {
  const { kind, value, isDefault } = row;
  const suffix = isDefault ? DEFAULT : '';
  const space = room - DEFAULT.length;
  if (value === undefined) return '–';
  switch (kind) {
    case 'strength':
      return typeof value === 'number' ? slider(value, space) + suffix : plain(value, space);
    case 'choice':
    case 'flag':
      return `‹ ${plain(value, space - 4)} ›${suffix}`;
    case 'blocks':
      return blocksText(row, room);
    default:
      return plain(value, room - suffix.length) + suffix;
  }
}

function plain(value: Json, room: number): string {
  if (typeof value === 'number') return formatLong(value);
  return cutMiddle(typeof value === 'string' && /^.+$/.test(value) ? value : writeFlow(value), room);
}

/** All digits of whole numbers: seeds are long. */
const formatLong = (value: number): string => (Number.isInteger(value) ? String(value) : formatNumber(value));

const SLIDER = { shortest: 6, longest: 24 } as const;
/** Where strengths usually are; a value outside makes it wider. */
const USUAL = { low: 0, high: 1.5 } as const;
const NUMBER_ROOM = 8;

function numberText(value: number): string {
  const digits = formatNumber(value);
  return /^-?\d+(\.\d)?$/.test(digits) ? value.toFixed(2) : digits;
}

function slider(value: number, room: number): string {
  const number = numberText(value);
  const length = Math.min(SLIDER.longest, room - NUMBER_ROOM);
  if (length < SLIDER.shortest) return number;
  const [low, high] = [Math.min(USUAL.low, value), Math.max(USUAL.high, value)];
  const at = Math.round(((value - low) / (high - low)) * (length - 1));
  return `${'─'.repeat(at)}●${'─'.repeat(length - 1 - at)} ${number}`;
}

function blocksText({ value, path, isDefault }: Row, room: number): string {
  const found = barsOf(value, path);
  if (!found) return plain(value ?? null, room);
  const others = found.others === 0 ? '' : ` +${found.others} by path`;
  return found.bars.map(({ weight }) => glyphOf(weight)).join('') + (isDefault ? ' all 1' : others);
}

/** Below the bars: which one is chosen, and its number. */
function pointer({ value, path }: Row, chosen: number): string {
  const { bars = [] } = barsOf(value, path) ?? {};
  const bar = bars[chosen];
  if (!bar) return '';
  const said = `${bar.block} ${formatNumber(bar.weight)}${bar.isOwn ? '' : ' (not set)'}`;
  return chosen > said.length ? `${said} ▲`.padStart(chosen + 1) : `${' '.repeat(chosen)}▲ ${said}`;
}

// --------------------------------------------------------------------------------------------------------- text

const padCells = (text: string, width: number): string => text + ' '.repeat(Math.max(0, width - cellWidth(text)));

function cutMiddle(text: string, room: number): string {
  const characters = [...text];
  if (characters.length <= room) return text;
  const kept = Math.max(0, room - 1);
  const start = Math.floor(kept / 3); // the end of a path tells files apart
  return `${characters.slice(0, start).join('')}…${characters.slice(characters.length - (kept - start)).join('')}`;
}

/** Between words; a word that is longer than a line is cut. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text
    .split(/\s+/)
    .filter(Boolean)
    .flatMap((whole) => pieces(whole, width))) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return line === '' ? lines : [...lines, line];
}

const pieces = (word: string, width: number): string[] =>
  Array.from({ length: Math.ceil(word.length / width) }, (_, i) => word.slice(i * width, (i + 1) * width));

/** As many sentences as there is room for, one of them in any case. */
function whole(text: string, width: number, most: number): string[] {
  const sentences = text.split(/(?<=[.;]) (?=\p{Lu})/u);
  const fitting = sentences.map((_, i) => wrap(sentences.slice(0, i + 1).join(' '), width));
  return clip(fitting.findLast((lines) => lines.length <= most) ?? fitting[0] ?? [], most);
}

/** The first lines, of which the last says that there is more. */
function clip(lines: readonly string[], most: number): string[] {
  if (lines.length <= most) return [...lines];
  return lines.slice(0, most).map((line, i) => (i === most - 1 ? `${line.slice(0, -1)}…` : line));
}

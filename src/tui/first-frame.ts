/**
 * The first picture of the screen, drawn before anything that draws it later is loaded: tabs, an empty list, and that it is being filled.
 * Ink takes the screen over from there. Keys that are pressed in between are kept for it, and not echoed.
 */
import { PANES, SMALLEST, TITLES } from './layout.ts';

/** xterm: the alternate screen, erased, the cursor hidden; and back. */
const [ENTER, LEAVE] = ['\u001b[?1049h\u001b[2J\u001b[H\u001b[?25l', '\u001b[?25h\u001b[?1049l'];

export interface FirstScreen {
  /** Gives the terminal back, for when nobody takes it over. */
  leave(): void;
}

export function showFirstFrame(
  stdout: Pick<NodeJS.WriteStream, 'write' | 'columns' | 'rows'>,
  stdin: Pick<NodeJS.ReadStream, 'setRawMode'>,
): FirstScreen {
  stdin.setRawMode?.(true);
  stdout.write(ENTER + firstFrame(stdout.columns, stdout.rows).join('\r\n'));
  return {
    leave() {
      stdin.setRawMode?.(false);
      stdout.write(LEAVE);
    },
  };
}

/** Lines of `columns` cells at most, `rows` of them; none where the app would say that it has no room. */
export function firstFrame(columns: number, rows: number): readonly string[] {
  if (columns < SMALLEST.columns || rows < SMALLEST.rows) return [];
  const tabs = PANES.map((pane, i) => `${i === 0 ? '▸' : ''}${i + 1} ${TITLES[pane]}`).join('  ');
  const title = `┏━ ${TITLES.recipes} `;
  const line = (text: string) => `┃ ${text.padEnd(columns - 4)} ┃`;
  return [
    tabs.slice(0, columns),
    `${title}${'━'.repeat(columns - title.length - 1)}┓`,
    line('Looking for recipes …'),
    ...Array<string>(rows - 5).fill(line('')),
    `┗${'━'.repeat(columns - 2)}┛`,
  ];
}

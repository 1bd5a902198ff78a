/**
 * How long the terminal UI takes to answer a key: from writing it to the pseudo-terminal to the bytes that show what it does, while
 * nothing runs, while a recipe is planned, baked, sampled and verified, and while clips move. Beside each key a byte is sent through a
 * second pseudo-terminal with nothing but `cat` in it: what that takes is the machine's, not the program's.
 *
 *     npm run build && npm run bench:keys -- [RECIPE] [--cli dist/cli.js] [--sizes 80x24,120x40,250x70] [--only idle,plan,job,clip,wall]
 *
 * RECIPE (recipes/tiny.yaml) is what is planned and made; one of a larger family (docs/performance.md has the command) bakes for longer.
 * Give several builds, `--cli before/cli.js,dist/cli.js`, to have them side by side.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtempDisposable, readdir, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createTerminal } from '../tools/terminal/cells.ts';
import { describeLoad, describeMachine } from './measure.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    cli: { type: 'string', default: 'dist/cli.js' },
    sizes: { type: 'string', default: '80x24,120x40,250x70' },
    only: { type: 'string', default: 'idle,plan,job,clip,wall' },
    keys: { type: 'string', default: '40' },
    seconds: { type: 'string', default: '120' },
  },
});
const subject = resolve(positionals[0] ?? 'recipes/tiny.yaml');
const parts = new Set(values.only.split(','));
const enough = Number(values.keys);

// ---------------------------------------------------------------------------------------------------- a terminal

interface Pty extends AsyncDisposable {
  /** Milliseconds from writing `keys` until `shown` gives something else than before; undefined after `PATIENCE`. */
  answer(keys: string, shown: (screen: readonly string[]) => string): Promise<number | undefined>;
  write(keys: string): void;
  lines(): readonly string[];
  /** @throws Error with the screen when `holds` does not come to be true. */
  until(holds: (screen: readonly string[]) => boolean, seconds?: number): Promise<void>;
}

const PATIENCE = 5000;

function openPty(argv: readonly string[], cwd: string, columns: number, rows: number): Pty {
  const terminal = createTerminal({ cols: columns, rows });
  const command = `stty cols ${columns} rows ${rows}; exec ${argv.map((word) => `'${word}'`).join(' ')}`;
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'script', '-qfec', command, '/dev/null'], {
    cwd,
    env: { ...process.env, TERM: 'xterm-256color', COLORTERM: 'truecolor', SHELL: '/bin/sh' },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const closed = once(child, 'close');
  const waiting = new Set<(at: number) => void>();
  child.stdin.on('error', () => undefined);
  child.stdout.on('data', (bytes: Buffer) => {
    const at = performance.now();
    terminal.write(bytes, () => {
      for (const look of waiting) look(at);
    });
  });
  terminal.onData((reply) => child.stdin.write(reply));
  const lines = () => {
    const { active } = terminal.buffer;
    return Array.from({ length: rows }, (_, y) => active.getLine(active.viewportY + y)?.translateToString(true) ?? '');
  };
  /** The time at which `holds` was found to be true. */
  const watch = (holds: () => boolean, milliseconds: number) =>
    new Promise<number | undefined>((done) => {
      const end = (at: number | undefined) => {
        waiting.delete(look);
        clearTimeout(timer);
        done(at);
      };
      const look = (at: number) => holds() && end(at);
      const timer = setTimeout(() => end(undefined), milliseconds);
      waiting.add(look);
    });
  return {
    lines,
    write: (keys) => child.stdin.write(keys),
    async answer(keys, shown) {
      const before = shown(lines());
      const pressed = performance.now();
      child.stdin.write(keys);
      const at = await watch(() => shown(lines()) !== before, PATIENCE);
      return at === undefined ? undefined : at - pressed;
    },
    async until(holds, seconds = 60) {
      if (holds(lines())) return;
      if ((await watch(() => holds(lines()), 1000 * seconds)) === undefined)
        throw new Error(`This was not waited for:\n${lines().join('\n')}`);
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await closed;
      terminal.dispose();
    },
  };
}

// ------------------------------------------------------------------------------------------------ what is pressed

interface Press {
  readonly key: string;
  /** What the key changes on the screen, and nothing else does. */
  readonly changes: (screen: readonly string[]) => string;
}

const find = (pattern: RegExp) => (screen: readonly string[]) =>
  screen.map((line) => pattern.exec(line)?.[0]).find((found) => found !== undefined) ?? '';
/** The title of the pane that has the focus. */
const title = find(/┏━ \w+/);
/** The line with the cursor in it. */
const line = find(/┃ ▸ [^┃]*/);
const foot = (screen: readonly string[]) => screen.at(-1) ?? '';
/** Of the line below the clips; the progress above counts clips, too. */
const chosen = find(/\d+ of 9(?! clips)/);
const playing = find(/[▶‖⏸] frame|paused/i);

const press = (changes: Press['changes'], ...keys: readonly string[]) => keys.map((key): Press => ({ key, changes }));
const ENTER = '\r';
const TAB = '\t';
const SHIFT_TAB = '\u001b[Z';

const LIST = press(line, 'j', 'k', 'j', 'k');
const KNOB = press(line, 'l', 'l', 'h', 'h');
const PANES = press(title, TAB, SHIFT_TAB, TAB, SHIFT_TAB);
const HELP = press(title, '?', '?');
const PALETTE = [...press(title, ':'), ...press(foot, 'p', 'l'), ...press(title, '\u001b')];
const WALL = press(chosen, 'l', 'j', 'h', 'k');

// ---------------------------------------------------------------------------------------------------- how it went

interface Figures {
  readonly answers: (number | undefined)[];
  readonly echoes: number[];
  readonly loads: string[];
}

/** By build and situation. */
const figures = new Map<string, Figures>();

const share = (sorted: readonly number[], part: number) =>
  sorted[Math.min(sorted.length - 1, Math.ceil(part * sorted.length) - 1)] as number;

function describe(times: readonly number[]): string {
  const sorted = times.toSorted((a, b) => a - b);
  return [share(sorted, 0.5), share(sorted, 0.95), share(sorted, 1)].map((ms) => ms.toFixed(0).padStart(7)).join('');
}

function report(name: string, { answers, echoes, loads }: Figures): void {
  const times = answers.map((ms) => ms ?? PATIENCE);
  const late = times.filter((ms) => ms >= 50).length;
  const lost = answers.filter((ms) => ms === undefined).length;
  console.log(
    `${name.padEnd(34)}${String(times.length).padStart(5)}${describe(times)}${`${((late / times.length) * 100).toFixed(0)} %`.padStart(8)}  ${describe(echoes)}   ${loads.at(-1)}${lost > 0 ? `, ${lost} never` : ''}`,
  );
}

/** Milliseconds between two keys, as of somebody who moves about. */
const pause = () => sleep(150 + 250 * Math.random());

async function pressAll(name: (screen: readonly string[]) => string, pty: Pty, echo: Pty, keys: readonly Press[]) {
  for (const { key, changes } of keys) {
    await pause();
    const into = name(pty.lines());
    const known = figures.get(into) ?? { answers: [], echoes: [], loads: [] };
    figures.set(into, known);
    let sent = 0;
    const echoed = await echo.answer('x', () => String(sent++)); // whatever comes
    known.echoes.push(echoed ?? PATIENCE);
    known.answers.push(await pty.answer(key, changes));
    known.loads.push(describeLoad());
  }
}

async function pressMany(name: string, pty: Pty, echo: Pty, keys: readonly Press[]) {
  for (let pressed = 0; pressed < enough; pressed += keys.length) await pressAll(() => name, pty, echo, keys);
}

// --------------------------------------------------------------------------------------------------- what happens

async function session(cli: string, build: string, size: string): Promise<void> {
  const [columns, rows] = size.split('x').map(Number) as [number, number];
  await using folder = await mkdtempDisposable(join(tmpdir(), 'lcm-merge-keys-'));
  await furnish(folder.path);
  await using echo = openPty(['sh', '-c', 'stty raw -echo; exec cat'], folder.path, 80, 24);
  await sleep(300);
  await using pty = openPty([process.execPath, resolve(cli)], folder.path, columns, rows);
  const named = (situation: string) => `${size.replace('x', '×').padEnd(8)}${situation.padEnd(24)}${build}`;
  const many = (situation: string, keys: readonly Press[]) => pressMany(named(situation), pty, echo, keys);
  const shows = (text: string, seconds?: number) =>
    pty.until((screen) => screen.some((one) => one.includes(text)), seconds);
  const enter = async (keys: string, text: string) => {
    pty.write(keys);
    await shows(text);
    await pause();
  };
  await shows('wide.yaml');
  await shows('tiny');
  await sleep(1500);
  if (parts.has('idle')) {
    await many('idle, list', LIST);
    await many('idle, panes', PANES);
    await many('idle, help', HELP);
    await many('idle, palette', PALETTE);
  }
  if (parts.has('plan') || parts.has('job')) await open(pty, 'wide.yaml');
  if (parts.has('plan')) await many('planning, a knob', KNOB);
  if (parts.has('job')) {
    await enter('b', 'wide.yaml ·');
    const began = performance.now();
    const situation = (screen: readonly string[]) => named(stageOf(screen[0] ?? ''));
    const round = [
      ...press(title, '1'),
      ...LIST,
      ...press(title, '2'),
      ...KNOB,
      ...HELP,
      ...PALETTE,
      ...press(title, '4', '5', '6', '7'),
    ];
    while (isBusy(pty.lines()[0] ?? '') && performance.now() - began < 1000 * Number(values.seconds))
      await pressAll(situation, pty, echo, round);
    pty.write('x');
    await pty.until(([tabs = '']) => !isBusy(tabs), 120);
    await pause();
  }
  if (parts.has('clip') || parts.has('wall')) await open(pty, 'tiny.yaml');
  if (parts.has('clip')) {
    await enter('b', 'tiny.yaml ·');
    await pty.until(([tabs = '']) => /5( Run)? \d+ /.test(tabs) && !isBusy(tabs), 120);
    pty.write('5z');
    await pty.until((screen) => playing(screen) !== '');
    await many('clip alone, panes', PANES);
    await many('clip alone, help', HELP);
    pty.write('z');
    await pause();
    await many('clip, panes', PANES);
  }
  if (parts.has('wall')) {
    pty.write('2');
    await pause();
    pty.write('w');
    await pause();
    pty.write(ENTER);
    await pty.until((screen) => chosen(screen) !== '');
    while (/7( Compare)? \d\/9/.test(pty.lines()[0] ?? ''))
      await pressAll(() => named('wall, tiles arriving'), pty, echo, WALL);
    await many('wall of 9', WALL);
    await many('wall of 9, panes', PANES);
  }
  pty.write('\u0003');
  await sleep(300);
}

/** A folder with recipes of the tiny family, and the one that was given with the files beside it. */
async function furnish(folder: string): Promise<void> {
  await mkdir(join(folder, 'recipes'));
  await symlink(resolve('models'), join(folder, 'models'));
  for (const file of ['tiny.yaml', 'tiny-reference.yaml', 'animatelcm.yaml'])
    await copyFile(join('recipes', file), join(folder, 'recipes', file));
  const beside = basename(dirname(subject)) === 'recipes' ? 'recipes' : '.';
  await copyFile(subject, join(folder, beside, 'wide.yaml'));
  if (beside === 'recipes') return;
  for (const name of await readdir(dirname(subject)))
    if (!name.endsWith('.yaml') && name !== 'models' && name !== 'out')
      await symlink(join(dirname(subject), name), join(folder, name));
}

/** Opens a recipe from the list and goes to its first strength. */
async function open(pty: Pty, file: string): Promise<void> {
  const moveTo = async (text: string) => {
    while (!line(pty.lines()).includes(text))
      if ((await pty.answer('j', line)) === undefined)
        throw new Error(`There is no ${text}:\n${pty.lines().join('\n')}`);
  };
  pty.write('1');
  await pty.until((screen) => title(screen).endsWith('Recipes'));
  await pause();
  pty.write('g');
  await pause();
  await moveTo(file);
  await pause();
  pty.write(ENTER);
  await pty.until((screen) => title(screen).endsWith('Recipe'));
  await pty.until(([tabs = '']) => /3( Plan)? ✓/.test(tabs));
  await moveTo('α');
}

/** Tabs say how far a job is: `4 Bake 45%`, `5 Run 2/4`, `6 Gate …`. */
function stageOf(tabs: string): string {
  if (/6( Gate)? […✓✗?■]/.test(tabs)) return 'gate';
  return /5( Run)? \d+\/\d+/.test(tabs) ? 'sampling' : 'baking';
}

const isBusy = (tabs: string) => !/4( Bake)? [✓✗?■–!]/.test(tabs);

const clis = values.cli.split(',');
const LETTERS = clis.length === 1 ? '' : 'ABCDEFGH';
for (const [i, cli] of clis.entries()) if (LETTERS) console.log(`${LETTERS[i]}: ${cli}`);
console.log(`${basename(dirname(subject))}/${basename(subject)}: ${describeMachine()}, load ${describeLoad()}`);
console.log(
  `${'milliseconds'.padEnd(34)}${['keys', 'median', '95 %', 'worst', '≥ 50'].map((word, i) => word.padStart([5, 7, 7, 7, 8][i] as number)).join('')}  ${['echo', '95 %', 'worst'].map((word) => word.padStart(7)).join('')}   load`,
);
for (const size of values.sizes.split(',')) {
  figures.clear();
  for (const [i, cli] of clis.entries()) await session(cli, LETTERS[i] ?? '', size);
  for (const [name, found] of [...figures].sort(([a], [b]) => a.localeCompare(b))) report(name, found);
}

/** docs/pipelines.md: its commands are run, and what they print, its exit codes, results and events are held to what there is. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Event } from '../../src/events.ts';
import { EXIT_CODES, EXIT_MEANINGS } from '../../src/exit-codes.ts';
import { hasRegistry, startRegistry } from '../oci/real-registry.ts';
import { golden, writeKey } from '../sign/golden-bundles.ts';
import { openShell, type Shell } from './shell.ts';

const PAGE = await readFile('docs/pipelines.md', 'utf8');

/** The cells of the table below `heading`, first column first; code is bare. */
function tableBelow(heading: string): string[][] {
  const section = PAGE.split(`\n## ${heading}`)[1]?.split('\n## ')[0] ?? '';
  const rows = section.split('\n').filter((line) => line.startsWith('| '));
  return rows.slice(1).map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

/** `a` `b?` as names, those with a question mark aside. */
function fieldsOf(cell: string): { readonly always: string[]; readonly sometimes: string[] } {
  const names = [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name as string);
  return {
    always: names.filter((name) => !name.endsWith('?')),
    sometimes: names.filter((name) => name.endsWith('?')).map((name) => name.slice(0, -1)),
  };
}

function expectFields(value: object, cell: string, what: string) {
  const { always, sometimes } = fieldsOf(cell);
  const found = Object.keys(value).filter((name) => name !== 'type' && !sometimes.includes(name));
  expect(found.toSorted(), what).toEqual(always.toSorted());
}

/** What is printed, with `…` for what changes. */
const pattern = (text: string) =>
  new RegExp(
    `^${text
      .split('…')
      .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
      .join('[^\n]*?')}$`,
  );

interface Command {
  readonly script: string;
  readonly prints: string;
}

const COMMANDS: readonly Command[] = [...PAGE.matchAll(/```console\n(.*?)```/gs)].flatMap(([, block = '']) =>
  block
    .split(/^\$ /m)
    .slice(1)
    .map((text) => {
      const end = text.indexOf('\n');
      return { script: text.slice(0, end), prints: text.slice(end + 1).trimEnd() };
    }),
);

let shell: Shell;
let code = 0;
const printed: string[] = [];

beforeAll(async () => {
  shell = await openShell();
  for (const { script } of COMMANDS) {
    const ended = await shell.run(`(exit ${code}); ${script}`);
    code = ended.code ?? -1;
    printed.push(ended.all.trimEnd());
  }
});

describe('docs/pipelines.md', () => {
  it.each(COMMANDS.map((command, i) => ({ ...command, i })))('prints of $script what it shows', ({ prints, i }) => {
    expect(printed[i]).toMatch(pattern(prints));
  });

  it('shows every exit code with its meaning', () => {
    const codes = Object.entries(EXIT_CODES).map(([name, exit]) => [
      String(exit),
      EXIT_MEANINGS[name as keyof typeof EXIT_MEANINGS],
    ]);
    expect(tableBelow('Exit codes').map((row) => row.slice(0, 2))).toEqual(codes);
  });
});

type Line = Readonly<Record<string, unknown>>;
const parse = (text: string): Line[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
const rows = (heading: string) =>
  new Map(tableBelow(heading).map(([name = '', fields = '']) => [name.replaceAll('`', ''), fields]));

describe('the results and events on the page', () => {
  const RESULTS = rows('One object');
  const EVENTS = rows('Every event');
  /** One of each type, of all that is run here. */
  const seen = new Map<string, Line>();

  /** `--json=stream` of a command that works: its result, and its events to `seen`. */
  async function resultOf(command: string): Promise<Line> {
    const { stdout, all } = await shell.run(`lcm-merge ${command} --json=stream`);
    const lines = parse(stdout);
    const { type, ...result } = lines.pop() ?? {};
    expect(type, all).toBe('result');
    for (const line of lines) seen.set(String(line['type']), line);
    return result;
  }

  it.each([
    ['init', 'init models/tiny -o made.yaml'],
    ['plan', 'plan recipes/tiny.yaml'],
    ['diff', 'diff out/tiny published'],
    ['publish', 'publish out/tiny --to published'],
    ['publish --dry-run', 'publish out/tiny --to published --dry-run'],
    ['run', 'run out/tiny -o frames --steps 1 --device cpu --preview'],
    ['sweep', 'sweep recipes/tiny.yaml --x beta=1 --frames 1 --device cpu'],
  ])('are those of %s', async (row, command) => {
    expectFields(await resultOf(command), RESULTS.get(row) ?? '', row);
  });

  it('are those of sign', async () => {
    const key = await writeKey(golden.keys.plain['pkcs8'] as string);
    expectFields(await resultOf(`sign out/tiny --key ${key} -o tiny.sig`), RESULTS.get('sign') ?? '', 'sign');
  });

  it.runIf(hasRegistry)('are those of pull', async () => {
    const { published } = await resultOf(`publish out/tiny --to oci://${await startRegistry()}/tiny:v1`);
    expectFields(await resultOf(`pull ${published} -o pulled`), RESULTS.get('pull') ?? '', 'pull');
  });

  it('are those of the whole job, and all types are there', async () => {
    const lines = parse(await readFile(join(shell.folder, 'events.ndjson'), 'utf8'));
    expectFields(lines.at(-1) ?? {}, RESULTS.get('make') ?? '', 'make');
    for (const line of lines.slice(0, -1)) seen.set(String(line['type']), line);
    // no call here gives these two; the compiler knows their fields
    const others: readonly Event[] = [
      { type: 'warning', stage: 'plan', message: '' },
      { type: 'finding', stage: 'verify', id: 'hashes', verdict: 'passed', reason: '' },
    ];
    for (const event of others) seen.set(event.type, { ...event });
    // the compiler knows all types, of which the stream leaves out latents
    const types: Readonly<Record<Exclude<Event['type'], 'latents'>, true>> = {
      'stage-started': true,
      progress: true,
      warning: true,
      preview: true,
      tile: true,
      check: true,
      finding: true,
      'stage-finished': true,
    };
    expect([...EVENTS.keys()]).toEqual(Object.keys(types));
    expect([...seen.keys()].toSorted()).toEqual(Object.keys(types).toSorted());
    for (const [type, event] of seen) expectFields(event, EVENTS.get(type) ?? '', type);
  });
});

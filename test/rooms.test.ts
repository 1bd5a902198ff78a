/** Data flows one way: a room of src/ imports from rooms to its left, never to its right. CONTRIBUTING.md has the order. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOMS = [
  'text',
  'formats',
  'architecture',
  'onnx',
  'hub',
  'oci',
  'recipe',
  'merge',
  'survey',
  'export',
  'runtime',
  'sign',
  'verify',
  'compare',
  'sweep',
  'publish',
  'remote',
  'tui',
  'cli',
] as const;

/** Of these every room may speak; index.ts is for those outside. */
const VOCABULARY = ['errors.ts', 'events.ts', 'exit-codes.ts', 'version.ts'];

interface Import {
  /** Path in src/. */
  readonly from: string;
  /** A path in src/, or the name of a package. */
  readonly to: string;
  /** Nothing of it is there when the program runs. */
  readonly isType: boolean;
}

const FILES = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((file) => /\.tsx?$/.test(file));
const IMPORT = /^(?:import|export) (type )?(?:[^;'"]*? from )?'([^']+)';$|\bimport\('([^']+)'\)/gm;

const IMPORTS: readonly Import[] = FILES.flatMap((from) =>
  [...readFileSync(join('src', from), 'utf8').matchAll(IMPORT)].map(([, type, fixed, asked]) => {
    const to = (fixed ?? asked) as string;
    return { from, to: to.startsWith('.') ? normalize(join(dirname(from), to)) : to, isType: type !== undefined };
  }),
);

const INSIDE = IMPORTS.filter(({ to }) => FILES.includes(to));
const placeOf = (file: string): number => ROOMS.indexOf(file.split('/')[0] as (typeof ROOMS)[number]);
const shown = ({ from, to }: Import) => `${from} imports ${to}`;

describe('the rooms of src/', () => {
  it('are all in the order', () => {
    const folders = readdirSync('src', { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(folders.map(({ name }) => name).sort()).toEqual([...ROOMS].sort());
    expect(INSIDE.length, 'imports that were found').toBeGreaterThan(1000);
  });

  it('import from rooms to their left', () => {
    const wrong = INSIDE.filter(({ from, to }) => placeOf(from) >= 0 && placeOf(to) > placeOf(from));
    expect(wrong.map(shown)).toEqual([]);
  });

  it('share a vocabulary that needs no room but the first two when the program runs', () => {
    const foreign = INSIDE.filter(({ from, to }) => placeOf(from) >= 0 && placeOf(to) < 0 && !VOCABULARY.includes(to));
    const heavy = INSIDE.filter(({ from, to, isType }) => VOCABULARY.includes(from) && !isType && placeOf(to) > 1);
    expect([...foreign, ...heavy].map(shown)).toEqual([]);
  });

  it('load onnxruntime in one place, where it is told to report nothing', () => {
    const own = IMPORTS.filter(({ to, isType }) => to === 'onnxruntime-node' && !isType);
    expect(own.map(({ from }) => from)).toEqual(['onnx/onnxruntime.ts']);
  });

  it('are the ones that CONTRIBUTING.md names, in that order', () => {
    const line = /^`(formats · .*)`/m.exec(readFileSync('CONTRIBUTING.md', 'utf8'))?.[1] ?? '';
    expect(line.split(/[^a-z]+/)).toEqual(ROOMS.slice(1));
  });
});

describe('the terminal UI', () => {
  /** The services, the person's editor, and the terminal itself. */
  const DOORS = ['tui/services.ts', 'tui/external-editor.ts', 'tui/terminal-guard.ts'];
  const OUTSIDE = /^(remote\/|node:(fs|child_process|net|http)|sharp$|onnxruntime|@huggingface)/;

  it('touches files and runs stages through its services alone', () => {
    const own = IMPORTS.filter(({ from, isType }) => from.startsWith('tui/') && !isType && !DOORS.includes(from));
    expect(own.filter(({ to }) => OUTSIDE.test(to)).map(shown)).toEqual([]);
  });
});

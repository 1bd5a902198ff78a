/** The built program in a real terminal, from opening to a verified package, and out of the middle of a job. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, readFile, symlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { findDrivers, type Session } from '../../tools/terminal/session.ts';
import { builtProgram } from '../helpers/built-program.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { layoutFaults } from './layout-faults.ts';
import { openTestSession } from './terminal-session.ts';

const [driver] = await findDrivers();
const program = await builtProgram();

/** What a window is changed to, one after the other. */
const SIZES = [
  [60, 20],
  [120, 40],
  [250, 70],
  [80, 24],
] as const;

/** Seconds that two slow cores may take for the tiny family's bake and its verification. */
const JOB = 120;

/** The recipes that come with lcm-merge and the tiny family, in a folder that nothing has been made in. */
async function openApp(): Promise<{ readonly app: Session; readonly folder: string }> {
  const folder = await temporaryFolder();
  await cp('recipes', join(folder, 'recipes'), { recursive: true });
  await mkdir(join(folder, 'models'));
  await symlink(resolve('models/tiny'), join(folder, 'models/tiny'));
  const app = await openTestSession({ driver: driver!, argv: [process.execPath, program.path], cwd: folder });
  await app.shows('recipes/tiny.yaml');
  return { app, folder };
}

/** Goes down the list until the tiny recipe is chosen. */
async function chooseTiny(app: Session): Promise<void> {
  while (!(await app.text()).includes('▸ recipes/tiny.yaml')) {
    await app.press('j');
    await setTimeout(100);
  }
}

/** The terminal is as it was, and belongs to its person again: the shell in it answers. */
async function expectSane(app: Session): Promise<void> {
  expect(await app.modes()).toEqual({ alternate: false, cursor: true });
  await app.press('[ "$(stty -g)" = "$BEFORE" ] && echo as before: $((6 * 7))', 'Enter');
  await app.shows('as before: 42');
}

/** Waits for a package that is being made: the middle of a job. */
async function untilHalfWritten(folder: string): Promise<void> {
  const out = () => readdir(join(folder, 'out')).catch(() => []);
  await expect.poll(out, { timeout: 1000 * JOB, interval: 5 }).toEqual([expect.stringMatching(/^tiny\..*\.partial$/)]);
}

/** Waits for the screen to be without faults: what was drawn at the size before is drawn again. */
async function expectNoFaults(app: Session, [columns, rows]: readonly [number, number]): Promise<void> {
  await expect
    .poll(
      async () => {
        const cells = await app.cells();
        return { rows: cells.length, columns: cells[0]?.length, faults: layoutFaults(cells) };
      },
      { timeout: 10_000 },
    )
    .toEqual({ rows, columns, faults: [] });
}

if (!driver) it.skip('the program in a terminal: needs tmux, or script from util-linux');

describe.runIf(driver)(`the program of ${program.origin} in ${driver?.found}`, () => {
  it('leads from a recipe to a verified package, whatever is done to its window', async () => {
    const { app, folder } = await openApp();
    await chooseTiny(app);
    await app.press('Enter');
    await app.shows(['../models/tiny/ink.safetensors', '0.80', 'Plan ✓']);
    await app.press('3');
    await app.shows(['α 0.8', 'β 1', 'γ 1', '→ out/tiny']);
    await expectNoFaults(app, [80, 24]);
    await app.press('b');
    await app.shows('Working');
    for (const [columns, rows] of SIZES) {
      await app.resize(columns, rows);
      await expectNoFaults(app, [columns, rows]);
    }
    await app.shows('6 Gate ✓', JOB);
    await app.press('6');
    await app.shows(['✓', 'out/tiny', '✓ integrity']);
    await expectNoFaults(app, [80, 24]);
    await app.press('q');
    expect(await app.ended()).toBe(0);
    await expectSane(app);

    const made = join(folder, 'out/tiny');
    const report = JSON.parse(await readFile(join(made, 'verification/report.json'), 'utf8'));
    expect(report.verdict).toBe('passed');
    expect(Object.keys(report.package).length).toBeGreaterThan(10);
    for (const [file, sha256] of Object.entries(report.package)) {
      const data = await readFile(join(made, file));
      expect(createHash('sha256').update(data).digest('hex'), file).toBe(sha256);
    }
    expect(await readdir(join(folder, 'out'))).toEqual(['tiny']);
  });

  it('stops its job on Ctrl-C, leaves nothing of it, and goes on; leaves on the second', async () => {
    const { app, folder } = await openApp();
    await chooseTiny(app);
    await app.press('b');
    await untilHalfWritten(folder);
    await app.press('C-c');
    await app.shows(['■ Stopped', 'has been removed']);
    expect(existsSync(join(folder, 'out'))).toBe(false);
    await app.press('1');
    await app.shows('▸ recipes/tiny.yaml');
    await expectNoFaults(app, [80, 24]);
    await app.press('C-c');
    expect(await app.ended()).toBe(130);
    await expectSane(app);
  });

  it('gives the terminal back when it is told to end in the middle of a job', async () => {
    const { app, folder } = await openApp();
    await chooseTiny(app);
    await app.press('b');
    await untilHalfWritten(folder);
    process.kill(await app.pid(), 'SIGTERM');
    expect(await app.ended()).toBe(143);
    await expectSane(app);
    expect(existsSync(join(folder, 'out'))).toBe(false);
  });
});

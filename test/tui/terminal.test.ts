/** How the terminal is left, on a real one: each way to end, and what its line and its modes are then. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../helpers/temporary.ts';
import { modesOf, openPty, type Pty } from './pty.ts';

const SANE = { 'alternate screen': false, cursor: true, 'bracketed paste': false };
const CLI = `"${process.execPath}" dist/cli.js`;
const TUI = `"${process.execPath}" test/tui/failing-tui.ts`;

// from the sources Node takes no JSX
beforeAll(() => promisify(execFile)('node_modules/.bin/tsc', ['-p', 'tsconfig.build.json']));

/** Starts `command` and waits for its screen; the id of its process is written where `pid` reads it. */
async function opened(command: string): Promise<Pty & { kill: (signal: NodeJS.Signals) => void }> {
  const file = join(await temporaryFolder(), 'pid');
  const pty = openPty(`sh -c 'echo $$ > ${file}; exec ${command}'`);
  await pty.shows('Recipes');
  return { ...pty, kill: (signal) => process.kill(Number(readFileSync(file, 'utf8')), signal) };
}

async function leftAsItWas(pty: Pty): Promise<{ code: number; rest: string }> {
  const { code, before, after, rest } = await pty.end();
  expect(pty.output()).toContain('\u001b[?1049h');
  expect(modesOf(pty.output())).toEqual(SANE);
  expect(after).toBe(before);
  return { code, rest };
}

describe.runIf(process.platform === 'linux')('the terminal is left as it was', () => {
  it('by q', async () => {
    const pty = await opened(CLI);
    pty.press('q');
    expect((await leftAsItWas(pty)).code).toBe(0);
  });

  it('by Ctrl-C', async () => {
    const pty = await opened(CLI);
    pty.press('\u0003');
    expect((await leftAsItWas(pty)).code).toBe(130);
  });

  it.each([
    ['SIGTERM', 143],
    ['SIGHUP', 129],
    ['SIGINT', 130],
  ] as const)('by %s, which is told below it', async (signal, code) => {
    const pty = await opened(CLI);
    pty.kill(signal);
    const left = await leftAsItWas(pty);
    expect(left.code).toBe(code);
    expect(left.rest).toContain(` Stopped by ${signal}; what was unfinished`);
  });

  it.each([
    ['exception', 'Error: nobody caught this'],
    ['rejection', 'Error: nobody awaited this'],
    ['exit', ''],
  ])('by a program that fails: %s', async (how, sentence) => {
    const pty = await opened(`${TUI} ${how}`);
    pty.kill('SIGUSR2');
    const left = await leftAsItWas(pty);
    expect(left.code).toBe(70);
    expect(left.rest).toContain(sentence);
  });

  it('when it is suspended, and drawn again when it goes on', async () => {
    // an interactive shell, which has jobs
    const pty = openPty(`bash --norc -i -c '${CLI}; echo "[stopped $(stty -g)]"; sleep 0.3; fg'`);
    await pty.shows('Recipes');
    pty.press('\u001a');
    await pty.shows('[stopped ');
    const stopped = pty.output();
    const [there = '', back = ''] = stopped.split('[stopped ');
    expect(modesOf(there)).toEqual(SANE);
    expect(back).toContain(/\[before ([^\]]+)\]/.exec(stopped)?.[1] ?? 'no state before');
    const drawn = () => pty.output().slice(stopped.length);
    await expect
      .poll(() => drawn().includes('\u001b[?1049h') && drawn().includes('Recipes'), { timeout: 20_000 })
      .toBe(true);
    pty.press('q');
    await leftAsItWas(pty);
  });
});

describe.runIf(process.platform === 'linux')('the terminal that goes away', () => {
  it('takes the program with it', async () => {
    const file = join(await temporaryFolder(), 'pid');
    const pty = openPty(`sh -c 'echo $$ > ${file}; trap "" HUP; exec ${CLI}'`); // also when no signal says so
    await pty.shows('Recipes');
    const pid = Number(readFileSync(file, 'utf8'));
    pty.script.kill('SIGKILL');
    await expect
      .poll(
        () => {
          try {
            return process.kill(pid, 0);
          } catch {
            return false;
          }
        },
        { timeout: 20_000 },
      )
      .toBe(false);
  });
});

describe.runIf(process.platform === 'linux')('a terminal without a screen', () => {
  it('is told what to do instead', async () => {
    const pty = openPty(CLI, { TERM: 'dumb' });
    const { code } = await pty.end();
    expect(code).toBe(2);
    expect(pty.output()).toContain('this one cannot move its cursor (TERM=dumb)');
    expect(pty.output()).toContain('lcm-merge recipes/tiny.yaml');
    expect(pty.output()).not.toContain('\u001b');
  });
});

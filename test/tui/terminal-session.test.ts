/** Both ways to sit in front of a terminal, with programs of one line in it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { findDrivers, openSession } from '../../tools/terminal/session.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { openTestSession } from './terminal-session.ts';

const drivers = await findDrivers();

if (drivers.length === 0) it.skip('needs tmux, or script from util-linux');

describe.each(drivers)('a terminal in $found', (driver) => {
  const cwd = process.cwd();
  const open = (script: string) => openTestSession({ driver, argv: ['sh', '-c', script], cwd });

  it('has its size, follows a new one, and shows what is typed', async () => {
    const terminal = await open('stty size; read line; echo "<$line>"; stty size; exit 7');
    await terminal.shows('24 80');
    await terminal.press('héllo; 漢', 'Enter');
    await terminal.shows('<héllo; 漢>');
    expect(await terminal.ended()).toBe(7);
    await terminal.resize(100, 30);
    await terminal.press('stty size', 'Enter');
    await terminal.shows('30 100');
    const cells = await terminal.cells();
    expect([cells.length, new Set(cells.map(({ length }) => length))]).toEqual([30, new Set([100])]);
  });

  it('passes keys on as a terminal does', async () => {
    const terminal = await open('stty raw -echo; echo ready; dd bs=1 count=10 2>/dev/null | od -An -tx1');
    await terminal.shows('ready');
    await terminal.press('Escape', 'Down', 'BTab', 'Tab', 'C-c', 'q');
    await terminal.shows('1b 1b 5b 42 1b 5b 5a 09 03 71');
  });

  it('shows colours, the other screen and no cursor', async () => {
    const terminal = await open('printf "\\033[?1049h\\033[?25l\\033[1;38;2;1;2;3m漢\\033[0m|"; read line; exit 0');
    await terminal.shows('漢|');
    expect(await terminal.modes()).toEqual({ alternate: true, cursor: false });
    const row = (await terminal.cells()).find((cells) => cells.some(({ chars }) => chars === '漢'));
    expect(row?.slice(0, 3)).toMatchObject([
      { chars: '漢', width: 2, bold: true, foreground: { rgb: 0x010203 } },
      { chars: '', width: 0 },
      { chars: '|', width: 1, bold: false, foreground: 'default' },
    ]);
  });

  it('says what it shows instead of what was waited for', async () => {
    const terminal = await open('echo something else; sleep 30');
    await terminal.shows('something else');
    await expect(terminal.shows('what never comes', 0.1)).rejects.toThrow(
      /In 0\.1 s \["what never comes"\] did not appear\. The screen shows:\nsomething else/,
    );
    await expect(terminal.ended(0.1)).rejects.toThrow(/the program did not end/);
  });

  it('takes everything with it that runs in it, also what is deaf to it', async () => {
    const file = join(await temporaryFolder(), 'alive');
    const terminal = await openSession({
      driver,
      argv: ['sh', '-c', `trap "" HUP TERM; while :; do echo . >> ${file}; sleep 0.05; done`],
      cwd,
    });
    const pid = await terminal.pid();
    while (!existsSync(file)) await setTimeout(20);
    await terminal[Symbol.asyncDispose]();
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  });
});

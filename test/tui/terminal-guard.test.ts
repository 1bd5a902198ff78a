import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { guardTerminal } from '../../src/tui/terminal-guard.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

it.runIf(process.platform === 'linux')(
  'a terminal that is behind gets all that restores it',
  async () => {
    const folder = await temporaryFolder();
    const [pipe, seen] = [join(folder, 'pipe'), join(folder, 'seen')];
    execFileSync('mkfifo', [pipe]);
    const fd = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
    const lines = Buffer.alloc(1 << 12, 'drawn ');
    expect(() => {
      for (;;) writeSync(fd, lines);
    }).toThrow(/EAGAIN/); // it is full
    const reader = spawn('sh', ['-c', `sleep 0.2; exec cat "${pipe}" > "${seen}"`]);
    const before = process.listeners('exit');
    {
      using _ = guardTerminal({}, { isTTY: true, fd });
      const restore = process.listeners('exit').find((listener) => !before.includes(listener));
      restore?.(0);
    }
    closeSync(fd);
    await once(reader, 'exit');
    const text = await readFile(seen, 'utf8');
    expect(text.slice(0, 5)).toBe('drawn');
    expect(text.slice(-14)).toBe('\u001b[?1049l\u001b[?25h');
  },
  20_000,
);

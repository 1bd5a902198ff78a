/** Sessions in xterm's headless terminal, on the pseudo-terminal that util-linux's script(1) makes. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createTerminal, readCells } from './cells.ts';
import { type Driver, KEYS } from './driver.ts';

/** DECTCEM, https://vt100.net/docs/vt510-rm/DECTCEM.html */
const CURSOR = 25;

export const scriptDriver: Driver = {
  name: 'script',
  version: ['script', '--version', /util-linux/],
  async open({ folder, script, cwd, env, columns, rows }) {
    const terminal = createTerminal({ cols: columns, rows });
    let cursor = true;
    for (const final of ['h', 'l'])
      terminal.parser.registerCsiHandler({ prefix: '?', final }, (params) => {
        if (params.includes(CURSOR)) cursor = final === 'h';
        return false; // xterm goes on with it
      });
    // script(1) outlives a parent that is killed, and what runs in it outlives both
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'script', '-qfec', `sh '${script}'`, '/dev/null'], {
      cwd,
      env: { ...env, TERM: 'xterm-256color', SHELL: '/bin/sh' },
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    const left = once(child, 'exit');
    child.stdin.on('error', () => undefined); // what is typed after the end
    child.stdout.on('data', (bytes: Buffer) => terminal.write(bytes));
    terminal.onData((answer) => child.stdin.write(answer)); // what a program asks of its terminal
    return {
      async type(key) {
        child.stdin.write('name' in key ? KEYS[key.name] : key.text);
      },
      async resize(to) {
        terminal.resize(to.columns, to.rows);
        const tty = (await readFile(join(folder, 'tty'), 'utf8')).trim();
        await promisify(execFile)('stty', ['-F', tty, 'cols', `${to.columns}`, 'rows', `${to.rows}`]);
      },
      async cells() {
        await new Promise<void>((done) => terminal.write('', done));
        return readCells(terminal);
      },
      async modes() {
        await new Promise<void>((done) => terminal.write('', done));
        return { alternate: terminal.buffer.active.type === 'alternate', cursor };
      },
      async [Symbol.asyncDispose]() {
        child.kill('SIGKILL'); // closes the pseudo-terminal, which hangs up on all that runs in it
        await left;
        terminal.dispose();
      },
    };
  },
};

/** Sessions in tmux(1): a server on a socket of its own, without anybody's configuration, gone with its session. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createTerminal, readCells } from './cells.ts';
import type { Driver } from './driver.ts';

export const tmuxDriver: Driver = {
  name: 'tmux',
  version: ['tmux', '-V', /^tmux [3-9]/],
  async open({ folder, script, cwd, env, columns, rows }) {
    const server = ['-S', join(folder, 'tmux'), '-f', '/dev/null', '-u'];
    const tmux = async (...args: readonly string[]) =>
      (await promisify(execFile)('tmux', [...server, ...args], { env, cwd })).stdout;
    const size = { columns, rows };
    await tmux(
      'new-session',
      '-d',
      '-x',
      `${columns}`,
      '-y',
      `${rows}`,
      'sh',
      script,
      ';',
      'set',
      '-g',
      'status',
      'off',
    );
    await tmux('resize-window', '-x', `${columns}`, '-y', `${rows}`); // with the line that the status had
    // a client that does nothing: when this process is gone, however it went, it is gone, too, and the session with it
    const client = spawn('tmux', [...server, '-C', 'attach', '-f', 'ignore-size,no-output'], {
      env,
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    const left = once(client, 'exit');
    await once(client.stdout, 'data');
    client.stdout.resume();
    await tmux('set', '-g', 'destroy-unattached', 'on');
    return {
      async type(key) {
        await tmux('send-keys', ...('name' in key ? [key.name] : ['-l', '--', key.text]));
      },
      async resize(to) {
        Object.assign(size, to);
        await tmux('resize-window', '-x', `${to.columns}`, '-y', `${to.rows}`);
      },
      async cells() {
        const terminal = createTerminal({ cols: size.columns, rows: size.rows, convertEol: true });
        const captured = await tmux('capture-pane', '-p', '-e');
        await new Promise<void>((done) => terminal.write(captured.replace(/\n$/, ''), done));
        const cells = readCells(terminal);
        terminal.dispose();
        return cells;
      },
      async modes() {
        const flags = (await tmux('display-message', '-p', '#{alternate_on}#{cursor_flag}')).trim();
        return { alternate: flags[0] === '1', cursor: flags[1] === '1' };
      },
      async [Symbol.asyncDispose]() {
        client.stdin.end();
        await left;
      },
    };
  },
};

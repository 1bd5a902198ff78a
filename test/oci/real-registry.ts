/** Debian's docker-registry on this machine, for one test file: its data in a temporary folder, its port whatever is free. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { temporaryFolder } from '../helpers/temporary.ts';

const COMMAND = 'docker-registry';

export const hasRegistry = spawnSync(COMMAND, ['--version']).status === 0;

/** Its address, `127.0.0.1:PORT`. */
export async function startRegistry(): Promise<string> {
  const folder = await temporaryFolder();
  const port = await freePort();
  const config = join(folder, 'config.yml');
  await writeFile(
    config,
    [
      'version: 0.1',
      'log: { level: error, accesslog: { disabled: true } }',
      `storage: { filesystem: { rootdirectory: ${join(folder, 'data')} } }`,
      `http: { addr: '127.0.0.1:${port}', secret: test }`,
    ].join('\n'),
  );
  const child = spawn(COMMAND, ['serve', config], { stdio: 'ignore' });
  afterAll(async () => {
    if (child.exitCode !== null) return;
    child.kill();
    await once(child, 'exit');
  });
  const address = `127.0.0.1:${port}`;
  for (let tries = 0; tries < 200; tries += 1) {
    const up = await fetch(`http://${address}/v2/`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (up) return address;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${COMMAND} does not answer at ${address}.`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

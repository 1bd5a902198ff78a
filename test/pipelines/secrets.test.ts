/** Nothing that is printed holds a secret, whatever servers answer: they get it, and send it back in header and body. */
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startHub } from '../hub/hub-server.ts';
import { openShell, type Shell } from './shell.ts';

const [TOKEN, USER, PASSWORD] = ['hf_a1b2c3d4e5f6a1b2c3d4', 'robot-of-ours', 'correct.horse.battery'];
/** As it stands in an Authorization header. */
const BASIC = Buffer.from(`${USER}:${PASSWORD}`).toString('base64');

let shell: Shell;
let address: string;
/** To whoever says who they are; nobody else gets further. */
let status = 500;
let challenge = '';
/** What came in Authorization headers. */
const received: string[] = [];

beforeAll(async () => {
  const server = createServer((request, response) => {
    const { authorization = '' } = request.headers;
    received.push(authorization);
    response.writeHead(authorization === '' ? 401 : status, {
      'retry-after': '0',
      'x-error-message': authorization,
      'www-authenticate': challenge,
      'content-type': 'application/json',
    });
    response.end(JSON.stringify({ error: authorization, errors: [{ code: authorization, message: authorization }] }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  shell = await openShell();
  const recipe = await readFile('recipes/tiny.yaml', 'utf8');
  await writeFile(
    join(shell.folder, 'hub.yaml'),
    recipe.replaceAll('../models', 'models').replace('models/tiny/ink.safetensors', 'hf://me/ink/ink.safetensors'),
  );
});

const PULL = 'pull oci://$REGISTRY/ink:v1 -o pulled';

describe.each([
  { service: 'a hub', command: 'plan hub.yaml', scheme: '', sent: TOKEN },
  { service: 'a registry', command: PULL, scheme: 'Basic realm="x"', sent: BASIC },
  { service: "a registry's token service", command: PULL, scheme: 'Bearer realm="http://REGISTRY/token"', sent: BASIC },
])('of $service', ({ command, scheme, sent }) => {
  it.each([401, 403, 500])('that answers with %i', async (answer) => {
    [status, challenge] = [answer, scheme.replace('REGISTRY', address)];
    received.length = 0;
    const { code, all } = await shell.run(`lcm-merge ${command} --json=stream`, {
      HF_ENDPOINT: `http://${address}`,
      HF_TOKEN: TOKEN,
      LCM_MERGE_REGISTRY_USER: USER,
      LCM_MERGE_REGISTRY_PASSWORD: PASSWORD,
      LCM_MERGE_DEBUG: '1',
      REGISTRY: address,
    });
    expect(received.join()).toContain(sent);
    expect(code, all).toBe(69);
    expect(all).toContain('"type":"error"');
    for (const secret of [TOKEN, PASSWORD, BASIC]) expect(all).not.toContain(secret);
  });
});

describe('of a hub that lets us in', () => {
  it('nothing is printed either', async () => {
    const hub = await startHub();
    hub.commit('me/ink', { 'ink.safetensors': await readFile('models/tiny/ink.safetensors') });
    hub.token = TOKEN;
    const env = { HF_ENDPOINT: hub.endpoint, HF_TOKEN: TOKEN };
    const { code, all } = await shell.run('lcm-merge plan hub.yaml --json=stream', env);
    expect(code, all).toBe(0);
    expect(hub.log.map(({ authorization }) => authorization)).toContain(`Bearer ${TOKEN}`);
    expect(all).toContain('"stage":"fetch"');
    expect(all).not.toContain(TOKEN);
  });
});

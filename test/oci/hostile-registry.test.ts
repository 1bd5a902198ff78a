/** A registry that means no good: it ends in words that say so, and secrets stay where they belong. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Patience } from '../../src/hub/http.ts';
import { parseOciReference } from '../../src/oci/reference.ts';
import { openRegistry } from '../../src/oci/registry.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const patience: Patience = { attempts: 2, firstDelay: 1, longestDelay: 100, idle: 2000 };
const credentials = { user: 'robot', password: 'correct.horse' };

let server: TestServer;

beforeAll(async () => void (server = await startServer()));
beforeEach(() => server.reset());

const open = (options = {}) => {
  const reference = parseOciReference(`oci://${server.address.replace('http://', '')}/a/b:v1`);
  if ('fault' in reference) throw new Error(reference.fault);
  return openRegistry(reference, { credentials, patience, ...options });
};
const asked = async () =>
  open()
    .getManifest('v1', '*/*')
    .then(
      () => 'It was answered.',
      (error: Error) => error.message,
    );
const wants = (realm: string) => ({ status: 401, headers: { 'www-authenticate': `Bearer realm="${realm}"` } });

describe('a token service', () => {
  it.each([
    'file:///etc/passwd',
    'data:application/json,{%22token%22:%22x%22}',
    'javascript:alert(1)',
    'http://me:secret@localhost:1/token',
  ])('%s is none', async (realm) => {
    server.answer = () => wants(realm);
    expect(await asked()).toMatch(/sends whoever wants in to \w+:.*, which is not safe$/);
  });

  it.each([
    { what: 'two lines', token: 'one\r\ntwo' },
    { what: 'a letter that headers do not take', token: 'ünlike' },
    { what: 'nothing', token: '' },
    { what: 'more than headers have room for', token: 'x'.repeat(1 << 17) },
  ])('that gives $what gives no token', async ({ token }) => {
    server.answer = ({ url }) =>
      url === '/token' ? { body: JSON.stringify({ token }) } : wants(`${server.address}/token`);
    const message = await asked();
    expect(message).toMatch(/which gives tokens for the registry, gives none$/);
  });

  it('may call it an access token', async () => {
    server.answer = ({ url, headers }) => {
      if (url === '/token') return { body: JSON.stringify({ access_token: 'given' }) };
      return headers.authorization === 'Bearer given' ? {} : wants(`${server.address}/token`);
    };
    expect(await asked()).toBe('It was answered.');
  });
});

it('an upload that goes back and forth is given up', async () => {
  let looked = 0;
  server.answer = ({ method }) => {
    if (method === 'HEAD') return { status: 404 };
    if (method === 'POST') return { status: 202, headers: { location: '/upload' } };
    if (method === 'GET') looked += 1;
    return {
      status: method === 'GET' ? 204 : 500,
      headers: { location: '/upload', range: `0-${looked % 2 ? 20 : 10}` },
    };
  };
  const path = join(await temporaryFolder(), 'file');
  await writeFile(path, new Uint8Array(100));
  const pushing = open({ chunk: 40 }).push({ digest: `sha256:${'0'.repeat(64)}`, bytes: 100 }, path);
  await expect(Array.fromAsync(pushing)).rejects.toThrow('answers 500');
  expect(looked).toBeLessThan(10);
});

it('an upload at an address with a name and a password is none', async () => {
  server.answer = ({ method }) =>
    method === 'HEAD' ? { status: 404 } : { status: 202, headers: { location: 'http://me:secret@localhost:1/' } };
  await expect(open().pushBytes(new Uint8Array(1))).rejects.toThrow('at an address that is none, or is not safe');
});

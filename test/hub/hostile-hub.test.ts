/** A Hub, and what stands where it sends us, that mean no good: the token stays, nothing leads away from safety, and everything ends. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { UsageError } from '../../src/errors.ts';
import { drain } from '../../src/events.ts';
import { collect, openWire, type Patience } from '../../src/hub/http.ts';
import { publish } from '../../src/publish/publish.ts';
import { pull } from '../../src/publish/pull.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { makeVerified } from '../publish/handmade.ts';
import { type FakeHub, type Fault, type Served, startHub } from './hub-server.ts';

const patience: Patience = { attempts: 2, firstDelay: 1, longestDelay: 100, idle: 2000 };
const TOKEN = 'hf_sEcReT0123456789';
const WEIGHTS = Uint8Array.from({ length: 3000 }, (_, i) => i % 251);

let hub: FakeHub;
let elsewhere: TestServer;
let verified: string;
let serial = 0;

beforeAll(async () => {
  [hub, elsewhere] = [await startHub(), await startServer()];
  verified = await makeVerified(join(await temporaryFolder(), 'ink'), { 'unet/model.onnx_data': WEIGHTS });
});
beforeEach(async () => {
  serial += 1;
  Object.assign(hub, { fault: () => undefined, token: TOKEN });
  hub.log.length = 0;
  hub.account = { type: 'user', name: 'me', orgs: [], auth: { accessToken: { role: 'write' } } };
  elsewhere.reset();
  vi.stubEnv('HF_ENDPOINT', hub.endpoint);
  vi.stubEnv('HF_TOKEN', TOKEN);
  vi.stubEnv('LCM_MERGE_CACHE', await temporaryFolder());
});
afterEach(() => void vi.useRealTimers());

const json = (value: unknown, headers: Fault['headers'] = {}): Fault => ({
  status: 200,
  headers: { 'content-type': 'application/json', ...headers },
  body: JSON.stringify(value),
});
const at =
  (path: RegExp, fault: Fault | ((request: Served) => Fault)) =>
  (request: Served): Fault | undefined => {
    if (!path.test(request.url)) return undefined;
    return typeof fault === 'function' ? fault(request) : fault;
  };

async function messageOf(work: Promise<unknown>): Promise<string> {
  const message = await work.then(
    () => 'It was done.',
    (error: Error) => error.message,
  );
  expect(message).not.toContain(TOKEN);
  expect(JSON.stringify(elsewhere.log)).not.toContain(TOKEN);
  return message;
}
const sent = () => messageOf(drain(publish(verified, { to: `hf://me/ink${serial}`, patience })));
const pulled = async () => {
  hub.commit(`me/ink${serial}`, { 'lcm-merge.lock.json': WEIGHTS });
  return messageOf(drain(pull(`hf://me/ink${serial}`, { out: join(await temporaryFolder(), 'out'), patience })));
};

describe('a listing', () => {
  it('that has no end is given up, although nothing stands in it', async () => {
    hub.fault = at(/\/tree\//, ({ url }) => json([], { link: `<${hub.endpoint}${url}>; rel="next"` }));
    expect(await pulled()).toContain('there is no end to it');
    expect(await sent()).toContain('there is no end to it');
  });

  it('that goes on elsewhere goes on without the token', async () => {
    hub.fault = at(/\/tree\//, json([], { link: `<${elsewhere.address}/more>; rel="next"` }));
    elsewhere.answer = () => ({ body: '[]' });
    expect(await pulled()).toContain('is no package');
    expect(elsewhere.log.map(({ url }) => url)).toEqual(['/more']);
  });
});

describe('an address', () => {
  it.each(['http://169.254.169.254/latest/meta-data/', 'file:///etc/passwd', 'https://me:secret@localhost:1/'])(
    'that leads from https to %s is not gone to',
    async (address) => {
      const wire = openWire({ endpoint: 'https://localhost:1', authorization: () => `Bearer ${TOKEN}`, patience });
      await expect(wire.fetch(address)).rejects.toThrow(/localhost:1 names \w+:.*, which is not safe/);
    },
  );

  it('with a name and a password is none to be redirected to, and is not repeated', async () => {
    hub.fault = at(/\/api\//, { status: 307, headers: { location: `http://me:${TOKEN}@localhost:1/` } });
    expect(await pulled()).toContain('redirects to http:// (localhost:1), which is not safe');
  });

  it('gets the headers that were given for it, and where it redirects to gets none that tell who one is', async () => {
    const header = { Authorization: 'Basic for-you', Cookie: 'a=b', 'x-other': 'c' };
    const oid = createHash('sha256').update(WEIGHTS).digest('hex');
    const upload = { href: `${elsewhere.address}/put`, header };
    hub.fault = at(/objects\/batch/, json({ objects: [{ oid, actions: { upload } }] }));
    const third = elsewhere.address.replace('127.0.0.1', 'localhost');
    elsewhere.answer = ({ url }) => (url === '/put' ? { status: 307, headers: { location: `${third}/there` } } : {});
    await sent();
    const seen = elsewhere.log.map(({ url, headers }) => [
      url,
      headers.authorization,
      headers.cookie,
      headers['x-other'],
    ]);
    expect(seen).toEqual([
      ['/put', 'Basic for-you', 'a=b', 'c'],
      ['/there', undefined, undefined, 'c'],
    ]);
  });
});

it('parts of fractions of bytes are none', async () => {
  const oid = createHash('sha256').update(WEIGHTS).digest('hex');
  const href = `${elsewhere.address}/put`;
  const header = { chunk_size: '2000.5', '00001': href, '00002': href };
  hub.fault = at(/objects\/batch/, json({ objects: [{ oid, actions: { upload: { href, header } } }] }));
  expect(await sent()).toContain('in which parts unet/model.onnx_data is to be sent');
});

it.each(['read', 'write'])('a token that is called by itself is not told (%s)', async (role) => {
  hub.fault = at(/whoami/, json({ name: TOKEN, type: 'user', auth: { accessToken: { role } } }));
  expect(await sent()).toContain('…');
});

it('an answer that comes byte by byte is not waited for', async () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  async function* chunks() {
    for (;;) {
      vi.advanceTimersByTime(10_000);
      yield new Uint8Array(1);
    }
  }
  const answer = { status: 200, headers: new Headers(), chunks, cancel: async () => undefined };
  await expect(collect(answer, 1000, 'x answers')).rejects.toThrow('x answers so slowly that it would never end');
});

it('where certificates are not checked nothing is asked', () => {
  vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
  expect(() => openWire({ endpoint: 'https://localhost:1' })).toThrow(UsageError);
  expect(() => openWire({ endpoint: 'http://localhost:1' })).not.toThrow();
});

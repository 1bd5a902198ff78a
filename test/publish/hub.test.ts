import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { PublishError, UnavailableError, UsageError } from '../../src/errors.ts';
import { drain, type Event } from '../../src/events.ts';
import type { Patience } from '../../src/hub/http.ts';
import { plan } from '../../src/merge/plan.ts';
import { makePackage } from '../../src/publish/make-package.ts';
import type { PublishOptions } from '../../src/publish/place.ts';
import { previewPublication, surveyPublication } from '../../src/publish/preview.ts';
import { publish } from '../../src/publish/publish.ts';
import { pull } from '../../src/publish/pull.ts';
import { openSigner } from '../../src/sign/keys.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { tinyRecipe } from '../helpers/tiny.ts';
import { type FakeHub, type Fault, type Served, sha256, startHub } from '../hub/hub-server.ts';
import { digestsOf, golden, writeKey } from '../sign/golden-bundles.ts';
import { makeVerified } from './handmade.ts';

const patience: Patience = { attempts: 3, firstDelay: 1, longestDelay: 2000, idle: 5000 };
const TOKEN = 'hf_sEcReT0123456789';
const WEIGHTS = Uint8Array.from({ length: 1_200_000 }, (_, i) => (i * 2654435761) >>> 23);
const GRAPH = Uint8Array.from({ length: 40_000 }, (_, i) => i % 251);
const FILES = { 'unet/model.onnx_data': WEIGHTS, 'unet/model.onnx': GRAPH, 'README.md': '# ink\n', 'a/ü 1.json': '{}' };

let hub: FakeHub;
let verified: string;
let serial = 0;
let repo: string;
let to: string;

beforeAll(async () => {
  hub = await startHub();
  verified = await makeVerified(join(await temporaryFolder(), 'ink'), FILES);
});

beforeEach(() => {
  serial += 1;
  repo = `me/ink${serial}`;
  to = `hf://${repo}`;
  Object.assign(hub, {
    fault: () => undefined,
    token: TOKEN,
    multipart: { from: Number.POSITIVE_INFINITY, part: 0 },
    verifies: true,
    account: { type: 'user', name: 'me', orgs: [{ name: 'studio' }], auth: { accessToken: { role: 'write' } } },
  });
  hub.log.length = 0;
  vi.stubEnv('HF_ENDPOINT', hub.endpoint);
  vi.stubEnv('HF_TOKEN', TOKEN);
  vi.stubEnv('HF_HUB_OFFLINE', '');
  vi.stubEnv('LCM_MERGE_OFFLINE', '');
});

/** Publishes, and holds every word of it to the token, and every request to where the token may go. */
async function send(options: Partial<PublishOptions> = {}, folder = verified) {
  const events: Event[] = [];
  const outcome = await drain(publish(folder, { to, patience, ...options }), (event) => events.push(event)).then(
    (published) => ({ published, error: undefined }),
    (error: Error) => ({ published: undefined, error }),
  );
  const said = JSON.stringify([events, outcome.published, outcome.error?.message, outcome.error?.stack]);
  expect(said).not.toContain(TOKEN);
  expect(said).not.toContain('X-Signature');
  const elsewhere = hub.log.filter(({ server }) => server === 'storage');
  expect(elsewhere.filter(({ authorization }) => authorization !== undefined)).toEqual([]);
  return { ...outcome, events };
}

const published = async (options: Partial<PublishOptions> = {}, folder = verified) => {
  const { published: result, error, events } = await send(options, folder);
  if (!result) throw error;
  return { ...result, events };
};
const failed = async (options: Partial<PublishOptions> = {}, folder = verified) => {
  const { error } = await send(options, folder);
  if (!error) throw new Error('It was published.');
  return error;
};

async function onDisk(folder = verified): Promise<Record<string, Uint8Array>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Object.fromEntries(
    await Promise.all(paths.map(async (path) => [path.slice(folder.length + 1), await readFile(path)])),
  );
}

async function expectThere(revision: string, folder = verified): Promise<void> {
  const [there, here] = [hub.files(repo, revision), await onDisk(folder)];
  expect(Object.keys(there).toSorted()).toEqual(Object.keys(here).toSorted());
  for (const [name, data] of Object.entries(here))
    expect(Buffer.compare(there[name] ?? Buffer.of(), data), name).toBe(0);
}

function expectForward(events: readonly Event[]): void {
  const shown = events.flatMap((event) => (event.type === 'progress' ? [event.done / event.total] : []));
  expect(shown).toEqual(shown.toSorted((a, b) => a - b));
  expect(shown.at(-1)).toBe(1);
}

const sendsTo = (what: RegExp) => hub.log.filter(({ method, url }) => what.test(`${method} ${url}`));
const PUTS = /^PUT /;
/** Only the first `times` requests of that kind go wrong. */
const fails = (what: RegExp, fault: Fault, times = 1) => {
  const seen = new Set<Served>();
  hub.fault = (request) => {
    if (!what.test(`${request.method} ${request.url}`)) return undefined;
    seen.add(request);
    return seen.size <= times || seen.values().toArray().indexOf(request) < times ? fault : undefined;
  };
};
const headOf = () => hub.repository(repo)?.refs.get('main');
const another = async (files: Readonly<Record<string, string | Uint8Array>>) =>
  makeVerified(join(await temporaryFolder(), 'other'), files, 'oil');

describe('publish to the Hub', () => {
  it('makes the repository and one commit that is the package, byte for byte', async () => {
    const { to: at, files, bytes, events } = await published({ private: true });
    const history = hub.repository(repo)?.history ?? [];
    expect(history).toMatchObject([
      { title: 'initial commit' },
      { title: 'Publish ink', description: expect.stringContaining('passed its verification: 9 files') },
    ]);
    expect(history[1]?.parent).toBe(history[0]?.sha);
    expect(at).toBe(`hf://${repo}@${headOf()}`);
    expect(hub.repository(repo)?.isPrivate).toBe(true);
    await expectThere(at.split('@')[1] as string);
    const here = Object.values(await onDisk());
    expect({ files, bytes }).toEqual({ files: here.length, bytes: here.reduce((sum, { length }) => sum + length, 0) });
    expectForward(events);
  });

  it('comes back byte for byte', async () => {
    const { to: at, files } = await published();
    vi.stubEnv('LCM_MERGE_CACHE', await temporaryFolder());
    const out = join(await temporaryFolder(), 'pulled');
    expect(await drain(pull(at, { out }))).toMatchObject({ reference: at, files });
    expect(await onDisk(out)).toEqual(await onDisk());
  });

  it('says so where the same stands there already, and commits nothing', async () => {
    const first = await published();
    hub.log.length = 0;
    expect(await published()).toMatchObject({ to: first.to, unchanged: true });
    expect(sendsTo(/^PUT |\/commit\/|preupload|batch/)).toEqual([]);
  });

  it('sends of a new version what is new, and takes away what it has not, but .gitattributes', async () => {
    await published();
    const folder = await another({
      'unet/model.onnx_data': WEIGHTS,
      'unet/model.onnx': GRAPH.toReversed(),
      'new.txt': 'n',
    });
    hub.log.length = 0;
    const { to: at } = await published({ message: 'Second\n\nWith care.' }, folder);
    await expectThere(at.split('@')[1] as string, folder);
    expect(
      hub
        .repository(repo)
        ?.commits.get(headOf() ?? '')
        ?.has('.gitattributes'),
    ).toBe(true);
    expect(sendsTo(PUTS).map(({ sent }) => sent)).toEqual([GRAPH.length]);
    expect(hub.repository(repo)?.history.at(-1)).toMatchObject({ title: 'Second', description: 'With care.' });
  });

  it('goes to a branch, which is made from main where it is not there', async () => {
    await published();
    const main = headOf();
    const folder = await another({ 'README.md': 'b' });
    const { to: at } = await published({ to: `${to}@next/v2` }, folder);
    await expectThere('next/v2', folder);
    expect(hub.repository(repo)?.history.at(-1)).toMatchObject({ parent: main, ref: 'next/v2' });
    expect(at).toBe(`hf://${repo}@${hub.repository(repo)?.refs.get('next/v2')}`);
    expect(headOf()).toBe(main);
  });

  it('makes a branch of what stands on main already without a commit', async () => {
    const { to: main } = await published();
    expect(await published({ to: `${to}@v2` })).toMatchObject({ to: main, unchanged: true });
    expect(hub.repository(repo)?.refs.get('v2')).toBe(headOf());
    expect(hub.repository(repo)?.history).toHaveLength(2);
  });

  it('offers a pull request, and the branch stays as it was', async () => {
    await published();
    const main = headOf();
    const folder = await another({ 'README.md': 'pr' });
    const result = await published({ pullRequest: true }, folder);
    expect(result.pullRequest).toBe(`${hub.endpoint}/${repo}/discussions/1`);
    expect(headOf()).toBe(main);
    await expectThere('refs/pr/1', folder);
    await expectThere('main');
  });

  it('is signed where it was to be signed, and the package is left as it is', async () => {
    const signer = await openSigner(await writeKey(golden.keys.plain['pkcs8'] as string));
    const { signed, files } = await published({ signer });
    expect(signed).toBe(signer.hint);
    expect(files).toBe(Object.keys(await onDisk()).length + 1);
    expect(Object.keys(hub.files(repo, 'main'))).toContain('model.sig');
    expect([...(await digestsOf(verified)).keys()]).not.toContain('model.sig');
  });

  it('goes in parts, and only the part that was cut off is sent again', async () => {
    hub.multipart = { from: 1_000_000, part: 300_000 };
    fails(/^PUT \/part\/\d+\/3/, { resetAfter: 200_000 });
    await published();
    const parts = sendsTo(/^PUT \/part\//).map(({ url, sent }) => [url.split('/')[3]?.split('?')[0], sent >= 300_000]);
    expect(parts).toEqual([
      ['1', true],
      ['2', true],
      ['3', false],
      ['3', true],
      ['4', true],
    ]);
    await expectThere('main');
  });

  it('asks for new addresses when those of a file have run out', async () => {
    hub.multipart = { from: 1_000_000, part: 300_000 };
    fails(/^PUT \/part\/\d+\/3/, { status: 403 });
    expectForward((await published()).events);
    expect(sendsTo(/batch$/)).toHaveLength(3);
    await expectThere('main');
  });

  it('after it was stopped sends only the rest', async () => {
    fails(/^PUT .*/, { status: 500 }, 100);
    hub.fault = (
      (inner) => (request: Served) =>
        sendsTo(PUTS).length > 1 ? inner(request) : undefined
    )(hub.fault);
    expect(await failed()).toBeInstanceOf(UnavailableError);
    expect(hub.files(repo, 'main')).toEqual({});
    hub.fault = () => undefined;
    hub.log.length = 0;
    await published();
    expect(sendsTo(PUTS)).toHaveLength(1);
    await expectThere('main');
  });
});

describe('what may pass', () => {
  it.each<[string, RegExp, Fault]>([
    ['429 with Retry-After', /\/commit\//, { status: 429, headers: { 'retry-after': '1' } }],
    ['500 on the commit', /\/commit\//, { status: 500 }],
    ['503 on preupload', /preupload/, { status: 503 }],
    ['500 of the storage', PUTS, { status: 500 }],
    ['a reset in the middle of a file', PUTS, { resetAfter: 20_000 }],
    ['a reset in the middle of the commit', /\/commit\//, { resetAfter: 100 }],
    ['an answer to the commit that is lost', /\/commit\//, { losesAnswer: true }],
    ['another repository that is being made', /repos\/create/, { status: 409 }],
    ['an answer to the new repository that is lost', /repos\/create/, { losesAnswer: true }],
    ['an answer to the verification that is lost', /lfs\/verify/, { losesAnswer: true }],
    ['damage on the way to the storage', PUTS, { damaged: true }],
  ])('%s', async (_, what, fault) => {
    fails(what, fault);
    await published();
    await expectThere('main');
    expect(hub.repository(repo)?.history).toHaveLength(2);
  });

  it('a completion of parts whose answer is lost', async () => {
    hub.multipart = { from: 1_000_000, part: 1_000_000 };
    hub.verifies = false;
    fails(/complete_multipart/, { losesAnswer: true });
    await published();
    expect(sendsTo(/^PUT \/part\//)).toHaveLength(2);
    await expectThere('main');
  });
});

describe('what ends in an error leaves the branch as it was', () => {
  let before: string | undefined;
  let folder: string;
  beforeEach(async () => {
    await published();
    before = headOf();
    folder = await another({ 'unet/model.onnx_data': WEIGHTS.toReversed(), 'README.md': 'new' });
    hub.log.length = 0;
  });
  const expectUntouched = async () => {
    expect(headOf()).toBe(before);
    await expectThere('main');
  };

  it.each<[string, RegExp, Fault, RegExp]>([
    [
      'a token that runs out',
      /\/commit\//,
      { status: 401, body: '{"error":"Invalid username or password."}' },
      /does not take the token .*hf auth login/,
    ],
    [
      'a token that may not',
      /preupload/,
      { status: 403, headers: { 'x-error-message': `Forbidden for ${TOKEN}` } },
      /does not let the token .*saying "Forbidden for …"/,
    ],
    [
      'a full account',
      /batch$/,
      {
        status: 403,
        headers: { 'content-type': 'application/json' },
        body: '{"error":"Private repository storage limit reached"}',
      },
      /saying "Private repository storage limit reached"/,
    ],
    ['a bill', /\/commit\//, { status: 402 }, /\(402\)/],
    ['a gate', /\/tree\//, { status: 403, headers: { 'x-error-code': 'GatedRepo' } }, /does not let the token/],
    ['too many questions', /preupload/, { status: 429, headers: { 'retry-after': '300' } }, /again in 300 seconds/],
    ['a Hub that stays broken', /\/commit\//, { status: 500 }, /answers 500/],
    ['a storage that stays broken', PUTS, { status: 503 }, /storage of .* answers 503/],
    ['a storage that keeps other bytes', PUTS, { damaged: true }, /its hash is another/],
    ['an answer that is none', /preupload/, { status: 200, body: '{"files":[]}' }, /how .* is to be sent/],
    [
      'an address that is none of the web',
      /batch$/,
      {
        status: 200,
        body: JSON.stringify({
          objects: [{ oid: sha256(WEIGHTS.toReversed()), actions: { upload: { href: 'ftp://h/x' } } }],
        }),
      },
      /wants a file to be sent to ftp:\/\/h, which is not safe/,
    ],
    ['parts that do not fit', /batch$/, { status: 200, body: '{"objects":[]}' }, /where .* is to be sent/],
  ])('%s', async (_, what, fault, reason) => {
    fails(what, fault, 1000);
    const error = await failed({}, folder);
    expect(error).toBeInstanceOf(UnavailableError);
    expect(error.message).toMatch(reason);
    await expectUntouched();
  });

  it('bytes that nobody verified and that are others are not committed', async () => {
    hub.verifies = false;
    fails(PUTS, { damaged: true }, 1000);
    expect((await failed({}, folder)).message).toMatch(/points to a file that does not exist/);
    await expectUntouched();
  });

  it('somebody else who was there first', async () => {
    let theirs: string | undefined;
    hub.fault = ({ url }) => {
      if (url.includes('/commit/'))
        theirs ??= hub.commit(repo, { ...hub.files(repo, 'main'), 'theirs.txt': Buffer.from('theirs') });
      return undefined;
    };
    const error = await failed({}, folder);
    expect(error.message).toMatch(
      new RegExp(
        `Somebody has changed ${to}@main meanwhile: ${theirs} stands where ${before} stood \\(.*theirs\\.txt\\)`,
      ),
    );
    expect(headOf()).toBe(theirs);
  });

  it.each(['basic', 'multipart'])('a file that changes while it is sent (%s)', async (transfer) => {
    if (transfer === 'multipart') hub.multipart = { from: 1000, part: 1_000_000 };
    let isDone = false;
    hub.fault = ({ url }) => {
      if (url.endsWith('batch') && !isDone) {
        isDone = true;
        void writeFile(join(folder, 'unet/model.onnx_data'), WEIGHTS.slice(0).fill(7, 10, 20));
      }
      return undefined;
    };
    const error = await failed({}, folder);
    expect(error).toBeInstanceOf(PublishError);
    expect(error.message).toMatch(/model\.onnx_data has changed since it was checked/);
    await expectUntouched();
  });

  it('a small file that changes before the commit', async () => {
    hub.fault = ({ url }) => {
      if (url.endsWith('batch')) void writeFile(join(folder, 'README.md'), 'wen');
      return undefined;
    };
    expect(await failed({}, folder)).toBeInstanceOf(PublishError);
    await expectUntouched();
  });

  it('Ctrl-C', async () => {
    const controller = new AbortController();
    hub.fault = ({ method }) => {
      if (method === 'PUT') controller.abort(new Error('stopped'));
      return undefined;
    };
    expect((await failed({ signal: controller.signal }, folder)).message).toBe('stopped');
    await expectUntouched();
  });

  it('a pull request whose answer is lost is not made twice', async () => {
    fails(/\/commit\//, { losesAnswer: true });
    expect((await failed({ pullRequest: true }, folder)).message).toMatch(
      /answer to the pull request was lost.*discussions/,
    );
    expect([...(hub.repository(repo)?.refs.keys() ?? [])]).toEqual(['main', 'refs/pr/1']);
    await expectUntouched();
  });

  it('is told where the Hub lists something else than was sent', async () => {
    let listed = 0;
    hub.fault = ({ url }) => {
      if (!url.includes('/tree/') || (listed += 1) < 2) return undefined;
      return { status: 200, headers: { 'content-type': 'application/json' }, body: '[]' };
    };
    expect((await failed({}, folder)).message).toMatch(/what stands there is not the package/);
  });
});

describe('what is not even begun', () => {
  const unsaid = () => expect(sendsTo(/^(POST|PUT) /)).toEqual([]);

  it.each([
    ['hf://me', /does not name a repository/],
    ['hf://me/ink/unet', /names a path in a repository/],
    [`hf://me/ink@${'a'.repeat(40)}`, /names a commit/],
  ])('%s', async (place, reason) => {
    const error = await failed({ to: place });
    expect(error).toBeInstanceOf(UsageError);
    expect(error.message).toMatch(reason);
    expect(hub.log).toEqual([]);
  });

  it('a package that has not passed', async () => {
    const folder = await another({});
    await writeFile(join(folder, 'README.md'), '');
    expect(await failed({}, folder)).toBeInstanceOf(PublishError);
    expect(hub.log).toEqual([]);
  });

  it('without a token', async () => {
    vi.stubEnv('HF_TOKEN', '');
    vi.stubEnv('HF_TOKEN_PATH', '/nowhere');
    expect((await failed()).message).toMatch(/there is no token\. .*hf auth login.*HF_TOKEN/);
    expect(hub.log).toEqual([]);
  });

  it.each(['HF_HUB_OFFLINE', 'LCM_MERGE_OFFLINE'])('with %s', async (name) => {
    vi.stubEnv(name, '1');
    expect((await failed()).message).toBe(`${name} forbids the network. Unset it to publish to ${to}@main.`);
    expect(hub.log).toEqual([]);
  });

  it('where the token would be readable on the way', async () => {
    vi.stubEnv('HF_ENDPOINT', 'http://hub.example');
    expect((await failed()).message).toMatch(/only shown over https/);
  });

  it.each<[string, object, RegExp]>([
    [
      'a token that may only read',
      { name: 'me', auth: { accessToken: { role: 'read' } } },
      /may only read\. Make one that may write/,
    ],
    [
      'a stranger',
      { name: 'you', auth: { accessToken: { role: 'write' } } },
      /is you's, who is not me nor in an organization/,
    ],
    ['nobody', { auth: 1 }, /does not say in a way that can be understood whose token it is/],
  ])('by %s', async (_, account, reason) => {
    hub.account = account;
    expect((await failed()).message).toMatch(reason);
    unsaid();
  });

  it('over what is no package', async () => {
    hub.commit(repo, { 'diary.txt': Buffer.from('mine'), 'README.md': Buffer.from('me') });
    const error = await failed();
    expect(error).toBeInstanceOf(UsageError);
    expect(error.message).toMatch(/holds "diary\.txt" and is not a package/);
    unsaid();
  });

  it('what a recipe asks for, before anything is baked', async () => {
    const planned = await plan(tinyRecipe({ publish: { to, pull_request: true } }));
    const out = join(await temporaryFolder(), 'out');
    await expect(drain(makePackage(planned, { out, device: 'cpu' }))).rejects.toThrow(/there is no me\/ink/);
    expect(await readdir(join(out, '..'))).toEqual([]);
  });

  it('over what somebody else has made meanwhile under that name', async () => {
    hub.fault = ({ url }) => {
      if (url.endsWith('repos/create')) hub.commit(repo, { 'diary.txt': Buffer.from('mine') });
      return undefined;
    };
    expect((await failed()).message).toMatch(/holds "diary\.txt"/);
    expect(Object.keys(hub.files(repo, 'main'))).toEqual(['diary.txt']);
  });

  it('what has changed since it was shown', async () => {
    const { to: first } = await published();
    const over = headOf();
    expect((await published({ over })).to).toBe(first);
    hub.commit(repo, { 'lcm-merge.lock.json': Buffer.from('{}') });
    hub.log.length = 0;
    expect((await failed({ over })).message).toMatch(/has changed since it was shown/);
    unsaid();
  });

  it('a pull request to what is not there', async () => {
    expect((await failed({ pullRequest: true })).message).toMatch(/there is no me\/ink/);
    unsaid();
  });

  it.each(['private', 'pullRequest', 'message'] as const)('%s of a folder', async (name) => {
    const options = { to: join(await temporaryFolder(), 'x'), [name]: name === 'message' ? 'm' : true };
    await expect(drain(publish(verified, options))).rejects.toThrow(/only the Hub \(hf:\/\/owner\/name\) has/);
  });
});

describe('the preview', () => {
  it('says what would be made, by whom, and writes nothing', async () => {
    const preview = await drain(previewPublication(verified, { to, private: true }));
    expect(preview).toMatchObject({
      to: `${to}@main`,
      target: { hub: { account: 'me', mayWrite: 'yes', creates: 'private repository' } },
      refusals: [],
    });
    expect(preview.target).not.toHaveProperty('replaces');
    expect(hub.repository(repo)).toBeUndefined();
    expect(hub.log.every(({ method }) => method === 'GET')).toBe(true);
  });

  it('says what stands there', async () => {
    const { files, bytes } = await published();
    const { target } = await surveyPublication(verified, to);
    expect(target?.replaces).toEqual({ name: 'ink', files, bytes, commit: headOf() });
    const branch = await surveyPublication(verified, `${to}@next`);
    expect(branch.target?.hub).toMatchObject({ creates: 'branch' });
  });

  it('names what would be replaced in a repository that was just made, and a damaged lock none', async () => {
    hub.commit(repo, { 'README.md': Buffer.from('hello') });
    expect((await surveyPublication(verified, to)).target?.replaces).toMatchObject({ name: 'README.md', files: 1 });
    hub.commit(repo, { 'lcm-merge.lock.json': Buffer.from('{') });
    expect((await surveyPublication(verified, to)).target?.replaces).not.toHaveProperty('name');
  });

  it.each<[string, object, string]>([
    [
      'the repository',
      { scoped: [{ entity: { type: 'model', name: 'ME/ink' }, permissions: ['repo.write'] }] },
      'unknown',
    ],
    ['the owner', { scoped: [{ entity: { type: 'user', name: 'me' }, permissions: ['repo.write'] }] }, 'yes'],
    ['others', { scoped: [{ entity: { type: 'user', name: 'you' }, permissions: ['repo.write'] }] }, 'unknown'],
  ])('knows of a fine-grained token for %s what can be known', async (_, fineGrained, mayWrite) => {
    hub.account = { name: 'me', auth: { accessToken: { role: 'fineGrained', fineGrained } } };
    expect((await surveyPublication(verified, to)).target?.hub).toMatchObject({ mayWrite });
  });

  it('refuses what publishing would refuse', async () => {
    hub.commit(repo, { 'diary.txt': Buffer.from('mine') });
    const { refusals } = await surveyPublication(verified, to);
    expect(refusals).toMatchObject([{ kind: 'usage', message: expect.stringContaining('diary.txt') }]);
  });
});

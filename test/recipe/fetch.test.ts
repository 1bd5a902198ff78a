import { access, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { drain, type Event } from '../../src/events.ts';
import { openCache } from '../../src/hub/cache.ts';
import type { Patience } from '../../src/hub/http.ts';
import { readHubSettings } from '../../src/hub/settings.ts';
import { plan } from '../../src/merge/plan.ts';
import { type FetchOptions, fetchInputs } from '../../src/recipe/fetch.ts';
import { parseRecipe } from '../../src/recipe/load.ts';
import type { Recipe } from '../../src/recipe/schema.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { type FakeHub, sha256, startHub } from '../hub/hub-server.ts';

const QUICK: Patience = { attempts: 2, firstDelay: 5, longestDelay: 100, idle: 2000 };
const bytes = (text: string, length = 2000) => Buffer.from(text.padEnd(length, '.'));

const BASE = {
  'README.md': bytes('readme', 20),
  'model_index.json': bytes('{}', 2),
  'sd15.safetensors': bytes('single'),
  'unet/config.json': bytes('{"u":1}', 10),
  'unet/diffusion_pytorch_model.safetensors': bytes('unet'),
  'unet/diffusion_pytorch_model.fp16.safetensors': bytes('unet fp16'),
  'unet/diffusion_pytorch_model.bin': bytes('unet bin'),
  'text_encoder/config.json': bytes('{"t":1}', 10),
  'text_encoder/model.fp16.safetensors': bytes('clip fp16'),
  'text_encoder/pytorch_model.bin': bytes('clip bin'),
  'vae/config.json': bytes('{"v":1}', 10),
  'vae/diffusion_pytorch_model.bin': bytes('vae bin'),
  'safety_checker/model.safetensors': bytes('no'),
  'scheduler/scheduler_config.json': bytes('{"s":1}', 10),
  'tokenizer/vocab.json': bytes('{"a":0}', 10),
  'tokenizer/merges.txt': bytes('a b', 10),
  'tokenizer/tokenizer_config.json': bytes('{"x":1}', 10),
  'tokenizer/tokenizer.json': bytes('{"y":1}', 10),
};

let hub: FakeHub;
let cache: string;

beforeEach(async () => {
  hub ??= await startHub();
  hub.fault = () => undefined;
  hub.token = undefined;
  hub.pageSize = 1000;
  hub.log.length = 0;
  cache = await temporaryFolder();
});

const recipe = (changes: object): Recipe =>
  parseRecipe(
    JSON.stringify({ name: 'x', base: '/base', motion: { module: '/motion.ckpt' }, ...changes }),
    '/recipes/r.yaml',
  );

const settings = (env: Record<string, string> = {}) =>
  readHubSettings({ HOME: '/nowhere', HF_ENDPOINT: hub.endpoint, LCM_MERGE_CACHE: cache, ...env });

async function fetched(changes: object, options: FetchOptions & { env?: Record<string, string> } = {}) {
  const events: Event[] = [];
  const { env, ...rest } = options;
  const result = await drain(
    fetchInputs(recipe(changes), { settings: await settings(env), patience: QUICK, ...rest }),
    (event) => events.push(event),
  );
  return { result, events };
}

async function failure(
  changes: object,
  options: Parameters<typeof fetched>[1] = {},
): Promise<{ kind: string; message: string }> {
  return fetched(changes, options).then(
    () => ({ kind: 'none', message: '' }),
    (error: Error & { kind: string }) => ({
      kind: error.kind,
      message: error.message.replaceAll(hub.endpoint, 'HUB').replaceAll(new URL(hub.endpoint).host, 'HOST'),
    }),
  );
}

const gets = () =>
  hub.log.filter(({ url }) => url.includes('/resolve/')).map(({ url }) => url.split('/').slice(5).join('/'));
const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

describe('inputs on the Hub', () => {
  it('a recipe without references stays as it is and says nothing', async () => {
    const before = recipe({});
    const { events } = await fetched({});
    expect(await drain(fetchInputs(before))).toBe(before);
    expect([events, hub.log]).toEqual([[], []]);
  });

  it('planning wants them fetched', async () => {
    await expect(plan(recipe({ lcm: { lora: 'hf://o/r/x.safetensors' } }))).rejects.toThrow(
      '/recipes/r.yaml:1:77: hf://o/r/x.safetensors was not fetched. Let fetchInputs do that before plan.',
    );
  });

  it('become local paths; the recipe keeps reference, commit and hashes; a second time costs one question', async () => {
    const lora = bytes('lora');
    const commit = hub.commit('o/loras', { 'styles/ink 1.safetensors': lora });
    const reference = 'hf://o/loras/styles/ink 1.safetensors';
    const wish = { personalized: [{ lora: reference, alpha: 1 }], lcm: { lora: reference } };
    const { result, events } = await fetched(wish);
    const local = result.personalized[0]?.lora ?? '';
    expect(await readFile(local)).toEqual(lora);
    expect(local).toMatch(new RegExp(`/o/loras/${commit}/file/styles/ink 1\\.safetensors$`));
    expect(result.lcm?.lora).toBe(local);
    expect(result.base.model).toBe('/base');
    const files = { 'styles/ink 1.safetensors': { local, sha256: sha256(lora), bytes: lora.length } };
    const origin = { reference, commit, local, files };
    expect(result.origins).toEqual({ 'personalized[0].lora': origin, 'lcm.lora': origin });
    expect(events[0]).toEqual({
      type: 'stage-started',
      stage: 'fetch',
      subject: `2 of the inputs, from ${new URL(hub.endpoint).host}`,
    });
    expect(events.at(-2)).toMatchObject({ type: 'progress', done: 4000, total: 4000, unit: 'bytes' });
    expect(gets()).toHaveLength(1);
    hub.log.length = 0;
    expect((await fetched(wish)).result).toEqual(result);
    expect(hub.log.map(({ url }) => url.split('?')[0])).toEqual([
      '/api/models/o/loras/revision/main',
      '/api/models/o/loras/revision/main',
    ]);
  });

  it('pinned to a commit need no network once they are here, not even to know their folder', async () => {
    const commit = hub.commit('o/pinned', BASE);
    const wish = { base: `hf://o/pinned@${commit}`, lcm: { lora: `hf://o/pinned/sd15.safetensors@${commit}` } };
    const first = await fetched(wish);
    hub.log.length = 0;
    expect((await fetched(wish)).result).toEqual(first.result);
    expect((await fetched(wish, { offline: true })).events.at(-1)).toMatchObject({ summary: 'all in the cache' });
    expect(hub.log).toEqual([]);
  });

  it('of a diffusers folder only what a merge reads is fetched: best weights of each component, configs, tokenizer', async () => {
    hub.commit('o/base', BASE);
    hub.pageSize = 3; // so that the listing has many pages
    const { result } = await fetched({ base: 'hf://o/base' });
    const there = (await readdir(result.base.model, { recursive: true, withFileTypes: true })).filter((entry) =>
      entry.isSymbolicLink(),
    );
    const names = there
      .map(({ parentPath, name }) => join(parentPath, name).slice(result.base.model.length + 1))
      .sort();
    expect(names).toEqual([
      'model_index.json',
      'scheduler/scheduler_config.json',
      'text_encoder/config.json',
      'text_encoder/model.fp16.safetensors',
      'tokenizer/merges.txt',
      'tokenizer/tokenizer_config.json',
      'tokenizer/vocab.json',
      'unet/config.json',
      'unet/diffusion_pytorch_model.safetensors',
      'vae/config.json',
      'vae/diffusion_pytorch_model.bin',
    ]);
    expect(gets()).toHaveLength(names.length);
    expect(Object.keys(result.origins?.['base.model']?.files ?? {}).sort()).toEqual(names);
    expect(await readFile(join(result.base.model, 'unet/config.json'), 'utf8')).toBe('{"u":1}...');
  });

  it('parts that the recipe takes from elsewhere are left out, and config: takes no weights', async () => {
    hub.commit('o/parts', BASE);
    const { result } = await fetched({
      base: { model: 'hf://o/parts', vae: '/vae.safetensors', text_encoder: '/te.safetensors', config: 'hf://o/parts' },
    });
    expect(gets().filter((url) => /safetensors|bin/.test(url))).toEqual([
      expect.stringContaining('unet/diffusion_pytorch_model.safetensors'),
    ]);
    expect(result.base).toMatchObject({ vae: '/vae.safetensors', text_encoder: '/te.safetensors' });
    expect(await exists(join(result.base.config ?? '', 'unet', 'config.json'))).toBe(true);
    expect(await exists(join(result.base.config ?? '', 'unet', 'diffusion_pytorch_model.safetensors'))).toBe(false);
  });

  it('a MotionAdapter folder, the module that it starts from, and motion LoRAs', async () => {
    const stem = 'diffusion_pytorch_model';
    hub.commit('o/adapter', {
      'config.json': bytes('{}', 5),
      [`${stem}.fp16.safetensors`]: bytes('m'),
      [`${stem}.bin`]: bytes('b'),
    });
    hub.commit('o/motion', { 'mm.ckpt': bytes('mm'), 'zoom.ckpt': bytes('zoom') });
    const motion = {
      module: 'hf://o/adapter',
      base: 'hf://o/motion/mm.ckpt',
      loras: [{ lora: 'hf://o/motion/zoom.ckpt', alpha: 1 }],
    };
    const { result } = await fetched({ motion });
    expect((await readdir(result.motion.module)).sort()).toEqual(['config.json', `${stem}.fp16.safetensors`]);
    expect(await readFile(result.motion.base ?? '')).toEqual(bytes('mm'));
    expect(await readFile(result.motion.loras[0]?.lora ?? '')).toEqual(bytes('zoom'));
    expect(Object.keys(result.origins ?? {})).toEqual(['motion.module', 'motion.base', 'motion.loras[0].lora']);
  });

  it("PEFT's adapter_config.json comes with the adapter_model that it belongs to", async () => {
    const config = bytes('{"lora_alpha": 4}', 20);
    hub.commit('o/peft', {
      'a/adapter_model.safetensors': bytes('w'),
      'a/adapter_config.json': config,
      'adapter_model.bin': bytes('b'),
    });
    const { result } = await fetched({ lcm: { lora: 'hf://o/peft/a/adapter_model.safetensors' } });
    const { lora = '' } = result.lcm ?? {};
    expect(await readFile(lora)).toEqual(bytes('w'));
    expect(await readFile(join(dirname(lora), 'adapter_config.json'))).toEqual(config);
    expect(Object.keys(result.origins?.['lcm.lora']?.files ?? {})).toEqual([
      'a/adapter_model.safetensors',
      'a/adapter_config.json',
    ]);
    const alone = await fetched({ lcm: { lora: 'hf://o/peft/adapter_model.bin' } });
    expect(Object.keys(alone.result.origins?.['lcm.lora']?.files ?? {})).toEqual(['adapter_model.bin']);
  });

  it('a VAE in a folder of its own brings its config', async () => {
    const stem = 'diffusion_pytorch_model';
    hub.commit('o/vae', {
      'config.json': bytes('{}', 5),
      [`${stem}.safetensors`]: bytes('v'),
      [`${stem}.bin`]: bytes('b'),
    });
    const { result } = await fetched({ base: { model: '/m', vae: 'hf://o/vae' } });
    expect((await readdir(result.base.vae ?? '')).sort()).toEqual(['config.json', `${stem}.safetensors`]);
  });

  it('a folder in a repository, with shards behind an index', async () => {
    const index = { weight_map: { a: 'm-00001-of-00002.safetensors', b: 'm-00002-of-00002.safetensors' } };
    hub.commit('o/sharded', {
      'sub/unet/config.json': bytes('{}', 5),
      'sub/unet/diffusion_pytorch_model.safetensors.index.json': Buffer.from(JSON.stringify(index)),
      'sub/unet/m-00001-of-00002.safetensors': bytes('one'),
      'sub/unet/m-00002-of-00002.safetensors': bytes('two'),
    });
    const { result, events } = await fetched({ base: 'hf://o/sharded/sub' });
    expect(await readFile(join(result.base.model, 'unet/m-00002-of-00002.safetensors'))).toEqual(bytes('two'));
    expect(events.findLast(({ type }) => type === 'progress')).toMatchObject({
      detail: 'sub/unet/m-00002-of-00002.safetensors',
    });
    const last = events.findLast((event) => event.type === 'progress');
    expect(last?.done).toBe(last?.total);
  });

  it.each([
    ['../../../../../etc/passwd', 'names the shard "../../../../../etc/passwd", which does not stand beside it.'],
    ['absent.safetensors', 'names the shard "absent.safetensors", which does not stand beside it.'],
  ])('an index that names %s is refused', async (shard, reason) => {
    hub.commit('o/evil', {
      'unet/diffusion_pytorch_model.safetensors.index.json': Buffer.from(JSON.stringify({ weight_map: { a: shard } })),
    });
    expect(await failure({ base: 'hf://o/evil' })).toMatchObject({
      kind: 'format',
      message: expect.stringContaining(reason),
    });
  });

  it('names in a listing never become paths unchecked', async () => {
    hub.commit('o/names', {
      ...BASE,
      'unet/../../../../../../escaped': bytes('x'),
      'tokenizer/../vocab.json': bytes('y'),
    });
    const { result } = await fetched({ base: 'hf://o/names' });
    expect(Object.keys(result.origins?.['base.model']?.files ?? {}).filter((name) => name.includes('..'))).toEqual([]);
  });

  it('a content that is here already, from whatever repository, is not fetched again; a damaged one is', async () => {
    hub.commit('o/one', { 'a.safetensors': bytes('same') });
    hub.commit('o/two', { 'b.safetensors': bytes('same') });
    await fetched({ lcm: { lora: 'hf://o/one/a.safetensors' } });
    await fetched({ lcm: { lora: 'hf://o/two/b.safetensors' } });
    expect(gets()).toEqual([expect.stringContaining('a.safetensors')]);
    await writeFile(openCache(cache).blobPath(sha256(bytes('same'))), 'short');
    const { result } = await fetched({ lcm: { lora: 'hf://o/two/b.safetensors' } });
    expect(await readFile(result.lcm?.lora ?? '')).toEqual(bytes('same'));
  });
});

describe('what is not there', () => {
  beforeEach(() => {
    hub.commit('o/r', BASE);
  });

  it.each([
    [
      'hf://o/r/sd15.safetensor',
      'input-missing',
      'The repository o/r on the Hub has no "sd15.safetensor" at main (commit COMMIT). Did you mean "sd15.safetensors"?',
    ],
    [
      'hf://o/r/diffusion_pytorch_model.bin',
      'input-missing',
      'The repository o/r on the Hub has no "diffusion_pytorch_model.bin" at main (commit COMMIT). Did you mean "vae/diffusion_pytorch_model.bin"?',
    ],
    [
      'hf://o/r/sd15.safetensors@v9',
      'input-missing',
      'The repository o/r on the Hub has no revision v9. Branches, tags and commits are revisions.',
    ],
    [
      'hf://o/nowhere/x.safetensors',
      'input-missing',
      'There is no repository o/nowhere on the Hub (HOST). Check its name; private ones are found by those who have access.',
    ],
    [
      'hf://o/r',
      'merge',
      'A file is needed here, but "hf://o/r" is a whole repository. Its weight files: "sd15.safetensors", "unet/diffusion_pytorch_model.safetensors", "unet/diffusion_pytorch_model.fp16.safetensors", "unet/diffusion_pytorch_model.bin", "text_encoder/model.fp16.safetensors" and 3 more. Put the path of one behind the repository.',
    ],
    [
      'hf://o/r/tokenizer',
      'merge',
      'A file is needed here, but "hf://o/r/tokenizer" is a folder. It holds no weight files.',
    ],
  ])('%s', async (lora, kind, sentence) => {
    const { message, ...rest } = await failure({ lcm: { lora } });
    expect({ ...rest, message: message.replace(/\b[0-9a-f]{40}\b/, 'COMMIT') }).toEqual({
      kind,
      message: `/recipes/r.yaml:1:77: ${sentence}`,
    });
  });

  it('a repository that is no base', async () => {
    hub.commit('o/lora', { 'ink.safetensors': bytes('x') });
    expect(await failure({ base: 'hf://o/lora' })).toEqual({
      kind: 'merge',
      message:
        '/recipes/r.yaml:1:20: "hf://o/lora" is not such a folder as is needed here, with the names that diffusers gives. Its weight files: "ink.safetensors". Put the path of one behind the repository.',
    });
  });

  it('a file where a folder is needed', async () => {
    expect(await failure({ base: { model: '/m', config: 'hf://o/r/sd15.safetensors' } })).toMatchObject({
      kind: 'merge',
      message: expect.stringContaining('A folder is needed here, but "hf://o/r/sd15.safetensors" is a file.'),
    });
  });
});

describe('what is not given', () => {
  const wish = { lcm: { lora: 'hf://o/r/sd15.safetensors' } };
  beforeEach(() => {
    hub.commit('o/r', BASE);
  });

  it('without a login, a private repository or none', async () => {
    hub.token = 'hf_right';
    expect(await failure(wish)).toEqual({
      kind: 'unavailable',
      message:
        '/recipes/r.yaml:1:77: o/r does not exist on the Hub, or is private or gated. Check its name; if it is right, log in with `hf auth login`, or put a token with read access into HF_TOKEN.',
    });
    const wrong = await failure(wish, { env: { HF_TOKEN: 'hf_wrong' } });
    expect(wrong).toMatchObject({
      kind: 'unavailable',
      message: expect.stringContaining('does not let the token that is used read o/r.'),
    });
    expect(wrong.message).not.toContain('hf_wrong');
  });

  it('with the login file of hf, it is; the token is in no event, no record and no result', async () => {
    hub.token = 'hf_from_the_file';
    const home = await temporaryFolder();
    await writeFile(join(home, 'token'), 'hf_from_the_file\n');
    const { result, events } = await fetched(wish, { env: { HF_HOME: home } });
    const records = await readdir(join(cache, 'records'), { recursive: true, withFileTypes: true });
    const texts = await Promise.all(
      records.filter((entry) => entry.isFile()).map(({ parentPath, name }) => readFile(join(parentPath, name), 'utf8')),
    );
    expect(texts.length).toBeGreaterThan(1);
    expect(JSON.stringify([result, events, texts])).not.toContain('hf_from');
    expect(hub.log.filter(({ server, authorization }) => server === 'storage' && authorization !== undefined)).toEqual(
      [],
    );
  });

  it.each([401, 403])('a gated repository (%i)', async (status) => {
    hub.fault = ({ url }) =>
      url.includes('/resolve/') ? { status, headers: { 'x-error-code': 'GatedRepo' } } : undefined;
    expect(await failure(wish)).toEqual({
      kind: 'unavailable',
      message:
        '/recipes/r.yaml:1:77: o/r is gated: its owner gives access on request. Ask for it at HUB/o/r. Then log in with `hf auth login`, or put a token with read access into HF_TOKEN.',
    });
    expect((await failure(wish, { env: { HF_TOKEN: 'hf_x' } })).message).toContain(
      'The token that is used has no access to it',
    );
  });

  it('too many questions, a broken service, nobody there, no Hub at all', async () => {
    hub.fault = () => ({ status: 429, headers: { 'retry-after': '300' } });
    expect(await failure(wish)).toMatchObject({
      kind: 'unavailable',
      message: expect.stringContaining(
        'HOST is asked too often from here (429) and gives nothing for hf://o/r/sd15.safetensors@main. Try again in 300 seconds.',
      ),
    });
    hub.fault = () => ({ status: 502, body: '<html>' });
    expect(await failure(wish)).toMatchObject({
      kind: 'unavailable',
      message: expect.stringContaining('cannot be fetched: HOST answers 502. Try again later.'),
    });
    hub.fault = () => ({ status: 200, body: '<html>' });
    expect(await failure(wish)).toMatchObject({
      kind: 'unavailable',
      message: expect.stringContaining('Is HF_ENDPOINT right?'),
    });
    hub.fault = () => ({ status: 200, body: '{}' });
    expect(await failure(wish)).toMatchObject({
      kind: 'unavailable',
      message: expect.stringContaining('Is HF_ENDPOINT the address of a Hugging Face Hub?'),
    });
    expect(await failure(wish, { env: { HF_ENDPOINT: 'http://127.0.0.1:9' } })).toMatchObject({
      kind: 'unavailable',
      message: expect.stringContaining('the connection to 127.0.0.1:9 fails'),
    });
  });
});

describe('offline', () => {
  const wish = { lcm: { lora: 'hf://o/r/sd15.safetensors@main' } };

  it('what is not in the cache is missing, with the command that fetches it', async () => {
    const { kind, message } = await failure(wish, { offline: true });
    expect({ kind, message }).toEqual({
      kind: 'input-missing',
      message:
        '/recipes/r.yaml:1:77: hf://o/r/sd15.safetensors@main is not in the cache, and the network is not to be used. Fetch it once: lcm-merge plan /recipes/r.yaml',
    });
    for (const name of ['LCM_MERGE_OFFLINE', 'HF_HUB_OFFLINE']) {
      expect((await failure(wish, { env: { [name]: '1' } })).message).toMatch(
        new RegExp(`Fetch it once: ${name}= lcm-merge plan /recipes/r.yaml$`),
      );
    }
    expect(hub.log).toEqual([]);
  });

  it('a branch is what it was when it was last asked for, and that is said', async () => {
    const before = hub.commit('o/r', BASE);
    await fetched(wish);
    hub.commit('o/r', { ...BASE, 'sd15.safetensors': bytes('newer') });
    hub.log.length = 0;
    const { result, events } = await fetched(wish, { env: { HF_HUB_OFFLINE: '1' } });
    expect(result.origins?.['lcm.lora']?.commit).toBe(before);
    expect(events.filter(({ type }) => type === 'warning')).toEqual([
      {
        type: 'warning',
        stage: 'fetch',
        message: `hf://o/r/sd15.safetensors@main is taken at commit ${before}, as it was when it was last fetched.`,
      },
    ]);
    expect(hub.log).toEqual([]);
  });
});

describe('a lock', () => {
  const text = 'hf://o/r/sd15.safetensors';
  const wish = { lcm: { lora: text } };

  it('of a package that stands at the output: another content under the same reference is an error that names both', async () => {
    const before = hub.commit('o/r', BASE);
    const { result } = await fetched(wish);
    const lock = { name: 'out/x/lcm-merge.lock.json', origins: result.origins ?? {}, pin: false };
    expect((await fetched(wish, { lock })).result).toEqual(result);
    hub.commit('o/r', { ...BASE, 'README.md': bytes('changed', 30) }); // another commit, the same content
    expect((await fetched(wish, { lock })).result.lcm?.lora).not.toBe(result.lcm?.lora);
    const after = hub.commit('o/r', { ...BASE, 'sd15.safetensors': bytes('newer') });
    hub.log.length = 0;
    const [old, fresh] = [sha256(BASE['sd15.safetensors']), sha256(bytes('newer'))];
    expect(await failure(wish, { lock })).toEqual({
      kind: 'format',
      message:
        `/recipes/r.yaml:1:77: "${text}": the SHA-256 of sd15.safetensors is ${fresh} (commit ${after}), but out/x/lcm-merge.lock.json says ${old} ` +
        `(commit ${before}). main has moved. Write "${text}@${before}" for what it was, or @${after} for what it is now.`,
    });
    expect(gets()).toEqual([]); // told before anything is loaded
    expect(await fetched({ lcm: { lora: `${text}@${after}` } }, { lock })).toBeDefined();
  });

  it('that is given decides which commit a branch is', async () => {
    const before = hub.commit('o/r', BASE);
    const { result } = await fetched(wish);
    hub.commit('o/r', { ...BASE, 'sd15.safetensors': bytes('newer') });
    const lock = { name: 'x.lock', origins: result.origins ?? {}, pin: true };
    hub.log.length = 0;
    expect((await fetched(wish, { lock })).result).toEqual(result);
    expect(hub.log).toEqual([]);
    expect(result.origins?.['lcm.lora']?.commit).toBe(before);
  });

  it('whose commit is none is not believed', async () => {
    hub.commit('o/r', BASE);
    const origins = { 'lcm.lora': { reference: text, commit: '../../../../escaped', files: {} } };
    const { result } = await fetched(wish, { lock: { name: 'x.lock', origins, pin: true } });
    expect(result.origins?.['lcm.lora']?.commit).toMatch(/^[0-9a-f]{40}$/);
  });

  it('with another hash for the same commit: somebody has changed one of the two; also for a small file', async () => {
    const commit = hub.commit('o/r', { ...BASE, 'small.safetensors': bytes('s', 10) });
    for (const name of ['sd15.safetensors', 'small.safetensors']) {
      const reference = `hf://o/r/${name}@${commit}`;
      const origins = { 'lcm.lora': { reference, commit, files: { [name]: { sha256: 'a'.repeat(64) } } } };
      expect(
        await failure({ lcm: { lora: reference } }, { lock: { name: 'x.lock', origins, pin: true } }),
      ).toMatchObject({
        kind: 'format',
        message: expect.stringContaining(
          `but x.lock says ${'a'.repeat(64)} (commit ${commit}). One of the two has been tampered with.`,
        ),
      });
    }
  });
});

describe('what the environment says', () => {
  it('caches, endpoints and the token, in the order of huggingface_hub', async () => {
    expect(await readHubSettings({ HOME: '/h' })).toEqual({
      endpoint: 'https://huggingface.co',
      token: undefined,
      cache: '/h/.cache/lcm-merge',
      offline: [],
    });
    expect((await readHubSettings({ HOME: '/h', XDG_CACHE_HOME: '/x' })).cache).toBe('/x/lcm-merge');
    expect((await readHubSettings({ HOME: '/h', XDG_CACHE_HOME: '/x', LCM_MERGE_CACHE: '/y' })).cache).toBe('/y');
    expect(
      await readHubSettings({
        HOME: '/h',
        HF_ENDPOINT: 'https://mirror.example/hf/',
        HF_TOKEN: ' hf_a\n',
        HF_HUB_OFFLINE: 'YES',
        LCM_MERGE_OFFLINE: '0',
      }),
    ).toMatchObject({
      endpoint: 'https://mirror.example/hf',
      token: 'hf_a',
      offline: ['HF_HUB_OFFLINE'],
    });
  });

  it.each([['ftp://x'], ['not an address'], ['https://user:secret@x']])('%s is no endpoint', async (HF_ENDPOINT) => {
    const error = await readHubSettings({ HOME: '/h', HF_ENDPOINT }).catch((thrown: unknown) => String(thrown));
    expect(error).toContain('HF_ENDPOINT must be an address like https://huggingface.co');
    expect(error).not.toContain('secret');
  });

  it('a token with a line end in it is refused without being repeated', async () => {
    const error = await readHubSettings({ HOME: '/h', HF_TOKEN: 'hf_a\nhf_b' }).catch((thrown: unknown) =>
      String(thrown),
    );
    expect(error).toContain('The token in HF_TOKEN has characters that no token has');
    expect(error).not.toContain('hf_a');
  });
});

describe('the licence of a repository', () => {
  const DOCUMENT = { lcm: { lora: 'hf://o/licensed/lcm.safetensors' } };
  const stated = async (options: Parameters<typeof fetched>[1] = {}, document: object = DOCUMENT) =>
    (await fetched(document, options)).result.origins?.['lcm.lora']?.license;

  it('is asked with the commit, kept for whoever is offline, and asked anew where only a commit was known', async () => {
    const commit = hub.commit('o/licensed', { 'lcm.safetensors': bytes('lcm') });
    hub.about.set('o/licensed', { cardData: { license: 'cc-by-nc-4.0' }, tags: [] });
    expect(await stated()).toBe('cc-by-nc-4.0');
    expect(hub.log.filter(({ url }) => url.includes('/api/models/') && url.includes('cardData'))).toHaveLength(1);
    expect(await stated({ offline: true })).toBe('cc-by-nc-4.0');
    const pinned = { lcm: { lora: `hf://o/licensed/lcm.safetensors@${commit}` } };
    hub.log.length = 0;
    expect(await stated({}, pinned)).toBe('cc-by-nc-4.0');
    expect(hub.log).toEqual([]);
    cache = await temporaryFolder();
    expect(await stated({}, pinned)).toBe('cc-by-nc-4.0');
    hub.about.clear();
  });

  it('is none where the card states none', async () => {
    hub.commit('o/licensed', { 'lcm.safetensors': bytes('lcm') });
    expect(await stated()).toBeUndefined();
  });
});

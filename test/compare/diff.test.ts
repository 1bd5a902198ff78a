import { appendFile, mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { diffCommand } from '../../src/cli/commands/diff.ts';
import { knobDifferences } from '../../src/compare/diff/knobs.ts';
import { diffPackages, type PackageDiff } from '../../src/compare/diff/package-diff.ts';
import { sourcePairs } from '../../src/compare/diff/sources.ts';
import { describeDiff } from '../../src/compare/diff/text.ts';
import { FormatError, InputMissingError } from '../../src/errors.ts';
import { drain, type Event, type Stage } from '../../src/events.ts';
import { LOCK_FILE, type Lock } from '../../src/export/lock.ts';
import { bake } from '../../src/export/package.ts';
import { plan } from '../../src/merge/plan.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { type Section, tinyRecipe } from '../helpers/tiny.ts';
import { startHub } from '../hub/hub-server.ts';
import { type SmallPackage, smallPackage, tensor } from './small-package.ts';

const OUTPUT = { targets: ['portable'], frames: 2 };
const plain = (_: unknown, text: string) => text;
const compare = (a: string, b: string) => drain(diffPackages(a, b));

async function baked(changes: Readonly<Record<string, Section>>): Promise<{ folder: string; lock: Lock }> {
  const folder = join(await temporaryFolder(), 'package');
  await mkdir(folder);
  const { lock } = await drain(bake(await plan(tinyRecipe({ output: OUTPUT, ...changes })), { into: folder }));
  return { folder, lock };
}

const SILENT = { json: undefined, quiet: false, 'no-color': false, help: false };

/** As the command line runs it. */
function runDiff(first: string, second: string, exitCode = false, onEvent?: (event: Event) => unknown) {
  const follow = <Result>(stage: Stage<Result>) => drain(stage, onEvent);
  const context = { signal: new AbortController().signal, paint: plain, follow };
  return diffCommand({ ...SILENT, a: first, b: second, 'exit-code': exitCode, offline: false }, context);
}

let a: { folder: string; lock: Lock };
let diff: PackageDiff;

beforeAll(async () => {
  a = await baked({});
  const b = await baked({ motion: { gamma: 0.5 }, sampler: { guidance: 3 }, verify: { prompt: 'a blue square' } });
  diff = await compare(a.folder, b.folder);
});

/** With a lock, a model card and a list of files, which others may take the place of. */
const small = (files: SmallPackage['files'] = {}) =>
  smallPackage({
    weights: { unet: { x: tensor(1) } },
    files: { [LOCK_FILE]: a.lock, 'README.md': 'tiny', 'model_index.json': 'tiny', ...files },
  });

describe('two bakes of which one has half the γ and more guidance', () => {
  it('differ in those knobs, by their paths in the recipe', () => {
    expect(diff.knobs).toEqual([
      { at: 'motion.gamma', knob: 'γ', a: 1, b: 0.5 },
      { at: 'sampler.guidance', knob: 'guidance', a: 1, b: 3 },
      { at: 'verify.prompt', a: expect.any(String), b: 'a blue square' },
    ]);
    expect(diff.sources?.every(({ kind }) => kind === 'same')).toBe(true);
  });

  it('differ in the last projection of each motion module by just that half, and in no other weight', () => {
    const parts = diff.weights.map(({ part, same, differ }) => [part, same, differ]);
    expect(parts).toEqual([
      ['unet', 686, 0],
      ['motion', 525, 42],
      ['text_encoder', 36, 0],
      ['vae_decoder', 110, 0],
    ]);
    const [, motion] = diff.weights;
    expect(motion?.relative).toBeCloseTo(0.5, 5); // halves of fp16 are exact but for the smallest
    expect(motion?.blocks).toHaveLength(21);
    expect(motion?.largest?.tensor).toMatch(/motion_modules\.\d\.proj_out\.weight$/);
  });

  it('differ in the batch of the UNet, and in their files by name', () => {
    const unet = diff.graphs.find(({ file }) => file === 'unet/model.onnx');
    expect(unet?.boundary).toContainEqual({ name: 'sample', a: 'FLOAT [1, 4, 2, 8, 8]', b: 'FLOAT [2, 4, 2, 8, 8]' });
    expect(unet?.first).toMatch(/^node \d+|^has /);
    expect(diff.files.altered).toContain('unet/model.onnx_data');
    expect(diff.files.altered).not.toContain('vae_decoder/model.onnx_data');
    expect([diff.files.only_a, diff.files.only_b]).toEqual([[], []]);
  });

  it('are told within 80 columns, what was asked for before what came of it', () => {
    const lines = describeDiff(diff, plain).split('\n');
    expect(lines.filter((line) => line.length > 80 && !line.startsWith('A  ') && !line.startsWith('B  '))).toEqual([]);
    const at = ['Knobs', 'Sources', 'Weights', 'Graphs', 'Files'].map((title) =>
      lines.findIndex((line) => line.startsWith(title)),
    );
    expect(at.every((line, i) => line > (at[i - 1] ?? 0))).toBe(true);
    expect(lines.some((line) => /^ {2}motion\.gamma +γ +1 {2}→ {2}0\.5$/.test(line))).toBe(true);
    expect(lines.some((line) => /^ {2}motion +42 of 567 +0\.5 /.test(line))).toBe(true);
    expect(lines.join(' ').replace(/\s+/g, ' ')).toContain(
      'Neither has verification/report.json: verdicts and times are not compared.',
    );
  });
});

describe('two packages that are the same', () => {
  it('are told to be in one line, whatever their signatures', async () => {
    const same = await compare(await small(), await small({ 'model.sig': '{}' }));
    const differences = { altered: [], only_a: [], only_b: [] };
    expect(same).toMatchObject({ identical: true, knobs: [], graphs: [], files: { same: 4, ...differences } });
    expect(describeDiff(same, plain)).toMatch(/^.* are the same to the last bit: 4 files, [\d.]+ kB\.$/);
  });

  it('are told to be where the model cards differ, which say what the two verifications found', async () => {
    const [own, other] = [await small(), await small({ 'README.md': 'verified on another machine' })];
    expect(await compare(own, other)).toMatchObject({ identical: true, files: { same: 4, altered: [] } });
  });

  it('are not where bytes differ that belong to no tensor', async () => {
    const longer = await small();
    await appendFile(join(longer, 'unet/model.onnx_data'), '\0');
    const found = await compare(await small(), longer);
    expect(found).toMatchObject({ identical: false, files: { altered: ['unet/model.onnx_data'] } });
    expect(found.weights).toMatchObject([{ same: 1, differ: 0 }]);
  });

  it('end with exit code 0, as others do unless --exit-code is given', async () => {
    const events: Event[] = [];
    const [own, other] = [await small(), await small({ 'model_index.json': 'other' })];
    const run = (second: string, exitCode: boolean) => runDiff(own, second, exitCode, (event) => events.push(event));
    expect((await run(own, true)).exitCode).toBeUndefined();
    expect((await run(other, false)).exitCode).toBeUndefined();
    expect(await run(other, true)).toMatchObject({ exitCode: 1, value: { files: { altered: ['model_index.json'] } } });
    const bytes = events.flatMap((event) => (event.type === 'progress' ? [event.done / event.total] : []));
    expect(Math.max(...bytes)).toBe(1);
  });
});

describe('a package elsewhere', () => {
  it('is fetched, called by its reference, and gone afterwards', async () => {
    const hub = await startHub();
    vi.stubEnv('HF_ENDPOINT', hub.endpoint);
    const cache = await temporaryFolder();
    vi.stubEnv('LCM_MERGE_CACHE', cache);
    const own = await smallPackage({ weights: { unet: { 'conv_in.weight': tensor(2) } } });
    const other = await smallPackage({ weights: { unet: { 'conv_in.weight': tensor(3) } } });
    const names = ['unet/model.onnx', 'unet/model.onnx_data'];
    const files = names.map(async (name) => [name, await readFile(join(other, name))] as const);
    const commit = hub.commit('me/tiny', Object.fromEntries(await Promise.all(files)));
    const { value, text } = await runDiff(own, 'hf://me/tiny');
    const { weights, b } = value as PackageDiff;
    expect([weights[0]?.relative, b.package]).toEqual([0.5, `hf://me/tiny@${commit}`]);
    expect(text).toContain(`B  hf://me/tiny@${commit} (2 files`);
    expect(await readdir(join(cache, 'packages'))).toEqual([]);
    vi.unstubAllEnvs();
  });
});

describe('knobs', () => {
  const changed = (change: (lock: { -readonly [K in keyof Lock]: Lock[K] }) => unknown): Lock => {
    const lock = structuredClone(a.lock);
    change(lock);
    return lock;
  };

  it('of a source that only one has are told one by one, block weights by their block', () => {
    const [first] = a.lock.recipe.personalized;
    const other = changed((lock) => {
      Object.assign(lock.recipe, {
        personalized: [
          { ...first, blocks: { OUT: 0.5 } },
          { ...first, lora: 'b.safetensors', alpha: 0.3 },
        ],
      });
      Object.assign(lock.tool, { version: '9' });
    });
    const found = knobDifferences(a.lock, other);
    expect(found).toContainEqual({ at: 'personalized[0].blocks.OUT', knob: 'α OUT ink', b: 0.5 });
    expect(found).toContainEqual({ at: 'personalized[1].alpha', knob: 'α b', b: 0.3 });
    expect(found.at(-1)).toEqual({ at: 'tool.version', a: a.lock.tool.version, b: '9' });
  });

  it('are those of a lock that somebody has edited, too', () => {
    const edited = [{ ...a.lock.recipe.personalized[0], lora: 7, alpha: 1 }];
    const other = changed(({ recipe }) => Object.assign(recipe, { personalized: edited, output: 'large' }));
    const found = knobDifferences(a.lock, other);
    expect(found.slice(0, 2)).toEqual([
      { at: 'personalized[0].lora', a: 'ink.safetensors', b: 7 },
      { at: 'personalized[0].alpha', knob: 'α ink', a: 0.8, b: 1 },
    ]);
    expect(found.at(-1)).toMatchObject({ at: 'output', b: 'large' });
  });
});

describe('sources', () => {
  const source = (role: string, file: string, digit: string) => ({ role, file, sha256: digit.repeat(64), bytes: 1 });
  const lock = (...inputs: readonly object[]) => ({ ...a.lock, inputs }) as unknown as Lock;
  const kinds = (x: Lock, y: Lock) =>
    sourcePairs(x, y).map(({ kind, a: own, b: other }) => [kind, own?.role, other?.role]);

  it('are known again by their hash under another name or role', () => {
    const own = lock(source('lcm', 'l', '1'), source('motion', 'm', '2'), source('personalized[0]', 'p', '3'));
    const other = lock(
      source('lcm', 'other', '1'),
      source('motion', 'm', '4'),
      source('personalized[0]', 'q', '5'),
      source('personalized[1]', 'p', '3'),
    );
    expect(kinds(own, other)).toEqual([
      ['renamed', 'lcm', 'lcm'],
      ['exchanged', 'motion', 'motion'],
      ['moved', 'personalized[0]', 'personalized[1]'],
      ['only_b', undefined, 'personalized[0]'],
    ]);
    expect(kinds(other, own).at(-2)).toEqual(['only_a', 'personalized[0]', undefined]);
  });

  it('of the Hub are others when their commit is', () => {
    const at = (digit: string) => ({
      ...lock({ ...source('lcm', 'l', '1'), origin: 'lcm.lora' }),
      origins: { 'lcm.lora': { reference: 'hf://o/r/l', commit: digit.repeat(40), files: {} } },
    });
    const [pair] = sourcePairs(at('a'), at('b'));
    expect(pair).toMatchObject({ kind: 'renamed', a: { reference: 'hf://o/r/l', commit: 'a'.repeat(40) } });
    expect(kinds(at('a'), at('a'))).toEqual([['same', 'lcm', 'lcm']]);
  });
});

describe('verifications', () => {
  const check = (id: string, verdict: string, reason = 'Because.') => ({
    id,
    proves: 'it',
    verdict,
    reason,
    figures: {},
    seconds: 1,
  });
  const timing = { load_ms: 100, denoise_ms: 400, step_ms: [90, 100, 110], decode_ms: 100, peak_bytes: 1e8 };
  const report = {
    verdict: 'passed',
    device: 'cpu',
    package: {},
    run: { steps: 4, frames: 2 },
    checks: [check('run', 'passed')],
    timing,
  };
  const verified = (changes: object, rest: Partial<SmallPackage> = {}) =>
    smallPackage({
      weights: { unet: { x: tensor(1) } },
      files: { 'verification/report.json': { ...report, ...changes } },
      ...rest,
    });

  it('say what each found otherwise, and how long a step took', async () => {
    const checks = [check('run', 'failed', 'It is noise.'), check('timing', 'passed')];
    const slow = { verdict: 'failed', checks, timing: { ...timing, step_ms: [200, 200, 200] } };
    const found = await compare(await verified({}), await verified(slow));
    expect(found.verification).toMatchObject({ verdict: { a: 'passed', b: 'failed' }, incomparable: [] });
    expect(found.verification?.checks).toEqual([
      { id: 'run', a: { verdict: 'passed', reason: 'Because.' }, b: { verdict: 'failed', reason: 'It is noise.' } },
      { id: 'timing', b: { verdict: 'passed', reason: 'Because.' } },
    ]);
    expect(found.verification?.times).toContainEqual({ what: 'step_ms', a: 100, b: 200, ratio: 2 });
    expect(found.verification?.times).toContainEqual({ what: 'total_ms', a: 500, b: 500, ratio: 1 });
    const lines = describeDiff(found, plain).split('\n');
    expect(lines[0]).toMatch(/are the same to the last bit/);
    expect(lines).toContain('  run      passed → failed. It is noise.');
    expect(lines).toContain('  a step (median)  100 ms  200 ms  2.00×');
  });

  it('of other devices or clips are no comparison, and say so', async () => {
    const { verification } = await compare(
      await verified({}),
      await verified({ device: 'cuda', run: { steps: 8, frames: 2 } }),
    );
    expect(verification?.incomparable).toEqual([
      'A ran on cpu and B on cuda: their times are not comparable.',
      'The clips are of other lengths (steps 4 and 8), and so are their times.',
    ]);
  });

  it('may be missing, or of a run that did not end; one that is damaged is an error', async () => {
    const without = await smallPackage({ weights: { unet: { x: tensor(1) } } });
    const { verification, absent } = await compare(without, await verified({}));
    expect([verification, absent.at(-1)]).toEqual([
      null,
      'A has no verification/report.json: verdicts and times are not compared.',
    ]);
    expect((await compare(await verified({}), await verified({ timing: null }))).verification?.times).toBeNull();
    await expect(compare(without, await verified({ device: 7 }))).rejects.toThrow(/report\.json: device must be text/);
  });
});

describe('graphs', () => {
  it('are counted by operator and opset', async () => {
    const made = (rest: Partial<SmallPackage>) => smallPackage({ weights: { unet: { x: tensor(1) } }, ...rest });
    const [graph] = (
      await compare(
        await made({ operators: ['Add', 'Add', 'Mul'] }),
        await made({ operators: ['Add', 'Mul', 'Erf'], opset: 21 }),
      )
    ).graphs;
    expect(graph).toMatchObject({
      file: 'unet/model.onnx',
      operators: [
        { name: 'Add', a: 2, b: 1 },
        { name: 'Erf', b: 1 },
      ],
      opsets: [{ name: '', a: 20, b: 21 }],
      first: expect.stringContaining('has as node 1'),
    });
  });
});

describe('what is no package', () => {
  it.each([
    ['a folder that is not there', async () => join(a.folder, 'nothing'), InputMissingError, /does not exist/],
    ['a file', async () => join(a.folder, LOCK_FILE), FormatError, /is a file; a package is a folder/],
    [
      'any other folder',
      async () => join(a.folder, 'scheduler'),
      FormatError,
      /is no package: it has no unet\/model\.onnx/,
    ],
  ])('is refused: %s', async (_, folder, error, message) => {
    const path = await folder();
    await expect(compare(a.folder, path)).rejects.toThrow(error);
    await expect(compare(path, a.folder)).rejects.toThrow(message);
  });

  it('is refused for a damaged lock; one without a lock is compared by its files', async () => {
    const damaged = { ...a.lock, recipe: { ...a.lock.recipe, motion: { ...a.lock.recipe.motion, gamma: '1' } } };
    const wrong = await small({ [LOCK_FILE]: damaged });
    await expect(compare(await small(), wrong)).rejects.toThrow(/lock\.json: recipe\.motion\.gamma must be a number/);
    const without = await small();
    await rm(join(without, LOCK_FILE));
    const found = await compare(without, await small());
    expect(found).toMatchObject({ knobs: null, sources: null, files: { only_b: [LOCK_FILE] } });
    expect(found.absent[0]).toBe(`A has no ${LOCK_FILE}: knobs and sources are not compared.`);
  });
});

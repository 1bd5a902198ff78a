import { execFileSync } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { FormatError } from '../../src/errors.ts';
import { LOCK_FILE, type Lock, makeLock } from '../../src/export/lock.ts';
import { plan } from '../../src/merge/plan.ts';
import { readLock } from '../../src/runtime/lock-file.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { tinyRecipe } from '../helpers/tiny.ts';

describe('readLock', () => {
  let folder: string;
  let lock: Lock;

  beforeAll(async () => {
    folder = await temporaryFolder();
    const planned = await plan(tinyRecipe());
    const digest = { sha256: '0'.repeat(64), bytes: 1 };
    lock = makeLock(planned, { inputs: planned.files.map(() => digest), outputs: { 'unet/model.onnx': digest } });
  });

  const reading = async (text: string) => {
    await writeFile(join(folder, LOCK_FILE), text);
    return readLock(folder);
  };

  it('gives what makeLock made, and nothing where there is none', async () => {
    expect(await reading(JSON.stringify(lock))).toEqual(JSON.parse(JSON.stringify(lock)));
    await rm(join(folder, LOCK_FILE));
    expect(await readLock(folder)).toBeUndefined();
  });

  it.each([
    ['lock_version', 2, 'lock_version must be 1, but 2 was found'],
    ['tool', undefined, 'tool is missing'],
    ['strengths', { alpha: 'x', beta: 1, gamma: 1 }, 'strengths.alpha must be a list'],
    ['rules', { unet: null, text_encoder: {}, vae_decoder: {} }, 'rules.unet must be a mapping'],
    ['recipe.sampler.steps', 0, 'recipe.sampler.steps must be more than 0'],
    ['recipe.sampler.kind', 5, 'recipe.sampler.kind must be text'],
    ['recipe.output.width', 63, 'recipe.output.width must be a multiple of 8, but 63 was found'],
    ['recipe.output.shapes', undefined, 'recipe.output.shapes'],
    ['recipe.verify.seed', -1, 'recipe.verify.seed must be at least 0'],
    ['recipe.verify.device', 'gpu', 'recipe.verify.device must be "auto", "cpu", "webgpu", "cuda", "dml" or "coreml"'],
    ['recipe.verify.budgets', { denoise_ms: 'x' }, 'recipe.verify.budgets.denoise_ms must be a number'],
    ['recipe.lcm.expect', 'x', 'recipe.lcm.expect must be a mapping'],
    ['recipe.personalized', [null], 'recipe.personalized.0 must be a mapping'],
    ['inputs.0.bytes', undefined, 'inputs.0.bytes is missing'],
    ['inputs.0.sha256', 'abc', 'inputs.0.sha256 must be 64 hexadecimal digits'],
    ['inputs.4.modules', null, 'inputs.4.modules must be a mapping'],
    ['outputs', { a: 5 }, 'outputs.a must be a mapping'],
  ])('names %s when it is %j', async (path, value, sentence) => {
    const changed = JSON.parse(JSON.stringify(lock));
    const keys = path.split('.');
    const last = keys.pop() as string;
    keys.reduce((at, key) => at[key], changed)[last] = value;
    await expect(reading(JSON.stringify(changed))).rejects.toThrow(FormatError);
    await expect(readLock(folder)).rejects.toThrow(`${join(folder, LOCK_FILE)}: ${sentence}`);
  });

  it('does not wait for a pipe', async () => {
    const piped = await temporaryFolder();
    execFileSync('mkfifo', [join(piped, LOCK_FILE)]);
    await expect(readLock(piped)).rejects.toThrow(/lcm-merge\.lock\.json: not a regular file but a device, pipe/);
    expect(await readFile(join(folder, LOCK_FILE), 'utf8')).not.toBe('');
  });
});

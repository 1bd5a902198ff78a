import { open, readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import {
  FormatError,
  InputMissingError,
  IoError,
  type LcmMergeError,
  MergeError,
  PublishError,
  RecipeError,
  RuntimeFailure,
  UnavailableError,
  UsageError,
  VerificationError,
} from '../src/errors.ts';
import { EXIT_CODES, EXIT_MEANINGS, failureOf, Interruption } from '../src/exit-codes.ts';

const system = (code: string, fields: object = {}) =>
  Object.assign(new Error(`${code}: no luck`), { code, errno: -1, syscall: 'write', ...fields });

describe('failureOf', () => {
  it.each([
    [new UsageError('x'), 2],
    [new RecipeError(['x']), 65],
    [new FormatError('x'), 65],
    [new MergeError('x'), 65],
    [new InputMissingError('x'), 66],
    [new UnavailableError('x', 'y'), 69],
    [new RuntimeFailure('x'), 70],
    [new IoError('x'), 74],
    [new VerificationError('x'), 1],
    [new PublishError('x'), 1],
  ])('gives %s the code %i', (error: LcmMergeError, exitCode) => {
    expect(failureOf(error)).toEqual({ exitCode, kind: error.kind, message: error.message, place: {} });
  });

  it.each(['ENOSPC', 'EACCES', 'EPERM', 'EROFS', 'EDQUOT', 'EIO', 'EMFILE', 'EBUSY'])(
    'takes %s for an I/O error',
    (code) => {
      expect(failureOf(system(code, { path: '/x/y' }))).toMatchObject({
        exitCode: 74,
        kind: 'io',
        place: { file: '/x/y' },
      });
    },
  );

  it('names what the system refused, and why', () => {
    const { message } = failureOf(system('ENOSPC', { path: '/x/y' }));
    expect(message).toBe('/x/y: cannot write it: no space is left on the device; free some or choose another place.');
    expect(failureOf(system('ENOSPC')).message).toContain('no space is left');
    const copying = { path: '/from', dest: '/to', syscall: 'cp' };
    expect(failureOf(system('ENOSPC', copying)).message).toMatch(/^\/to: cannot copy it: no space is left/);
    expect(failureOf(system('EIO', copying)).message).toMatch(/^\/from: cannot copy it/);
  });

  it('takes what Node throws for a missing file for a missing input', async () => {
    const error = await readFile('/nowhere/at/all').catch((thrown: unknown) => thrown);
    expect(failureOf(error)).toMatchObject({ exitCode: 66, kind: 'input-missing', place: { file: '/nowhere/at/all' } });
    expect(failureOf(system('ENOTDIR', { syscall: 'mkdir' }))).toMatchObject({ exitCode: 74 });
    expect(await open(import.meta.dirname, 'w').catch((thrown: unknown) => failureOf(thrown).exitCode)).toBe(74);
  });

  it('calls everything else a fault, with the stack only when asked', () => {
    const bug = new TypeError('undefined is no function');
    const { message, ...failure } = failureOf(bug);
    expect(failure).toEqual({ exitCode: 70, kind: 'internal', place: {} });
    expect(message).toContain('TypeError: undefined is no function');
    expect(message).toContain('LCM_MERGE_DEBUG=1');
    expect(message).not.toContain('exit-codes.test.ts');
    expect(failureOf(bug, { debug: true }).message).toContain('exit-codes.test.ts');
    expect(failureOf('a string')).toMatchObject({ exitCode: 70 });
  });

  it.each([
    ['SIGINT', 130, false],
    ['SIGTERM', 143, false],
    ['SIGHUP', 129, false],
    ['EPIPE', 74, true],
  ] as const)('takes any error after %s for its consequence', (cause, exitCode, silent) => {
    const signal = AbortSignal.abort(new Interruption(cause));
    expect(failureOf(new RuntimeFailure('killed'), { signal })).toMatchObject({
      exitCode,
      kind: 'interrupted',
      silent,
    });
    expect(failureOf(new Interruption(cause))).toMatchObject({ exitCode });
  });

  it('tells of an error that stopped the work, not of what that led to', () => {
    expect(failureOf(new RuntimeFailure('killed'), { signal: AbortSignal.abort(system('ENOSPC')) })).toMatchObject({
      exitCode: 74,
    });
  });
});

describe('the table', () => {
  it('explains every code', () => {
    expect(Object.keys(EXIT_MEANINGS)).toEqual(Object.keys(EXIT_CODES));
    expect(Object.values(EXIT_CODES)).toEqual([0, 1, 2, 65, 66, 69, 70, 74, 129, 130, 143]);
  });
});

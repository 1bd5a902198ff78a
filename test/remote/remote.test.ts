import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type FormatError, IoError, LcmMergeError, RuntimeFailure } from '../../src/errors.ts';
import { drain, type Event, type Stage } from '../../src/events.ts';
import { failureOf } from '../../src/exit-codes.ts';
import { EVENTS_AHEAD } from '../../src/remote/messages.ts';
import { openRemote, type Remote } from '../../src/remote/remote.ts';
import { openStages } from '../../src/remote/stages.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { ERRORS, ODD_STAGES, told } from './odd-stages.ts';

const ENTRY = new URL('./odd-main.ts', import.meta.url);
const soon = { timeout: 10_000, interval: 10 };

let remote: Remote<typeof ODD_STAGES>;
let stages: (typeof remote)['stages'];
let file: string;
beforeEach(async () => {
  remote = openRemote(ODD_STAGES, { entry: ENTRY });
  ({ stages } = remote);
  file = join(await temporaryFolder(), 'working.partial');
});
afterEach(() => remote[Symbol.asyncDispose]());

const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0);
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
};
const next = async (stage: Stage<unknown>) => {
  const { value } = await stage.next();
  return (value as Extract<Event, { type: 'progress' }>).done;
};
const pidOf = async () => (await drain(stages.count(0, {}))).pid;

describe('a stage in a process of its own', () => {
  it('tells its events in order and gives back its result, bytes as bytes', async () => {
    const events: Event[] = [];
    const result = await drain(stages.count(1000, { extra: { a: [undefined, 1] } }), (event) => events.push(event));
    expect(events).toEqual(Array.from({ length: 1000 }, (_, i) => told(i)));
    expect(result).toEqual({
      rest: { extra: { a: [undefined, 1] } },
      numbers: Float32Array.of(1, 2),
      bytes: Uint8Array.of(7, 8),
      pid: expect.any(Number),
    });
    expect(result.pid).not.toBe(process.pid);
  });

  it.each(Object.keys(ERRORS) as (keyof typeof ERRORS)[])('throws what it throws: %s', async (kind) => {
    const here = ERRORS[kind]();
    const there: unknown = await drain(stages.fail(kind, {})).catch((error: unknown) => error);
    expect(there).toBeInstanceOf(here.constructor);
    expect(failureOf(there)).toEqual(failureOf(here)); // kind, sentence, place and exit code
    const { helper: _, ...fields } = { ...here } as { helper?: unknown };
    expect({ ...(there as object) }).toEqual(fields);
    expect((there as Error).stack).toContain('odd-stages.ts');
    expect((there as Error).cause).toEqual(here.cause);
  });

  it('keeps the class of the cause', async () => {
    const error = await drain(stages.fail('format', {})).catch((thrown: FormatError) => thrown);
    expect((error as FormatError).cause).toBeInstanceOf(RangeError);
  });

  it('runs no further ahead than it is listened to', async () => {
    const stage = stages.work(file, {});
    expect(await next(stage)).toBe(1);
    const ahead = (): number => Number(readFileSync(file, 'utf8')) || ahead(); // empty for a moment while it is written
    await vi.waitFor(() => expect(ahead()).toBeGreaterThanOrEqual(EVENTS_AHEAD), soon);
    await sleep(300); // in which it would go on, if it did
    expect(ahead()).toBeLessThanOrEqual(EVENTS_AHEAD + 2); // one that is taken, one that waits to be sent
    for (let i = 2; i < 4 * EVENTS_AHEAD; i++) expect(await next(stage)).toBe(i);
    await stage.return(undefined as never);
  });

  it('stops when it is aborted, cleans up and throws the reason', async () => {
    const controller = new AbortController();
    const stage = stages.work(file, { pause: 5, signal: controller.signal });
    await next(stage);
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(drain(stage)).rejects.toBe(reason);
    expect(existsSync(file)).toBe(false);
  });

  it('is not begun when it is aborted before', async () => {
    const signal = AbortSignal.abort(new Error('never'));
    await expect(stages.work(file, { signal }).next()).rejects.toThrow('never');
    expect(existsSync(file)).toBe(false);
  });

  it('stops and cleans up when its caller leaves early', async () => {
    for await (const _ of stages.work(file, { pause: 5 })) {
      expect(existsSync(file)).toBe(true);
      break;
    }
    expect(existsSync(file)).toBe(false);
  });

  it('is ended with all that it has started when it does not stop', async () => {
    await using hasty = openRemote(ODD_STAGES, { entry: ENTRY, grace: 400 });
    const controller = new AbortController();
    const stage = hasty.stages.deaf({ signal: controller.signal });
    const grandchild = await next(stage);
    expect(isAlive(grandchild)).toBe(true);
    controller.abort();
    const ended = drain(stage);
    await expect(ended).rejects.toThrow(RuntimeFailure);
    await expect(ended).rejects.toThrow(/deaf was asked to stop, did not do so within 0 s and was ended/);
    await vi.waitFor(() => expect(isAlive(grandchild)).toBe(false), soon);
  });

  it.each([
    ['abort', /die was ended by SIGABRT\. It said: /, 'machine'],
    ['kill', /die was ended by SIGKILL, most likely for want of memory\./, 'memory'],
    ['exit', /die exited with code 7\. It said: terminate called .*Napi::Error\./, 'machine'],
  ] as const)(
    'that dies (%s) is a failure in a sentence, and the next one has a new process',
    async (how, says, blame) => {
      const events: Event[] = [];
      const error = await drain(stages.die(how, {}), (event) => events.push(event)).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(RuntimeFailure);
      expect(error).toMatchObject({ message: expect.stringMatching(says), blame });
      expect(events).toHaveLength(1);
      expect(isAlive(await pidOf())).toBe(true);
    },
  );

  it('takes an error that nobody caught for its own', async () => {
    const failing = drain(stages.stray({}));
    await expect(failing).rejects.toThrow(IoError);
    await expect(failing).rejects.toThrow('The disk is full.');
    expect(isAlive(await pidOf())).toBe(true);
  });

  it('says so when its result is nothing that can be sent', async () => {
    await expect(drain(stages.unsendable({}))).rejects.toThrow(/could not be cloned/);
  });

  it('leaves its process to the next one, also after an error and an abort', async () => {
    const pid = await pidOf();
    await drain(stages.fail('recipe', {})).catch(() => undefined);
    await stages.work(file, {}).next();
    const aborted = new AbortController();
    const stage = stages.work(`${file}2`, { signal: aborted.signal });
    await stage.next();
    aborted.abort();
    await drain(stage).catch(() => undefined);
    expect(isAlive(pid)).toBe(true);
    const [first, second] = await Promise.all([pidOf(), pidOf()]);
    expect(first).not.toBe(second);
  });

  it('has its process before it is asked for', async () => {
    remote.warm('count');
    const pid = await pidOf();
    remote.warm('count', 'fail');
    expect(await pidOf()).toBe(pid);
  });

  it('is stopped, and has cleaned up, when all are closed', async () => {
    const stage = stages.work(file, { pause: 5 });
    await stage.next();
    await remote[Symbol.asyncDispose]();
    expect(existsSync(file)).toBe(false);
    await expect(drain(stage)).rejects.toThrow(LcmMergeError);
  });
});

describe('the program that has stages in other processes', () => {
  it.each(['SIGKILL', 'SIGTERM'] as const)('may be gone by %s: they stop, clean up and end', async (signal) => {
    const parent = spawn(process.execPath, ['test/remote/odd-parent.ts', file], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await once(parent.stdout, 'data');
    expect(existsSync(file)).toBe(true);
    const { pid } = parent as { pid: number };
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
    expect(children).toHaveLength(1);
    parent.kill(signal);
    await vi.waitFor(() => expect(existsSync(file)).toBe(false), soon);
    await vi.waitFor(() => expect(children.filter(isAlive)).toEqual([]), soon);
  });

  it('is not kept alive by one that waits for work', async () => {
    const parent = spawn(process.execPath, ['test/remote/odd-parent.ts'], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [[pid], [code]] = await Promise.all([once(parent.stdout, 'data'), once(parent, 'close')]);
    expect(code).toBe(0);
    await vi.waitFor(() => expect(isAlive(Number(pid))).toBe(false), soon);
  });
});

describe('the real stages', () => {
  it('plan as they do here, and leave nothing when they are stopped (test/tui/end-to-end.test.ts makes a package)', async () => {
    await using real = openStages();
    const { signal } = new AbortController();
    const planned = await drain(real.stages.plan('recipes/tiny.yaml', { signal }));
    const { planRecipe } = await import('../../src/publish/plan-recipe.ts');
    expect(planned).toEqual(await drain(planRecipe('recipes/tiny.yaml', { signal })));

    const out = join(await temporaryFolder(), 'tiny');
    const controller = new AbortController();
    const making = real.stages.makePackage(planned, { out, profile: 'quick', signal: controller.signal });
    const stopped = drain(making, (event) => {
      if (event.type !== 'progress' || event.done === 0) return;
      expect(readdirSync(join(out, '..'))).toEqual([expect.stringMatching(/^tiny\.\d+\.partial$/)]);
      controller.abort(new Error('stop'));
    });
    await expect(stopped).rejects.toThrow('stop');
    expect(readdirSync(join(out, '..'))).toEqual([]);
  });

  it('bring no onnxruntime and no sharp into the program that asks for them', async () => {
    const program = `import('./src/remote/stages.ts').then(async ({ openStages }) => {
      const { drain } = await import('./src/events.ts');
      const plan = await drain(openStages().stages.plan('recipes/tiny.yaml', { signal: new AbortController().signal }));
      console.log(plan.recipe.name, Object.keys(require.cache).filter((file) => /onnxruntime|sharp/.test(file)));
    })`;
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', program]);
    expect(stdout).toBe('tiny []\n');
  });

  it('name a wrong recipe as they do here', async () => {
    await using real = openStages();
    const { signal } = new AbortController();
    const { planRecipe } = await import('../../src/publish/plan-recipe.ts');
    const here = await drain(planRecipe('package.json', { signal })).catch((error: unknown) => error);
    const there = await drain(real.stages.plan('package.json', { signal })).catch((error: unknown) => error);
    expect(there).toEqual(here);
    expect(there).toMatchObject({ name: 'RecipeError', problems: (here as { problems: unknown }).problems });
  });
});

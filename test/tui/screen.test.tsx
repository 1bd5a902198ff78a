import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { RecipeError } from '../../src/errors.ts';
import { type MadePackage, makePackage } from '../../src/publish/make-package.ts';
import { planRecipe } from '../../src/publish/plan-recipe.ts';
import { helpSections } from '../../src/tui/keys.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { checkEvents, GREEN_STEP, madePackage, RED_THEN_BLUE } from './reports.ts';
import { type ControlledStage, controlStage, deviceLost, KEYS, openScreen, type Screen } from './screen.ts';

/** Recipes are found and planned as ever; what a job does is up to the test. */
let job: ControlledStage<MadePackage>;
const services = {
  findRecipes: async () => [{ file: 'recipes/animatelcm.yaml' }, { file: 'recipes/tiny.yaml' }],
  findPackages: async () => [],
  plan: planRecipe,
  make: (_: unknown, signal: AbortSignal) => job.run(signal),
  readClip: async () => RED_THEN_BLUE,
};
const CHECKS = { integrity: 'passed', frames: 'passed' } as const;

beforeEach(() => {
  job = controlStage();
});

/** Chooses recipes/tiny.yaml and begins the job. */
async function startTiny(screen: Screen): Promise<void> {
  await screen.shows('recipes/tiny.yaml');
  screen.press(KEYS.down);
  await screen.shows('▸ recipes/tiny.yaml');
  screen.press('b');
  await screen.shows('… Working · recipes/tiny.yaml');
}

const baking = (done: number) =>
  ({ type: 'progress', stage: 'bake', done, total: 40e6, unit: 'bytes', detail: 'conv_in.weight' }) as const;

describe('the terminal UI', () => {
  it('leads from a recipe over its plan and its job to the moving result', async () => {
    const screen = openScreen({ services });
    await screen.shows('▸ recipes/animatelcm.yaml', 'Enter open', '? help', 'q quit');
    expect(screen.terminal.buffer.active.type).toBe('alternate');
    screen.press(KEYS.down, KEYS.enter);
    await screen.shows('▸2 Recipe', '../models/tiny/ink.safetensors', '0.80', '3 Plan ✓');
    screen.press('3');
    await screen.shows(
      '0.8·τ(ink.safetensors) + 1·τ(lcm.safetensors)',
      'α 0.8',
      'β 1',
      'γ 1',
      '110 of 188',
      '→ out/tiny',
    );

    screen.press(KEYS.enter);
    await screen.shows('… Working · recipes/tiny.yaml');
    job.send({ type: 'stage-started', stage: 'bake', subject: 'tiny' }, baking(10e6));
    await screen.shows('… bake', '25%  conv_in.weight', '10.0 MB of 40.0 MB');
    job.send({ type: 'stage-finished', stage: 'bake', milliseconds: 1500, summary: '1399 tensors' });
    await screen.shows('✓ bake    1399 tensors (1.50 s)');
    job.send({ type: 'stage-started', stage: 'verify', subject: 'out/tiny' }, ...checkEvents(CHECKS));
    job.finish(madePackage('/there/out/tiny', CHECKS, 'passed'));
    await screen.shows('▸5 Run 2', '▶ frame', 'of 2, 4×4', '6 Gate ✓');

    screen.press('6');
    await screen.shows(
      '✓ Passed · 2 of 2 checks passed',
      '/there/out/tiny',
      '✓ integrity (250 ms)',
      'integrity is passed.',
      '✓ frames',
    );
    screen.press('q');
    expect(await screen.left).toBe(0);
    expect(screen.terminal.buffer.active.type).toBe('normal');
    expect(screen.isRaw()).toBe(false);
  });

  it('shows the colours of each frame, stops and steps', async () => {
    const screen = openScreen({ services });
    await startTiny(screen);
    job.finish(madePackage('/out/tiny', CHECKS, 'passed'));
    await screen.shows('▶ frame');
    const seen = new Set<number>();
    await vi.waitFor(
      () => {
        seen.add(colourOfTheFirstPixel(screen));
        expect(seen).toEqual(new Set([0xff0000, 0x0000ff]));
      },
      { timeout: 5000, interval: 10 },
    );
    screen.press(' ');
    await screen.shows('‖ frame');
    const [, at] = /frame (\d)/.exec(screen.text()) ?? [];
    const other = at === '1' ? '2' : '1';
    screen.press(']');
    await screen.shows(`‖ frame ${other}`);
    expect(colourOfTheFirstPixel(screen)).toBe(other === '1' ? 0xff0000 : 0x0000ff);
    screen.press('[');
    await screen.shows(`‖ frame ${at}`);
  });

  it('shows what each step comes to until the result is there', async () => {
    const screen = openScreen({ services });
    await startTiny(screen);
    job.send({ type: 'stage-started', stage: 'run', subject: 'tiny' }, GREEN_STEP);
    await screen.shows('5 Run 1/2');
    screen.press('5');
    await screen.shows('… step 1 of 2, 4×4');
    expect(colourOfTheFirstPixel(screen)).toBe(0x00ff00);
    job.finish(madePackage('/out/tiny', CHECKS, 'passed'));
    await screen.shows('▸5 Run 2', '▶ frame', 'of 2, 4×4');
    screen.press('b');
    await screen.shows('▸5 Run 2'); // a job begins where a recipe is shown
    screen.press('1', 'b', '5');
    await screen.shows('No frames yet');
  });

  it('shows what is wrong with a recipe in its place', async () => {
    const problems = ['a.yaml:3:1: Unknown key motions. Did you mean "motion"?', 'a.yaml:9:3: alpha must be a number.'];
    const screen = openScreen({
      services: {
        ...services,
        async *plan() {
          yield { type: 'stage-started', stage: 'plan', subject: 'a.yaml' };
          throw new RecipeError(problems);
        },
      },
    });
    await screen.shows('animatelcm.yaml');
    screen.press(KEYS.enter);
    await screen.shows('3 Plan ✗');
    screen.press('3');
    await screen.shows(...problems.map((problem) => `✗ ${problem}`));
    screen.press('b');
    job.fail(new RecipeError(problems));
    await screen.shows('✗ Failed', ...problems.map((problem) => `✗ ${problem}`));
  });

  it('shows why a package was refused and where it is', async () => {
    const screen = openScreen({ services });
    await startTiny(screen);
    job.send(...checkEvents({ integrity: 'passed', frames: 'failed', timing: 'unknown' }));
    job.finish(madePackage('/out/tiny.failed', { integrity: 'passed', frames: 'failed', timing: 'unknown' }, 'failed'));
    await screen.shows(
      '▸6 Gate ✗',
      '✗ Failed · 1 of 3',
      '/out/tiny.failed',
      '✓ integrity',
      '✗ frames',
      'frames is failed.',
      '? timing',
    );
    screen.press('4');
    await screen.shows('✗ Has not passed ·', '✗ frames: frames is failed.', 'kept in', '/out/tiny.failed');
  });

  it('shows what broke a job', async () => {
    const screen = openScreen({ services });
    await startTiny(screen);
    job.send({ type: 'stage-started', stage: 'run', subject: 'tiny' });
    await screen.shows('… run');
    job.fail(deviceLost);
    await screen.shows('✗ Failed', '■ run', '✗ The device was lost in step 2 of 4.');
  });

  it('says that there are no frames where the run gave none', async () => {
    const readClip = async () => {
      throw deviceLost;
    };
    const screen = openScreen({ services: { ...services, readClip } });
    await startTiny(screen);
    job.send(...checkEvents({ run: 'failed' }));
    job.finish(madePackage('/out/tiny.failed', { run: 'failed' }, 'failed'));
    await screen.shows('6 Gate ✗');
    screen.press('5');
    await screen.shows('There are no frames to show. The device was lost');
  });

  it('says so where there are no recipes', async () => {
    const screen = openScreen({ services: { findRecipes: async () => [] } });
    await screen.shows('There is no recipe here');
  });

  it.each([
    ['x', 'x'],
    ['Ctrl-C', KEYS.ctrlC],
  ])('stops a job with %s, and leaves with Ctrl-C', async (_, key) => {
    const screen = openScreen({ services });
    await startTiny(screen);
    job.send({ type: 'stage-started', stage: 'bake', subject: 'tiny' }, baking(1e6));
    await screen.shows('… bake');
    screen.press(key);
    await screen.shows('■ Stopped', '■ bake', 'has been removed');
    expect(job.hasEnded()).toBe(true);
    screen.press(KEYS.ctrlC);
    expect(await screen.left).toBe(130);
    expect(screen.terminal.buffer.active.type).toBe('normal');
  });

  it('asks before it quits from a job, and waits until that has cleaned up', async () => {
    const screen = openScreen({ services });
    await startTiny(screen);
    screen.press('q');
    await screen.shows('A recipe is being baked. Quit?', 'y quit', 'n stay');
    screen.press('n');
    await screen.shows('x stop');
    expect(job.hasEnded()).toBe(false);
    screen.press('q');
    await screen.shows('Quit?');
    screen.press('y');
    expect(await screen.left).toBe(0);
    expect(job.hasEnded()).toBe(true);
  });

  it('stops its job and gives the screen back when it is told to from outside', async () => {
    const outside = new AbortController();
    const screen = openScreen({ services, signal: outside.signal });
    await startTiny(screen);
    outside.abort(new Error('SIGTERM'));
    await expect(screen.left).rejects.toThrow('SIGTERM');
    expect(job.hasEnded()).toBe(true);
    expect(screen.terminal.buffer.active.type).toBe('normal');
  });

  it('gives the screen back when a component fails', async () => {
    const broken = [{ file: undefined as unknown as string }];
    const screen = openScreen({ services: { findRecipes: async () => broken } });
    await expect(screen.left).rejects.toThrow(TypeError);
    expect(screen.terminal.buffer.active.type).toBe('normal');
    expect(screen.isRaw()).toBe(false);
  });

  it('follows the size of the terminal', async () => {
    const screen = openScreen({ services });
    await startTiny(screen);
    expect(screen.text()).not.toContain('Recipes ──');
    screen.resize(160, 50);
    await screen.shows('─ Recipes ─', '─ Recipe recipes/tiny.yaml ─', '─ Plan ─', '━ Bake ━', '─ Run ─', '─ Gate ─');
    expect(linesWider(screen, 160)).toEqual([]);
    screen.resize(60, 20);
    await screen.shows('▸Bake', '3 Plan', '━ Bake ━', 'x stop');
    expect(screen.text()).not.toContain('─ Gate ─');
    screen.resize(40, 12);
    await screen.shows('▸Bake', '━ Bake ━');
    screen.resize(39, 12);
    await screen.shows('39×12', '40×12');
    screen.resize(80, 24);
    await screen.shows('━ Bake ━', '4 Bake …');
  });

  it('tells every key in its help, which scrolls', async () => {
    const screen = openScreen({ services, columns: 60, rows: 20 });
    await screen.shows('tiny.yaml');
    screen.press('?');
    await screen.shows('━ Keys ━', 'Esc close');
    const seen = new Set<string>();
    for (let moves = true; moves; ) {
      const before = screen.text();
      for (const line of before.split('\n')) seen.add(line);
      screen.press('j');
      moves = await vi
        .waitFor(() => expect(screen.text()).not.toBe(before), { timeout: 1000, interval: 5 })
        .then(
          () => true,
          () => false,
        );
    }
    const all = [...seen].join(' ').replace(/[┃\s]+/g, ' '); // long ones go on in the next line
    for (const { rows } of helpSections()) for (const [, help] of rows) expect(all).toContain(help);
    screen.press('q');
    await screen.shows('▸ recipes/animatelcm.yaml');
  });

  it('lets nothing from a file act on the terminal', async () => {
    const title = vi.fn();
    const screen = openScreen({
      services: {
        ...services,
        findRecipes: async () => [{ file: 'a\u001b]0;owned\u0007\u001b[2J.yaml' }, { file: 'recipes/tiny.yaml' }],
      },
    });
    screen.terminal.onTitleChange(title);
    await screen.shows('a\\u001b]0;owned\\u0007\\u001b[2J.yaml');
    await startTiny(screen);
    job.send(
      { type: 'stage-started', stage: 'bake', subject: 'b\u001b]0;owned\u0007' },
      { type: 'warning', stage: 'bake', message: 'c\u001b[31m\u202e' },
    );
    await screen.shows('b\\u001b]0;owned\\u0007', '! c\\u001b[31m\\u202e');
    expect(title).not.toHaveBeenCalled();
  });

  it('takes pasted text for no command', async () => {
    const screen = openScreen({ services });
    await screen.shows('tiny.yaml');
    screen.press('\u001b[200~qb\u001b[201~', 'j');
    await screen.shows('▸ recipes/tiny.yaml', '4 Bake  5');
  });

  it('does without colour where there is none', async () => {
    const screen = openScreen({ services, depth: 1 });
    await startTiny(screen);
    job.send(...checkEvents(CHECKS));
    job.finish(madePackage('/out/tiny', CHECKS, 'passed'));
    await screen.shows('of 2, 4×4');
    const sequences = screen.raw().split('\u001b[');
    expect(sequences.length).toBeGreaterThan(100);
    expect(sequences.filter((sequence) => /^(?:\d+;)*(?:3[0-8]|4[0-8]|9\d|10\d)(?:;\d+)*m/.test(sequence))).toEqual([]);
  });

  it('answers keys while a stage gives it no rest', async () => {
    let stop = false;
    async function* busy(): ReturnType<typeof job.run> {
      yield { type: 'stage-started', stage: 'bake', subject: 'tiny' };
      while (!stop) yield baking(1e6);
      return madePackage('/out/tiny', CHECKS, 'passed');
    }
    const screen = openScreen({ services: { ...services, make: busy } });
    await startTiny(screen);
    screen.press('1');
    await screen.shows('▸ recipes/tiny.yaml');
    stop = true;
    await screen.shows('4 Bake ✓');
  });
});

describe('the real job', () => {
  it('leaves nothing behind when it is stopped in the middle', async () => {
    const out = join(await temporaryFolder(), 'out', 'tiny');
    async function* make(recipe: string, signal: AbortSignal): ReturnType<typeof job.run> {
      const plan = yield* planRecipe(recipe, { signal });
      return yield* makePackage(plan, { out, profile: 'quick', signal });
    }
    const screen = openScreen({ services: { ...services, make } });
    await startTiny(screen);
    await screen.shows('… bake');
    expect(readdirSync(join(out, '..'))).toEqual([expect.stringMatching(/^tiny\.\d+\.partial$/)]);
    screen.press('x');
    await screen.shows('■ Stopped');
    expect(existsSync(join(out, '..'))).toBe(false);
  });
});

function colourOfTheFirstPixel({ terminal }: Screen): number {
  const { active } = terminal.buffer;
  for (let y = 0; y < terminal.rows; y++) {
    for (let x = 0; x < terminal.cols; x++) {
      const cell = active.getLine(y)?.getCell(x);
      if (cell?.getChars() === '▀' && cell.isFgRGB()) return cell.getFgColor();
    }
  }
  return -1;
}

function linesWider(screen: Screen, columns: number): string[] {
  return screen
    .text()
    .split('\n')
    .filter((line) => line.length > columns);
}

/** The program as users meet it: spawned, with its streams and exit codes, in an empty folder of its own each time. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import sharp from 'sharp';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { toFloat32 } from '../../src/formats/dtype.ts';
import { openTensorFile, readTensor, type TensorFile } from '../../src/formats/tensor-file.ts';
import { recipeJsonSchema } from '../../src/recipe/json-schema.ts';
import { VERSION } from '../../src/version.ts';
import { writeSmall } from '../helpers/small.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const PROGRAM = resolve('src/cli.ts');
const TINY = resolve('models/tiny');
const RECIPE = resolve('recipes/tiny.yaml');

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface RunOptions {
  /** Handed everything that comes on stdout. */
  readonly onOutput?: (text: string, child: ChildProcess) => void;
  readonly node?: readonly string[];
}

/** A recipe that bakes to what loads and runs in no time, for what does not depend on what a package makes. */
const { recipe: small } = await writeSmall();

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

function lcmMerge(args: readonly string[], { onOutput, node = [] }: RunOptions = {}): Promise<Ended> {
  return new Promise((done, failed) => {
    const { NO_COLOR: _, FORCE_COLOR: __, ...env } = process.env;
    const child = spawn(process.execPath, [...node, PROGRAM, ...args], {
      cwd: folder,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      onOutput?.(text, child);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', failed);
    child.on('close', (code) => done({ code, stdout, stderr }));
  });
}

/** Counted from 1, the first line of the test's recipe that holds `text`. */
async function lineOf(text: string): Promise<number> {
  return (await readFile(join(folder, 'recipe.yaml'), 'utf8')).split('\n').findIndex((line) => line.includes(text)) + 1;
}

/** The tiny recipe with other lines in it, in the folder of the test. */
async function writeRecipe(changes: readonly (readonly [from: string, to: string])[]): Promise<string> {
  let text = (await readFile(RECIPE, 'utf8')).replaceAll('../models/tiny', TINY);
  for (const [from, to] of changes) {
    expect(text).toContain(from);
    text = text.replace(from, to);
  }
  await writeFile(join(folder, 'recipe.yaml'), text);
  return 'recipe.yaml';
}

const entries = async () => (await readdir(folder)).sort();
const lines = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe('results', () => {
  it('the whole job bakes, verifies and prints nothing but the path of the package', async () => {
    const { code, stdout, stderr } = await lcmMerge([RECIPE]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${join(folder, 'out', 'tiny')}\n` });
    expect(stderr).toMatch(/^plan: done: .*\nbake: tiny\nbake: done: /m);
    expect(stderr).not.toContain('\u001b');
    const report = JSON.parse(await readFile(join(folder, 'out/tiny/verification/report.json'), 'utf8'));
    expect(report.verdict).toBe('passed');
    expect(await readdir(join(folder, 'out'))).toEqual(['tiny']);

    const publish = ['publish', 'out/tiny', '--to', 'public', '-q'];
    const preview = await lcmMerge([...publish, '--dry-run']);
    expect(preview).toMatchObject({ code: 0, stderr: '' });
    expect(preview.stdout).toMatch(/^verification +passed, \d{4}-\d\d-\d\d \d\d:\d\d$/m);
    expect(preview.stdout).toMatch(/^replaces +nothing$/m);
    expect(preview.stdout).toMatch(/^verification\/report\.json +[\d.]+ kB +[0-9a-f]{12}$/m);
    expect(await entries()).toEqual(['out']);
    const { stdout: sent } = await lcmMerge([...publish, '--json']);
    const { files, bytes } = JSON.parse(sent);
    const again = JSON.parse((await lcmMerge([...publish, '--dry-run', '--json'])).stdout);
    expect(again).toMatchObject({ bytes, target: { replaces: { name: 'tiny', files, bytes } }, refusals: [] });
    expect(again.files).toHaveLength(files);
  });

  it('a package that fails verification does not take the place of the one before', async () => {
    await mkdir(join(folder, 'good', 'unet'), { recursive: true });
    await writeFile(join(folder, 'good', 'lcm-merge.lock.json'), '{}');
    // its clips are noise
    const { code, stdout, stderr } = await lcmMerge([small, '-o', 'good', '--profile', 'quick', '--quiet']);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(
      /^error: .*good\.failed has not passed verification.*\n {2}run failed: .*\n( {2}\w+ failed: .*\n)*$/m,
    );
    expect(await entries()).toEqual(['good', 'good.failed']);
    expect(await readdir(join(folder, 'good'))).toEqual(['lcm-merge.lock.json', 'unet']);
    expect(await readdir(join(folder, 'good.failed', 'verification'))).toContain('report.html');
  });

  it('plan and --dry-run show the same, and write nothing', async () => {
    const plan = await lcmMerge(['plan', RECIPE, '--json', '-q']);
    expect(plan).toMatchObject({ code: 0, stderr: '' });
    // 278 LCM modules, of which 192 are also in the personalized LoRA; its 12 others are the text encoder's
    expect(JSON.parse(plan.stdout)).toMatchObject({
      name: 'tiny',
      warnings: [],
      components: {
        unet: {
          rules: {
            'base.unet + lora of lcm': 86,
            'base.unet + lora of personalized[0] + lora of lcm': 192,
            'positional-encoding': 21,
          },
        },
        text_encoder: { rules: { 'base.text_encoder + lora of personalized[0]': 12 } },
      },
    });
    const text = await lcmMerge(['plan', RECIPE]);
    expect(text.stdout).toMatch(/^lcm +278 unet +16 +2 +beta 1$/m);
    for (const argv of [[RECIPE], ['bake', RECIPE]])
      expect((await lcmMerge([...argv, '--dry-run'])).stdout).toBe(text.stdout);
    expect(await entries()).toEqual([]);
  });

  it('--json=stream writes lines of JSON only, the result last, and no latents', async () => {
    const { code, stdout, stderr } = await lcmMerge(['bake', RECIPE, '-o', 'p', '--json=stream']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const events = lines(stdout);
    expect(events[0]).toEqual({ type: 'stage-started', stage: 'plan', subject: 'tiny.yaml' });
    expect(events.at(-1)).toMatchObject({ type: 'result', package: join(folder, 'p'), name: 'tiny' });
    expect(events.filter(({ type }) => type === 'progress').length).toBeGreaterThan(100);
  });

  it('--preview adds a picture of each step to the stream, and a line to stderr', async () => {
    await lcmMerge(['bake', small, '-o', 'p', '-q']);
    const run = (...options: readonly string[]) => lcmMerge(['run', 'p', '-o', 'f', '--steps', '2', ...options]);
    const previews = lines((await run('--preview', '--json=stream')).stdout).filter(({ type }) => type === 'preview');
    expect(previews).toMatchObject([1, 2].map((step) => ({ stage: 'run', step, total: 2, width: 64, height: 64 })));
    for (const { webp, pixels } of previews) {
      expect(pixels).toBeUndefined();
      const { format, width, height } = await sharp(Buffer.from(String(webp), 'base64')).metadata();
      expect({ format, width, height }).toEqual({ format: 'webp', width: 64, height: 64 });
    }
    expect((await run('--preview')).stderr).toMatch(/^run: step 1 of 2\nrun: step 2 of 2$/m);
  });

  it('schema, completion, help and version go to stdout', async () => {
    expect(JSON.parse((await lcmMerge(['schema'])).stdout)).toEqual(JSON.parse(JSON.stringify(recipeJsonSchema())));
    expect((await lcmMerge(['completion', 'fish'])).stdout).toContain('complete -c lcm-merge');
    expect(await lcmMerge(['--version'])).toEqual({ code: 0, stdout: `${VERSION}\n`, stderr: '' });
    expect(await lcmMerge(['run', '--help'])).toMatchObject({
      code: 0,
      stderr: '',
      stdout: expect.stringContaining('--save-latents FILE'),
    });
  });

  it('without anything it shows the help, on stderr', async () => {
    expect(await lcmMerge([])).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining('lcm-merge RECIPE'),
    });
  });

  it('doctor tries the devices', async () => {
    const { code, stdout } = await lcmMerge(['doctor', '--json']);
    expect(code).toBe(0);
    const { devices, node, auto } = JSON.parse(stdout);
    expect(node).toBe(process.versions.node);
    const rate = expect.any(Number);
    const rates = { matrix: { float32: rate, float16: rate }, copy: rate };
    const working = { installed: true, works: true, state: 'works', milliseconds: rate };
    expect(devices).toContainEqual({ device: 'cpu', ...working, rates });
    for (const device of devices.filter((one: { works: boolean }) => !one.works)) {
      const state = device.installed ? 'silent' : 'missing';
      expect(device).toMatchObject({ state, reason: expect.any(String), remedy: expect.any(String) });
    }
    expect(devices.map((one: { device: string }) => one.device)).toContain(auto.device);
  });

  it('doctor says it in 80 columns, commands apart', async () => {
    const { code, stdout } = await lcmMerge(['doctor']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^✓ cpu works \(.* from start to answer\)$/m);
    expect(stdout).toMatch(/^auto takes \w+$/m);
    const long = stdout.split('\n').filter((line) => line.length > 80 && !line.startsWith('      '));
    expect(long).toEqual([]);
  });
});

describe('with a package', () => {
  let baked: string;
  let tiny: string;
  beforeAll(async () => {
    folder = await temporaryFolder();
    for (const [recipe, out] of [
      [small, 'small'],
      [RECIPE, 'tiny'],
    ] as const)
      expect((await lcmMerge(['bake', recipe, '-o', out, '-q'])).code).toBe(0);
    [baked, tiny] = [join(folder, 'small'), join(folder, 'tiny')];
  });

  it('run writes frames, an animation and the latents that PyTorch gives', async () => {
    const { code, stdout } = await lcmMerge([
      'run',
      tiny,
      '-o',
      'a/frames',
      '--save-latents',
      'l.safetensors',
      '--fps',
      '4',
      '-q',
    ]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${join(folder, 'a/frames')}\n` });
    const names = await readdir(join(folder, 'a/frames'));
    expect(names).toHaveLength(17);
    expect(names).toEqual(expect.arrayContaining(['frame-0000.png', 'frame-0015.png', 'frames.webp']));
    expect(await sharp(join(folder, 'a/frames/frame-0000.png')).metadata()).toMatchObject({
      format: 'png',
      width: 64,
      height: 64,
    });
    const animation = await sharp(join(folder, 'a/frames/frames.webp'), { animated: true }).metadata();
    expect(animation).toMatchObject({ format: 'webp', pages: 16, delay: Array(16).fill(250) });
    await using file = await openTensorFile(join(folder, 'l.safetensors'));
    expect([...file.tensors.values()]).toMatchObject([{ name: 'latents', dtype: 'F32', shape: [1, 4, 16, 8, 8] }]);
    await using reference = await openTensorFile(join(TINY, 'reference.safetensors'));
    const read = async (of: TensorFile) => toFloat32(await readTensor(of, of.tensors.get('latents')!), 'F32');
    const [ours, theirs] = [await read(file), await read(reference)];
    const difference = Math.hypot(...ours.map((x, i) => x - theirs[i]!));
    expect(difference / Math.hypot(...theirs)).toBeLessThan(0.01); // the graph computes in fp16, the reference in float32
  });

  it('run puts latents into the folder of frames when they are to lie there, and may do so again', async () => {
    const argv = ['run', baked, '-o', 'f', '--steps', '1', '--save-latents', 'f/l.safetensors', '--json', '-q'];
    for (const seed of ['1', '2']) {
      const { code, stdout } = await lcmMerge([...argv, '--seed', seed]);
      expect(code).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({
        out: join(folder, 'f'),
        latents: join(folder, 'f/l.safetensors'),
        seed: Number(seed),
        prompt: 'a red circle',
      });
    }
    expect(await readdir(join(folder, 'f'))).toHaveLength(4);
    expect(await entries()).toEqual(['f']);
  });

  it.each([
    [['run', '--frames', '1'], 2, 'is made for 2 frames'],
    [['run', '--steps', '51'], 2, '51 sampling steps'],
    [['run', '-o', '.'], 2, 'precious.txt'],
    [['run', '--save-latents', 'x', '-o', 'x'], 2, 'one is a file, the other a folder'],
    [['run', '--steps', '1', '--save-latents', 'precious.txt/x'], 74, 'precious.txt'],
    [['publish', '--to', 'public'], 1, 'Run lcm-merge verify first'],
    [['verify', '--recipe', 'missing.yaml'], 66, 'missing.yaml'],
  ])('%j fails and leaves nothing', async ([verb, ...options], code, sentence) => {
    await writeFile(join(folder, 'precious.txt'), 'x');
    expect(await lcmMerge([verb as string, baked, ...options])).toMatchObject({
      code,
      stdout: '',
      stderr: expect.stringContaining(sentence),
    });
    expect(await entries()).toEqual(['precious.txt']);
  });

  it('a preview of what cannot be published says why, ends as publishing would, and leaves nothing', async () => {
    const argv = ['publish', baked, '--dry-run'];
    expect(await lcmMerge([...argv, '--to', 'public'])).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('; nothing would be published\n'),
      stderr: expect.stringContaining('Run lcm-merge verify first'),
    });
    expect(await lcmMerge([...argv, '--to', 'ftp://owner/name'])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/Run lcm-merge verify first.*\n.*ftp:\/\/owner\/name is no place to publish to/),
    });
    expect(await lcmMerge([...argv, '--to', 'oci://127.0.0.1:1/ink'])).toMatchObject({
      code: 1, // as publishing would end, which does not ask the registry either
      stderr: expect.stringContaining('Run lcm-merge verify first'),
    });
    expect(await entries()).toEqual([]);
  });

  it('compare writes a table, a sheet and clips, and may do so again, but not over something else', async () => {
    const file = join(folder, 'prompts.txt');
    await writeFile(file, 'a red circle\n\na blue square\n');
    const argv = ['compare', baked, '--prompts', file, '-o', 'c', '-q'];
    for (const json of [[], ['--json']]) {
      const { code, stdout } = await lcmMerge([...argv, ...json]);
      expect(code).toBe(0);
      if (json.length === 0) expect(stdout).toContain(`${join(folder, 'c/sheet.svg')}\n`);
      else
        expect(JSON.parse(stdout)).toMatchObject({
          out: join(folder, 'c'),
          prompts: ['a red circle', 'a blue square'],
        });
    }
    expect((await readdir(join(folder, 'c'))).sort()).toEqual([
      ...['clip-1.webp', 'comparison.json', 'comparison.md', 'sheet.svg'],
    ]);
    const both = await lcmMerge([...argv, '--prompt', 'x']);
    expect(both).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--prompt and --prompts cannot both be given'),
    });
    const occupied = await lcmMerge(['compare', baked, '-o', '.']);
    expect(occupied).toMatchObject({ code: 2, stderr: expect.stringContaining('no file of an earlier comparison') });
    expect((await lcmMerge(['compare'])).stderr).toContain('needs PACKAGES');
  });

  it('sweep writes a sheet and figures, and may do so again, but not over something else', async () => {
    const argv = ['sweep', small, '--x', 'steps=1,2', '--frames', '2', '-o', 's', '-q'];
    const { code, stdout } = await lcmMerge(argv);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^tile +merged .*\nsteps 1 .*\nsteps 2 /);
    expect(stdout).toContain(`${join(folder, 's/sheet.svg')}\n`);
    expect((await readdir(join(folder, 's'))).sort()).toEqual(['sheet.svg', 'sweep.json']);
    const figures = JSON.parse(await readFile(join(folder, 's/sweep.json'), 'utf8'));
    expect(figures.tiles[1].settings).toEqual([{ path: ['sampler', 'steps'], value: 2 }]);
    await writeFile(join(folder, 's/precious.txt'), 'x');
    const occupied = await lcmMerge(argv);
    expect(occupied).toMatchObject({ code: 2, stderr: expect.stringContaining('no file of an earlier sweep') });
    expect(await entries()).toEqual(['s']);
  });

  it('sweep --pick writes the choice into the recipe, and nothing that the recipe cannot be', async () => {
    const file = await writeRecipe([]);
    const text = await readFile(join(folder, file), 'utf8');
    const pick = (...argv: readonly string[]) => lcmMerge(['sweep', file, ...argv]);
    expect(await pick('--pick', '0.7,0.9')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('lcm.beta: 0.9'),
    });
    const picked = text.replace('alpha: 0.8', 'alpha: 0.7').replace('beta: 1\n', 'beta: 0.9\n');
    expect(await readFile(join(folder, file), 'utf8')).toBe(picked);
    for (const [argv, sentence] of [
      [['--pick', '1'], '--pick has 1 value, and 2 knobs would be set: personalized[0].alpha and lcm.beta.'],
      [['--x', 'steps', '--pick', '0'], 'sampler.steps cannot be 0.'],
      [['--y', 'steps', '--pick', '1'], '--y is given without --x.'],
      [['--x', 'beat', '--pick', '1'], 'Did you mean beta?'],
    ] as const) {
      expect(await pick(...argv)).toMatchObject({ code: 2, stderr: expect.stringContaining(sentence) });
    }
    expect(await readFile(join(folder, file), 'utf8')).toBe(picked);
    expect((await pick('--x', 'gamma=0,1', '--pick', '0.5')).code).toBe(0);
    expect(await readFile(join(folder, file), 'utf8')).toBe(picked.replace('gamma: 1', 'gamma: 0.5'));
  });

  it('inspect tells what it is', async () => {
    const { code, stdout } = await lcmMerge(['inspect', tiny]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/verification +not verified/);
    expect(stdout).toMatch(/input +sample FLOAT \[1, 4, 16, 8, 8\]/);
    expect(stdout).toMatch(/192 × base\.unet \+ lora of personalized\[0\] \+ lora of lcm/);
    const graph = await lcmMerge(['inspect', join(tiny, 'text_encoder/model.onnx'), '--json']);
    expect(JSON.parse(graph.stdout)).toMatchObject({
      kind: 'onnx',
      opsets: { '': 20 },
      external: { files: ['model.onnx_data'] },
    });
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('%s in the middle of sampling ends it at once and leaves nothing', async (signal, code) => {
    const onOutput = (text: string, child: ChildProcess) => {
      if (text.includes('"progress"')) child.kill(signal);
    };
    const ended = await lcmMerge(
      ['run', tiny, '-o', 'deep/f', '--steps', '50', '--save-latents', 'l.safetensors', '--json=stream'],
      { onOutput },
    );
    expect(ended.code).toBe(code);
    expect(lines(ended.stdout).at(-1)).toMatchObject({ type: 'error', error: { kind: 'interrupted' }, exitCode: code });
    expect(lines(ended.stdout).filter(({ type }) => type === 'progress').length).toBeLessThan(50);
    expect(await entries()).toEqual([]);
  });
});

describe('stopping', () => {
  it('SIGINT in the middle of the whole job leaves nothing', async () => {
    const onOutput = (text: string, child: ChildProcess) => {
      if (text.includes('"stage":"bake"')) child.kill('SIGINT');
    };
    const { code, stderr } = await lcmMerge([RECIPE, '-o', 'deep/p', '--json=stream'], { onOutput });
    expect(code).toBe(130);
    expect(stderr).toBe('error: Stopped by SIGINT; what was unfinished has been removed.\n');
    expect(await entries()).toEqual([]);
  });

  it('takes a signal that comes twice at once, as through npm, for one', async () => {
    const onOutput = (text: string, child: ChildProcess) => {
      if (!text.includes('"stage":"bake"') || child.killed) return;
      child.kill('SIGINT');
      setTimeout(() => child.kill('SIGINT'), 5);
    };
    const { code } = await lcmMerge(['bake', RECIPE, '-o', 'p', '--json=stream'], { onOutput });
    expect(code).toBe(130);
    expect(await entries()).toEqual([]);
  });

  it('stops quietly when nobody reads on', async () => {
    const onOutput = (_: string, child: ChildProcess) => child.stdout?.destroy();
    expect(await lcmMerge([RECIPE, '-o', 'p', '--json=stream'], { onOutput })).toMatchObject({ code: 74, stderr: '' });
    expect(await entries()).toEqual([]);
  });
});

describe('failures', () => {
  /** Fails with `code`, says `sentence`, prints no result and leaves no output. */
  const fails = async (argv: readonly string[], code: number, sentence: string | RegExp) => {
    const before = await entries();
    const ended = await lcmMerge(argv);
    expect(ended).toMatchObject({ code, stdout: '' });
    expect(ended.stderr).toMatch(sentence);
    expect(await entries()).toEqual(before);
    return ended;
  };

  it('usage: 2', async () => {
    await fails(['bkae', 'x'], 2, 'error: "bkae" is neither a verb of lcm-merge nor a recipe. Did you mean bake?');
    await fails(['bake', RECIPE, '--quite'], 2, 'Did you mean --quiet?');
    await fails(['run', 'x', '--steps', '4x'], 2, '--steps must be a whole number');
  });

  it('missing recipe, weights, package and file: 66', async () => {
    await fails(['plan', 'nowhere.yaml'], 66, '"nowhere.yaml" does not exist');
    const recipe = await writeRecipe([['ink.safetensors', 'inc.safetensors']]);
    const place = `recipe.yaml:${await lineOf('inc.safetensors')}:11: `;
    const { stderr } = await fails([recipe, '-o', 'p'], 66, place);
    expect(stderr).toMatch(/inc\.safetensors" does not exist.* Did you mean "ink\.safetensors"\?/);
    await fails(['run', 'nowhere'], 66, 'nowhere is not there');
    await fails(['inspect', 'nowhere'], 66, '"nowhere" does not exist');
  });

  it('latents that have nowhere to go: 2, before anything is sampled', async () => {
    await mkdir(join(folder, 'taken'));
    await fails(['run', 'nowhere', '--save-latents', 'taken'], 2, '--save-latents wants the name of a file');
  });

  it('a recipe that links in a circle: 66', async () => {
    await symlink('loop', join(folder, 'loop'));
    await fails(['plan', './loop'], 66, '"./loop" does not exist: it is a symbolic link that leads nowhere.');
  });

  it('a recipe with mistakes: 65, each at its line and column', async () => {
    const recipe = await writeRecipe([
      ['    alpha: 0.8', '    alpa: 0.8'],
      ['frames: 16', 'frames: many'],
    ]);
    const { stderr } = await fails([recipe, '-o', 'p'], 65, `recipe.yaml:${await lineOf('alpa')}:5: Unknown key`);
    expect(stderr).toContain(`\nrecipe.yaml:${await lineOf('many')}:19: `);
  });

  it('a truncated LoRA: 65, by its name', async () => {
    const lora = await readFile(join(TINY, 'ink.safetensors'));
    await writeFile(join(folder, 'ink.safetensors'), lora.subarray(0, 600_000));
    await fails(
      [await writeRecipe([[join(TINY, 'ink.safetensors'), 'ink.safetensors']]), '-o', 'p'],
      65,
      'ink.safetensors',
    );
  });

  it('a LoRA for another model: 65', async () => {
    await fails(
      [await writeRecipe([['ink.safetensors', 'reference.safetensors']]), '-o', 'p'],
      65,
      'reference.safetensors',
    );
  });

  it('an output that holds something else: 2, and it stays as it is', async () => {
    await mkdir(join(folder, 'p'));
    await writeFile(join(folder, 'p', 'thesis.txt'), 'x');
    await fails([RECIPE, '-o', 'p'], 2, 'not a package of lcm-merge');
    await fails(['bake', RECIPE, '-o', 'p/thesis.txt'], 2, 'cannot be a folder');
    expect(await readdir(join(folder, 'p'))).toEqual(['thesis.txt']);
  });

  it('with --json the error is the one object on stdout, with its place', async () => {
    const recipe = await writeRecipe([['frames: 16', 'frames: 0']]);
    const line = await lineOf('frames: 0');
    const { code, stdout, stderr } = await lcmMerge(['bake', recipe, '--json']);
    expect(code).toBe(65);
    expect(JSON.parse(stdout)).toEqual({
      error: {
        kind: 'recipe',
        message: expect.stringContaining(`recipe.yaml:${line}:19: `),
        place: { file: 'recipe.yaml', line, column: 19 },
      },
      exitCode: 65,
    });
    expect(stderr).toContain(`recipe.yaml:${line}:19: `);
    const usage = await lcmMerge(['bake', '--nonsense', '--json=stream']);
    expect(lines(usage.stdout)).toEqual([
      { type: 'error', error: { kind: 'usage', message: expect.any(String), place: {} }, exitCode: 2 },
    ]);
  });
});

describe('an older Node', () => {
  it('is told what is needed: 2', async () => {
    const pretend = `data:text/javascript,Object.defineProperty(process,'versions',{value:{node:'20.19.0'}})`;
    const { code, stdout, stderr } = await lcmMerge(['--version'], { node: ['--import', pretend] });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^lcm-merge needs Node 24 or newer, and this is Node 20\.19\.0: .*\n$/);
  });

  it('can parse the file that tells it', async () => {
    const source = await readFile(PROGRAM, 'utf8');
    expect(source.split('\n')[0]).toBe('#!/usr/bin/env node');
    // syntax after ES2015, apart from import(), which the old ones know
    expect(source.replace(/\/\*.*?\*\//gs, '')).not.toMatch(
      /\?\?|\?\.|\bawait\b|\basync\b|\*\*|\bcatch \{|^import\b|: string|\bas const\b/m,
    );
  });
});

/**
 * Clicks through the page in Chromium: bakes the tiny package in one file of weights and in several, makes a clip of each in the
 * page, and compares latents and frames with those of `lcm-merge run` for the same prompt and seed.
 * Run: node examples/browser/test.ts [--screenshots FOLDER]
 * Exit codes: 0 all passed, 1 something failed, 69 there is no Chromium.
 */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { LOCK_FILE } from '../../src/export/lock.ts';
import { type Chromium, findChromium, type Page, startChromium, type Window } from './chromium.ts';
import type { DeviceWish } from './messages.ts';
import { serve } from './serve.ts';
import { framesOfApng, meanDifference, relativeError } from './test-figures.ts';
import { bakeTiny, type Expected, runOnTheCommandLine, type TinyOutput } from './test-packages.ts';

const PAGE = fileURLToPath(new URL('.', import.meta.url));

const PROMPT = 'a blue square';
const SEED = 3;

interface Case {
  readonly what: string;
  readonly output: TinyOutput;
  readonly steps: number;
  readonly device: DeviceWish;
  readonly window: Window;
  /** What the page must say where the device is not the one that was asked for. */
  readonly note?: RegExp;
}

const CASES: Readonly<Record<string, Case>> = {
  desktop: {
    what: 'the best device there is, one file of weights per graph',
    output: {},
    steps: 4,
    device: 'auto',
    window: { width: 1280, height: 800 },
    note: /^Running on the CPU: \S.+\.$/,
  },
  phone: {
    what: 'the CPU, weights in files of at most 4 MB, a window like a phone',
    output: { max_shard_bytes: 4_000_000 },
    steps: 4,
    device: 'wasm',
    window: { width: 390, height: 844, mobile: true, dark: true },
  },
  // Chromium's driver has no 16-bit numbers, and takes half a minute for 16 frames
  webgpu: {
    what: 'WebGPU, as Chromium computes it without a graphics card: two frames in fp32, one step',
    output: { frames: 2, dtype: 'fp32', max_shard_bytes: 4_000_000, targets: ['portable', 'webgpu'] },
    steps: 1,
    device: 'webgpu',
    window: { width: 1280, height: 800, dark: true },
  },
};

/**
 * Both sides compute in float32 with weights in fp16, but in other orders. The limit is that of fp16 arithmetic, which a graphics card
 * uses: a wrong seed, token or timestep is off by 1.
 */
const LATENTS_LIMIT = 0.005;
/** Mean difference of the pixels, of 255. */
const PIXELS_LIMIT = 1;
/** Seconds on a machine that has much else to do; alone it takes 5, with WebGPU imitated 60. */
const PATIENCE = 600;

/** WebGPU without a graphics card: Chromium carries a Vulkan driver that computes on the CPU. */
const GPU_FLAGS = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];

const failures: string[] = [];
function check(what: string, passed: boolean, figures = ''): void {
  console.log(`  ${passed ? 'ok  ' : 'FAIL'} ${what}${figures && `: ${figures}`}`);
  if (!passed) failures.push(what);
}

const isThere = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );

/** The bytes of a typed array, or of a Blob's, in the page. */
async function bytesOf(page: Page, expression: string): Promise<Uint8Array<ArrayBuffer>> {
  const text = await page.evaluate<string>(`(async () => {
    const value = await (${expression});
    const blob = new Blob([value]);
    return new Promise((resolve) => {
      const reader = new FileReader();
      reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(',') + 1));
      reader.readAsDataURL(blob);
    });
  })()`);
  return Uint8Array.from(Buffer.from(text, 'base64'));
}

/** Notes every state of bar and text from now on. */
const WATCH = `globalThis.seen = []; new MutationObserver(() => {
  const state = document.querySelector('#fill').style.width + ' ' + document.querySelector('#status').textContent;
  if (seen.at(-1) !== state) seen.push(state);
}).observe(document.querySelector('#progress'), { subtree: true, childList: true, attributes: true, characterData: true })`;

async function clickThrough(
  page: Page,
  url: string,
  expected: Expected,
  { device, window, steps, note }: Case,
): Promise<void> {
  const says = async () =>
    `The page says: ${await page.evaluate(`document.querySelector('#status').textContent + ' ' + document.querySelector('#alert-text').textContent`)} ${page.complaints.join(' ')}`;
  await page.goTo(`${url}?device=${device}`, window);
  await page.evaluate(WATCH);
  await page.waitFor(
    `!document.querySelector('#make').disabled || !document.querySelector('#alert').hidden`,
    PATIENCE,
    says,
  );
  check('the package is loaded', await page.evaluate(`document.querySelector('#alert').hidden`), await says());
  const downloads = await page.evaluate<string[]>(`seen.filter((state) => /Downloading/.test(state))`);
  check('downloading moves the bar', downloads.length > 3, `${downloads.length} states, the last ${downloads.at(-1)}`);
  if (note) {
    const said = await page.evaluate<string>(`document.querySelector('#status').textContent`);
    check('why it is not the graphics card is said', note.test(said), said);
  }
  if (device === 'webgpu') {
    check(
      'the graph for WebGPU is taken',
      downloads.some((state) => state.includes('unet/model.webgpu.onnx')),
    );
    const facts = await page.evaluate<string>(`document.querySelector('#facts').textContent`);
    check('and runs there', facts.includes('graphics card'), facts);
  }
  check('WebAssembly may use threads', await page.evaluate('crossOriginIsolated'));

  await page.fill('#prompt', PROMPT);
  await page.fill('#seed', String(SEED));
  await page.fill('#steps', String(steps));
  await page.evaluate(`seen.length = 0; globalThis.lastFrame = performance.now(); globalThis.longestGap = 0; (function beat() {
    const now = performance.now(); longestGap = Math.max(longestGap, now - lastFrame); lastFrame = now;
    if (!globalThis.lastClip) requestAnimationFrame(beat);
  })()`);
  await page.click('#make');
  await page.waitFor(`globalThis.lastClip !== undefined || !document.querySelector('#alert').hidden`, PATIENCE, says);
  const states = await page.evaluate<string[]>(`seen.filter((state) => /Step|Drawing|frames in/.test(state))`);
  const taken = Array.from({ length: steps }, (_, i) =>
    states.some((state) => state.includes(`Step ${i + 1} of ${steps}, `)),
  );
  check(
    'every step is shown, then the drawing, then the result',
    taken.every(Boolean) && /frames in/.test(states.at(-1) ?? ''),
    states.join(' | '),
  );
  const gap = await page.evaluate<number>('longestGap');
  check('the page stays alive meanwhile', gap < 2000, `longest pause between two of its frames ${Math.round(gap)} ms`);

  if (device !== 'webgpu')
    check('the button stops what it has begun', await stops(page), 'and the clip before it stays');
  const latents = new Float32Array((await bytesOf(page, 'lastClip.latents')).buffer);
  const error = relativeError(latents, expected.latents);
  check(
    'latents are those of the command line',
    error <= LATENTS_LIMIT,
    `relative error ${error.toExponential(2)} (limit ${LATENTS_LIMIT})`,
  );
  const pixels = await bytesOf(page, 'lastClip.clip.data');
  const difference = meanDifference(pixels, expected.pixels);
  check(
    'so are the frames',
    difference <= PIXELS_LIMIT,
    `mean difference ${difference.toFixed(4)} of 255 (limit ${PIXELS_LIMIT})`,
  );

  await page.waitFor(`document.querySelector('#save').href.startsWith('blob:')`, 30, says);
  const file = await bytesOf(page, `fetch(document.querySelector('#save').href).then((response) => response.bytes())`);
  const saved = await framesOfApng(file);
  const isSame = saved.length === pixels.length && saved.every((value, i) => value === pixels[i]);
  check('the file to save holds the frames, bit for bit', isSame, `${file.length} bytes`);
  const before = await page.evaluate<string>(`document.querySelector('#canvas').toDataURL()`);
  await page.waitFor(`document.querySelector('#canvas').toDataURL() !== ${JSON.stringify(before)}`, 10, says);
  check('the picture moves', true);
  await page.click('#play');
  check('and stops', (await page.evaluate(`document.querySelector('#play').getAttribute('aria-label')`)) === 'Play');
  const overflow = await page.evaluate<number>('document.documentElement.scrollWidth - innerWidth');
  check('nothing is wider than the window', overflow <= 0);
  check('no errors in the console', page.complaints.length === 0, page.complaints.join(' '));
}

/** Begins another clip and stops it at once. */
async function stops(page: Page): Promise<boolean> {
  const label = `document.querySelector('#make').textContent`;
  await page.evaluate('globalThis.clipBefore = lastClip');
  await page.click('#make');
  await page.waitFor(`${label} === 'Stop'`, 5);
  await page.click('#make');
  await page.waitFor(`${label} === 'Make the clip'`, PATIENCE);
  return page.evaluate(`document.querySelector('#status').textContent === 'Stopped.' && lastClip === clipBefore`);
}

/** What is wrong with a package is said in the page. */
async function brokenPackages(page: Page, sound: string, folder: string): Promise<void> {
  const cases: readonly [string, (at: string) => Promise<unknown>, RegExp][] = [
    [
      'missing',
      (at) => rm(join(at, 'unet/model.onnx_data_2')),
      /unet\/model\.onnx_data_2 is not there: the package is not whole\./,
    ],
    [
      'cut short',
      (at) => truncate(join(at, 'unet/model.onnx_data_1'), 1000),
      /unet\/model\.onnx_data_1 ended after 1000 of \d+ bytes\./,
    ],
    [
      'no JSON',
      (at) => writeFile(join(at, 'scheduler/scheduler_config.json'), '{'),
      /scheduler_config\.json cannot be read: .+\./,
    ],
    [
      'too large to hold',
      async (at) => {
        const lock = JSON.parse(await readFile(join(at, LOCK_FILE), 'utf8'));
        lock.outputs['unet/model.onnx_data'].bytes = 1e13;
        await writeFile(join(at, LOCK_FILE), JSON.stringify(lock));
      },
      /unet\/model\.onnx_data has 10000000000000 bytes, more than this browser holds .* output\.max_shard_bytes: 1800MB\./,
    ],
  ];
  for (const [what, harm, sentence] of cases) {
    const at = join(folder, what.replaceAll(' ', '-'));
    await cp(sound, at, { recursive: true });
    await harm(at);
    await using serving = await serve(at);
    await page.goTo(`${serving.url}?device=wasm`, { width: 1280, height: 800 });
    await page.waitFor(`!document.querySelector('#alert').hidden`, PATIENCE);
    const said = await page.evaluate<string>(`document.querySelector('#alert-text').textContent`);
    check(`a file that is ${what} is said in a sentence`, sentence.test(said), said);
  }
}

/** Bakes, serves and clicks through one case, and leaves its picture. */
async function runCase(
  name: string,
  row: Case,
  browser: Chromium,
  { folder, screenshots }: { folder: string; screenshots: string | undefined },
): Promise<string> {
  console.log(row.what);
  const at = join(folder, name);
  await bakeTiny(at, row.output);
  const expected = await runOnTheCommandLine(at, { prompt: PROMPT, seed: SEED, steps: row.steps }, `${at}-cli`);
  await using serving = await serve(at);
  const page = await browser.open();
  await clickThrough(page, serving.url, expected, row);
  if (screenshots !== undefined) {
    await mkdir(screenshots, { recursive: true });
    await page.screenshot(join(screenshots, `${name}.png`));
  }
  return at;
}

async function main(): Promise<number> {
  const { screenshots } = parseArgs({ options: { screenshots: { type: 'string' } } }).values;
  const chromium = await findChromium();
  if (!chromium) {
    console.error(
      'There is no Chromium on the PATH, and CHROMIUM names none. Install it (Debian: apt-get install chromium) to test the page.',
    );
    return 69;
  }
  if (!(await isThere(join(PAGE, 'node_modules/onnxruntime-web'))))
    await promisify(execFile)('npm', ['ci', '--ignore-scripts', '--prefix', PAGE]);

  const folder = await mkdtemp(join(tmpdir(), 'lcm-merge-browser-'));
  try {
    await using browser = await startChromium(chromium, GPU_FLAGS);
    console.log(`${browser.version}: "${PROMPT}", seed ${SEED}`);
    for (const [name, row] of Object.entries(CASES)) {
      await runCase(name, row, browser, { folder, screenshots }).catch((error: unknown) =>
        check('the page does what it is asked', false, String(error)),
      );
    }
    console.log('packages that are not whole');
    await brokenPackages(await browser.open(), join(folder, 'phone'), folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  console.log(
    failures.length === 0 ? 'browser: all passed' : `browser: ${failures.length} failed: ${failures.join('; ')}`,
  );
  return failures.length === 0 ? 0 : 1;
}

process.exitCode = await main();

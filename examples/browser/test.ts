/**
 * Clicks through the page in Chromium: bakes the tiny package in one file of weights and in several, makes a clip of each in the
 * page, and compares latents and frames with those of `lcm-merge run` for the same prompt and seed.
 * Run: node examples/browser/test.ts [--screenshots FOLDER] [--device wasm|webgpu]
 * Exit codes: 0 all passed, 1 something failed, 69 there is no Chromium.
 */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import sharp from 'sharp';
import { frameName } from '../../src/cli/frames-folder.ts';
import { drain } from '../../src/events.ts';
import { bake } from '../../src/export/package.ts';
import { toFloat32 } from '../../src/formats/dtype.ts';
import { openTensorFile, readTensor } from '../../src/formats/tensor-file.ts';
import { plan } from '../../src/merge/plan.ts';
import { loadRecipe } from '../../src/recipe/load.ts';
import { findChromium, type Page, startChromium } from './chromium.ts';
import { serve } from './serve.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const run = promisify(execFile);

const PROMPT = 'a blue square';
const SEED = 3;
const STEPS = 4;
const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844, mobile: true };

/**
 * Both sides compute in float32 with weights in fp16, but in other orders. The limit is that of fp16 arithmetic, which a graphics card
 * uses: a wrong seed, token or timestep is off by 1.
 */
const LATENTS_LIMIT = 0.02;
/** Mean difference of the pixels, of 255. */
const PIXELS_LIMIT = 1;
/** Seconds for a package of 19 MB on a busy machine. */
const PATIENCE = 240;

/** What must be flags for WebGPU to be there without a graphics card. */
const GPU_FLAGS = ['--enable-unsafe-webgpu', '--enable-features=Vulkan', '--use-webgpu-adapter=swiftshader'];

const failures: string[] = [];
function check(what: string, passed: boolean, figures = ''): void {
  console.log(`  ${passed ? 'ok  ' : 'FAIL'} ${what}${figures && `: ${figures}`}`);
  if (!passed) failures.push(what);
}

interface Expected {
  readonly latents: Float32Array;
  /** RGB of all frames. */
  readonly pixels: Uint8Array;
}

async function bakeTiny(into: string, output: { max_shard_bytes?: number } = {}): Promise<string> {
  const recipe = await loadRecipe(join(ROOT, 'recipes/tiny.yaml'));
  await mkdir(into);
  await drain(bake(await plan({ ...recipe, output: { ...recipe.output, ...output } }), { into }));
  return into;
}

/** What the command line makes of the package. */
async function runOnTheCommandLine(packageFolder: string, folder: string): Promise<Expected> {
  const file = join(folder, 'latents.safetensors');
  const out = join(folder, 'frames');
  const asked = ['--prompt', PROMPT, '--seed', String(SEED), '--steps', String(STEPS), '--device', 'cpu'];
  await run(process.execPath, [
    join(ROOT, 'src/cli.ts'),
    'run',
    packageFolder,
    ...asked,
    '--save-latents',
    file,
    '-o',
    out,
  ]);
  await using tensors = await openTensorFile(file);
  const latents = tensors.tensors.get('latents');
  if (!latents) throw new Error(`${file} has no latents.`);
  const names = Array.from({ length: latents.shape[2] as number }, (_, i) => frameName(i));
  const frames = await Promise.all(names.map((name) => sharp(join(out, name)).removeAlpha().raw().toBuffer()));
  return {
    latents: toFloat32(await readTensor(tensors, latents), latents.dtype),
    pixels: new Uint8Array(Buffer.concat(frames)),
  };
}

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
  { size = DESKTOP, device = 'wasm' } = {},
): Promise<void> {
  const says = async () =>
    `The page says: ${await page.evaluate(`document.querySelector('#status').textContent + ' ' + document.querySelector('#alert-text').textContent`)} ${page.complaints.join(' ')}`;
  await page.goTo(`${url}?device=${device}`, size);
  await page.evaluate(WATCH);
  await page.waitFor(
    `!document.querySelector('#make').disabled || !document.querySelector('#alert').hidden`,
    PATIENCE,
    says,
  );
  check('the package is loaded', await page.evaluate(`document.querySelector('#alert').hidden`), await says());
  const downloads = await page.evaluate<string[]>(`seen.filter((state) => /Downloading/.test(state))`);
  check('downloading moves the bar', downloads.length > 3, `${downloads.length} states, the last ${downloads.at(-1)}`);
  check('WebAssembly may use threads', await page.evaluate('crossOriginIsolated'));

  await page.fill('#prompt', PROMPT);
  await page.fill('#seed', String(SEED));
  await page.fill('#steps', String(STEPS));
  await page.evaluate(`seen.length = 0; globalThis.lastFrame = performance.now(); globalThis.longestGap = 0; (function beat() {
    const now = performance.now(); longestGap = Math.max(longestGap, now - lastFrame); lastFrame = now;
    if (!globalThis.lastClip) requestAnimationFrame(beat);
  })()`);
  await page.click('#make');
  await page.waitFor(`globalThis.lastClip !== undefined || !document.querySelector('#alert').hidden`, PATIENCE, says);
  const steps = await page.evaluate<string[]>(`seen.filter((state) => /Step|Drawing|frames in/.test(state))`);
  const taken = Array.from({ length: STEPS }, (_, i) =>
    steps.some((state) => state.includes(`Step ${i + 1} of ${STEPS}, `)),
  );
  check(
    'every step is shown, then the drawing, then the result',
    taken.every(Boolean) && /frames in/.test(steps.at(-1) ?? ''),
    steps.join(' | '),
  );
  const gap = await page.evaluate<number>('longestGap');
  check('the page stays alive meanwhile', gap < 2000, `longest pause between two of its frames ${Math.round(gap)} ms`);

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

/** ‖a − b‖ / ‖b‖; 1 and more is another picture. */
function relativeError(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  const norm = (of: (x: number, i: number) => number) => Math.sqrt(b.reduce((sum, x, i) => sum + of(x, i) ** 2, 0));
  return norm((x, i) => x - (a[i] as number)) / norm((x) => x);
}

function meanDifference(a: Uint8Array, b: Uint8Array): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  return a.reduce((sum, value, i) => sum + Math.abs(value - (b[i] as number)), 0) / a.length;
}

/** Every frame of an animated PNG, decoded as the still picture that its chunks make. */
async function framesOfApng(file: Uint8Array): Promise<Uint8Array> {
  const data = Buffer.from(file);
  const chunks: { type: string; whole: Buffer; content: Buffer }[] = [];
  for (let at = 8; at < data.length; ) {
    const length = data.readUInt32BE(at);
    const whole = data.subarray(at, at + 12 + length);
    chunks.push({ type: whole.toString('latin1', 4, 8), whole, content: whole.subarray(8, 8 + length) });
    at += 12 + length;
  }
  const header = chunks.find(({ type }) => type === 'IHDR') as { whole: Buffer };
  const end = chunks.at(-1) as { whole: Buffer };
  const stills = chunks.flatMap(({ type, whole, content }) => {
    if (type !== 'IDAT' && type !== 'fdAT') return [];
    const pixels = type === 'IDAT' ? whole : pngChunk('IDAT', content.subarray(4));
    return [Buffer.concat([data.subarray(0, 8), header.whole, pixels, end.whole])];
  });
  return Buffer.concat(await Promise.all(stills.map((still) => sharp(still).removeAlpha().raw().toBuffer())));
}

function pngChunk(type: string, content: Buffer): Buffer {
  const chunk = Buffer.alloc(12 + content.length);
  chunk.writeUInt32BE(content.length);
  chunk.write(type, 4, 'latin1');
  content.copy(chunk, 8);
  chunk.writeUInt32BE(crc32(chunk.subarray(4, -4)), chunk.length - 4);
  return chunk;
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
  ];
  for (const [what, harm, sentence] of cases) {
    const at = join(folder, what.replaceAll(' ', '-'));
    await cp(sound, at, { recursive: true });
    await harm(at);
    await using serving = await serve(at);
    await page.goTo(`${serving.url}?device=wasm`, DESKTOP);
    await page.waitFor(`!document.querySelector('#alert').hidden`, PATIENCE);
    const said = await page.evaluate<string>(`document.querySelector('#alert-text').textContent`);
    check(`a file that is ${what} is said in a sentence`, sentence.test(said), said);
  }
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { screenshots: { type: 'string' }, device: { type: 'string', default: 'wasm' } },
  });
  const chromium = await findChromium();
  if (!chromium) {
    console.error(
      'There is no Chromium on the PATH, and CHROMIUM names none. Install it (Debian: apt-get install chromium) to test the page.',
    );
    return 69;
  }
  const isInstalled = await stat(join(ROOT, 'examples/browser/node_modules/onnxruntime-web')).then(
    () => true,
    () => false,
  );
  if (!isInstalled) await run('npm', ['ci', '--ignore-scripts', '--prefix', join(ROOT, 'examples/browser')]);

  const folder = await mkdtemp(join(tmpdir(), 'lcm-merge-browser-'));
  try {
    const whole = await bakeTiny(join(folder, 'whole'));
    const sharded = await bakeTiny(join(folder, 'sharded'), { max_shard_bytes: 4_000_000 });
    const expected = await runOnTheCommandLine(whole, folder);
    await using browser = await startChromium(chromium, values.device === 'webgpu' ? GPU_FLAGS : []);
    console.log(`${browser.version}, onnxruntime-web on ${values.device}: "${PROMPT}", seed ${SEED}, ${STEPS} steps`);
    const clips = [
      ['one file of weights per graph', whole, DESKTOP, 'desktop'],
      ['weights in files of at most 4 MB, on a phone', sharded, PHONE, 'phone'],
    ] as const;
    for (const [what, at, size, name] of clips) {
      console.log(what);
      await using serving = await serve(at);
      const page = await browser.open();
      await clickThrough(page, serving.url, expected, { size, device: values.device });
      if (values.screenshots !== undefined) {
        await mkdir(values.screenshots, { recursive: true });
        await page.screenshot(join(values.screenshots, `${name}.png`));
      }
    }
    console.log('packages that are not whole');
    await brokenPackages(await browser.open(), sharded, folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  console.log(
    failures.length === 0 ? 'browser: all passed' : `browser: ${failures.length} failed: ${failures.join('; ')}`,
  );
  return failures.length === 0 ? 0 : 1;
}

process.exitCode = await main();

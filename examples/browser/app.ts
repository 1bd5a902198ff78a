/** The page: form, progress and player. What takes long happens in worker.ts; this only shows what it says. */
import { encodeApng } from './apng.ts';
import { type Clip, DEVICES, type DeviceWish, type Reply, type Request } from './messages.ts';
import { createPlayer, FRAMES_PER_SECOND } from './player.ts';

const element = <E extends HTMLElement>(id: string): E => {
  const found = document.getElementById(id);
  if (!found) throw new Error(`The page has no element ${id}.`);
  return found as E;
};
const input = (id: string) => element<HTMLInputElement>(id);

const canvas = element<HTMLCanvasElement>('canvas');
const make = element<HTMLButtonElement>('make');
const device = element<HTMLSelectElement>('device');
const scrub = input('scrub');
const save = element<HTMLAnchorElement>('save');

const PLAY = 'M8 5v14l11-7z';
const PAUSE = 'M7 5h4v14H7zM13 5h4v14h-4z';
/** Pixels of a side below which a clip is shown with its pixels. */
const SMALL = 128;

const parameters = new URLSearchParams(location.search);
/** Where the package lies: `?package=URL`, else where serve.ts has it. */
const base = new URL(`${(parameters.get('package') ?? '/package').replace(/\/$/, '')}/`, location.href).href;

/** The last clip and its latents `[1, 4, F, h, w]`: for the console, and for test.ts. */
declare global {
  var lastClip: { readonly clip: Clip; readonly latents: Float32Array } | undefined;
}

// ---------------------------------------------------------------------------------------------------- what the worker says

const replies: { readonly [Type in Reply['type']]: (reply: Extract<Reply, { type: Type }>) => void } = {
  downloading({ file, done, total }) {
    progress(total > 0 ? done / total : 0, `Downloading ${file}: ${megabytes(done)} of ${megabytes(total)} MB`);
  },
  preparing: ({ what }) => progress(undefined, `${what} …`),
  loaded({ name, note, frames, width, height, bytes, prompt, seed, steps, maxSteps, device: used }) {
    element('name').textContent = name;
    document.title = `${name} · lcm-merge`;
    const place = used === 'webgpu' ? 'graphics card' : 'CPU';
    element('facts').textContent =
      `${countFrames(frames)} of ${width}×${height}, made on the ${place} of this machine.`;
    suggest('prompt', prompt);
    suggest('seed', String(seed));
    suggest('steps', String(steps));
    input('steps').max = String(maxSteps);
    progress(1, note ?? `Ready: ${megabytes(bytes)} MB loaded.`);
    offerToMake();
  },
  step({ done, total, milliseconds, preview }) {
    progress(done / (total + 1), `Step ${done} of ${total}, ${seconds(milliseconds)} each`);
    if (!preview) return;
    show(preview);
    canvas.classList.add('preview');
    element('transport').classList.add('idle');
  },
  decoding: () => progress(undefined, 'Drawing the frames …'),
  made({ clip, latents, milliseconds, warnings }) {
    globalThis.lastClip = { clip, latents };
    present(clip);
    progress(1, [`${countFrames(clip.count)} in ${seconds(milliseconds)}.`, ...warnings].join(' '));
    offerToMake();
    void offer(clip);
  },
  stopped() {
    if (globalThis.lastClip) present(globalThis.lastClip.clip); // in place of the preview
    progress(0, 'Stopped.');
    offerToMake();
  },
  failed({ sentence }) {
    fail(sentence);
  },
};

let worker: Worker;

/** A new worker: the old one, with its graphs, is given up. */
function load(): void {
  worker?.terminate();
  offerToMake();
  make.disabled = true;
  element('alert').hidden = true;
  progress(0, 'Starting …');
  worker = new Worker(new URL('worker.ts', import.meta.url), { type: 'module' });
  worker.onmessage = ({ data }: MessageEvent<Reply>) => (replies[data.type] as (reply: Reply) => void)(data);
  worker.onerror = (event) =>
    fail(`The part of the page that computes has stopped: ${event.message ?? 'its code cannot be loaded'}.`);
  ask({ type: 'load', base, device: device.value as DeviceWish });
}

const ask = (request: Request) => worker.postMessage(request);

// ---------------------------------------------------------------------------------------------------- what the page shows

/** `share` from 0 to 1 moves the bar; without it, only the text changes. */
function progress(share: number | undefined, text: string): void {
  if (share !== undefined) element('fill').style.width = `${(100 * share).toFixed(1)}%`;
  element('status').textContent = text;
}

/** The button makes a clip, or stops the one that is being made. */
let making = false;

function offerToMake(): void {
  making = false;
  make.disabled = false;
  make.textContent = 'Make the clip';
}

function fail(sentence: string): void {
  offerToMake();
  make.disabled = true;
  element('alert-text').textContent = sentence;
  element('alert').hidden = false;
  progress(0, 'Stopped.');
}

const player = createPlayer(canvas, (frame, playing) => {
  scrub.value = String(frame);
  element('frame-number').textContent = `${frame + 1} / ${Number(scrub.max) + 1}`;
  element('play-shape').setAttribute('d', playing ? PAUSE : PLAY);
  element('play').setAttribute('aria-label', playing ? 'Pause' : 'Play');
});

function show(clip: Clip): void {
  element('empty').hidden = true;
  canvas.hidden = false;
  canvas.classList.toggle('small', Math.max(clip.width, clip.height) <= SMALL);
  scrub.max = String(clip.count - 1);
  player.show(clip);
}

function present(clip: Clip): void {
  show(clip);
  canvas.classList.remove('preview');
  element('transport').classList.remove('idle');
}

/** Puts the clip behind the button that saves it. */
async function offer(clip: Clip): Promise<void> {
  const file = await encodeApng(clip, FRAMES_PER_SECOND);
  if (save.href) URL.revokeObjectURL(save.href);
  save.href = URL.createObjectURL(file);
  save.download = `${fileName(input('prompt').value)}-${input('seed').value}.png`;
}

const fileName = (prompt: string) =>
  prompt
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]+/gu, '-')
    .slice(0, 40) || 'clip';
const countFrames = (n: number) => `${n} ${n === 1 ? 'frame' : 'frames'}`;
const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);
const seconds = (milliseconds: number) =>
  milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;

/** A suggestion does not take the place of what somebody has typed. */
function suggest(id: string, value: string): void {
  const field = input(id);
  if (field.value === field.defaultValue) field.value = value;
}

// ---------------------------------------------------------------------------------------------------- what the reader does

element('form').addEventListener('submit', (event) => {
  event.preventDefault();
  if (make.disabled) return;
  if (making) {
    make.disabled = true;
    return ask({ type: 'stop' });
  }
  making = true;
  make.textContent = 'Stop';
  element('alert').hidden = true;
  const steps = Number(input('steps').value);
  progress(0, `Step 1 of ${steps} …`);
  ask({ type: 'make', prompt: input('prompt').value, seed: Number(input('seed').value), steps });
});
element('dice').addEventListener('click', () => {
  input('seed').value = String(Math.floor(Math.random() * 1e6));
});
element('play').addEventListener('click', () => player.toggle());
scrub.addEventListener('input', () => player.seek(Number(scrub.value)));
element('retry').addEventListener('click', load);
device.addEventListener('change', load);

const wish = parameters.get('device') ?? 'auto';
device.value = DEVICES.some((known) => known === wish) ? wish : 'auto';
load();

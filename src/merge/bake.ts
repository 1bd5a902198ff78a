/**
 * Executes a plan tensor by tensor: read the source, apply its terms, round once, check. One tensor (or a part of a large one) and
 * its operands are in memory at a time, and the next one's bytes, read ahead, whatever the size of the model.
 */
import { MergeError } from '../errors.ts';
import type { Stage } from '../events.ts';
import { toFloat32 } from '../formats/dtype.ts';
import { openTensorFile, readTensor, rowsOf, type TensorFile } from '../formats/tensor-file.ts';
import { dtypeOf } from '../recipe/number-format.ts';
import type { Term } from './adapters/adapter.ts';
import { createEffectsMeter, type Effects } from './effects.ts';
import { firstNonFinite } from './finite.ts';
import { createMerger, type LoadedTerm, type Merge, type Numbers } from './gemm.ts';
import type { Plan, PlannedTensor } from './plan.ts';
import type { Role, TensorRef } from './plan-files.ts';
import { positionalEncoding, stretched } from './positions.ts';
import { readAhead } from './read-ahead.ts';
import { type Part, partsOf, type TensorRequest } from './row-parts.ts';
import { cutRows, rowOperands } from './rows.ts';
import type { Scratch } from './scratch.ts';

export type { TensorRequest } from './row-parts.ts';

export interface BakeSession extends AsyncDisposable {
  /**
   * The merged tensors in the order asked for, as little-endian bytes of their component's number format; a large one comes in several pieces.
   * Each is valid until the next is asked for.
   */
  tensors(requests: Iterable<TensorRequest>, signal?: AbortSignal): AsyncGenerator<Uint8Array>;
  /** What the sources have changed in the tensors asked for so far. @throws RangeError when the session does not measure it */
  effects(): Effects;
  /** Throws IoError when a file is no longer what was opened. To be called at the end: what was read may be of either state. */
  assertInputsUnchanged(): Promise<void>;
}

export interface BakeOptions {
  /** Look at the effects of the sources on the way, which takes about as long as merging small tensors does. */
  readonly measured?: boolean;
}

/**
 * Opens the plan's files and checks the stored positional encodings.
 * @throws MergeError when a stored positional encoding is no sinusoid.
 */
export async function openBake(plan: Plan, { measured = true }: BakeOptions = {}): Promise<BakeSession> {
  await using stack = new AsyncDisposableStack();
  const files: TensorFile[] = [];
  for (const file of plan.files) files.push(stack.use(await openTensorFile(file.path)));
  const mergers = {
    fp16: stack.use(await createMerger('float16')),
    fp32: stack.use(await createMerger('float32')),
  };
  const meter = measured ? stack.use(await createEffectsMeter(plan.recipe.output.dtype, rolesOf(plan))) : undefined;
  await checkPositionalEncodings(plan, files);
  const opened = stack.move();
  return {
    async *tensors(requests, signal) {
      const load = ({ request, rows }: Part, { take }: Scratch) => readPart(files, request, { rows, allocate: take });
      for await (const [part, merge] of readAhead(partsOf(requests), load)) {
        signal?.throwIfAborted();
        const { tensor } = part.request;
        const dtype = dtypeOf(plan.recipe, tensor.component);
        const data = await mergers[dtype].merge(merge);
        const bad = firstNonFinite(data, dtype);
        if (bad >= 0) throw await nonFinite(plan, files, part, bad);
        await meter?.observe(tensor, merge, part.rows);
        yield data;
      }
    },
    async assertInputsUnchanged() {
      for (const { source } of files) await source.assertUnchanged();
    },
    effects() {
      if (!meter) throw new RangeError('This bake was opened without a meter of effects.');
      return meter.result();
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

/** The sources that change something, each once. */
function rolesOf({ files }: Plan): Role[] {
  return [...new Set(files.map(({ role }) => role))];
}

/** Reads what is to be merged and measures it, without writing anything: the effects that a bake would record. */
export async function* measureEffects(plan: Plan, signal?: AbortSignal): Stage<Effects> {
  const started = performance.now();
  yield { type: 'stage-started', stage: 'plan', subject: `effects of ${plan.recipe.name}` };
  await using stack = new AsyncDisposableStack();
  const files: TensorFile[] = [];
  for (const file of plan.files) files.push(stack.use(await openTensorFile(file.path)));
  const meter = stack.use(await createEffectsMeter(plan.recipe.output.dtype, rolesOf(plan)));
  const changed = Object.values(plan.tensors)
    .flat()
    .filter(({ terms }) => terms.length > 0);
  for (const [done, tensor] of changed.entries()) {
    signal?.throwIfAborted();
    const merge = await readPart(files, { tensor, transposed: false });
    await meter.observe(tensor, merge, [0, tensor.shape[0] as number]);
    const detail = tensor.name;
    yield { type: 'progress', stage: 'plan', done: done + 1, total: changed.length, unit: 'tensors', detail };
  }
  const milliseconds = performance.now() - started;
  yield { type: 'stage-finished', stage: 'plan', milliseconds, summary: `${changed.length} tensors measured` };
  return meter.result();
}

interface Reading {
  /** Rows to read; left out, all. */
  readonly rows?: Part['rows'];
  /** Where to put what is read; left out, in memory of its own. */
  readonly allocate?: Scratch['take'];
}

/** Reads what the merge of some rows of a tensor needs. A strength of 0 is accounted for in the plan and costs nothing here. */
async function readPart(
  files: readonly TensorFile[],
  { tensor, transposed }: TensorRequest,
  reading: Reading = {},
): Promise<Merge> {
  const { source, shape, terms, gain } = tensor;
  const all = shape[0] as number;
  const [from, to] = reading.rows ?? [0, all];
  const weight = source ? await readNumbers(files, source, all, reading) : fromFloats(makeEncoding(tensor), shape);
  const counting = terms.filter((term) => term.scale !== 0);
  const loaded = await Promise.all(counting.map((term) => loadTerm(files, term, all, reading)));
  return { weight, shape: [to - from, ...shape.slice(1)], gain, terms: loaded, transposed };
}

/** A positional encoding `[1, rows, channels]`. */
function makeEncoding({ shape, stretched_from }: PlannedTensor): Float32Array {
  const [, rows, channels] = shape as [number, number, number];
  return stretched_from === undefined
    ? positionalEncoding(rows, channels)
    : stretched(positionalEncoding(stretched_from, channels), channels, rows);
}

async function loadTerm(
  files: readonly TensorFile[],
  term: Term,
  all: number,
  { rows, allocate }: Reading,
): Promise<LoadedTerm> {
  const { alpha: _, ...matrices } = term.operands as Readonly<Record<string, TensorRef>>;
  const byRow = rowOperands(term) ?? [];
  const whole = allocate && { allocate };
  const operands = await Promise.all(
    Object.entries(matrices).map(async ([name, ref]) => {
      const reading = byRow.includes(name) && rows ? { ...whole, rows } : { ...whole };
      return [name, await readNumbers(files, ref, all, reading)] as const;
    }),
  );
  const inner =
    term.kind === 'dora' ? await loadTerm(files, term.delta, all, { ...whole, ...(rows && { rows }) }) : undefined;
  return { term, operands: Object.fromEntries(operands), ...(inner && { inner }) };
}

/** `all` is how many rows the numbers have in all, which their shape need not say first. */
async function readNumbers(
  files: readonly TensorFile[],
  { file, tensor: name }: TensorRef,
  all = 1,
  { rows: [from, to] = [0, all], allocate }: Reading = {},
): Promise<Numbers> {
  const entry = files[file]?.tensors.get(name);
  if (!entry) throw new RangeError(`The plan names the tensor ${name} of file ${file}, which is not there.`);
  const isPart = to - from < all;
  const wanted = isPart && entry.shape[0] === all ? rowsOf(entry, from, to) : entry;
  const bytes = await readTensor(files[file] as TensorFile, wanted, allocate);
  const numbers = { bytes, dtype: entry.dtype, shape: wanted.shape };
  return isPart && wanted === entry ? cutRows(numbers, all, from, to) : numbers;
}

function fromFloats(values: Float32Array, shape: readonly number[]): Numbers {
  return { bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength), dtype: 'F32', shape };
}

const RANGE = { fp16: 'fp16 (±65504)', fp32: 'float32 (±3.4e38)' } as const;

/** Tells whether an input was already broken or the sum left fp16's range, and names the file. */
async function nonFinite(
  plan: Plan,
  files: readonly TensorFile[],
  { request: { tensor, transposed }, rows }: Part,
  at: number,
): Promise<MergeError> {
  const { weight, terms } = await readPart(files, { tensor, transposed });
  const columns = tensor.shape.slice(1).reduce((n, dim) => n * dim, 1);
  const element = transposed ? at : rows[0] * columns + at;
  const file = (index: number | undefined) => plan.files[index ?? -1]?.path ?? 'the positional encoding';
  const inputs = [
    { numbers: weight, path: file(tensor.source?.file), name: tensor.source?.tensor ?? tensor.name },
    ...terms
      .flatMap((loaded) => (loaded.inner ? [loaded, loaded.inner] : [loaded]))
      .flatMap(({ term, operands }) => {
        const refs = term.operands as Readonly<Record<string, TensorRef>>;
        return Object.entries(operands).map(([name, numbers]) => ({
          numbers,
          path: file(refs[name]?.file),
          name: refs[name]?.tensor ?? name,
        }));
      }),
  ];
  for (const { numbers, path, name } of inputs) {
    const values = toFloat32(numbers.bytes, numbers.dtype);
    const at = values.findIndex((x) => !Number.isFinite(x));
    if (at >= 0) {
      return new MergeError(
        `${path}: ${name} holds ${values[at]} at element ${at} of ${values.length}. The file is damaged; get a sound copy.`,
        { file: path, tensor: name },
      );
    }
  }
  const dtype = dtypeOf(plan.recipe, tensor.component);
  const strengths = [
    ...(tensor.gain === 1 ? [] : [plan.files[tensor.source?.file ?? -1]?.role]),
    ...terms.map(({ term }) => term.of),
  ];
  const remedies = [
    ...(strengths.length > 0 ? [`lower the strength of ${strengths.join(' or ')}`] : []),
    ...(dtype === 'fp16'
      ? [`ask for output.${tensor.component.startsWith('vae_') ? 'vae_dtype' : 'dtype'}: fp32`]
      : []),
  ];
  return new MergeError(
    `The merged ${tensor.name} leaves the range of ${RANGE[dtype]} at its element ${element}${remedies.length > 0 ? `; ${remedies.join(', or ')}` : ''}.`,
    { tensor: tensor.name, file: file(tensor.source?.file) },
  );
}

/** fp16 rounding of a sine is below 2.5e-4, bf16's below 2e-3; anything farther off is another encoding. */
const SINUSOID_TOLERANCE = 4e-3;

async function checkPositionalEncodings(plan: Plan, files: readonly TensorFile[]): Promise<void> {
  for (const { file: index, tensor: name } of plan.motion.stored_positional_encodings) {
    const { bytes, dtype } = await readNumbers(files, { file: index, tensor: name });
    const stored = toFloat32(bytes, dtype);
    const channels = files[index]?.tensors.get(name)?.shape.at(-1) ?? 0;
    const expected = positionalEncoding(stored.length / channels, channels);
    const at = stored.findIndex((x, i) => !(Math.abs(x - (expected[i] as number)) <= SINUSOID_TOLERANCE));
    if (at >= 0) {
      const path = plan.files[index]?.path ?? '';
      throw new MergeError(
        `${path}: ${name} is not AnimateDiff's sinusoid: row ${Math.floor(at / channels)}, channel ${at % channels} is ${stored[at]}, ` +
          `the formula gives ${expected[at]}. This version makes sinusoidal encodings only.`,
        { file: path, tensor: name },
      );
    }
  }
}

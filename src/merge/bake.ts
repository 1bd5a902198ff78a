/**
 * Executes a plan tensor by tensor: read the source, add its terms, round once, check. One tensor and its LoRA factors are in
 * memory at a time (and the next one's bytes, read ahead), whatever the size of the model.
 */
import { MergeError } from '../errors.ts';
import type { Stage } from '../events.ts';
import { toFloat32 } from '../formats/dtype.ts';
import { openTensorFile, readTensor, type TensorFile } from '../formats/tensor-file.ts';
import type { Term } from './adapters/adapter.ts';
import { createEffectsMeter, type Effects } from './effects.ts';
import { firstNonFinite } from './finite.ts';
import { createMerger, type LoadedTerm, type Merge, type Merger, type Numbers } from './gemm.ts';
import { positionalEncoding } from './motion.ts';
import type { Plan, PlannedTensor } from './plan.ts';
import type { Role, TensorRef } from './plan-files.ts';

export interface TensorRequest {
  readonly tensor: PlannedTensor;
  /** Ask for a Linear weight as `[in, out]`. */
  readonly transposed: boolean;
}

export interface BakeSession extends AsyncDisposable {
  /** The merged tensors in the order asked for, as little-endian bytes of the recipe's dtype. */
  tensors(requests: Iterable<TensorRequest>, signal?: AbortSignal): AsyncGenerator<Uint8Array>;
  /** What the sources have changed in the tensors asked for so far. */
  effects(): Effects;
}

/** What stands in memory before the arithmetic, as it lies in the files. */
type Operands = Pick<Merge, 'weight' | 'terms'>;

/**
 * Opens the plan's files and checks the stored positional encodings.
 * @throws MergeError when a stored positional encoding is no sinusoid.
 */
export async function openBake(plan: Plan): Promise<BakeSession> {
  await using stack = new AsyncDisposableStack();
  const files: TensorFile[] = [];
  for (const file of plan.files) files.push(stack.use(await openTensorFile(file.path)));
  const merger = stack.use(await createMerger(plan.recipe.output.dtype === 'fp16' ? 'float16' : 'float32'));
  const meter = stack.use(await createEffectsMeter(plan.recipe.output.dtype, rolesOf(plan)));
  await checkPositionalEncodings(plan, files);
  const opened = stack.move();
  return {
    async *tensors(requests, signal) {
      const queue = [...requests];
      let ahead = queue[0] && readOperands(files, queue[0].tensor);
      for (const [i, request] of queue.entries()) {
        signal?.throwIfAborted();
        const operands = await (ahead as Promise<Operands>);
        const next = queue[i + 1];
        ahead = next && readOperands(files, next.tensor);
        ahead?.catch(() => undefined); // handled when it is awaited
        const { tensor, transposed } = request;
        const merge = { ...operands, shape: tensor.shape, gain: tensor.gain, transposed };
        const data = await mergeTensor(plan, merger, tensor, merge);
        await meter.observe(tensor, merge);
        yield data;
      }
    },
    effects: () => meter.result(),
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
    const operands = await readOperands(files, tensor);
    await meter.observe(tensor, { ...operands, shape: tensor.shape, gain: tensor.gain, transposed: false });
    const detail = tensor.name;
    yield { type: 'progress', stage: 'plan', done: done + 1, total: changed.length, unit: 'tensors', detail };
  }
  const milliseconds = performance.now() - started;
  yield { type: 'stage-finished', stage: 'plan', milliseconds, summary: `${changed.length} tensors measured` };
  return meter.result();
}

async function mergeTensor(plan: Plan, merger: Merger, tensor: PlannedTensor, merge: Merge): Promise<Uint8Array> {
  const { weight, terms, gain, transposed } = merge;
  const { dtype } = plan.recipe.output;
  const untouched = terms.length === 0 && gain === 1 && !transposed && weight.dtype === DTYPES[dtype];
  const data = untouched ? weight.bytes : await merger.merge(merge);
  const bad = firstNonFinite(data, dtype);
  if (bad >= 0) throw nonFinite(plan, tensor, merge, bad);
  return data;
}

const DTYPES = { fp16: 'F16', fp32: 'F32' } as const;

async function readOperands(files: readonly TensorFile[], { source, shape, terms }: PlannedTensor): Promise<Operands> {
  const weight = source
    ? await readNumbers(files, source)
    : fromFloats(positionalEncoding(shape[1] as number, shape[2] as number), shape);
  // a strength of 0 is accounted for in the plan and costs nothing here
  const counting = terms.filter((term) => term.scale !== 0);
  return { weight, terms: await Promise.all(counting.map((term) => loadTerm(files, term))) };
}

async function loadTerm(files: readonly TensorFile[], term: Term): Promise<LoadedTerm> {
  const { alpha: _, ...matrices } = term.operands as Readonly<Record<string, TensorRef>>;
  const operands = await Promise.all(
    Object.entries(matrices).map(async ([name, ref]) => [name, await readNumbers(files, ref)] as const),
  );
  const inner = term.kind === 'dora' ? await loadTerm(files, term.delta) : undefined;
  return { term, operands: Object.fromEntries(operands), ...(inner && { inner }) };
}

async function readNumbers(files: readonly TensorFile[], { file, tensor: name }: TensorRef): Promise<Numbers> {
  const entry = files[file]?.tensors.get(name);
  if (!entry) throw new RangeError(`The plan names the tensor ${name} of file ${file}, which is not there.`);
  return { bytes: await readTensor(files[file] as TensorFile, entry), dtype: entry.dtype, shape: entry.shape };
}

function fromFloats(values: Float32Array, shape: readonly number[]): Numbers {
  return { bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength), dtype: 'F32', shape };
}

const RANGE = { fp16: 'fp16 (±65504)', fp32: 'float32 (±3.4e38)' } as const;

/** Tells whether an input was already broken or the sum left fp16's range, and names the file. */
function nonFinite(plan: Plan, tensor: PlannedTensor, { weight, terms }: Operands, element: number): MergeError {
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
  const { dtype } = plan.recipe.output;
  const strengths = [
    ...(tensor.gain === 1 ? [] : [plan.files[tensor.source?.file ?? -1]?.role]),
    ...terms.map(({ term }) => term.of),
  ];
  const remedies = [
    ...(strengths.length > 0 ? [`lower the strength of ${strengths.join(' or ')}`] : []),
    ...(dtype === 'fp16' ? ['ask for output.dtype: fp32'] : []),
  ];
  return new MergeError(
    `The merged ${tensor.name} leaves the range of ${RANGE[dtype]} at its element ${element}${remedies.length > 0 ? `; ${remedies.join(', or ')}` : ''}.`,
    { tensor: tensor.name, file: file(tensor.source?.file) },
  );
}

/** fp16 rounding of a sine is below 2.5e-4, bf16's below 2e-3; anything farther off is another encoding. */
const SINUSOID_TOLERANCE = 4e-3;

async function checkPositionalEncodings(plan: Plan, files: readonly TensorFile[]): Promise<void> {
  const index = plan.files.findIndex((file) => file.role === 'motion');
  for (const name of plan.motion.stored_positional_encodings) {
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

/**
 * Executes a plan tensor by tensor: read the source, add its terms, round once, check. One tensor (or a part of a large one) and
 * its factors are in memory at a time, and the next one's bytes, read ahead, whatever the size of the model.
 */
import { MergeError } from '../errors.ts';
import { toFloat32 } from '../formats/dtype.ts';
import { openTensorFile, readTensor, rowsOf, type TensorFile } from '../formats/tensor-file.ts';
import { firstNonFinite } from './finite.ts';
import { createMerger, type Matrix, type Merger, type Numbers } from './gemm.ts';
import { positionalEncoding } from './motion.ts';
import type { Plan, PlannedTensor } from './plan.ts';
import type { TensorRef } from './plan-files.ts';
import { readAhead } from './read-ahead.ts';
import { type Part, partsOf, type TensorRequest } from './row-parts.ts';
import type { Scratch } from './scratch.ts';

export type { TensorRequest } from './row-parts.ts';

export interface BakeSession extends AsyncDisposable {
  /**
   * The merged tensors in the order asked for, as little-endian bytes of the recipe's dtype; a large one comes in several pieces.
   * Each is valid until the next is asked for.
   */
  tensors(requests: Iterable<TensorRequest>, signal?: AbortSignal): AsyncGenerator<Uint8Array>;
  /** Throws IoError when a file is no longer what was opened. To be called at the end: what was read may be of either state. */
  assertInputsUnchanged(): Promise<void>;
}

/** What stands in memory before the arithmetic, as it lies in the files. */
type Operands = Pick<Matrix, 'weight' | 'products'>;

/**
 * Opens the plan's files and checks the stored positional encodings.
 * @throws MergeError when a stored positional encoding is no sinusoid.
 */
export async function openBake(plan: Plan): Promise<BakeSession> {
  await using stack = new AsyncDisposableStack();
  const files: TensorFile[] = [];
  for (const file of plan.files) files.push(stack.use(await openTensorFile(file.path)));
  const merger = stack.use(await createMerger(plan.recipe.output.dtype === 'fp16' ? 'float16' : 'float32'));
  await checkPositionalEncodings(plan, files);
  const opened = stack.move();
  return {
    async *tensors(requests, signal) {
      const load = ({ request, rows }: Part, { take }: Scratch) => readOperands(files, request.tensor, rows, take);
      for await (const [part, operands] of readAhead(partsOf(requests), load)) {
        signal?.throwIfAborted();
        const data = await mergePart(merger, part, operands);
        const bad = firstNonFinite(data, plan.recipe.output.dtype);
        if (bad >= 0) throw await nonFinite(plan, files, part, bad);
        yield data;
      }
    },
    async assertInputsUnchanged() {
      for (const { source } of files) await source.assertUnchanged();
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

function mergePart(
  merger: Merger,
  { request: { tensor, transposed }, rows: [from, to], columns }: Part,
  { weight, products }: Operands,
): Promise<Uint8Array> {
  return merger.merge({ weight, rows: to - from, columns, gain: tensor.gain, products, transposed });
}

type Allocate = Scratch['take'];

async function readOperands(
  files: readonly TensorFile[],
  { source, shape, terms }: PlannedTensor,
  rows?: Part['rows'],
  allocate?: Allocate,
): Promise<Operands> {
  const weight = source
    ? await readNumbers(files, source, { rows, allocate })
    : fromFloats(positionalEncoding(shape[1] as number, shape[2] as number));
  const products = await Promise.all(
    // a strength of 0 is accounted for in the plan and costs nothing here
    terms
      .filter((term) => term.scale !== 0)
      .map(async ({ operands: { up, down }, rank, scale }) => ({
        up: await readNumbers(files, up, { rows, allocate }),
        down: await readNumbers(files, down, { allocate }),
        rank,
        scale,
      })),
  );
  return { weight, products };
}

async function readNumbers(
  files: readonly TensorFile[],
  { file, tensor: name }: TensorRef,
  { rows, allocate }: { rows?: Part['rows'] | undefined; allocate?: Allocate | undefined } = {},
): Promise<Numbers> {
  const entry = files[file]?.tensors.get(name);
  if (!entry) throw new RangeError(`The plan names the tensor ${name} of file ${file}, which is not there.`);
  const wanted = rows && rows[1] - rows[0] < (entry.shape[0] ?? 1) ? rowsOf(entry, ...rows) : entry;
  return { bytes: await readTensor(files[file] as TensorFile, wanted, allocate), dtype: entry.dtype };
}

function fromFloats(values: Float32Array): Numbers {
  return { bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength), dtype: 'F32' };
}

const RANGE = { fp16: 'fp16 (±65504)', fp32: 'float32 (±3.4e38)' } as const;

/** Tells whether an input was already broken or the sum left fp16's range, and names the file. */
async function nonFinite(
  plan: Plan,
  files: readonly TensorFile[],
  { request: { tensor, transposed }, rows, columns }: Part,
  at: number,
): Promise<MergeError> {
  const { weight, products } = await readOperands(files, tensor);
  const element = transposed ? at : rows[0] * columns + at;
  const file = (index: number | undefined) => plan.files[index ?? -1]?.path ?? 'the positional encoding';
  const inputs: { values: Numbers | undefined; path: string; name: string }[] = [
    { values: weight, path: file(tensor.source?.file), name: tensor.source?.tensor ?? tensor.name },
    ...tensor.terms
      .filter((term) => term.scale !== 0)
      .flatMap((term, i) => [
        { values: products[i]?.up, path: file(term.operands.up.file), name: term.operands.up.tensor },
        { values: products[i]?.down, path: file(term.operands.down.file), name: term.operands.down.tensor },
      ]),
  ];
  for (const { values: numbers, path, name } of inputs) {
    const values = numbers ? toFloat32(numbers.bytes, numbers.dtype) : new Float32Array();
    const at = values.findIndex((x) => !Number.isFinite(x));
    if (at >= 0) {
      return new MergeError(
        `${path}: ${name} holds ${values[at]} at element ${at} of ${values.length}. The file is damaged; get a sound copy.`,
        {
          file: path,
          tensor: name,
        },
      );
    }
  }
  const { dtype } = plan.recipe.output;
  const strengths = [
    ...(tensor.gain === 1 ? [] : [plan.files[tensor.source?.file ?? -1]?.role]),
    ...tensor.terms.filter((term) => term.scale !== 0).map((term) => term.of),
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

/**
 * What one node costs: floating-point operations and bytes, by a table of operators. Products (convolution, matrix product, attention)
 * count a multiplication and an addition as 2, as PyTorch's FlopCounterMode does; every other arithmetic operation on an
 * element counts 1, exp, erf and division too. Sources: onnx docs/Operators.md, onnxruntime docs/ContribOperators.md; docs/cost-model.md.
 */
import { type NodeInfo, operatorName } from './model-info.ts';

/** A tensor whose lengths are known. */
export interface SizedTensor {
  readonly shape: readonly number[];
  /** Elements. */
  readonly count: number;
  readonly bytes: number;
}

export interface NodeWork {
  /** Of products. */
  readonly matrix_flops: number;
  /** Of everything else. */
  readonly other_flops: number;
  /** Bytes that are read of each input, in their order. */
  readonly read: readonly number[];
  readonly written: number;
}

export interface Operation {
  readonly attributes: NodeInfo['attributes'];
  readonly inputs: readonly (SizedTensor | undefined)[];
  readonly outputs: readonly (SizedTensor | undefined)[];
}

/** Undefined where the operator with these inputs and attributes is not understood. */
type Formula = (operation: Operation) => Partial<NodeWork> | undefined;

/**
 * @returns undefined for an operator that is not in the table, or is used in a way that its formula does not know.
 */
export function nodeWork(node: Pick<NodeInfo, 'domain' | 'opType'>, operation: Operation): NodeWork | undefined {
  const work = OPERATORS[operatorName(node)]?.(operation);
  return (
    work && {
      matrix_flops: 0,
      other_flops: 0,
      read: operation.inputs.map((input) => input?.bytes ?? 0),
      written: operation.outputs.reduce((sum, output) => sum + (output?.bytes ?? 0), 0),
      ...work,
    }
  );
}

/** Its output is its first input under another shape: nothing is read or written. */
export function isView(node: Pick<NodeInfo, 'domain' | 'opType'>): boolean {
  return VIEWS.has(operatorName(node));
}

const VIEWS: ReadonlySet<string> = new Set(['Reshape', 'Identity', 'Flatten', 'Squeeze', 'Unsqueeze']);

// ---------------------------------------------------------------------------------------------------- formulas

const first = ({ outputs }: Operation) => outputs[0]?.count ?? 0;
const has = ({ inputs }: Operation, index: number) => inputs[index] !== undefined;
const product = (lengths: readonly number[]) => lengths.reduce((n, length) => n * length, 1);

/** Operations per element of the first output. */
const perOutput =
  (operations: number): Formula =>
  (op) => ({ other_flops: operations * first(op) });

/** Operations per element of the first input. */
const perInput =
  (operations: number): Formula =>
  ({ inputs }) => ({ other_flops: operations * (inputs[0]?.count ?? 0) });

/** One operation less per element than there are inputs. */
const combining: Formula = (op) => ({ other_flops: (op.inputs.length - 1) * first(op) });

const moving = perOutput(0);

/** Of the first input only what comes out is read. */
const picking: Formula = ({ inputs, outputs }) => ({
  read: inputs.map((input, i) => (i === 0 ? (outputs[0]?.bytes ?? 0) : (input?.bytes ?? 0))),
});

/** Something is made of nothing, or of a shape. */
const making: Formula = () => ({});

/** Nothing is touched but a few numbers. */
const nothing: Formula = ({ inputs }) => ({ read: inputs.map(() => 0), written: 0 });

const SIGMOID = 4; // 1 / (1 + exp(−x))
const SILU = SIGMOID + 1;
const GELU = 5; // x · ½ · (1 + erf(x / √2))
const FAST_GELU = 8; // ½x · (1 + tanh(√(2/π)(x + 0.044715 x³)))
const SOFTMAX = 5; // maximum, difference, exp, sum, division
const NORMALISE = 6; // mean; difference, square, mean; difference, scaling
const AFFINE = 2;

/** `[…, m, k] × […, k, n]`. */
const matMul: Formula = (op) => {
  const { transA = 0, transB = 0, transBatchA = 0, alpha = 1 } = op.attributes;
  // an axis of the batch may lie before the rows; that of k is the last of A unless both are turned
  if (typeof transB !== 'number' || (transBatchA !== 0 && transA !== 0)) return undefined;
  const shape = op.inputs[0]?.shape ?? [];
  const k = shape.at(transA === 1 && shape.length > 1 ? -2 : -1) ?? 1;
  return { matrix_flops: 2 * first(op) * k, other_flops: alpha === 1 ? 0 : first(op) };
};

/** A product for each combination of all letters. */
const einsum: Formula = ({ attributes, inputs }) => {
  const [terms] = String(attributes['equation'] ?? '').split('->') as [string];
  const lengths = new Map(
    terms.split(',').flatMap((letters, i) => [...letters].map((letter, axis) => [letter, inputs[i]?.shape[axis] ?? 0])),
  );
  return inputs.length === 2 && /^[a-z,]+$/.test(terms)
    ? { matrix_flops: 2 * product([...lengths.values()]) }
    : undefined;
};

/** α·A·B + β·C, with an activation behind it in FusedGemm. */
const gemm: Formula = (op) => {
  if (op.attributes['activation'] !== undefined) return undefined;
  const k = op.inputs[0]?.shape.at(op.attributes['transA'] === 1 ? 0 : 1) ?? 1;
  return { matrix_flops: 2 * first(op) * k, other_flops: has(op, 2) ? first(op) : 0 };
};

/** The weight is `[M, C/g, k…]` or, channels last, `[M, k…, C/g]`; each output element is a product with one of the M. */
const conv: Formula = (op) => {
  const [, ...kernel] = op.inputs[1]?.shape ?? [];
  return { matrix_flops: 2 * first(op) * product(kernel), other_flops: has(op, 2) ? first(op) : 0 };
};

/** Each input element is a product with the `[M/g, k…]` of its channel. */
const convTranspose: Formula = (op) => {
  const [, ...kernel] = op.inputs[1]?.shape ?? [];
  return { matrix_flops: 2 * (op.inputs[0]?.count ?? 0) * product(kernel), other_flops: has(op, 2) ? first(op) : 0 };
};

/** softmax(q·kᵀ/√d)·v of `queries` rows of q over `keys` rows: `width` elements each in q and k, `valueWidth` in v, `scores` the sum of all heads. */
function attentionWork({
  rows,
  keys,
  width,
  valueWidth,
  heads,
}: Record<'rows' | 'keys' | 'width' | 'valueWidth' | 'heads', number>) {
  return { matrix_flops: 2 * rows * keys * (width + valueWidth), other_flops: (SOFTMAX + 1) * rows * keys * heads };
}

/** Query `[B, S, D]` and key, value `[B, T, D]` or `[B, N, T, H]`; or packed `[B, S, N, 3, H]`; or query with packed `[B, T, N, 2, H]`. */
const multiHeadAttention: Formula = (op) => {
  const heads = op.attributes['num_heads'];
  const [query, key, , bias] = op.inputs;
  const [batch, length] = query?.shape ?? [];
  const [, keys = length] = key?.shape.length === 4 ? key.shape.toSpliced(1, 1) : (key?.shape ?? []);
  const valueWidth = op.outputs[0]?.shape[2];
  const past = op.inputs.slice(6, 8).some((input) => input !== undefined);
  if (typeof heads !== 'number' || !batch || !length || !keys || !valueWidth || past) return undefined;
  const width = query?.shape.length === 5 ? (query.shape[2] as number) * (query.shape[4] as number) : query?.shape[2];
  if (!width) return undefined;
  const work = attentionWork({ rows: batch * length, keys, width, valueWidth, heads });
  const biased = bias ? batch * (length * width + keys * (width + valueWidth)) : 0;
  const masked = has(op, 4) || has(op, 5) ? batch * heads * length * keys : 0;
  return { ...work, other_flops: work.other_flops + biased + masked };
};

/** ai.onnx Attention: `[B, S, N·H]` with head counts as attributes, or `[B, N, S, H]`. */
const attention: Formula = (op) => {
  const [query, key, value] = op.inputs.map((input) => input?.shape ?? []);
  if (!query || !key || !value || op.inputs.slice(4).some((input) => input !== undefined)) return undefined;
  const heads = query.length === 4 ? query[1] : op.attributes['q_num_heads'];
  const keyHeads = query.length === 4 ? key[1] : op.attributes['kv_num_heads'];
  if (typeof heads !== 'number' || typeof keyHeads !== 'number') return undefined;
  const [batch = 0, rows = 0, keys = 0] = [query[0], query.at(-2), key.at(-2)];
  const each = (shape: readonly number[], n: number) => (shape.length === 4 ? 1 : 1 / n) * (shape.at(-1) ?? 0);
  const [width, valueWidth] = [each(key, keyHeads) * heads, each(value, keyHeads) * heads];
  const work = attentionWork({ rows: batch * rows, keys, width, valueWidth, heads });
  return { ...work, other_flops: work.other_flops + (has(op, 3) ? batch * heads * rows * keys : 0) };
};

/** com.microsoft's: normalised and perhaps activated with SiLU; `added` tensors go in before. */
const groupNorm =
  (added: (op: Operation) => number): Formula =>
  (op) => ({
    other_flops: (NORMALISE + AFFINE + (op.attributes['activation'] === 1 ? SILU : 0) + added(op)) * first(op),
  });

/** Nearest neighbour computes nothing; other modes are not used here. */
const resize: Formula = ({ attributes }) => ((attributes['mode'] ?? 'nearest') === 'nearest' ? {} : undefined);

/** Gaussian elimination: 2·n³ for each `[n, n]`. */
const inverse: Formula = (op) => ({ other_flops: 2 * first(op) * (op.outputs[0]?.shape.at(-1) ?? 0) });

const OPERATORS: Readonly<Record<string, Formula>> = {
  // products
  MatMul: matMul,
  Einsum: einsum,
  Gemm: gemm,
  Conv: conv,
  ConvTranspose: convTranspose,
  Attention: attention,
  'com.microsoft:FusedMatMul': matMul,
  'com.microsoft:FusedGemm': gemm,
  'com.microsoft:NhwcConv': conv,
  'com.microsoft:MultiHeadAttention': multiHeadAttention,

  // element by element
  ...Object.fromEntries(['Add', 'Sub', 'Mul', 'Div', 'Pow', 'PRelu'].map((name) => [name, perOutput(1)])),
  ...Object.fromEntries(
    ['Neg', 'Abs', 'Sqrt', 'Exp', 'Log', 'Sin', 'Cos', 'Tanh', 'Erf', 'Relu', 'Reciprocal', 'Floor', 'Ceil'].map(
      (name) => [name, perOutput(1)],
    ),
  ),
  Max: combining,
  Min: combining,
  Sum: combining,
  Clip: perOutput(2),
  Sigmoid: perOutput(SIGMOID),
  Gelu: ({ attributes, ...op }) =>
    perOutput(attributes['approximate'] === 'tanh' ? FAST_GELU : GELU)({ attributes, ...op }),
  'com.microsoft:Gelu': perOutput(GELU),
  'com.microsoft:FastGelu': (op) => perOutput(FAST_GELU + (has(op, 1) ? 1 : 0))(op),
  'com.microsoft:QuickGelu': perOutput(SIGMOID + 2),
  'com.microsoft:BiasAdd': perOutput(2),
  'com.microsoft:BiasGelu': perOutput(GELU + 1),
  'com.microsoft:BiasSplitGelu': perOutput(GELU + 3), // half of the elements come out: two sums, one product
  Cast: moving,
  Where: moving,
  ...Object.fromEntries(['Equal', 'Less', 'Greater', 'And', 'Or', 'Not'].map((name) => [name, perOutput(1)])),

  // normalisations and reductions
  Softmax: perOutput(SOFTMAX),
  InstanceNormalization: perOutput(NORMALISE + AFFINE),
  LayerNormalization: perOutput(NORMALISE + AFFINE),
  GroupNormalization: perOutput(NORMALISE + AFFINE),
  RMSNormalization: perOutput(4),
  'com.microsoft:GroupNorm': groupNorm(() => 0),
  'com.microsoft:SkipGroupNorm': groupNorm((op) => (has(op, 4) ? 2 : 1)),
  'com.microsoft:SkipLayerNormalization': (op) => perOutput(NORMALISE + AFFINE + (has(op, 4) ? 2 : 1))(op),
  ReduceSum: perInput(1),
  ReduceMean: perInput(1),
  ReduceMax: perInput(1),
  ReduceMin: perInput(1),
  ReduceSumSquare: perInput(2),
  'com.microsoft:Inverse': inverse,

  // movement
  Transpose: moving,
  Concat: moving,
  Split: moving,
  Pad: moving,
  Tile: moving,
  Expand: moving,
  Resize: resize,
  Slice: picking,
  Gather: picking,
  Constant: making,
  ConstantOfShape: making,
  Range: making,
  Shape: nothing,
  Size: nothing,
  ...Object.fromEntries([...VIEWS].map((name) => [name, nothing])),
};

/** All operators with a formula, by `domain:OpType`; for the table in docs/cost-model.md. */
export const KNOWN_OPERATORS: readonly string[] = Object.keys(OPERATORS).sort();

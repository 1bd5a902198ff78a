/**
 * OFT: the output channels of the running weight are rotated block by block, W' = (scale·(R − I) + I)ᵀ·W with
 * R = (I + Q)(I − Q)⁻¹ and Q = B − Bᵀ (Cayley), then each is multiplied by its `rescale`, which the strength takes from 1 as well
 * (LyCORIS applies it whole, so that strength 0 would still change weights). An alpha above 0 bounds ‖Q‖ by alpha·out. Sources: sd-scripts networks/oft.py, LyCORIS functional/diag_oft.py and modules/diag_oft.py.
 */
import { floatConstant, type Value } from '../../onnx/graph.ts';
import * as op from '../../onnx/ops.ts';
import type { Adapter, Fragment, OpenModule, PlanOptions, TargetedTerm, TermOf } from './adapter.ts';
import { assertFits, matrixSizes, operands, product } from './shapes.ts';

export interface RotationTerm<Kind extends string> extends TermOf<Kind, 'blocks' | 'rescale'> {
  /** Rows of a block. */
  readonly size: number;
  /** The largest ‖Q‖ allowed, or null. */
  readonly constraint: number | null;
}

export interface OftTerm extends RotationTerm<'oft'> {}

export const oft: Adapter<OftTerm> = {
  kind: 'oft',
  parts: ['oft_blocks', 'rescale', 'alpha'],
  plan: (module, options) => planRotation('oft', 3, module, options),
  arithmetic: {
    rows: () => undefined,
    apply(f, { constraint }, scale, weight) {
      const { s } = f;
      const [out, into, kernel] = matrixSizes(f.shape);
      const [count, size] = f.shapeOf('blocks') as readonly [number, number];
      const left = op.Transpose(s, partialRotation(f, constraint, scale), [0, 2, 1]);
      const turned = op.MatMul(s, left, op.Reshape(s, weight, [count, size, into * kernel]));
      return rescaled(f, op.Reshape(s, turned, [out, into * kernel]), scale);
    },
  },
};

/** OFT has blocks `[count, size, size]`, BOFT `[stages, count, size, size]`: the number of dimensions tells them apart. */
export async function planRotation<Kind extends 'oft' | 'boft'>(
  kind: Kind,
  dimensions: number,
  module: OpenModule,
  { of, file, strength, scalar }: PlanOptions,
): Promise<readonly (TargetedTerm & { readonly term: RotationTerm<Kind> })[]> {
  if (module.peek('oft_blocks')?.shape.length !== dimensions) return [];
  const { weight } = module.target;
  const [blocks, rescale, alpha] = [module.take('oft_blocks'), module.take('rescale'), module.take('alpha')];
  const shape = blocks?.shape ?? [];
  const [count, size, again] = shape.slice(-3) as [number, number, number];
  const [out] = matrixSizes(weight.shape);
  const fits =
    count * size === out &&
    size === again &&
    (!rescale || product(rescale.shape) === out) &&
    (dimensions === 3 || fitsButterfly(shape[0] ?? 0, count, size));
  assertFits(fits, module, weight, `oft_blocks [${shape}]${rescale ? `, rescale [${rescale.shape}]` : ''}`);
  const bound = alpha ? (await scalar(alpha)) * out : 0;
  const term = {
    kind,
    of,
    operands: operands(module, file, { blocks, rescale, alpha }),
    size,
    constraint: bound > 0 ? bound : null,
    scale: strength(weight),
  };
  return [{ parameter: weight, term: term as RotationTerm<Kind> & TargetedTerm['term'] }];
}

/** Stage i mixes rows that lie 2^i·size/2 apart, in groups of twice that. */
function fitsButterfly(stages: number, count: number, size: number): boolean {
  return stages > 0 && size % 2 === 0 && (count * size) % (2 ** stages * (size / 2)) === 0;
}

/** What LyCORIS adds to ‖Q‖ before it divides. */
const NORM_EPSILON = 1e-8;

/** scale·(R − I) + I of every block, `[blocks, size, size]`. */
export function partialRotation(f: Fragment, constraint: number | null, scale: Value): Value {
  const { s } = f;
  const shape = f.shapeOf('blocks') as readonly number[];
  const size = shape.at(-1) as number;
  const blocks = f.operand('blocks', [product(shape) / size ** 2, size, size]);
  const skew = op.Sub(s, blocks, op.Transpose(s, blocks, [0, 2, 1]));
  const identity = identityMatrix(f, size);
  const q = constraint === null ? skew : op.Mul(s, skew, bounded(f, skew, constraint));
  const rotation = op.MatMul(s, op.Add(s, identity, q), op.Inverse(s, op.Sub(s, identity, q)));
  return op.Add(s, op.Mul(s, op.Sub(s, rotation, identity), scale), identity);
}

/** constraint / max(‖Q‖, constraint): 1 where the norm is within the bound. */
function bounded(f: Fragment, skew: Value, constraint: number): Value {
  const { s, type } = f;
  const constant = (value: number) => floatConstant(s.graph, type, [value], [1, 1, 1]);
  const norm = op.Add(s, op.Sqrt(s, op.ReduceSumSquare(s, skew, { axes: [0, 1, 2] })), constant(NORM_EPSILON));
  return op.Div(s, constant(constraint), op.Max(s, norm, constant(constraint)));
}

function identityMatrix(f: Fragment, size: number): Value {
  const values = new Float64Array(size * size);
  for (let i = 0; i < size; i += 1) values[i * size + i] = 1;
  return floatConstant(f.s.graph, f.type, values, [size, size], `identity ${size}`);
}

/** Each row of `[out, columns]` times 1 + scale·(rescale − 1), where the term has factors: at strength 0 they are turned off too. */
export function rescaled(f: Fragment, weight: Value, scale: Value): Value {
  if (!f.shapeOf('rescale')) return weight;
  const one = floatConstant(f.s.graph, f.type, [1]);
  const change = op.Mul(f.s, op.Sub(f.s, f.operand('rescale', [f.shape[0] as number, 1]), one), scale);
  return op.Mul(f.s, weight, op.Add(f.s, change, one));
}

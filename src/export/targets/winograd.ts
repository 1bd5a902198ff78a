/**
 * 3×3 convolution with fewer multiplications, written with MatMul: Winograd's F(m×m, 3×3). Each tile of m×m results needs
 * (m+2)×(m+2) inputs; both are transformed to as many numbers per channel, in which the convolution is as many independent
 * matrix products. m = 4 has four times fewer multiplications than the sum over taps, m = 2 has 2¼ times fewer.
 * Sources: Lavin and Gray 2016 (arXiv:1509.09308); Toom and Cook's construction for any interpolation points.
 */
import { FusedMatMul } from '../../onnx/contrib-ops.ts';
import { type Dim, floatConstant, type Scope, times, type Value } from '../../onnx/graph.ts';
import * as op from '../../onnx/ops.ts';

/** Taps of the kernel along one axis. */
const TAPS = 3;

/** Results per tile along one axis. */
export type TileSize = 2 | 4;

/**
 * Where the polynomials are evaluated, besides infinity. For m = 4 the textbook's 0, ±1, ±2 lose ten times as much as the direct
 * convolution in float32 (2e-6 against 2e-7); of the pairs of simple fractions these lose least (6e-7).
 */
const POINTS: Readonly<Record<TileSize, readonly number[]>> = { 2: [0, 1, -1], 4: [0, 5 / 8, -5 / 8, 3 / 2, -3 / 2] };

/** Below this many tiles a product of weights by tiles is faster than one of tiles by weights, which onnxruntime packs each time. */
const FEW_TILES = 64;

/**
 * Convolution of `[N, H, W, C]`, H and W known, with an OIHW weight, padding 1, stride 1, no bias. What is done to the weight
 * does not depend on inputs: it is folded when the graph is loaded, and takes (m+2)²/9 times the memory of the weight.
 */
export function winogradConv(s: Scope, x: Value, weight: Value, size: TileSize): Value {
  const [n, h, w, c] = x.shape as [Dim, number, number, number];
  const out = weight.shape[0] as number;
  const m = matrices(size);
  const inputs = m.input.length;
  const rows = axisTransforms(s, m, h);
  const columns = axisTransforms(s, m, w);

  const alongRows = op.MatMul(s, rows.input, op.Reshape(s, x, [n, h, w * c]));
  const strips = op.Reshape(s, alongRows, [times(n, inputs * rows.tiles), w, c]);
  const both = op.MatMul(s, columns.input, strips);
  const tiled = [n, inputs, rows.tiles, inputs, columns.tiles, c];
  const positionFirst = op.Transpose(s, op.Reshape(s, both, tiled), [1, 3, 0, 2, 4, 5]);
  const tiles = op.Reshape(s, positionFirst, [inputs ** 2, times(n, rows.tiles * columns.tiles), c]);
  const products = multiply(s, m, tiles, weight);

  const unfolded = op.Reshape(s, products, [inputs, inputs, n, rows.tiles, columns.tiles, out]);
  const stripFirst = op.Transpose(s, unfolded, [2, 0, 3, 1, 4, 5]);
  const spread = op.Reshape(s, stripFirst, [times(n, inputs * rows.tiles), inputs * columns.tiles, out]);
  const backAlongColumns = op.Reshape(s, op.MatMul(s, columns.output, spread), [n, inputs * rows.tiles, w * out]);
  return op.Reshape(s, op.MatMul(s, rows.output, backAlongColumns), [n, h, w, out]);
}

/**
 * `[positions, tiles, C]` × the transformed weight → `[positions, tiles, O]`. The transform is one node, so that loading holds
 * no second copy of a result that is four times as large as the weight.
 */
function multiply(s: Scope, { kernel }: Matrices, tiles: Value, weight: Value): Value {
  const [positions, count] = tiles.shape as [number, Dim];
  const inputs = kernel.length;
  const taps = TAPS ** 2;
  const kronecker = Array.from({ length: positions * taps }, (_, index) => {
    const [position, tap] = [Math.floor(index / taps), index % taps];
    const [u, v, i, j] = [Math.floor(position / inputs), position % inputs, Math.floor(tap / TAPS), tap % TAPS];
    return at(kernel, u, i) * at(kernel, v, j);
  });
  const table = floatConstant(s.graph, 'float32', kronecker, [positions, TAPS, TAPS], `winograd${inputs - 2}.kernel`);
  if (typeof count === 'number' && count <= FEW_TILES) {
    const outByInto = op.Einsum(s, 'phw,oihw->poi', [table, weight]);
    return op.Transpose(s, FusedMatMul(s, outByInto, tiles, { transB: 1 }), [0, 2, 1]);
  }
  return op.MatMul(s, tiles, op.Einsum(s, 'phw,oihw->pio', [table, weight]));
}

interface AxisTransforms {
  /** `[(m + 2) · tiles, length]` */
  readonly input: Value;
  /** `[length, (m + 2) · tiles]` */
  readonly output: Value;
  readonly tiles: number;
}

/** The transforms of a whole axis of `length` as matrices, in which most entries are 0: padding and overlap of tiles included. */
function axisTransforms(s: Scope, { input, output }: Matrices, length: number): AxisTransforms {
  const [inputs, results] = [input.length, output.length];
  const tiles = Math.ceil(length / results);
  const places = inputs * tiles;
  const into = new Float32Array(places * length);
  const from = new Float32Array(length * places);
  for (let u = 0; u < inputs; u += 1) {
    for (let tile = 0; tile < tiles; tile += 1) {
      const place = u * tiles + tile;
      for (let i = 0; i < inputs; i += 1) {
        const position = tile * results + i - 1; // padding of 1
        if (position >= 0 && position < length) into[place * length + position] = at(input, u, i);
      }
      for (let i = 0; i < results; i += 1) {
        const position = tile * results + i;
        if (position < length) from[position * places + place] = at(output, i, u);
      }
    }
  }
  return {
    input: floatConstant(s.graph, 'float32', into, [places, length], `winograd${results}.input`),
    output: floatConstant(s.graph, 'float32', from, [length, places], `winograd${results}.output`),
    tiles,
  };
}

type Matrix = readonly (readonly number[])[];

interface Matrices {
  /** Aᵀ, m × (m + 2). */
  readonly output: Matrix;
  /** G, (m + 2) × 3. */
  readonly kernel: Matrix;
  /** Bᵀ, (m + 2) × (m + 2). */
  readonly input: Matrix;
}

/**
 * y = Aᵀ[(G g) ⊙ (Bᵀ d)]. Powers of two are moved between the three so that rows of Bᵀ and columns of Aᵀ have
 * lengths near 1.
 */
function matrices(results: TileSize): Matrices {
  const points = POINTS[results];
  const finite = points.map((point, i) => {
    const others = points.filter((_, j) => j !== i);
    const scale = others.reduce((product, other) => product * (point - other), 1);
    return {
      output: Array.from({ length: results }, (_, k) => point ** k),
      kernel: Array.from({ length: TAPS }, (_, k) => point ** k / scale),
      input: [...polynomial(others), 0],
    };
  });
  const infinite = {
    output: Array.from({ length: results }, (_, k) => (k === results - 1 ? 1 : 0)),
    kernel: Array.from({ length: TAPS }, (_, k) => (k === TAPS - 1 ? 1 : 0)),
    input: polynomial(points),
  };
  const rows = [...finite, infinite].map(({ output, kernel, input }) => {
    const [a, b] = [binaryLength(output), binaryLength(input)];
    return {
      output: output.map((value) => value / a),
      kernel: kernel.map((value) => value * a * b),
      input: input.map((value) => value / b),
    };
  });
  return {
    output: Array.from({ length: results }, (_, k) => rows.map(({ output }) => output[k] as number)),
    kernel: rows.map(({ kernel }) => kernel),
    input: rows.map(({ input }) => input),
  };
}

/** Coefficients of ∏(x − root), lowest power first. */
function polynomial(roots: readonly number[]): number[] {
  return roots.reduce<number[]>(
    (p, root) => Array.from({ length: p.length + 1 }, (_, k) => (p[k - 1] ?? 0) - root * (p[k] ?? 0)),
    [1],
  );
}

/** The power of two next to the Euclidean length. */
function binaryLength(values: readonly number[]): number {
  return 2 ** Math.round(Math.log2(Math.hypot(...values)));
}

function at(matrix: Matrix, row: number, column: number): number {
  return matrix[row]?.[column] as number;
}

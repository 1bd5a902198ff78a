/**
 * 3×3 convolution with four times fewer multiplications: Winograd's F(4×4, 3×3), written with MatMul. Each tile of 4×4 results
 * needs 6×6 inputs; both are transformed to 36 numbers per channel, in which the convolution is 36 independent matrix products.
 * Sources: Lavin and Gray 2016 (arXiv:1509.09308); Toom and Cook's construction for any interpolation points.
 */
import { FusedMatMul } from '../../onnx/contrib-ops.ts';
import { type Dim, floatConstant, type Scope, times, type Value } from '../../onnx/graph.ts';
import * as op from '../../onnx/ops.ts';

/** Results per tile, inputs per tile and taps, along one axis. */
const [RESULTS, INPUTS, TAPS] = [4, 6, 3];

/**
 * Where the polynomials are evaluated, besides infinity. The textbook's 0, ±1, ±2 lose ten times as much as the direct
 * convolution in float32; of the pairs of simple fractions these lose least, 2.6 times (6e-7 against 2e-7).
 */
const POINTS = [0, 5 / 8, -5 / 8, 3 / 2, -3 / 2];

/** Below this many tiles a product of weights by tiles is faster than one of tiles by weights, which onnxruntime packs each time. */
const FEW_TILES = 64;

/**
 * Convolution of `[N, H, W, C]`, H and W known, with an OIHW weight, padding 1, stride 1, no bias. What is done to the weight
 * does not depend on inputs: it is folded when the graph is loaded, and takes four times the memory of the weight.
 */
export function winogradConv(s: Scope, x: Value, weight: Value): Value {
  const [n, h, w, c] = x.shape as [Dim, number, number, number];
  const out = weight.shape[0] as number;
  const rows = axisTransforms(s, h);
  const columns = axisTransforms(s, w);

  const alongRows = op.MatMul(s, rows.input, op.Reshape(s, x, [n, h, w * c]));
  const strips = op.Reshape(s, alongRows, [times(n, INPUTS * rows.tiles), w, c]);
  const both = op.MatMul(s, columns.input, strips);
  const tiled = [n, INPUTS, rows.tiles, INPUTS, columns.tiles];
  const positionFirst = op.Transpose(s, op.Reshape(s, both, [...tiled, c]), [1, 3, 0, 2, 4, 5]);
  const tiles = times(n, rows.tiles * columns.tiles);
  const products = multiply(s, op.Reshape(s, positionFirst, [INPUTS ** 2, tiles, c]), weight);

  const unfolded = op.Reshape(s, products, [INPUTS, INPUTS, n, rows.tiles, columns.tiles, out]);
  const stripFirst = op.Transpose(s, unfolded, [2, 0, 3, 1, 4, 5]);
  const spread = op.Reshape(s, stripFirst, [times(n, INPUTS * rows.tiles), INPUTS * columns.tiles, out]);
  const backAlongColumns = op.Reshape(s, op.MatMul(s, columns.output, spread), [n, INPUTS * rows.tiles, w * out]);
  return op.Reshape(s, op.MatMul(s, rows.output, backAlongColumns), [n, h, w, out]);
}

/** `[36, tiles, C]` × the transformed weight → `[36, tiles, O]`. */
function multiply(s: Scope, tiles: Value, weight: Value): Value {
  const [out, into] = weight.shape as [number, number];
  const { kernel } = matrices();
  const taps = TAPS ** 2;
  const kronecker = Array.from({ length: taps * INPUTS ** 2 }, (_, index) => {
    const [tap, position] = [Math.floor(index / INPUTS ** 2), index % INPUTS ** 2];
    const [i, j, u, v] = [Math.floor(tap / TAPS), tap % TAPS, Math.floor(position / INPUTS), position % INPUTS];
    return at(kernel, u, i) * at(kernel, v, j);
  });
  const table = floatConstant(s.graph, 'float32', kronecker, [taps, INPUTS ** 2], 'winograd.kernel');
  const positionLast = op.MatMul(s, op.Reshape(s, weight, [out * into, taps]), table);
  const split = op.Reshape(s, positionLast, [out, into, INPUTS ** 2]);
  const count = tiles.shape[1] as Dim;
  if (typeof count === 'number' && count <= FEW_TILES) {
    const outByInto = op.Transpose(s, split, [2, 0, 1]);
    return op.Transpose(s, FusedMatMul(s, outByInto, tiles, { transB: 1 }), [0, 2, 1]);
  }
  return op.MatMul(s, tiles, op.Transpose(s, split, [2, 1, 0]));
}

/** The transforms of a whole axis of `length` as matrices, in which most entries are 0: padding and overlap of tiles included. */
function axisTransforms(s: Scope, length: number): { input: Value; output: Value; tiles: number } {
  const { input, output } = matrices();
  const tiles = Math.ceil(length / RESULTS);
  const places = INPUTS * tiles;
  const into = new Float32Array(places * length);
  const from = new Float32Array(length * places);
  for (let u = 0; u < INPUTS; u += 1) {
    for (let tile = 0; tile < tiles; tile += 1) {
      const place = u * tiles + tile;
      for (let i = 0; i < INPUTS; i += 1) {
        const position = tile * RESULTS + i - 1; // padding of 1
        if (position >= 0 && position < length) into[place * length + position] = at(input, u, i);
      }
      for (let i = 0; i < RESULTS; i += 1) {
        const position = tile * RESULTS + i;
        if (position < length) from[position * places + place] = at(output, i, u);
      }
    }
  }
  return {
    input: floatConstant(s.graph, 'float32', into, [places, length], 'winograd.input'),
    output: floatConstant(s.graph, 'float32', from, [length, places], 'winograd.output'),
    tiles,
  };
}

type Matrix = readonly (readonly number[])[];

interface Matrices {
  /** Aᵀ, 4 × 6. */
  readonly output: Matrix;
  /** G, 6 × 3. */
  readonly kernel: Matrix;
  /** Bᵀ, 6 × 6. */
  readonly input: Matrix;
}

/**
 * y = Aᵀ[(G g) ⊙ (Bᵀ d)]. Powers of two are moved between the three so that rows of Bᵀ and columns of Aᵀ have
 * lengths near 1.
 */
function matrices(): Matrices {
  const finite = POINTS.map((point, i) => {
    const others = POINTS.filter((_, j) => j !== i);
    const scale = others.reduce((product, other) => product * (point - other), 1);
    return {
      output: Array.from({ length: RESULTS }, (_, k) => point ** k),
      kernel: Array.from({ length: TAPS }, (_, k) => point ** k / scale),
      input: [...polynomial(others), 0],
    };
  });
  const infinite = {
    output: Array.from({ length: RESULTS }, (_, k) => (k === RESULTS - 1 ? 1 : 0)),
    kernel: Array.from({ length: TAPS }, (_, k) => (k === TAPS - 1 ? 1 : 0)),
    input: polynomial(POINTS),
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
    output: Array.from({ length: RESULTS }, (_, k) => rows.map(({ output }) => output[k] as number)),
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

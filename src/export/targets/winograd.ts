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
  const rows = inputTransform(s, m, h);
  const columns = inputTransform(s, m, w);

  const alongRows = op.MatMul(s, rows.matrix, op.Reshape(s, x, [n, h, w * c]));
  const strips = op.Reshape(s, alongRows, [times(n, inputs * rows.tiles), w, c]);
  const both = op.MatMul(s, columns.matrix, strips);
  const tiled = [n, inputs, rows.tiles, inputs, columns.tiles, c];
  const positionFirst = op.Transpose(s, op.Reshape(s, both, tiled), [1, 3, 0, 2, 4, 5]);
  const tiles = op.Reshape(s, positionFirst, [inputs ** 2, times(n, rows.tiles * columns.tiles), c]);
  const { products, channelsFirst } = multiply(s, m, tiles, weight);

  // all results of a tile at once: fewer operations than one axis after the other, and what is then turned is smaller
  const places = [n, rows.tiles, columns.tiles];
  const results = op.MatMul(
    s,
    outputTransform(s, m),
    op.Reshape(s, products, [inputs ** 2, times(times(n, rows.tiles * columns.tiles), out)]),
  );
  const image = op.Transpose(
    s,
    op.Reshape(s, results, channelsFirst ? [size, size, out, ...places] : [size, size, ...places, out]),
    channelsFirst ? [3, 4, 0, 5, 1, 2] : [2, 3, 0, 4, 1, 5],
  );
  const whole = op.Reshape(s, image, [n, rows.tiles * size, columns.tiles * size, out]);
  return cropped(s, cropped(s, whole, 1, h), 2, w);
}

/** Operations of winogradConv, transforms of inputs and results included, over those of the direct sum. */
export function winogradShare(
  size: TileSize,
  { h, w, c, out }: { readonly h: number; readonly w: number; readonly c: number; readonly out: number },
): number {
  const [rows, columns] = [Math.ceil(h / size), Math.ceil(w / size)];
  const inputs = size + TAPS - 1;
  const alongRows = inputs * rows * h * w * c;
  const alongColumns = inputs * columns * w * inputs * rows * c;
  const products = inputs ** 2 * rows * columns * c * out;
  const results = (size * inputs) ** 2 * rows * columns * out;
  return (alongRows + alongColumns + products + results) / (TAPS ** 2 * h * w * c * out);
}

/** The first `length` entries of `axis`: the last tile may reach beyond the image. */
function cropped(s: Scope, x: Value, axis: number, length: number): Value {
  return x.shape[axis] === length ? x : op.Slice(s, x, { axis, length });
}

/**
 * `[positions, tiles, C]` × the transformed weight → `[positions, tiles, O]`, or `[positions, O, tiles]`. The transform is one
 * node, so that loading holds no second copy of a result that is four times as large as the weight.
 */
function multiply(
  s: Scope,
  { kernel }: Matrices,
  tiles: Value,
  weight: Value,
): { readonly products: Value; readonly channelsFirst: boolean } {
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
    return { products: FusedMatMul(s, outByInto, tiles, { transB: 1 }), channelsFirst: true };
  }
  const intoByOut = op.Einsum(s, 'phw,oihw->pio', [table, weight]);
  return { products: op.MatMul(s, tiles, intoByOut), channelsFirst: false };
}

/** `[m², (m + 2)²]`: from the products at all positions of a tile to its results. */
function outputTransform(s: Scope, { output }: Matrices): Value {
  const [results, positions] = [output.length, (output[0] as readonly number[]).length];
  const kronecker = Array.from({ length: (results * positions) ** 2 }, (_, index) => {
    const [result, position] = [Math.floor(index / positions ** 2), index % positions ** 2];
    const [i, j, u, v] = [
      Math.floor(result / results),
      result % results,
      Math.floor(position / positions),
      position % positions,
    ];
    return at(output, i, u) * at(output, j, v);
  });
  return floatConstant(s.graph, 'float32', kronecker, [results ** 2, positions ** 2], `winograd${results}.output`);
}

interface InputTransform {
  /** `[(m + 2) · tiles, length]` */
  readonly matrix: Value;
  readonly tiles: number;
}

/** The transform of a whole axis of `length` as a matrix, in which most entries are 0: padding and overlap of tiles included. */
function inputTransform(s: Scope, { input, output }: Matrices, length: number): InputTransform {
  const [inputs, results] = [input.length, output.length];
  const tiles = Math.ceil(length / results);
  const places = inputs * tiles;
  const into = new Float32Array(places * length);
  for (let u = 0; u < inputs; u += 1) {
    for (let tile = 0; tile < tiles; tile += 1) {
      const place = u * tiles + tile;
      for (let i = 0; i < inputs; i += 1) {
        const position = tile * results + i - 1; // padding of 1
        if (position >= 0 && position < length) into[place * length + position] = at(input, u, i);
      }
    }
  }
  return { matrix: floatConstant(s.graph, 'float32', into, [places, length], `winograd${results}.input`), tiles };
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

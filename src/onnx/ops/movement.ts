/** Operators that move data without computing, each named exactly as in ONNX. */
import {
  type Dim,
  elementCount,
  emit,
  emitMany,
  floatConstant,
  int64Constant,
  type Scope,
  shapeVector,
  times,
  type Value,
} from '../graph.ts';

/**
 * Gives `x` the shape `to`. Symbolic entries become 0 (kept from the input) or −1 (deduced) where that says enough,
 * so that most shape vectors are constants even in a graph with symbolic dimensions.
 */
export function Reshape(s: Scope, x: Value, to: readonly Dim[]): Value {
  const [from, into] = [elementCount(x.shape), elementCount(to)];
  if (from !== undefined && into !== undefined && from !== into) {
    throw new RangeError(`Reshape in ${s.path}: [${x.shape}] has ${from} elements, [${to}] has ${into}.`);
  }
  const kept = to.map((dim, axis) => (typeof dim === 'string' && x.shape[axis] === dim ? 0 : dim));
  const open = kept.filter((dim) => typeof dim === 'string');
  // one length may be deduced: one that no value has yet cannot be had otherwise
  const deduced = open.find((symbol) => !s.graph.symbols.has(symbol)) ?? open[0];
  const target = kept.map((dim) => (dim === deduced ? -1 : dim));
  return emit(s, 'Reshape', [x, shapeVector(s, target)], {}, x.type, to);
}

export function Transpose(s: Scope, x: Value, perm: readonly number[]): Value {
  return emit(
    s,
    'Transpose',
    [x],
    { perm },
    x.type,
    perm.map((axis) => x.shape[axis] as Dim),
  );
}

export function Concat(s: Scope, inputs: readonly Value[], { axis }: { axis: number }): Value {
  const first = inputs[0] as Value;
  const length = inputs.reduce<Dim>((sum, value) => {
    const dim = value.shape.at(axis) as Dim;
    if (typeof sum !== 'number' || typeof dim !== 'number') throw new TypeError('Concat along a symbolic axis.');
    return sum + dim;
  }, 0);
  return emit(s, 'Concat', inputs, { axis }, first.type, first.shape.with(axis, length));
}

/** Repeats axes of length 1 up to the shape `to`. */
export function Expand(s: Scope, x: Value, to: readonly Dim[]): Value {
  return emit(s, 'Expand', [x, shapeVector(s, to)], {}, x.type, to);
}

/** Equal parts along `axis`. */
export function Split(s: Scope, x: Value, { axis, parts }: { axis: number; parts: number }): readonly Value[] {
  const length = x.shape.at(axis);
  if (typeof length !== 'number' || length % parts !== 0) {
    throw new RangeError(`Split in ${s.path}: axis ${axis} of [${x.shape}] does not part in ${parts}.`);
  }
  const shape = x.shape.with(axis, length / parts);
  return emitMany(s, 'Split', [x], { axis, num_outputs: parts }, x.type, Array(parts).fill(shape)) as readonly Value[];
}

/** The first `length` entries of `axis`; `length` may be symbolic. */
export function Slice(s: Scope, x: Value, { axis, length }: { axis: number; length: Dim }): Value {
  const inputs = [x, int64Constant(s.graph, [0]), shapeVector(s, [length]), int64Constant(s.graph, [axis])];
  return emit(s, 'Slice', inputs, {}, x.type, x.shape.with(axis, length));
}

/** Rows of a table: data `[rows, width]`, indices `[…]` → `[…, width]`. */
export function Gather(s: Scope, data: Value, indices: Value): Value {
  return emit(s, 'Gather', [data, indices], { axis: 0 }, data.type, [...indices.shape, ...data.shape.slice(1)]);
}

/**
 * Nearest-neighbour resize of an image to `height` × `width`, which lie on `axes`; source index = floor(i · in / out) as in
 * PyTorch. An exact doubling is said with scales, which more kernels have a fast path for than sizes.
 */
export function Resize(
  s: Scope,
  x: Value,
  { height, width, axes = [2, 3] }: { height: Dim; width: Dim; axes?: readonly [number, number] },
): Value {
  const [h, w] = axes.map((axis) => x.shape[axis] as Dim) as [Dim, Dim];
  const shape = x.shape.with(axes[0], height).with(axes[1], width);
  const doubled = height === times(h, 2) && width === times(w, 2);
  const scales = x.shape.map((_, axis) => (axes.includes(axis) ? 2 : 1));
  const target = doubled
    ? [undefined, floatConstant(s.graph, 'float32', scales, [4])]
    : [undefined, undefined, shapeVector(s, shape)];
  const attributes = { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' };
  return emit(s, 'Resize', [x, ...target], attributes, x.type, shape);
}

/** Strided tensors: what torch saves for a transposed, sliced or expanded tensor. Strides count elements, as in torch. */

/** Whether the elements lie dense and in C order. The stride of a dimension of size 1 means nothing. */
export function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  if (shape.includes(0)) return true;
  let expected = 1;
  for (let dimension = shape.length - 1; dimension >= 0; dimension--) {
    const size = shape[dimension]!;
    if (size !== 1 && strides[dimension] !== expected) return false;
    expected *= size;
  }
  return true;
}

/** Elements from the first to the last that the tensor touches, both included; 0 when it has none. */
export function elementSpan(shape: readonly number[], strides: readonly number[]): number {
  if (shape.includes(0)) return 0;
  return shape.reduce((last, size, dimension) => last + (size - 1) * strides[dimension]!, 1);
}

/**
 * The dense tensor, in C order. `span` holds its `elementSpan` elements of `width` bytes from the first one on and starts
 * at a multiple of 4 in its memory.
 */
export function gather(
  span: Uint8Array,
  width: 1 | 2 | 4 | 8,
  shape: readonly number[],
  strides: readonly number[],
): Uint8Array {
  // Moving unsigned words keeps every bit pattern. There is no fast 64-bit word: such an element is a last dimension of two.
  const sizes = width === 8 ? [...shape, 2] : shape;
  const steps = width === 8 ? [...strides.map((stride) => stride * 2), 1] : strides;
  const Word: WordArray = width === 1 ? Uint8Array : width === 2 ? Uint16Array : Uint32Array;
  const from = new Word(span.buffer, span.byteOffset, span.byteLength / Word.BYTES_PER_ELEMENT);
  const to = new Word(sizes.reduce((product, size) => product * size, 1));
  const last = sizes.length - 1;
  let next = 0;
  const copy = (dimension: number, start: number): void => {
    const size = sizes[dimension]!;
    const step = steps[dimension]!;
    if (dimension < last) for (let i = 0; i < size; i++) copy(dimension + 1, start + i * step);
    else for (let i = 0; i < size; i++) to[next++] = from[start + i * step]!;
  };
  copy(0, 0);
  return new Uint8Array(to.buffer);
}

interface WordArray {
  readonly BYTES_PER_ELEMENT: number;
  new (length: number): Uint8Array | Uint16Array | Uint32Array;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): Uint8Array | Uint16Array | Uint32Array;
}

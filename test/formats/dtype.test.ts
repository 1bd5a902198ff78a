import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { FormatError } from '../../src/errors.ts';
import {
  DTYPES,
  type DType,
  denseByteLength,
  fromFloat32,
  isDType,
  toFloat32,
  toFloat64,
} from '../../src/formats/dtype.ts';
import { goldenFormats } from './build.ts';

const golden = goldenFormats();

const bytesOf = (view: ArrayBufferView) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
const sha256 = (view: ArrayBufferView) => createHash('sha256').update(bytesOf(view)).digest('hex');
/** The bytes again, at an odd address. */
const unaligned = (bytes: Uint8Array) => {
  const shifted = new Uint8Array(bytes.length + 1).subarray(1);
  shifted.set(bytes);
  return shifted;
};

describe('toFloat32 and toFloat64', () => {
  it.each(Object.entries(golden.kinds))(
    'convert %s as PyTorch does, aligned or not',
    (_, { dtype, hex, float32, float64 }) => {
      if (!isDType(dtype)) throw new Error(dtype);
      const bytes = new Uint8Array(Buffer.from(hex, 'hex'));
      for (const input of [bytes, unaligned(bytes)]) {
        expect([...toFloat32(input, dtype)]).toEqual(float32.map(Number));
        expect([...toFloat64(input, dtype)]).toEqual(float64.map(Number));
      }
    },
  );

  it('cover every element type', () => {
    expect(new Set(Object.values(golden.kinds).map(({ dtype }) => dtype))).toEqual(new Set(Object.keys(DTYPES)));
  });

  it.each(['F16', 'BF16'] as const)('widen all 65,536 patterns of %s', (dtype) => {
    const values = toFloat32(bytesOf(Uint16Array.from({ length: 65536 }, (_, i) => i)), dtype);
    expect(sha256(values.map((x) => (Number.isNaN(x) ? 0 : x)))).toBe(golden.rounding[`${dtype} to float32`]);
  });

  it('give any non-zero BOOL byte as 1', () => {
    expect([...toFloat32(new Uint8Array([0, 1, 2, 255]), 'BOOL')]).toEqual([0, 1, 1, 1]);
  });

  it('refuse half an element', () => {
    expect(() => toFloat32(new Uint8Array(5), 'F32')).toThrow(FormatError);
    expect(() => toFloat64(new Uint8Array(5), 'F32')).toThrow(
      '5 bytes are not a whole number of F32 elements of 4 bytes.',
    );
  });
});

describe('fromFloat32', () => {
  it.each(['F16', 'BF16'] as const)('rounds 65,536 values over the whole range to %s as PyTorch does', (dtype) => {
    const bits = Uint32Array.from({ length: 65536 }, (_, i) => (i * 65537) % 2 ** 32);
    const rounded = new Uint16Array(fromFloat32(new Float32Array(bits.buffer), dtype).buffer);
    const values = toFloat32(bytesOf(rounded), dtype);
    expect(sha256(rounded.map((half, i) => (Number.isNaN(values[i]) ? 0 : half)))).toBe(
      golden.rounding[`float32 to ${dtype}`],
    );
  });

  it('keeps NaN a NaN, also one whose payload is in the bits that go', () => {
    const low = new Float32Array(new Uint32Array([0x7f800001, 0xff800001, 0x7fffffff]).buffer);
    expect([...toFloat32(fromFloat32(low, 'BF16'), 'BF16')]).toEqual([Number.NaN, Number.NaN, Number.NaN]);
    expect([...toFloat32(fromFloat32(low, 'F16'), 'F16')]).toEqual([Number.NaN, Number.NaN, Number.NaN]);
  });

  it('keeps a view within its bounds', () => {
    const values = new Float32Array([1, 2, 3, 4]).subarray(1, 3);
    for (const dtype of ['F32', 'F16', 'BF16'] as const)
      expect([...toFloat32(fromFloat32(values, dtype), dtype)]).toEqual([2, 3]);
  });
});

describe('denseByteLength', () => {
  it.each<[DType, number[], number | undefined]>([
    ['F32', [], 4],
    ['F16', [3, 5], 30],
    ['U8', [0, 2 ** 52, 2 ** 52], 0],
    ['U8', [2 ** 52], 2 ** 52],
    ['F64', [2 ** 52], undefined],
    ['U8', [2 ** 30, 2 ** 30], undefined],
  ])('of %s %j is %s', (dtype, shape, bytes) => {
    expect(denseByteLength(dtype, shape)).toBe(bytes);
  });
});

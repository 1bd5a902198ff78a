import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../src/formats/byte-source.ts';
import { numbersIn, readElements } from '../../src/formats/element-reader.ts';

const bytesOf = (array: Float16Array | Float32Array | Float64Array | Uint16Array) =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

describe('elements of a tensor', () => {
  const halves = Float16Array.from({ length: 300 * 300 }, (_, i) => (i % 1000) / 8);
  const file = bytesSource('a', Buffer.concat([Uint8Array.of(0, 0, 0), bytesOf(halves)]));

  it('are read where they lie, of a large tensor only those that were asked for', async () => {
    const read: number[] = [];
    const counting = {
      ...file,
      read: (offset: number, length: number) => {
        read.push(length);
        return file.read(offset, length);
      },
    };
    const found = await readElements(counting, { dtype: 'F16', shape: [300, 300], offset: 3 }, [0, 61, 89_999]);
    expect([found.length, found[0], found[1], found[61], found[89_999]]).toEqual([
      90_000,
      0,
      undefined,
      61 / 8,
      999 / 8,
    ]);
    expect(read).toEqual([2, 2, 2]);
  });

  it('of a small tensor are all there', async () => {
    expect([...Array.from(await readElements(file, { dtype: 'F16', shape: [4], offset: 3 }, [1]))]).toEqual([
      0, 0.125, 0.25, 0.375,
    ]);
  });

  it('follow strides', async () => {
    const transposed = { dtype: 'F16' as const, shape: [60, 60], strides: [1, 60], offset: 3 };
    const found = await readElements(file, transposed, [1, 60, 121]);
    expect([found[1], found[60], found[121]]).toEqual([60 / 8, 1 / 8, 62 / 8]);
  });

  it('are converted, whatever their type', () => {
    expect(numbersIn(bytesOf(Float16Array.of(0.5, -2)), 'F16')).toEqual(Float16Array.of(0.5, -2));
    expect(numbersIn(bytesOf(Float32Array.of(0.1)), 'F32')[0]).toBe(Math.fround(0.1));
    expect(numbersIn(bytesOf(Float64Array.of(0.1)), 'F64')[0]).toBe(0.1);
    expect(numbersIn(bytesOf(Uint16Array.of(0x3fc0)), 'BF16')[0]).toBe(1.5);
    const odd = Buffer.concat([Uint8Array.of(7), bytesOf(Float32Array.of(0.75))]);
    expect(numbersIn(new Uint8Array(odd).subarray(1), 'F32')[0]).toBe(0.75);
  });
});

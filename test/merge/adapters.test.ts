import { afterAll, describe, expect, it } from 'vitest';
import { toFloat64 } from '../../src/formats/dtype.ts';
import { createMerger, type LoadedTerm } from '../../src/merge/gemm.ts';
import { sliceRows } from '../../src/merge/rows.ts';
import { applyExactly, type Elements, type ExactTerm } from '../../src/verify/float64.ts';
import { cases, fileAt, golden, load, numbers, planCase } from '../helpers/adapter-cases.ts';
import { float16Steps } from '../helpers/numbers.ts';

const single = await createMerger('float32');
const half = await createMerger('float16');
afterAll(async () => {
  await golden[Symbol.asyncDispose]();
  await single[Symbol.asyncDispose]();
  await half[Symbol.asyncDispose]();
});

function exactTerm({ term, operands, inner }: LoadedTerm): ExactTerm {
  return {
    term,
    scale: term.scale,
    operands: Object.fromEntries(
      Object.entries(operands).map(([name, { bytes, dtype, shape }]) => [
        name,
        { values: toFloat64(bytes, dtype), shape },
      ]),
    ),
    ...(inner && { inner: exactTerm(inner) }),
  };
}

const values32 = (bytes: Uint8Array) => new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
const values16 = (bytes: Uint8Array) => new Float16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);

describe.each(cases.map((entry) => [entry.name, entry] as const))('%s', (_, entry) => {
  it(`is merged as its library does: ${entry.about}`, async () => {
    const { base, table, opened, terms, matched } = await planCase(entry);
    for (const [found, modules] of matched) expect(found).toBe(modules);
    for (const { name, shape } of table) {
      const wanted = await numbers(fileAt(`${entry.name}/expected/`), name);
      const expected = toFloat64(wanted.bytes, wanted.dtype);
      const largest = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
      const weight = await numbers(base, name);
      const loaded = await Promise.all((terms.get(name) ?? []).map((term) => load(opened, term)));
      const merge = { weight, shape, gain: 1, terms: loaded, transposed: false };

      const exact32 = values32((await single.merge(merge)).slice());
      for (const [i, x] of exact32.entries())
        expect(Math.abs(x - (expected[i] as number)), `${name}[${i}]`).toBeLessThan(3e-6 * largest);
      const exact16 = values16(await half.merge(merge));
      for (const [i, x] of exact16.entries())
        expect(float16Steps(x, expected[i] as number), `${name}[${i}]`).toBeLessThanOrEqual(1);

      // rows that are merged alone are the same rows
      const rows = shape[0] as number;
      const part = sliceRows(merge, 1, rows - 1);
      if (part) {
        const columns = expected.length / rows;
        expect(values32(await single.merge(part))).toEqual(exact32.slice(columns, (rows - 1) * columns));
      }
    }
  });

  it('is what the gate computes in float64', async () => {
    const { base, table, opened, terms } = await planCase(entry);
    for (const { name, shape } of table) {
      const wanted = await numbers(fileAt(`${entry.name}/expected/`), name);
      const expected = toFloat64(wanted.bytes, wanted.dtype);
      const largest = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
      const { bytes, dtype } = await numbers(base, name);
      const weight = toFloat64(bytes, dtype);
      const columns = weight.length / (shape[0] as number);
      let exact: Elements = (row, column) => weight[row * columns + column] as number;
      for (const term of terms.get(name) ?? []) exact = applyExactly(exact, shape, exactTerm(await load(opened, term)));
      for (const [i, x] of expected.entries()) {
        const found = exact(Math.floor(i / columns), i % columns);
        expect(Math.abs(found - x), `${name}[${i}]`).toBeLessThan(3e-7 * largest);
      }
    }
  });
});

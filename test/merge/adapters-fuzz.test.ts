import { afterAll, describe, expect, it } from 'vitest';
import { LcmMergeError } from '../../src/errors.ts';
import type { TensorEntry, TensorFile } from '../../src/formats/tensor-file.ts';
import { createMerger } from '../../src/merge/gemm.ts';
import { cases, golden, load, numbers, planCase } from '../helpers/adapter-cases.ts';

const merger = await createMerger('float32');
afterAll(async () => {
  await golden[Symbol.asyncDispose]();
  await merger[Symbol.asyncDispose]();
});

/** mulberry32 */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Ends of names that mean something to one kind or another. */
const PARTS = [
  'alpha',
  'lora_up.weight',
  'lora_mid.weight',
  'dora_scale',
  'hada_w1_a',
  'lokr_w1',
  'lokr_w2_b',
  'oft_blocks',
  'rescale',
  'on_input',
  'weight',
  'a1.weight',
  'diff',
  'diff_b',
  'w_norm',
];

type Edit = (entry: TensorEntry, below: (n: number) => number, all: readonly TensorEntry[]) => TensorEntry | undefined;

/** The bytes that an entry speaks of stay the file's own, so that every reading is a valid one. */
const EDITS: readonly Edit[] = [
  () => undefined,
  (entry) => ({ ...entry, shape: entry.shape.toReversed() }),
  (entry) => ({ ...entry, shape: [entry.shape.reduce((n, dim) => n * dim, 1)] }),
  (entry) => ({ ...entry, shape: [...entry.shape, 1, 1] }),
  (entry) => ({ ...entry, shape: [1, ...entry.shape] }),
  (entry) => ({ ...entry, shape: [0], byteLength: 0 }),
  (entry, below, all) => ({ ...(all[below(all.length)] as TensorEntry), name: entry.name }),
  (entry, below) => ({ ...entry, name: entry.name.replace(/\.[^.]*$/, `.${PARTS[below(PARTS.length)]}`) }),
  (entry) => ({ ...entry, dtype: 'I32' }),
  (entry) => ({ ...entry, shape: [] }),
];

const outcomes = { merged: 0, refused: 0 };

/** Bounded: so many edited files of each case. */
const FILES = 24;

describe('edited adapter files', () => {
  it.each(cases.map((entry) => [entry.name, entry] as const))('%s is merged or refused', async (name, entry) => {
    const random = seeded(name.length * 7919);
    const below = (n: number) => Math.floor(random() * n);
    for (let round = 0; round < FILES; round += 1) {
      const alter = (file: TensorFile): TensorFile => {
        const all = [...file.tensors.values()];
        const edited = all.flatMap((one) =>
          below(2) === 0 ? ((EDITS[below(EDITS.length)] as Edit)(one, below, all) ?? []) : one,
        );
        return { ...file, tensors: new Map(edited.map((one) => [one.name, one])) };
      };
      const planned = await planCase(entry, alter).catch((error: unknown) => {
        expect(error).toBeInstanceOf(LcmMergeError);
        expect((error as Error).message).toMatch(/[.!?)"]$/);
        return undefined;
      });
      outcomes[planned ? 'merged' : 'refused'] += 1;
      if (!planned) continue;
      // what was planned can be computed
      for (const { name: parameter, shape } of planned.table) {
        const weight = await numbers(planned.base, parameter);
        const terms = await Promise.all((planned.terms.get(parameter) ?? []).map((term) => load(planned.opened, term)));
        const merged = await merger.merge({ weight, shape, gain: 1, terms, transposed: false });
        expect(merged.byteLength).toBe(shape.reduce((n, dim) => n * dim, 4));
      }
    }
  });

  it('end both ways', () => {
    expect(outcomes.merged).toBeGreaterThan(cases.length);
    expect(outcomes.refused).toBeGreaterThan(cases.length);
  });
});

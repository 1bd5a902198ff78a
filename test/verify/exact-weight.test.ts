import { afterAll, describe, expect, it } from 'vitest';
import { toFloat64 } from '../../src/formats/dtype.ts';
import type { Plan, PlannedTensor } from '../../src/merge/plan.ts';
import { positionalEncoding, stretched } from '../../src/merge/positions.ts';
import { exactElements } from '../../src/verify/exact-weight.ts';
import { sampledElements } from '../../src/verify/sampled-elements.ts';
import { cases, fileAt, golden, numbers, planCase } from '../helpers/adapter-cases.ts';

afterAll(() => golden[Symbol.asyncDispose]());

describe.each(cases.map((entry) => [entry.name, entry] as const))('elements of %s', (_, entry) => {
  it(`are what its library makes of them, strengths worked out anew: ${entry.about}`, async () => {
    const { base, table, opened, terms } = await planCase(entry);
    const files = [...opened, base];
    const personalized = entry.files.map(({ strength, scale }) => ({
      alpha: strength,
      text_encoder: strength,
      blocks: {},
      scale,
    }));
    const plan = {
      recipe: { personalized },
      files: files.map((_, i) => ({ role: i < opened.length ? `personalized[${i}]` : 'base' })),
    } as unknown as Plan;
    for (const parameter of table) {
      const { name, shape } = parameter;
      const tensor: PlannedTensor = {
        ...parameter,
        component: entry.component,
        source: { file: opened.length, tensor: name },
        terms: (terms.get(name) ?? []).map((term) => ({ ...term, scale: term.scale && Number.NaN })), // not to be relied upon
        gain: 1,
      };
      const wanted = await numbers(fileAt(`${entry.name}/expected/`), name);
      const expected = toFloat64(wanted.bytes, wanted.dtype);
      const largest = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
      const indices = sampledElements(
        name,
        shape.reduce((n, dim) => n * dim, 1),
        16,
      );
      const exact = await exactElements(plan, files, tensor, indices);
      for (const [i, { value }] of exact.entries())
        expect(Math.abs(value - (expected[indices[i] as number] as number)), name).toBeLessThan(3e-7 * largest);
    }
  });
});

describe('positional encodings', () => {
  it.each([
    [32, undefined],
    [48, 32],
    [128, 24],
  ])('of %i rows (from %s) are the float32 ones within what float32 loses', async (rows, from) => {
    const channels = 40;
    const tensor = { shape: [1, rows, channels], source: null, ...(from && { stretched_from: from }) };
    const table = positionalEncoding(from ?? rows, channels);
    const made = from ? stretched(table, channels, rows) : table;
    const indices = Array.from(made.keys());
    const exact = await exactElements({} as Plan, [], tensor as unknown as PlannedTensor, indices);
    for (const [i, { value, slack }] of exact.entries())
      expect(Math.abs((made[i] as number) - value), `element ${i}`).toBeLessThanOrEqual(slack);
    expect(Math.max(...exact.map(({ slack }) => slack))).toBeLessThan(1e-4);
  });
});

import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/errors.ts';
import { createGenerator } from '../../src/runtime/noise.ts';

/** Made by `python test/oracle/noise.py`; a big draw is stored as probes and sums. */
interface Draw {
  readonly count: number;
  readonly values?: readonly number[];
  readonly probes?: readonly (readonly [number, number])[];
  readonly sum?: number;
  readonly absoluteSum?: number;
  readonly weightedSum?: number;
}

const TOLERANCE = 2e-6;
const golden = JSON.parse(await readFile('test/golden/noise.json', 'utf8')) as {
  runs: readonly { readonly seed: string; readonly draws: readonly Draw[] }[];
};

describe('createGenerator', () => {
  const named = golden.runs.map(
    (run) => [`seed ${run.seed}, ${run.draws.map((d) => d.count).join(' + ')} values`, run] as const,
  );
  it.each(named)('draws what torch.randn draws: %s', (_, { seed, draws }) => {
    const generator = createGenerator(BigInt(seed));
    for (const draw of draws) {
      const values = generator.randn(draw.count);
      expect(values).toBeInstanceOf(Float32Array);
      expect(values).toHaveLength(draw.count);
      const probes = draw.probes ?? draw.values?.map((value, i) => [i, value] as const) ?? [];
      expect(probes.length).toBeGreaterThanOrEqual(Math.min(16, draw.count));
      const worst = Math.max(0, ...probes.map(([i, value]) => Math.abs((values[i] as number) - value)));
      expect(worst).toBeLessThanOrEqual(TOLERANCE);
      if (draw.sum === undefined) continue;
      const total = (weigh: (value: number, i: number) => number) =>
        values.reduce((sum, value, i) => sum + weigh(value, i), 0);
      // Errors of about 1e-7 per value, of either sign; values in a wrong order move the weighted sum by hundreds.
      expect(Math.abs(total((value) => value) - draw.sum)).toBeLessThan(draw.count * 1e-8);
      expect(Math.abs(total(Math.abs) - (draw.absoluteSum as number))).toBeLessThan(draw.count * 1e-8);
      expect(Math.abs(total((value, i) => value * i) - (draw.weightedSum as number))).toBeLessThan(
        draw.count ** 1.5 * 4e-7,
      );
    }
  });

  it('gives the permutations of torch.randperm, among draws of normal values', async () => {
    // made by `python test/oracle/context_windows.py`
    const { permutations } = JSON.parse(await readFile('test/golden/context-windows.json', 'utf8')) as {
      permutations: readonly { readonly randn: readonly number[]; readonly randperm: readonly number[] }[];
    };
    const generator = createGenerator(9);
    for (const { randn, randperm } of permutations) {
      const values = generator.randn(randn.length);
      expect(Math.max(0, ...values.map((value, i) => Math.abs(value - (randn[i] as number))))).toBeLessThan(TOLERANCE);
      expect(generator.randperm(randperm.length)).toEqual(randperm);
    }
  });

  it('takes a number as it takes a bigint', () => {
    expect(createGenerator(-1).randn(40)).toEqual(createGenerator(2n ** 64n - 1n).randn(40));
    expect(createGenerator(42).randn(40)).toEqual(createGenerator(42n).randn(40));
    expect(createGenerator(42).randn(40)).not.toEqual(createGenerator(43).randn(40));
  });

  it.each([1.5, Number.NaN, 2 ** 53, 2n ** 64n, -(2n ** 63n) - 1n])('refuses the seed %s', (seed) => {
    expect(() => createGenerator(seed)).toThrow(UsageError);
  });
});

/** The metrics against scipy, numpy and torch; golden values by test/oracle/metrics.py. */
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { frechetDistance } from '../../src/compare/frechet.ts';
import {
  clipConsistency,
  clipSimilarity,
  motion,
  pixelDistance,
  temporalConsistency,
} from '../../src/compare/metrics.ts';

const golden = JSON.parse(await readFile('test/golden/metrics.json', 'utf8')) as {
  frechet: { a: number[][]; b: number[][]; distance: number }[];
  clip: { text: number[]; images: number[][]; similarity: number; consistency: number };
  clips: {
    count: number;
    height: number;
    width: number;
    frames: number[];
    other: number[];
    distance: number;
    consistency: number;
    motion: number;
  };
};
const rows = (values: number[][]) => values.map((row) => Float32Array.from(row));

describe('Fréchet distance', () => {
  it.each(golden.frechet.map((c) => ({ ...c, size: `${c.a.length} × ${c.a[0]?.length} against ${c.b.length}` })))(
    'is scipy’s: $size',
    ({ a, b, distance }) => {
      expect(frechetDistance(rows(a), rows(b)) / distance).toBeCloseTo(1, 6);
      expect(frechetDistance(rows(b), rows(a)) / distance).toBeCloseTo(1, 6);
    },
  );

  it('of features and themselves is nothing', () => {
    for (const { a, b } of golden.frechet) {
      expect(frechetDistance(rows(a), rows(a))).toBe(0);
      expect(frechetDistance(rows(b), rows(b))).toBe(0);
    }
  });

  it('of features that are no numbers is not told', () => {
    const [{ a } = { a: [] }] = golden.frechet;
    const broken = rows(a).with(1, new Float32Array(a[0]?.length ?? 0).fill(Number.NaN));
    expect(() => frechetDistance(broken, rows(a))).toThrow(/not finite numbers/);
  });

  it('asks for two clips, and for features of one model', () => {
    const one = [Float32Array.of(1, 2)];
    expect(() => frechetDistance(one, [...one, ...one])).toThrow(/at least two clips on each side, not 1 and 2/);
    expect(() => frechetDistance([...one, ...one], [Float32Array.of(1), Float32Array.of(2)])).toThrow(
      /different lengths/,
    );
  });
});

describe('CLIP', () => {
  const { text, images, similarity, consistency } = golden.clip;
  it('similarity and consistency are torch’s cosines', () => {
    expect(clipSimilarity(Float32Array.from(text), rows(images))).toBeCloseTo(similarity, 4);
    expect(clipConsistency(rows(images))).toBeCloseTo(consistency, 4);
    expect(clipConsistency(rows(images.slice(0, 1)))).toBe(100);
  });
});

describe('clips', () => {
  const { count, height, width, ...values } = golden.clips;
  const clip = { count, height, width, data: Uint8Array.from(values.frames) };
  const other = { ...clip, data: Uint8Array.from(values.other) };
  it('distance, consistency and motion are numpy’s', () => {
    expect(pixelDistance(clip, other)).toBeCloseTo(values.distance, 9);
    expect(temporalConsistency(clip)).toBeCloseTo(values.consistency, 9);
    expect(motion(clip)).toBeCloseTo(values.motion, 9);
  });

  it('a still is consistent, a flat frame knows nothing of another', () => {
    const still = { count: 2, height: 1, width: 2, data: Uint8Array.of(1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6) };
    expect([temporalConsistency(still), motion(still)]).toEqual([1, 0]);
    expect(temporalConsistency({ ...still, data: Uint8Array.of(1, 2, 3, 4, 5, 6, 9, 9, 9, 9, 9, 9) })).toBe(0);
    expect(temporalConsistency({ ...still, data: new Uint8Array(12).fill(7) })).toBe(1);
    expect([temporalConsistency({ ...still, count: 1 }), motion({ ...still, count: 1 })]).toEqual([1, 0]);
  });

  it('clips of different shapes are no pair', () => {
    expect(() => pixelDistance(clip, { ...clip, count: 2, data: clip.data.slice(0, 180) })).toThrow(
      /4 frames of 5×6 cannot be compared with one of 2 frames of 5×6/,
    );
  });
});

import { describe, expect, it } from 'vitest';
import type { Frames } from '../../src/runtime/frames.ts';
import { describeSeam, measureSeam } from '../../src/runtime/seam.ts';

/** Flat frames of these levels. */
function framesOf(levels: readonly number[]): Frames {
  const size = 4 * 3;
  return {
    width: 2,
    height: 2,
    count: levels.length,
    data: Uint8Array.from({ length: levels.length * size }, (_, i) => levels[Math.floor(i / size)] as number),
  };
}

describe('measureSeam', () => {
  it('divides the change across borders by the change elsewhere', () => {
    const frames = framesOf([10, 12, 14, 20, 22, 32, 34]); // changes 2 2 6 2 10 2
    const seam = measureSeam(frames, [2, 4]);
    expect(seam).toEqual({ mean: 4, worst: 5, worst_after: 4, borders: [2, 4] });
    expect(describeSeam(seam as NonNullable<typeof seam>)).toBe('seam 4.00, at worst 5.00 after frame 4');
  });

  it('is 1 where a border changes no more than the rest', () => {
    expect(measureSeam(framesOf([1, 3, 5, 7, 9]), [1])).toMatchObject({ mean: 1, worst: 1 });
  });

  it('takes the last frame and the first for neighbours where that is a border', () => {
    expect(measureSeam(framesOf([0, 2, 4, 6]), [3])).toMatchObject({ mean: 3, worst_after: 3 });
  });

  it('stays finite in a still clip with a jump, and finds none in a clip that is all still', () => {
    expect(measureSeam(framesOf([5, 5, 9, 9]), [1])?.mean).toBe(4 / 0.02);
    expect(measureSeam(framesOf([5, 5, 5, 5]), [1])?.mean).toBe(0);
  });

  it('holds borders against each other where there is nothing else, and says nothing without any', () => {
    expect(measureSeam(framesOf([0, 2, 6]), [0, 1])).toMatchObject({ mean: 1, worst: 4 / 3 });
    expect(measureSeam(framesOf([0, 2, 6]), [])).toBeUndefined();
  });
});

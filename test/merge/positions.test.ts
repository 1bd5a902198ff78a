import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { positionalEncoding, resolvePositions, stretched } from '../../src/merge/positions.ts';
import { parseRecipe } from '../../src/recipe/load.ts';

describe('positionalEncoding', async () => {
  /** Made by `python test/oracle/parameters.py` from diffusers' SinusoidalPositionalEmbedding. */
  const { positional_encodings: golden } = JSON.parse(await readFile('test/golden/parameters.json', 'utf8')) as {
    positional_encodings: readonly {
      channels: number;
      positions: number;
      rows: Readonly<Record<string, readonly number[]>>;
    }[];
  };

  it.each(golden)('is diffusers’: $channels channels', ({ channels, positions, rows }) => {
    const table = positionalEncoding(positions, channels);
    expect(table).toHaveLength(positions * channels);
    for (const [row, expected] of Object.entries(rows)) {
      const found = table.subarray(Number(row) * channels, (Number(row) + 1) * channels);
      const error = Math.max(...expected.map((value, i) => Math.abs(value - (found[i] as number))));
      // float32 frequencies differ in their last bit, which an angle of 63 rad makes 64 times larger
      expect(error).toBeLessThanOrEqual(5e-6);
    }
  });

  it('does not depend on how many rows there are', () => {
    expect(positionalEncoding(64, 32).subarray(0, 24 * 32)).toEqual(positionalEncoding(24, 32));
  });
});

describe('stretched', async () => {
  /** Made by `python test/oracle/positions.py` with torch's F.interpolate, as AnimateDiff-Evolved calls it. */
  const golden = JSON.parse(await readFile('test/golden/positions.json', 'utf8')) as readonly {
    channels: number;
    from: number;
    to: number;
    rows: readonly (readonly number[])[];
  }[];

  it.each(golden)('is torch’s interpolation: $from rows to $to', ({ channels, from, to, rows }) => {
    const found = stretched(positionalEncoding(from, channels), channels, to);
    expect(found).toHaveLength(to * channels);
    const error = Math.max(...rows.flat().map((value, i) => Math.abs(value - (found[i] as number))));
    expect(error).toBeLessThanOrEqual(5e-6);
  });

  it('begins and ends as the rows do', () => {
    const table = positionalEncoding(5, 8);
    const found = stretched(table, 8, 20);
    expect(found.subarray(0, 8)).toEqual(table.subarray(0, 8));
    expect(found.subarray(19 * 8)).toEqual(table.subarray(4 * 8));
  });
});

describe('resolvePositions', () => {
  const recipe = (positions: unknown, frames = 8) =>
    parseRecipe(
      JSON.stringify({
        name: 'x',
        base: 'b',
        motion: { module: 'm', ...(positions !== undefined && { positions }) },
        output: { frames },
      }),
      '/r.yaml',
    );

  it.each([
    [undefined, 32, { positions: 32 }],
    [undefined, undefined, { positions: 64 }],
    [32, 32, { positions: 32 }],
    [16, 32, { positions: 16 }],
    [48, 32, { positions: 48, stretched_from: 32 }],
    [96, undefined, { positions: 96, stretched_from: 64 }],
    [{ to: 48 }, 24, { positions: 48, stretched_from: 24 }],
    [{ from: 16, to: 32 }, 32, { positions: 32, stretched_from: 16 }],
    [{ from: 16, to: 16 }, 32, { positions: 16 }],
  ])('%o of a file with %s rows', (positions, stored, expected) => {
    expect(resolvePositions(recipe(positions), stored)).toEqual(expected);
  });

  it('refuses to stretch rows that are not there, and to press rows together', () => {
    expect(() => resolvePositions(recipe({ from: 40, to: 64 }), 32)).toThrow(
      /^\/r\.yaml:1:\d+: motion\.positions would stretch 40 rows to 64, but \/m has 32\. Ask for from ≤ 32\.$/,
    );
    expect(() => resolvePositions(recipe({ to: 16 }), 32)).toThrow(
      /would stretch 32 rows to 16, .* Ask for from ≤ 16\./,
    );
  });

  it('refuses more frames than rows', () => {
    expect(() => resolvePositions(recipe(8, 9), 32)).toThrow(
      /output\.frames is 9, but \/m has positional encodings for 8 frames/,
    );
    expect(() => resolvePositions(recipe(undefined, 33), 32)).toThrow(
      /Ask for 32 or fewer, or stretch them: motion\.positions: 33\./,
    );
    expect(resolvePositions(recipe(33, 33), 32)).toEqual({ positions: 33, stretched_from: 32 });
  });
});

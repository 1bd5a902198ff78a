import { describe, expect, it } from 'vitest';
import { table } from '../../src/text/columns.ts';
import { formatBytes, formatDuration, formatNumber } from '../../src/text/quantity.ts';

describe('figures', () => {
  it.each([
    [0, '0 bytes'],
    [999, '999 bytes'],
    [1000, '1.00 kB'],
    [19_251_893, '19.3 MB'],
    [99_950, '100 kB'],
    [1_813_041_929, '1.81 GB'],
    [5e15, '5000 TB'],
  ])('%d bytes', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  it.each([
    [0, '0 ms'],
    [480.4, '480 ms'],
    [12_345, '12.3 s'],
    [59_999, '60.0 s'],
    [150_000, '2 min 30 s'],
    [3_599_400, '59 min 59 s'],
    [3_599_900, '1 h 0 min'],
    [3_700_000, '1 h 2 min'],
    [1e8, '27 h 47 min'],
  ])('%d ms', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  it('numbers of float16 and float32 lose their tails', () => {
    expect(formatNumber(Math.fround(0.8))).toBe('0.8');
    expect(formatNumber(0.125)).toBe('0.125');
    expect(formatNumber(278)).toBe('278');
  });
});

describe('table', () => {
  it('makes columns as wide as their widest cell and leaves no blanks at the end', () => {
    expect(table([['role', 'n'], ['lcm', '278'], ['x']], { right: [1] })).toBe('role    n\nlcm   278\nx');
  });
});

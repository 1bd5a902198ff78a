import { expect, it } from 'vitest';
import { BLOCK_GROUPS, BLOCK_NAMES } from '../../src/architecture/block-names.ts';

it('names the 25 blocks in the order of the UNet, each in one group', () => {
  expect(BLOCK_NAMES.join(' ')).toBe(
    'IN00 IN01 IN02 IN03 IN04 IN05 IN06 IN07 IN08 IN09 IN10 IN11 M00 ' +
      'OUT00 OUT01 OUT02 OUT03 OUT04 OUT05 OUT06 OUT07 OUT08 OUT09 OUT10 OUT11',
  );
  for (const name of BLOCK_NAMES) expect(BLOCK_GROUPS).toContain(name.replace(/\d+$/, ''));
});

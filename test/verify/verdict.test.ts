import { expect, it } from 'vitest';
import { CHECKS } from '../../src/verify/gate.ts';
import { CHECK_ORDER } from '../../src/verify/verdict.ts';

it('knows the checks of the gate without loading them', () => {
  expect(Object.entries(CHECK_ORDER)).toEqual(CHECKS.map(({ id, from }) => [id, from]));
});

/** How far the keys that move about go, in lists, forms and text alike. */
import type { Move } from './keys.ts';

const PAGE = 10;

/** Lines; what goes to the sides goes none. */
export const LINES: Readonly<Record<Move, number>> = {
  up: -1,
  down: 1,
  left: 0,
  right: 0,
  'page-up': -PAGE,
  'page-down': PAGE,
  first: -Infinity,
  last: Infinity,
};

/** The place that a move leads to among `count`, from 0. */
export function moved(at: number, by: number, count: number): number {
  return Math.max(0, Math.min(count - 1, at + by));
}

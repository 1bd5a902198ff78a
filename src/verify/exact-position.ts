/**
 * One element of a motion module's positional encoding in float64, by the formula of AnimateDiff's motion_module.py: sin(p·f) on even,
 * cos(p·f) on odd channels, f = 10000^(−2i/channels); between rows where it is stretched.
 */
import type { PlannedTensor } from '../merge/plan.ts';
import type { ExactElement } from './exact-weight.ts';

/** PyTorch computes frequency and angle in float32: the angle p·f is off by some of its last bits. */
const ANGLE_ERROR = 2 ** -22;

/** `index` is in `[1, rows, channels]`. */
export function exactPosition({ shape, stretched_from }: PlannedTensor, index: number): ExactElement {
  const [, rows, channels] = shape as [number, number, number];
  const [row, channel] = [Math.floor(index / channels), index % channels];
  const frequency = 10000 ** (-(channel - (channel % 2)) / channels);
  const table = (position: number) => (channel % 2 === 0 ? Math.sin : Math.cos)(position * frequency);
  const slack = ANGLE_ERROR * (1 + rows * frequency);
  if (stretched_from === undefined) return { value: table(row), size: 1, slack };
  const place = Math.min(Math.max(0, ((row + 0.5) * stretched_from) / rows - 0.5), stretched_from - 1);
  const below = Math.floor(place);
  const [a, b] = [table(below), table(Math.min(below + 1, stretched_from - 1))];
  return { value: a + (place - below) * (b - a), size: 1, slack: slack + ANGLE_ERROR * rows };
}

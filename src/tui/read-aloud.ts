/** What is said for a screen reader in place of signs that are looked at: bars and frames are left out, marks become words. */
import { motion } from '../compare/metrics.ts';
import type { Frames } from '../runtime/frames.ts';

/** In this order. */
const SPOKEN: readonly (readonly [sign: RegExp, words: string])[] = [
  [/[█░]+ +(\d+%).*$/, '$1'], // what is worked at changes a thousand times a second
  [/[█▓▒░▁-▇▀▄▌▐]+ */g, ''],
  [/[─━│┃┌-┻╭-╰]+ */g, ''],
  [/▸ ?/g, 'selected: '],
  [/▶ ?/g, 'playing, '],
  [/‖ ?/g, 'paused, '],
  [/✓/g, 'passed'],
  [/✗/g, 'failed'],
  [/■/g, 'stopped'],
  [/● ?(unsaved)?/g, 'unsaved '],
  [/← → /g, 'left and right arrow '],
  [/↓/g, 'down arrow'],
  [/→/g, 'right arrow'],
  [/←/g, 'left arrow'],
  [/^…$/g, 'working'],
  [/^([a-z]+) +…$/, '$1'], // a stage that has nothing to tell yet
  [/^!$/g, 'warning'],
  [/^\?$/g, 'could not tell'],
  [/^·$/g, ''],
  [/ {2,}/g, ' '],
];

/** `▸1 Recipes 3` → `selected: 1 Recipes 3`. Empty for what there is nothing to say about. */
export function readAloud(text: string): string {
  return SPOKEN.reduce((said, [sign, words]) => said.replace(sign, words), text).trim();
}

/** `16 frames of 64×64, mean change 12 levels`: of 255, from each frame to the next. */
export function describeFrames(frames: Frames): string {
  const { width, height, count } = frames;
  if (count === 1) return `a picture of ${width}×${height}`;
  return `${count} frames of ${width}×${height}, mean change ${Math.round(motion(frames))} levels`;
}

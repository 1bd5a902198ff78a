import { describe, expect, it } from 'vitest';
import { describeFrames, readAloud } from '../../src/tui/read-aloud.ts';
import { RED_THEN_BLUE } from './reports.ts';

describe('readAloud', () => {
  it.each([
    ['bake  ███░░░░░   25%  conv_in.weight', 'bake 25%'],
    ['● unsaved', 'unsaved'],
    ['▸ recipes/tiny.yaml', 'selected: recipes/tiny.yaml'],
    ['▶ frame 1 of 16, 64×64', 'playing, frame 1 of 16, 64×64'],
    ['▸3 Bake ✗', 'selected: 3 Bake failed'],
    ['…', 'working'],
    ['Reading …', 'Reading …'],
    ['?', 'could not tell'],
    ['Why? No!', 'Why? No!'],
    ['·', ''],
    ['w′ = w0 + 0.8·τ(ink.safetensors)', 'w′ = w0 + 0.8·τ(ink.safetensors)'],
  ])('%j is %j', (shown, said) => {
    expect(readAloud(shown)).toBe(said);
  });
});

describe('describeFrames', () => {
  it('says how large and how lively a clip is', () => {
    // red to blue: 255 in two channels of three
    expect(describeFrames(RED_THEN_BLUE)).toBe('2 frames of 4×4, mean change 170 levels');
    const data = RED_THEN_BLUE.data.subarray(0, 48);
    expect(describeFrames({ ...RED_THEN_BLUE, count: 1, data })).toBe('a picture of 4×4');
  });
});

import { describe, expect, it } from 'vitest';
import { describePlayback, obeyPlayback, type Playback, START, tick, untilNext } from '../../src/tui/playback.ts';

const FRAMES = 16;
const given = (playback: Playback, ...times: readonly number[]) =>
  times.reduce((before, now) => tick(before, FRAMES, now), playback);

describe('a clip of 8 frames a second', () => {
  it('shows a frame for 125 ms, and the first again after the last', () => {
    const begun = given(START, 1000);
    expect(begun.at).toBe(0);
    expect(given(begun, 1124.9)).toBe(begun);
    expect(given(begun, 1125).at).toBe(1);
    const times = Array.from({ length: FRAMES }, (_, i) => 1000 + 125 * (i + 1));
    expect(given(begun, ...times)).toMatchObject({ at: 0, skipped: 0 });
  });
  it('does not drift: ticks that all come late lead to the frame of the clock', () => {
    const late = Array.from({ length: 80 }, (_, i) => 1000 + 125 * (i + 1) + 40); // ten seconds
    expect(given(given(START, 1000), ...late)).toMatchObject({ at: 80 % FRAMES, skipped: 0, due: 1000 + 81 * 125 });
  });
  it('leaves out what it has missed, and counts it', () => {
    const missed = given(given(START, 1000), 1000 + 3 * 125 + 10);
    expect(missed).toMatchObject({ at: 3, skipped: 2, due: 1000 + 4 * 125 });
    expect(describePlayback(missed, FRAMES)).toBe('▶ frame 4 of 16, 2 skipped');
  });
  it('goes on where it was when nobody has looked for longer than it lasts', () => {
    expect(given(given(START, 1000), 1125, 99_000)).toEqual({ ...START, at: 1, due: 99_125 });
  });
  it('stands still, steps and goes on at its rate', () => {
    const playing = given(START, 1000, 1125);
    const paused = obeyPlayback(playing, 'play', FRAMES);
    expect(given(paused, 5000)).toBe(paused);
    expect(untilNext(paused, 5000)).toBeUndefined();
    expect(obeyPlayback(obeyPlayback(paused, 'earlier-frame', FRAMES), 'earlier-frame', FRAMES)).toMatchObject({
      at: 15,
      playing: false,
    });
    expect(obeyPlayback(playing, 'later-frame', FRAMES)).toMatchObject({ at: 2, playing: false });
    const again = obeyPlayback(paused, 'play', FRAMES);
    expect(given(again, 6000)).toMatchObject({ at: 1, due: 6125 });
    expect(describePlayback(paused, FRAMES)).toBe('‖ frame 2 of 16');
  });
  it('says how long it is to the next frame', () => {
    expect(untilNext(START, 1000)).toBe(0);
    expect(untilNext(given(START, 1000), 1100)).toBe(25);
    expect(untilNext(given(START, 1000), 2000)).toBe(0);
  });
});

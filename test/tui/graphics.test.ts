import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { chooseGraphics } from '../../src/tui/graphics.ts';
import { QUERY } from '../../src/tui/kitty.ts';

/** A terminal that answers the query so, or never. */
function terminal(answer?: string) {
  const stdin = new PassThrough();
  let written = '';
  const stdout = new PassThrough();
  stdout.on('data', (data) => {
    written += data;
    if (written === QUERY && answer !== undefined) stdin.write(answer);
  });
  return { stdin, stdout, written: () => written };
}

const ABLE = '\u001b_Gi=31;OK\u001b\\\u001b[?62c';

describe('chooseGraphics', () => {
  it.each([
    [{ TERM: 'xterm-kitty' }, ABLE, true],
    [{ TERM: 'xterm-256color', TERM_PROGRAM: 'ghostty' }, ABLE, true],
    [{ TERM: 'xterm-ghostty' }, '\u001b[?62c', false],
    [{ TERM: 'xterm-kitty' }, undefined, false],
  ])('with %j and the answer %j: %j', async (env, answer, able) => {
    const { stdin, stdout, written } = terminal(answer);
    expect((await chooseGraphics(stdin, stdout, env)) !== undefined).toBe(able);
    expect(written()).toBe(QUERY);
  });
  it.each([
    {},
    { TERM: 'xterm-256color', TERM_PROGRAM: 'konsole' },
    { TERM: 'xterm-kitty', TMUX: '/tmp/tmux-0/default,1,0' },
    { TERM: 'xterm-kitty', LCM_MERGE_GRAPHICS: 'blocks' },
  ])('does not ask with %j', async (env) => {
    const { stdin, stdout, written } = terminal(ABLE);
    expect(await chooseGraphics(stdin, stdout, env)).toBeUndefined();
    expect(written()).toBe('');
  });
  it('gives back the keys that were pressed meanwhile', async () => {
    const { stdin, stdout } = terminal(`q${ABLE}\u001b[B`);
    await chooseGraphics(stdin, stdout, { TERM: 'xterm-kitty' });
    const keys = await new Promise((resolve) => stdin.once('readable', () => resolve(String(stdin.read()))));
    expect(keys).toBe('q\u001b[B');
  });
  it('takes a wish for granted, through tmux as well', async () => {
    const { stdin, stdout, written } = terminal();
    const graphics = await chooseGraphics(stdin, stdout, { LCM_MERGE_GRAPHICS: 'kitty', TMUX: 'x' });
    graphics?.draw({ width: 1, height: 1, count: 1, data: new Uint8Array(3) }, { columns: 1, rows: 1 }).shown?.(0);
    expect(written().startsWith('\u001bPtmux;\u001b\u001b_Ga=T,U=1,')).toBe(true);
  });
  it('says what it does not understand', async () => {
    const { stdin, stdout } = terminal();
    await expect(chooseGraphics(stdin, stdout, { LCM_MERGE_GRAPHICS: 'sixel' })).rejects.toThrow(
      'LCM_MERGE_GRAPHICS is "sixel"; expected kitty, blocks or auto.',
    );
  });
});

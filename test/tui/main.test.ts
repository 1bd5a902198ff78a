import { PassThrough, Writable } from 'node:stream';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Interruption } from '../../src/exit-codes.ts';
import { openTui } from '../../src/tui/main.tsx';
import { createServices } from '../../src/tui/services.ts';
import { RED_THEN_BLUE } from './reports.ts';

afterEach(() => vi.unstubAllEnvs());

function open() {
  let written = '';
  const stdout = Object.assign(
    new Writable({
      write(chunk: Buffer, _, done) {
        written += chunk;
        done();
      },
    }),
    { isTTY: true, columns: 80, rows: 24, getColorDepth: () => 24 },
  );
  const stdin = Object.assign(new PassThrough(), {
    isTTY: true,
    setRawMode: () => undefined,
    ref: () => undefined,
    unref: () => undefined,
  });
  const services = {
    ...createServices(),
    findRecipes: async () => [{ file: 'a.yaml' }, { file: 'recipes/tiny.yaml' }],
    findPackages: async () => [],
    readClip: async () => RED_THEN_BLUE,
  };
  return { stdin, written: () => written, left: openTui({ stdin, stdout, services }) };
}

describe('openTui', () => {
  it.each(['end', 'error'] as const)('is over when no key can come any more: %s', async (how) => {
    const { stdin, left, written } = open();
    await expect.poll(written).toContain('tiny.yaml');
    const over = expect(left).rejects.toThrow(Interruption);
    if (how === 'end') stdin.end();
    else stdin.emit('error', Object.assign(new Error('read EIO'), { code: 'EIO' }));
    await over;
    await expect(left).rejects.toThrow('SIGHUP');
    expect(written()).toContain('\u001b[?1049l');
  });

  it('is read line by line by a screen reader', async () => {
    vi.stubEnv('INK_SCREEN_READER', 'true');
    const { stdin, left, written } = open();
    await expect.poll(written).toContain('selected: a.yaml');
    expect(written()).not.toContain('\u001b[?1049h');
    expect(written()).toContain('Recipes:\n1 of 2\nselected: a.yaml');
    expect(written()).not.toMatch(/[\u2500-\u259f▸▶✓✗]/);
    stdin.write('j');
    await expect.poll(written).toContain('selected: recipes/tiny.yaml');
    stdin.write('q');
    expect(await left).toBe(0);
  });
});

import { PassThrough } from 'node:stream';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { changes, createTranscript } from '../../src/tui/transcript.ts';

const always = () => true;
const never = () => false;

describe('changes', () => {
  it('is what was not said before; what is no longer selected goes without saying', () => {
    const before = ['List:', 'selected: a', 'b', 'Keys: q quit'];
    const after = ['List:', 'a', 'selected: b', 'Keys: q quit'];
    expect(changes(before, after, never)).toEqual({ lines: ['selected: b'], known: after, isHeld: false });
    expect(changes(after, after, always).lines).toEqual([]);
  });
  it('holds back a line of which only figures have changed until it is due, and does not take it for said', () => {
    const [before, after] = [
      ['bake 10%', '1.2 MB of 3 MB'],
      ['bake 11%', '900 kB of 3 MB', 'new'],
    ];
    expect(changes(before, after, never)).toEqual({ lines: ['new'], known: [...before, 'new'], isHeld: true });
    expect(changes(before, after, always).lines).toEqual(after);
  });
});

describe('createTranscript', () => {
  let [at, written] = [0, ''];
  const open = () => {
    const terminal = new PassThrough();
    terminal.on('data', (chunk) => {
      written += chunk;
    });
    const transcript = createTranscript(terminal, () => at);
    return (picture: string) => {
      transcript.write(picture);
      vi.advanceTimersByTime(100);
      return transcript;
    };
  };
  beforeEach(() => {
    [at, written] = [0, ''];
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
  });

  it('writes on and erases nothing, and writes nothing when nothing changes', () => {
    const show = open();
    show('List:\na');
    show('List:\na');
    show('List:\na\nb');
    expect(written).toBe('\nList:\na\nb');
  });
  it('says figures at once in answer to a key, else every ten seconds, the last ones included', () => {
    const show = open();
    show('bake 1%').pressed();
    show('bake 2%');
    expect(written).toBe('\nbake 1%\nbake 2%');
    at = 5000;
    show('bake 50%');
    expect(written).not.toContain('50');
    show('bake 60%');
    at = 20_000;
    vi.advanceTimersByTime(10_000);
    expect(written).toBe('\nbake 1%\nbake 2%\nbake 60%');
  });
  it('writes what is typed as it is typed', () => {
    const show = open();
    show('List:\nFilter:');
    show('List:\nFilter: i').pressed();
    show('List:\nFilter: in').pressed();
    show('List:\nFilter: i');
    expect(written).toBe('\nList:\nFilter: in\b \b');
  });
  it('lets sequences for the terminal pass', () => {
    open()('\u001b[?2004h');
    expect(written).toBe('\u001b[?2004h');
  });
});

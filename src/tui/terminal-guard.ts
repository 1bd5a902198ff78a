/**
 * The last to leave puts the terminal in order: however the process ends, short of SIGKILL, the screen is the one that was there
 * before, with a cursor, and the keyboard answers to the shell. Ink does so itself when it is unmounted; this is for when it is not.
 */
import { writeSync } from 'node:fs';

/** Back from the alternate screen, cursor, bracketed paste, the kitty keyboard's modes, colours (xterm's ctlseqs; kitty's keyboard protocol). */
const RESTORE = '\u001b[?2004l\u001b[<u\u001b[0m\u001b[?1049l\u001b[?25h';

interface Terminal {
  readonly isTTY?: boolean | undefined;
  readonly fd?: number | undefined;
}

/** Guards until it is disposed of, which is right once Ink has been unmounted. */
export function guardTerminal(
  stdin: Terminal & { setRawMode?(wanted: boolean): unknown },
  stdout: Terminal,
): Disposable {
  const restore = () => {
    try {
      stdin.setRawMode?.(false);
      if (stdout.isTTY && stdout.fd !== undefined) writeWhole(stdout.fd, Buffer.from(RESTORE)); // nothing that waits is written any more
    } catch {
      // the terminal itself is gone
    }
  };
  process.on('exit', restore);
  return {
    [Symbol.dispose]: () => {
      process.off('exit', restore);
    },
  };
}

/** Milliseconds for a terminal that is behind. */
const LONGEST_WAIT = 2000;
const PAUSE = 5;

/** A terminal takes no more than it has room for: Node opens it so that writing there does not wait (EAGAIN). */
function writeWhole(fd: number, text: Uint8Array): void {
  const end = performance.now() + LONGEST_WAIT;
  for (let done = 0; done < text.length; ) {
    try {
      done += writeSync(fd, text, done);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN') || performance.now() > end)
        throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE); // in an exit there is no other way to wait
    }
  }
}

/** Ctrl-Z, or SIGTSTP from elsewhere: the shell gets its terminal back as it was, and `fg` brings the screen again. */
import { setTimeout as sleep } from 'node:timers/promises';
import { useApp, useInput } from 'ink';
import { useEffect, useEffectEvent } from 'react';

/** Milliseconds in which a signal to oneself arrives; whoever is stopped does not notice them pass. */
const ARRIVES = 50;

const HAS_JOBS = process.platform !== 'win32';

export function Suspend() {
  const { suspendTerminal } = useApp();
  const suspend = useEffectEvent(async () => {
    await suspendTerminal(async () => {
      process.removeAllListeners('SIGTSTP'); // what it does by itself is to stop
      process.kill(0, 'SIGTSTP'); // with npx, which the shell waits for
      await sleep(ARRIVES);
    });
  });
  useEffect(() => {
    if (!HAS_JOBS) return;
    const listen = () => {
      void suspend().finally(() => process.on('SIGTSTP', listen));
    };
    process.on('SIGTSTP', listen);
    return () => {
      process.off('SIGTSTP', listen);
    };
  }, []);
  useInput((input, key) => {
    if (key.ctrl && input === 'z' && HAS_JOBS) process.emit('SIGTSTP');
  });
  return null;
}

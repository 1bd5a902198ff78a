/** The program with its terminal UI, which fails in one way or another at SIGUSR2: `node test/tui/failing-tui.ts exception`. */
import type * as main from '../../src/cli/main.ts';

/** The build: from the sources Node takes no JSX. */
const { run } = (await import(new URL('../../dist/cli/main.js', import.meta.url).href)) as typeof main;

const FAILURES: Readonly<Record<string, () => void>> = {
  exception: () => {
    throw new Error('nobody caught this');
  },
  rejection: () => void Promise.reject(new Error('nobody awaited this')),
  exit: () => process.exit(70),
};

process.on('SIGUSR2', () => FAILURES[process.argv[2] ?? '']?.());
process.exitCode = await run([]);

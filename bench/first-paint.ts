/**
 * How long `lcm-merge` in a terminal shows nothing: from starting the process in a pseudo-terminal to the first frame that lists
 * the panes. Beside it what Node itself needs to start, and the program without its terminal UI.
 *
 *     npm run build && node bench/first-paint.ts [--runs 9] [--cli dist/cli.js]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { describeLoad, describeMachine, formatHeader, formatRow, summarize, takeTurns } from './measure.ts';

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '9' }, cli: { type: 'string', default: 'dist/cli.js' } },
});

/** Milliseconds from the start of `command` in an 80×24 terminal until `word` is on it. */
async function untilShown(command: string, word: string, keys: string): Promise<number> {
  const started = performance.now();
  const child = spawn('script', ['-qec', `stty cols 80 rows 24; exec ${command}`, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { ...process.env, TERM: 'xterm-256color' },
  });
  let text = '';
  let milliseconds = Number.NaN;
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    if (!Number.isNaN(milliseconds) || !text.includes(word)) return;
    milliseconds = performance.now() - started;
    if (keys !== '') child.stdin.write(keys);
  });
  await once(child, 'close');
  if (Number.isNaN(milliseconds)) throw new Error(`${command} never showed ${word}: ${text}`);
  return milliseconds;
}

const node = JSON.stringify(process.execPath);
const contenders = [
  { name: 'node, a word', run: () => untilShown(`${node} -p '"Recipes"'`, 'Recipes', '') },
  { name: 'lcm-merge --version', run: () => untilShown(`${node} ${values.cli} --version`, '.', '') },
  { name: 'lcm-merge, first frame', run: () => untilShown(`${node} ${values.cli}`, 'Recipes', 'q') },
];
const before = describeLoad();
const times = await takeTurns(contenders, Number(values.runs));
console.log(`${describeMachine()}, load ${before} before and ${describeLoad()} after`);
console.log(formatHeader('milliseconds'));
for (const [i, { name }] of contenders.entries()) console.log(formatRow(name, summarize(times[i] as number[])));

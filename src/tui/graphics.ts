/**
 * Which graphics a terminal has: kitty's where its name is known for them and it answers a query, half blocks elsewhere.
 * LCM_MERGE_GRAPHICS=kitty or blocks decides instead.
 */
import { createContext } from 'react';
import { UsageError } from '../errors.ts';
import { type Graphics, kittyGraphics } from './drawing.ts';
import { QUERY, readAnswer, throughTmux } from './kitty.ts';

/** Undefined: half blocks in the colours of the theme. */
export const GraphicsContext = createContext<Graphics | undefined>(undefined);

type Environment = Readonly<Record<string, string | undefined>>;

/** Konsole and others answer the query and then show no placeholders. */
const NAMES = /^(?:xterm-)?(?:kitty|ghostty)$/i;

/** The terminal is on this machine or on the other end of a line: one that has not answered by now is taken for one without pictures. */
const PATIENCE = 150;

type Input = NodeJS.ReadableStream & { setRawMode?(raw: boolean): unknown };

/** @throws UsageError for an LCM_MERGE_GRAPHICS that means nothing. */
export async function chooseGraphics(
  stdin: Input,
  stdout: NodeJS.WritableStream,
  env: Environment = process.env,
): Promise<Graphics | undefined> {
  const write = (commands: string) => void stdout.write(commands);
  switch (env['LCM_MERGE_GRAPHICS'] || 'auto') {
    case 'blocks':
      return undefined;
    case 'kitty': // whoever says so inside tmux has let it through
      return kittyGraphics(env['TMUX'] ? (commands) => write(throughTmux(commands)) : write);
    case 'auto':
      return isNamed(env) && (await answers(stdin, write)) ? kittyGraphics(write) : undefined;
    default:
      throw new UsageError(
        `LCM_MERGE_GRAPHICS is ${JSON.stringify(env['LCM_MERGE_GRAPHICS'])}; expected kitty, blocks or auto.`,
      );
  }
}

/** Inside tmux the names are those of the terminal around it, which gets nothing unless tmux lets it. */
function isNamed({ TERM = '', TERM_PROGRAM = '', TMUX }: Environment): boolean {
  return !TMUX && (NAMES.test(TERM) || NAMES.test(TERM_PROGRAM));
}

/** Keys that were pressed meanwhile are put back for whoever reads next. */
async function answers(stdin: Input, write: (query: string) => void): Promise<boolean> {
  let input = '';
  let listen: () => void = () => undefined;
  stdin.setRawMode?.(true);
  stdin.setEncoding('utf8'); // as Ink does
  const able = await new Promise<boolean>((resolve) => {
    const timer = setTimeout(() => resolve(false), PATIENCE);
    listen = () => {
      for (let chunk = stdin.read(); chunk !== null; chunk = stdin.read()) input += chunk;
      const answer = readAnswer(input);
      if (!answer) return;
      input = answer.keys;
      clearTimeout(timer);
      resolve(answer.able);
    };
    stdin.on('readable', listen);
    write(QUERY);
  });
  stdin.removeListener('readable', listen);
  stdin.setRawMode?.(false);
  if (input !== '') stdin.unshift(input);
  return able;
}

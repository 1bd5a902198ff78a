/**
 * The command line as a function: parse, run one command under one AbortSignal, write its outcome, give back the exit code. Each
 * command is loaded when it is called for, so that help and completion do not wait for onnxruntime.
 */
import { statSync } from 'node:fs';
import { EXIT_CODES, failureOf, Interruption, SIGNALS, type Signal } from '../exit-codes.ts';
import { painter, sanitise } from '../text/terminal.ts';
import { VERSION } from '../version.ts';
import { outputOptions, parseCommandLine, type Request } from './args.ts';
import type { Arguments, Invocation, Verb } from './command-table.ts';
import { type Command, type Console, createConsole, type Outcome, stopWhenUnwritable, writeResult } from './context.ts';
import { help } from './help.ts';

const LOAD: { readonly [V in Verb]: () => Promise<Command<V>> } = {
  make: async () => (await import('./commands/make.ts')).make,
  init: async () => (await import('./commands/init.ts')).init,
  plan: async () => (await import('./commands/plan.ts')).planCommand,
  bake: async () => (await import('./commands/bake.ts')).bakeCommand,
  run: async () => (await import('./commands/run.ts')).runCommand,
  verify: async () => (await import('./commands/verify.ts')).verifyCommand,
  compare: async () => (await import('./commands/compare.ts')).compareCommand,
  sweep: async () => (await import('./commands/sweep.ts')).sweepCommand,
  reproduce: async () => (await import('./commands/reproduce.ts')).reproduceCommand,
  diff: async () => (await import('./commands/diff.ts')).diffCommand,
  sign: async () => (await import('./commands/sign.ts')).signCommand,
  publish: async () => (await import('./commands/publish.ts')).publishCommand,
  pull: async () => (await import('./commands/pull.ts')).pullCommand,
  inspect: async () => (await import('./commands/inspect.ts')).inspect,
  doctor: async () => (await import('./commands/doctor.ts')).doctor,
  schema: async () => (await import('./commands/schema.ts')).schema,
  completion: async () => (await import('./commands/completion.ts')).completion,
};

/** Runs `argv` (without node and script) and resolves to the exit code; never rejects. */
export async function run(argv: readonly string[]): Promise<number> {
  const controller = new AbortController();
  const { signal } = controller;
  stopWhenUnwritable(controller);
  const options = outputOptions(argv);
  const output = createConsole(signal, options);
  const release = watchProcess(controller, output);
  try {
    return await answer(parseCommandLine(argv, kindOf), output, options.color);
  } catch (error) {
    const { LCM_MERGE_DEBUG } = process.env;
    const failure = failureOf(error, { signal, debug: Boolean(LCM_MERGE_DEBUG) });
    if (!failure.silent) await output.fail(failure).catch(() => undefined); // its exit code still tells
    return failure.exitCode;
  } finally {
    release();
  }
}

async function answer(request: Request, output: Console, color: boolean): Promise<number> {
  switch (request.kind) {
    case 'bare':
      return bare(color, output.signal);
    case 'version':
      await writeResult(`${VERSION}\n`);
      return EXIT_CODES.done;
    case 'help':
      await writeResult(help(request.verb, output.paint, process.stdout.columns));
      return EXIT_CODES.done;
    case 'run': {
      const outcome = await execute(request.invocation, output);
      const { signal } = output;
      // an interruption that comes when everything is done changes nothing; an error that nobody caught does
      if (signal.aborted && !(signal.reason instanceof Interruption)) throw signal.reason;
      await output.finish(outcome);
      return outcome.exitCode ?? EXIT_CODES.done;
    }
  }
}

/** `lcm-merge` and nothing else: the place where a terminal is offered the terminal UI. */
async function bare(color: boolean, signal: AbortSignal): Promise<number> {
  const obstacle = obstacleToScreen();
  if (obstacle === undefined) {
    const first = isRead()
      ? undefined
      : (await import('../tui/first-frame.ts')).showFirstFrame(process.stdout, process.stdin);
    try {
      (await import('../tui/quick-start.ts')).quickStart();
      const { openTui } = await import('../tui/main.tsx');
      signal.throwIfAborted();
      return await openTui({ signal }); // here, so that a screen that nobody took over is left
    } catch (error) {
      first?.leave();
      throw error;
    }
  }
  const { listRecipes, RECIPE_FOLDERS } = await import('../recipe/recipe-files.ts');
  const recipes = (await listRecipes(RECIPE_FOLDERS)).map(({ file }) => file);
  process.stderr.write(
    `${withoutScreen(obstacle, recipes)}\n\n${help(undefined, painter(process.stderr, color), process.stderr.columns)}`,
  );
  return EXIT_CODES.usage;
}

/** Is the screen for ears, for which nothing is drawn that is gone a moment later? As Ink asks it. */
function isRead(): boolean {
  return process.env['INK_SCREEN_READER'] === 'true';
}

/** Why the terminal UI cannot be shown, as the end of a sentence. */
function obstacleToScreen(): string | undefined {
  if (process.env['TERM'] === 'dumb') return 'this one cannot move its cursor (TERM=dumb)';
  if (!process.stdin.isTTY) return 'stdin is none';
  if (!process.stdout.isTTY) return 'stdout is none';
  return undefined;
}

/** So many are told; who has more knows their names. */
const MAX_RECIPES = 8;

function withoutScreen(obstacle: string, recipes: readonly string[]): string {
  const first = `lcm-merge alone opens a screen, which needs a terminal, and ${obstacle}.`;
  if (recipes.length === 0) return `${first} Give a recipe to do the same without: lcm-merge RECIPE.yaml`;
  const commands = recipes.slice(0, MAX_RECIPES).map((recipe) => `  lcm-merge ${sanitise(recipe)}`);
  const rest = recipes.length - commands.length;
  return [
    `${first} The same without, for the recipes that are here:`,
    ...commands,
    ...(rest > 0 ? [`  … and ${rest} more`] : []),
  ].join('\n');
}

async function execute<V extends Verb>(
  { verb, args }: Extract<Invocation, { verb: V }>,
  output: Console,
): Promise<Outcome> {
  const command = await LOAD[verb as V]();
  return command(args as Arguments<V>, output);
}

/** Milliseconds. npm passes Ctrl-C on to what the terminal has sent it to already: what comes so soon after is the same one. */
const ECHO = 500;

/**
 * The first signal asks everybody to stop and clean up; the second does not wait for them. An error that nobody caught is a
 * reason to stop, too: Node's own exit code for it would read as a failed verification.
 */
function watchProcess(controller: AbortController, output: Console): () => void {
  const handlers = SIGNALS.map((name) => [name, () => stop(name)] as const);
  let stopped = Number.NEGATIVE_INFINITY;
  const stop = (name: Signal) => {
    const now = performance.now();
    if (controller.signal.aborted && now - stopped > ECHO) process.exit(EXIT_CODES[name]);
    if (controller.signal.aborted) return;
    stopped = now;
    if (name === 'SIGINT' && process.stderr.isTTY)
      output.say('Stopping. Press Ctrl-C again to leave without cleaning up.');
    controller.abort(new Interruption(name));
  };
  const fault = (error: Error) => controller.abort(error);
  for (const [name, handler] of handlers) process.on(name, handler);
  process.on('uncaughtException', fault);
  return () => {
    process.off('uncaughtException', fault);
    for (const [name, handler] of handlers) process.off(name, handler);
  };
}

/** What cannot be looked at is the command's to complain of. */
function kindOf(path: string): 'file' | 'folder' | undefined {
  try {
    return statSync(path).isDirectory() ? 'folder' : 'file';
  } catch {
    return undefined;
  }
}

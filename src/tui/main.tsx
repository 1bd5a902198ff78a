/**
 * Opens the terminal UI and gives back the exit code. This module and all that it needs (Ink, React) are loaded by whoever has
 * made sure that there is a terminal to show it on.
 */
import { render, useInput } from 'ink';
import { useSyncExternalStore } from 'react';
import { Interruption } from '../exit-codes.ts';
import { App, type AppProps } from './app.tsx';
import type { Graphics } from './drawing.ts';
import { chooseGraphics, GraphicsContext } from './graphics.ts';
import { createServices, type Services } from './services.ts';
import { createStore } from './store.ts';
import { Suspend } from './suspend.tsx';
import { guardTerminal } from './terminal-guard.ts';
import { ThemeContext, themeOf } from './theme.tsx';
import { createTranscript, type Transcript } from './transcript.ts';

/** No key will ever come again: the window was closed, or the connection. */
const HANG_UPS = ['end', 'close', 'error'] as const;

/** The store decides when there is something to see: Ink, which would let every second key wait for 33 ms, does not. */
const MAX_FPS = 1000;

export interface TuiOptions {
  /** Recipes to list before those that are found. */
  readonly argv?: readonly string[];
  /** Asks it to stop its job and leave. */
  readonly signal?: AbortSignal;
  readonly services?: Services;
  readonly stdin?: NodeJS.ReadableStream;
  readonly stdout?: NodeJS.WritableStream;
}

/** With INK_SCREEN_READER=true the screen is text that goes on, one line after the other. */
const isRead = (): boolean => process.env['INK_SCREEN_READER'] === 'true';

/**
 * Resolves when it has been left: 0, or 130 after Ctrl-C. The terminal is then as it was before, also after an error.
 * @throws what a component has thrown; the reason of `signal` when that has ended it; Interruption when the terminal is gone.
 */
export async function openTui({
  argv,
  signal,
  services = createServices(argv),
  stdin = process.stdin,
  stdout = process.stdout,
}: TuiOptions = {}): Promise<number> {
  signal?.throwIfAborted();
  const store = createStore(services);
  const hangUp = new AbortController();
  const asked = AbortSignal.any([hangUp.signal, ...(signal ? [signal] : [])]);
  const gone = () => hangUp.abort(new Interruption('SIGHUP'));
  asked.addEventListener('abort', () => store.dispatch({ type: 'terminated' }), { once: true });
  for (const end of HANG_UPS) stdin.on(end, gone);
  using _ = guardTerminal(stdin as NodeJS.ReadStream, stdout as NodeJS.WriteStream);
  try {
    const transcript = isRead() ? createTranscript(stdout) : undefined;
    const graphics = await chooseGraphics(stdin, stdout);
    const { waitUntilExit } = render(
      <ThemeContext value={themeOf(stdout)}>
        <Shown graphics={graphics} store={store} edit={services.edit} />
        <Suspend />
        {transcript && <Hear pressed={transcript.pressed} />}
      </ThemeContext>,
      {
        stdin: stdin as NodeJS.ReadStream,
        stdout: (transcript ?? stdout) as NodeJS.WriteStream,
        debug: transcript !== undefined,
        interactive: true,
        alternateScreen: !isRead(),
        incrementalRendering: !isRead(),
        exitOnCtrlC: false,
        maxFps: MAX_FPS,
        patchConsole: stdout === process.stdout,
      },
    );
    const code = await waitUntilExit();
    asked.throwIfAborted();
    return code as number;
  } finally {
    for (const end of HANG_UPS) stdin.off(end, gone);
    await services[Symbol.asyncDispose]();
  }
}

function Hear({ pressed }: Pick<Transcript, 'pressed'>) {
  useInput(pressed);
  return null;
}

/** Pictures are taken away before the app ends: Ink leaves the screen first, and only then takes components away with what is theirs. */
function Shown({ graphics, store, edit }: AppProps & { readonly graphics: Graphics | undefined }) {
  const isLeaving = useSyncExternalStore(store.subscribe, () => store.state().exit !== undefined);
  return (
    <GraphicsContext value={isLeaving ? undefined : graphics}>
      <App store={store} edit={edit} />
    </GraphicsContext>
  );
}

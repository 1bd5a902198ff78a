/**
 * Opens the terminal UI and gives back the exit code. This module and all that it needs (Ink, React) are loaded by whoever has
 * made sure that there is a terminal to show it on.
 */
import { render } from 'ink';
import { useSyncExternalStore } from 'react';
import { App } from './app.tsx';
import type { Graphics } from './drawing.ts';
import { chooseGraphics, GraphicsContext } from './graphics.ts';
import { createServices, type Services } from './services.ts';
import { createStore, type Store } from './store.ts';
import { ThemeContext, themeOf } from './theme.tsx';

export interface TuiOptions {
  /** Recipes to list before those that are found. */
  readonly argv?: readonly string[];
  /** Asks it to stop its job and leave. */
  readonly signal?: AbortSignal;
  readonly services?: Services;
  readonly stdin?: NodeJS.ReadableStream;
  readonly stdout?: NodeJS.WritableStream;
}

/**
 * Resolves when it has been left: 0, or 130 after Ctrl-C. The terminal is then as it was before, also after an error.
 * @throws what a component has thrown; the reason of `signal` when that has ended it.
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
  const terminate = () => store.dispatch({ type: 'terminated' });
  signal?.addEventListener('abort', terminate, { once: true });
  try {
    const graphics = await chooseGraphics(stdin, stdout);
    const { waitUntilExit } = render(
      <ThemeContext value={themeOf(stdout)}>
        <Shown graphics={graphics} store={store} />
      </ThemeContext>,
      {
        stdin,
        stdout,
        interactive: true,
        alternateScreen: true,
        incrementalRendering: true,
        exitOnCtrlC: false,
        patchConsole: stdout === process.stdout,
      },
    );
    const code = await waitUntilExit();
    signal?.throwIfAborted();
    return code as number;
  } finally {
    signal?.removeEventListener('abort', terminate);
  }
}

/** Pictures are taken away before the app ends: Ink leaves the screen first, and only then takes components away with what is theirs. */
function Shown({ graphics, store }: { readonly graphics: Graphics | undefined; readonly store: Store }) {
  const isLeaving = useSyncExternalStore(store.subscribe, () => store.state().exit !== undefined);
  return (
    <GraphicsContext value={isLeaving ? undefined : graphics}>
      <App store={store} />
    </GraphicsContext>
  );
}

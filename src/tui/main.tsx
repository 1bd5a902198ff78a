/**
 * Opens the terminal UI and gives back the exit code. This module and all that it needs (Ink, React) are loaded by whoever has
 * made sure that there is a terminal to show it on.
 */
import { render } from 'ink';
import { App } from './app.tsx';
import { chooseGraphics, GraphicsContext } from './graphics.ts';
import { createServices, type Services } from './services.ts';
import { createStore } from './store.ts';
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
        <GraphicsContext value={graphics}>
          <App store={store} />
        </GraphicsContext>
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

/**
 * Chromium without a window, driven through the DevTools protocol (https://chromedevtools.github.io/devtools-protocol): as much of it as
 * test.ts needs to click through a page. Node has WebSocket; nothing has to be installed beside the browser.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, constants, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** The browser of $CHROMIUM, or the first that lies on the PATH. */
export async function findChromium(): Promise<string | undefined> {
  const { CHROMIUM, PATH = '' } = process.env;
  const paths = PATH.split(delimiter).flatMap((folder) => NAMES.map((name) => join(folder, name)));
  for (const path of CHROMIUM ? [CHROMIUM] : paths) {
    const isThere = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isThere) return path;
  }
  return undefined;
}

export interface Window {
  /** In CSS pixels. */
  readonly width: number;
  readonly height: number;
  readonly mobile?: boolean;
  readonly dark?: boolean;
}

export interface Page {
  goTo(url: string, window: Window): Promise<void>;
  /** The value of an expression in the page, which must be JSON; a promise is waited for. */
  evaluate<Value>(expression: string): Promise<Value>;
  /** Resolves when the expression is true. @throws after `seconds`, with what `describe` says. */
  waitFor(expression: string, seconds: number, describe?: () => Promise<string>): Promise<void>;
  /** Moves the mouse to the middle of the element and presses it. */
  click(selector: string): Promise<void>;
  /** Clicks into a field, selects what is in it and types over it. */
  fill(selector: string, text: string): Promise<void>;
  screenshot(path: string): Promise<void>;
  /** Exceptions and errors that the page and its workers reported since it was opened. */
  readonly complaints: readonly string[];
}

export interface Chromium extends AsyncDisposable {
  readonly version: string;
  open(): Promise<Page>;
}

export async function startChromium(path: string, flags: readonly string[] = []): Promise<Chromium> {
  const profile = await mkdtemp(join(tmpdir(), 'lcm-merge-chromium-'));
  const isRoot = process.getuid?.() === 0; // root has no sandbox to use
  const child = spawn(
    path,
    [
      '--headless=new',
      '--remote-debugging-port=0',
      `--user-data-dir=${profile}`,
      '--no-first-run',
      '--disable-dev-shm-usage', // containers have little of it
      ...(isRoot ? ['--no-sandbox'] : []),
      ...flags,
      'about:blank',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const wire = await connect(await debuggingAddress(child));
  const { product } = await wire.call<{ product: string }>('Browser.getVersion');
  return {
    version: product,
    open: () => openPage(wire),
    async [Symbol.asyncDispose]() {
      const exit = once(child, 'exit');
      await wire.call('Browser.close').catch(() => child.kill('SIGKILL'));
      await exit;
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** Chromium says on stderr where it listens. */
async function debuggingAddress(child: ChildProcess): Promise<string> {
  const said: string[] = [];
  for await (const line of createInterface({ input: child.stderr as NodeJS.ReadableStream })) {
    const [, address] = /^DevTools listening on (ws:\S+)/.exec(line) ?? [];
    if (address !== undefined) {
      child.stderr?.resume(); // what it says later is not read
      return address;
    }
    said.push(line);
  }
  throw new Error(`Chromium did not start. It said: ${said.slice(-5).join(' ')}`);
}

// ---------------------------------------------------------------------------------------------------- protocol

interface Wire {
  call<Result>(method: string, params?: object, sessionId?: string): Promise<Result>;
  on(listener: (message: Message) => void): void;
}

interface Message {
  readonly id?: number;
  readonly sessionId?: string;
  readonly method?: string;
  readonly params?: Record<string, unknown>;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

async function connect(address: string): Promise<Wire> {
  const socket = new WebSocket(address);
  await once(socket, 'open');
  const pending = new Map<number, PromiseWithResolvers<unknown>>();
  const listeners: ((message: Message) => void)[] = [];
  let lastId = 0;
  socket.onmessage = ({ data }) => {
    const message: Message = JSON.parse(String(data));
    for (const listener of listeners) listener(message);
    const answer = pending.get(message.id ?? -1);
    if (!answer) return;
    pending.delete(message.id as number);
    if (message.error) answer.reject(new Error(message.error.message));
    else answer.resolve(message.result);
  };
  socket.onclose = () => {
    for (const answer of pending.values()) answer.reject(new Error('Chromium has closed the connection.'));
  };
  return {
    call<Result>(method: string, params: object = {}, sessionId?: string) {
      lastId += 1;
      const answer = Promise.withResolvers<unknown>();
      pending.set(lastId, answer);
      socket.send(JSON.stringify({ id: lastId, method, params, ...(sessionId && { sessionId }) }));
      return answer.promise as Promise<Result>;
    },
    on: (listener) => void listeners.push(listener),
  };
}

async function openPage(wire: Wire): Promise<Page> {
  const { targetId } = await wire.call<{ targetId: string }>('Target.createTarget', { url: 'about:blank' });
  const { sessionId } = await wire.call<{ sessionId: string }>('Target.attachToTarget', { targetId, flatten: true });
  const call = <Result>(method: string, params: object = {}) => wire.call<Result>(method, params, sessionId);
  const complaints: string[] = [];
  wire.on((message) => {
    if (message.sessionId === sessionId) complaints.push(...complaintsIn(message));
  });
  await Promise.all(['Page', 'Runtime', 'Log'].map((domain) => call(`${domain}.enable`)));

  const evaluate = async <Value>(expression: string): Promise<Value> => {
    const { result, exceptionDetails } = await call<Evaluation>('Runtime.evaluate', {
      expression,
      awaitPromise: true,
      returnByValue: true,
    });
    if (exceptionDetails)
      throw new Error(`In the page: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
    return result.value as Value;
  };
  const press = (type: string, x: number, y: number) =>
    call('Input.dispatchMouseEvent', { type, x, y, button: 'left', clickCount: 1 });
  const click = async (selector: string) => {
    const [x, y] = await evaluate<[number, number]>(`(() => {
      const element = document.querySelector(${JSON.stringify(selector)});
      element.scrollIntoView({ block: 'center', behavior: 'instant' });
      const { x, y, width, height } = element.getBoundingClientRect();
      const point = [x + width / 2, y + height / 2];
      if (!element.contains(document.elementFromPoint(...point))) throw new Error(${JSON.stringify(selector)} + ' is covered by something else.');
      return point;
    })()`);
    await press('mouseMoved', x, y);
    await press('mousePressed', x, y);
    await press('mouseReleased', x, y);
  };
  return {
    complaints,
    evaluate,
    click,
    async goTo(url, { width, height, mobile = false, dark = false }) {
      await call('Emulation.setDeviceMetricsOverride', { width, height, mobile, deviceScaleFactor: mobile ? 2 : 1 });
      const scheme = { name: 'prefers-color-scheme', value: dark ? 'dark' : 'light' };
      await call('Emulation.setEmulatedMedia', { features: [scheme] });
      const loaded = Promise.withResolvers<void>();
      wire.on(({ method, sessionId: from }) => {
        if (method === 'Page.loadEventFired' && from === sessionId) loaded.resolve();
      });
      const { errorText } = await call<{ errorText?: string }>('Page.navigate', { url });
      if (errorText) throw new Error(`${url} cannot be opened: ${errorText}.`);
      await loaded.promise;
    },
    async waitFor(expression, seconds, describe = async () => '') {
      const until = performance.now() + 1000 * seconds;
      while (!(await evaluate<boolean>(expression))) {
        if (performance.now() > until)
          throw new Error(`${expression.slice(0, 100)} did not become true in ${seconds} s. ${await describe()}`);
        await setTimeout(100);
      }
    },
    async fill(selector, text) {
      await click(selector);
      await evaluate(`document.querySelector(${JSON.stringify(selector)}).select()`);
      await call('Input.insertText', { text });
    },
    async screenshot(path) {
      const { data } = await call<{ data: string }>('Page.captureScreenshot', { captureBeyondViewport: true });
      await writeFile(path, Buffer.from(data, 'base64'));
    },
  };
}

interface Evaluation {
  readonly result: { readonly value?: unknown };
  readonly exceptionDetails?: { readonly text: string; readonly exception?: { readonly description?: string } };
}

function complaintsIn({ method, params = {} }: Message): string[] {
  if (method === 'Runtime.exceptionThrown') {
    const { exceptionDetails } = params as unknown as Required<Pick<Evaluation, 'exceptionDetails'>>;
    return [exceptionDetails.exception?.description ?? exceptionDetails.text];
  }
  const { entry } = params as { entry?: { level: string; text: string; url?: string } };
  return method === 'Log.entryAdded' && entry?.level === 'error' ? [`${entry.text} ${entry.url ?? ''}`.trim()] : [];
}

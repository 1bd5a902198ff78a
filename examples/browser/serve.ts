/**
 * Serves a package, and the page that runs it, on this machine: `node examples/browser/serve.ts PACKAGE [--port 8080]`.
 * There is no build: browsers load the modules of the page, and those of lcm-merge that they need, with their types stripped.
 */
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { stripTypeScriptTypes } from 'node:module';
import type { AddressInfo } from 'node:net';
import { extname, join, resolve, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const PAGE = 'examples/browser';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.ts': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.wasm': 'application/wasm',
  '.json': 'application/json',
  '.txt': 'text/plain; charset=utf-8',
};

/** Only a page that shares nothing with other sites may use threads in WebAssembly. */
const ISOLATION = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

/** What of the project browsers may see. */
const SERVED = [
  /^examples\/browser\/[\w-]+\.(html|css|ts)$/,
  /^examples\/browser\/node_modules\/onnxruntime-web\/dist\/[\w.-]+\.(mjs|wasm)$/,
  /^src\/[\w/-]+\.ts$/,
];

/** The file that a URL's path stands for, or undefined. */
function fileOf(path: string, packageFolder: string): string | undefined {
  const inPackage = path.startsWith('/package/') ? resolve(packageFolder, path.slice('/package/'.length)) : undefined;
  if (inPackage) return inPackage.startsWith(packageFolder + sep) ? inPackage : undefined;
  const name = path.slice(1);
  return SERVED.some((pattern) => pattern.test(name)) ? join(ROOT, name) : undefined;
}

async function answer(request: IncomingMessage, response: ServerResponse, packageFolder: string): Promise<void> {
  const send = (status: number, headers: Record<string, string | number>, body?: string) =>
    response
      .writeHead(status, { ...ISOLATION, 'Cache-Control': 'no-cache', ...headers })
      .end(request.method === 'HEAD' ? undefined : body);
  if (request.method !== 'GET' && request.method !== 'HEAD') return void send(405, { Allow: 'GET, HEAD' });
  const { pathname, search } = new URL(request.url ?? '/', 'http://localhost');
  if (pathname === '/') return void send(302, { Location: `/${PAGE}/index.html${search}` });
  const file = fileOf(decodeURIComponent(pathname), packageFolder);
  const found = file === undefined ? undefined : await stat(file).catch(() => undefined);
  if (file === undefined || !found?.isFile()) return void send(404, {}, `There is no ${pathname} here.\n`);
  const type = TYPES[extname(file)] ?? 'application/octet-stream';
  if (extname(file) === '.ts' && !pathname.startsWith('/package/')) {
    const code = Buffer.from(stripTypeScriptTypes(await readFile(file, 'utf8')));
    return void send(200, { 'Content-Type': type, 'Content-Length': code.length }, code.toString());
  }
  const tag = `"${found.size.toString(16)}-${found.mtimeMs.toString(16)}"`;
  if (request.headers['if-none-match'] === tag) return void send(304, { ETag: tag });
  const headers = { 'Content-Type': type, 'Content-Length': found.size, ETag: tag };
  if (request.method === 'HEAD') return void send(200, headers);
  response.writeHead(200, { ...ISOLATION, 'Cache-Control': 'no-cache', ...headers });
  await pipeline(createReadStream(file), response);
}

export interface Serving extends AsyncDisposable {
  /** With a slash at its end. */
  readonly url: string;
}

/** Serves on `port` (0 takes any that is free) of this machine alone. */
export async function serve(packageFolder: string, port = 0): Promise<Serving> {
  const folder = resolve(packageFolder);
  const server = createServer((request, response) => {
    answer(request, response, folder).catch(() => response.destroy()); // the browser went away, or a file did
  });
  const listening = Promise.withResolvers<void>();
  server.once('error', listening.reject).listen(port, '127.0.0.1', listening.resolve);
  await listening.promise;
  const { port: taken } = server.address() as AddressInfo;
  return {
    url: `http://localhost:${taken}/`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}

/** What is missing for the page to work, as a sentence. */
export async function whatIsMissing(packageFolder: string): Promise<string | undefined> {
  const isThere = (path: string) =>
    stat(path).then(
      () => true,
      () => false,
    );
  if (!(await isThere(join(packageFolder, 'unet', 'model.onnx'))))
    return `${packageFolder} is no package: it has no unet/model.onnx. Make one with: npx lcm-merge recipes/tiny.yaml`;
  if (!(await isThere(join(ROOT, PAGE, 'node_modules/onnxruntime-web'))))
    return `onnxruntime-web is not installed. Install it with: npm ci --prefix ${PAGE}`;
  return undefined;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { port: { type: 'string', default: '8080' } },
  });
  const [folder, ...more] = positionals;
  const port = Number(values.port);
  if (folder === undefined || more.length > 0 || !(Number.isInteger(port) && port >= 0 && port < 65536)) {
    console.error('Usage: node examples/browser/serve.ts PACKAGE [--port 8080]');
    return 2;
  }
  const missing = await whatIsMissing(folder);
  if (missing) {
    console.error(missing);
    return 66;
  }
  try {
    const { url } = await serve(folder, port);
    console.log(`${folder} runs at ${url} (ends with Ctrl-C)`);
    return 0;
  } catch (error) {
    console.error(`Port ${port} cannot be used: ${(error as Error).message}. Choose another one with --port.`);
    return 69;
  }
}

if (import.meta.main) process.exitCode = await main();

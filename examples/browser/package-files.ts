/**
 * The files of a package on a web server. How many files the weights of a graph have stands in config.json, where transformers.js
 * looks for it too; how large they are stands in the lock, or the server says it.
 */

export interface Part {
  readonly path: string;
  readonly bytes: number;
}

/** A graph and its weights, which it names by their file names. */
export interface GraphFiles {
  readonly graph: Part;
  readonly weights: readonly Part[];
}

export type Lock = {
  readonly name?: string;
  readonly outputs?: Readonly<Record<string, { readonly bytes: number }>>;
  readonly recipe?: {
    readonly sampler?: { readonly steps?: number; readonly guidance?: number };
    readonly output?: Readonly<Partial<Record<'frames' | 'width' | 'height', number>>> & { readonly dtype?: string };
    readonly verify?: {
      readonly prompt?: string;
      readonly negative?: string;
      readonly prompt_weights?: boolean;
      readonly seed?: number;
    };
  };
};

const nameOf = (path: string) => path.slice(path.lastIndexOf('/') + 1);

/** Every answer but 404 and 2xx is an error. */
async function ask(url: URL, init: RequestInit = {}): Promise<Response | undefined> {
  const response = await fetch(url, init).catch((error: unknown) => {
    throw new Error(`${url.href} cannot be fetched: ${reasonOf(error)}. Is the server still running?`);
  });
  if (response.status === 404) return undefined;
  if (!response.ok)
    throw new Error(`${url.href} cannot be fetched: the server answered ${response.status} ${response.statusText}.`);
  return response;
}

export const reasonOf = (error: unknown) =>
  (error instanceof Error ? error.message : String(error)).replace(/[.\s]+$/, '');

/** Throws where there is no such file. */
export async function fetchBytes(base: string, path: string): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await fetchIfThere(base, path);
  if (bytes) return bytes;
  throw new Error(`${path} is not there: ${base} is not the folder of a package, or not the whole of it.`);
}

export async function fetchIfThere(base: string, path: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  return (await ask(new URL(path, base)))?.bytes();
}

export async function fetchJson(base: string, path: string): Promise<Record<string, unknown>> {
  return parse(await fetchBytes(base, path), path);
}

/** The lock, or an empty one for packages of other tools. */
export async function fetchLock(base: string): Promise<Lock> {
  const path = 'lcm-merge.lock.json';
  const bytes = await fetchIfThere(base, path);
  return bytes ? parse(bytes, path) : {};
}

function parse(bytes: Uint8Array, path: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof value === 'object' && value !== null) return { ...value };
    throw new Error('it holds no object');
  } catch (error) {
    throw new Error(`${path} cannot be read: ${reasonOf(error)}.`);
  }
}

/** Which files a component's graph has. `names` are the graphs that would do, the best one first. */
export async function findGraph(
  base: string,
  folder: string,
  names: readonly string[],
  lock: Lock,
): Promise<GraphFiles> {
  const config = await fetchJson(base, `${folder}/config.json`);
  const graph = await firstThere(
    base,
    names.map((name) => `${folder}/${name}`),
    lock,
  );
  if (!graph) throw new Error(`${folder}/model.onnx is not there: ${base} is not the folder of a package.`);
  const weights = Array.from({ length: weightFiles(config) }, async (_, i) => {
    const path = `${folder}/model.onnx_data${i === 0 ? '' : `_${i}`}`;
    const part = await firstThere(base, [path], lock);
    if (!part) throw new Error(`${path} is not there, where ${graph.path} keeps its weights.`);
    return part;
  });
  return { graph, weights: await Promise.all(weights) };
}

/** Target graphs (model.webgpu.onnx) lie over the weights of model.onnx. */
function weightFiles(config: Record<string, unknown>): number {
  const custom = config['transformers.js_config'] as { use_external_data_format?: unknown } | undefined;
  const format = custom?.use_external_data_format;
  const count =
    typeof format === 'object' && format !== null ? (format as Record<string, unknown>)['model.onnx'] : format;
  return count === undefined ? 1 : Number(count);
}

async function firstThere(base: string, paths: readonly string[], lock: Lock): Promise<Part | undefined> {
  for (const path of paths) {
    const bytes = lock.outputs?.[path]?.bytes;
    if (bytes !== undefined) return { path, bytes };
    if (lock.outputs) continue; // it lists everything
    const response = await ask(new URL(path, base), { method: 'HEAD' });
    if (response) return { path, bytes: Number(response.headers.get('content-length') ?? 0) };
  }
  return undefined;
}

/**
 * Downloads a file into memory of its size; `onBytes` hears of every piece. Throws when it ends early, or is longer than it should be:
 * the package on the server is then not the one that the lock describes.
 */
export async function download(
  base: string,
  part: Part,
  onBytes: (n: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const response = await ask(new URL(part.path, base));
  if (!response?.body) throw new Error(`${part.path} is not there: the package is not whole.`);
  const data = allocate(part);
  let at = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read().catch((error: unknown) => {
      throw new Error(`The download of ${part.path} broke off after ${at} of ${part.bytes} bytes: ${reasonOf(error)}.`);
    });
    if (done) break;
    if (at + value.length > data.length) {
      throw new Error(
        `${part.path} has more than the ${part.bytes} bytes that were announced: the package is damaged.`,
      );
    }
    data.set(value, at);
    at += value.length;
    onBytes(value.length);
  }
  if (at !== data.length) throw new Error(`The download of ${part.path} ended after ${at} of ${part.bytes} bytes.`);
  return data;
}

function allocate({ path, bytes }: Part): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(bytes);
  } catch {
    throw new Error(
      `${path} has ${bytes} bytes, more than this browser holds in one piece. Bake the package with output.max_shard_bytes: 1800MB.`,
    );
  }
}

/** A graph with everything that onnxruntime-web needs to load it. */
export async function downloadGraph(base: string, files: GraphFiles, onBytes: (path: string, n: number) => void) {
  const fetchPart = (part: Part) => download(base, part, (n) => onBytes(part.path, n));
  const graph = await fetchPart(files.graph);
  const externalData: { path: string; data: Uint8Array<ArrayBuffer> }[] = [];
  for (const part of files.weights) externalData.push({ path: nameOf(part.path), data: await fetchPart(part) });
  return { graph, externalData };
}

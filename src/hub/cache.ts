/**
 * The cache of what was fetched: contents by their SHA-256, small records of what the Hub has said, and folders of links in which a
 * content has the name and the neighbours that it has in its repository. Everything appears by rename, so that any number of
 * processes may use it at once; all of it can be removed at any time.
 *
 *     blobs/ab/abcd…                          a content
 *     partial/sha256-abcd….HOST-PID-N.part    one that is being fetched (partial.ts)
 *     records/12/1234….json                   { key, value }, by the SHA-256 of the key
 *     files/HOST/OWNER/NAME/COMMIT/LAYOUT/…   links to contents
 */
import { createHash } from 'node:crypto';
import { link, mkdir, readFile, readlink, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { z } from 'zod';
import { ioError } from '../formats/byte-source.ts';
import { jsonIn } from '../formats/json.ts';

export interface Blob {
  readonly sha256: string;
  readonly bytes: number;
}

export interface CacheKey {
  readonly endpoint: string;
  readonly repo: string;
  /** A commit or digest; a revision or tag when what is recorded is its commit or digest. */
  readonly at: string;
  readonly path: string;
  /**
   * What is recorded: of the Hub a revision's commit, what stands at a path, the content of a file, the licence of a commit; of a
   * registry a tag's digest, a manifest, a blob's upload that has been begun.
   */
  readonly kind: 'commit' | 'target' | 'content' | 'license' | 'digest' | 'manifest' | 'upload';
}

export interface Cache {
  readonly folder: string;
  /** For contents on their way in; in the file system of the blobs. */
  readonly partial: string;
  blobPath(sha256: string): string;
  /** Whether the content is here, and as long as it should be. */
  has(blob: Blob): Promise<boolean>;
  /** Removes a content that has been damaged. */
  discard(blob: Blob): Promise<void>;
  /** What was recorded under `key`; undefined when nothing was, or nothing that `schema` takes. */
  recall<Value>(key: CacheKey, schema: z.ZodType<Value>): Promise<Value | undefined>;
  record(key: CacheKey, value: unknown): Promise<void>;
  forget(key: CacheKey): Promise<void>;
  /** Gives contents their names in the folder `at`, and returns its path. */
  arrange(at: readonly string[], files: Readonly<Record<string, Blob>>): Promise<string>;
}

/** Addresses of uploads may let whoever knows them write there. */
const PRIVATE: ReadonlySet<CacheKey['kind']> = new Set(['upload']);

let serial = 0;

/** Of this process alone; for names of files that are about to get another. */
export function uniqueSuffix(): string {
  serial += 1;
  return `${process.pid}-${serial}`;
}

/** Makes nothing yet. All functions throw IoError where the file system refuses. */
export function openCache(folder: string): Cache {
  const blobPath = (sha256: string) => join(folder, 'blobs', sha256.slice(0, 2), sha256);
  const recordPath = (key: CacheKey) => {
    const name = createHash('sha256').update(canonical(key)).digest('hex');
    return join(folder, 'records', name.slice(0, 2), `${name}.json`);
  };
  return {
    folder,
    partial: join(folder, 'partial'),
    blobPath,
    has: ({ sha256, bytes }) =>
      stat(blobPath(sha256)).then(
        (found) => found.isFile() && found.size === bytes,
        () => false,
      ),
    discard: ({ sha256 }) => remove(blobPath(sha256)),
    async recall(key, schema) {
      const text = await readFile(recordPath(key), 'utf8').catch(() => undefined);
      if (text === undefined) return undefined;
      const parsed = z.looseObject({ key: z.unknown(), value: schema }).safeParse(jsonIn(text));
      return parsed.success ? (parsed.data.value as z.output<typeof schema>) : undefined;
    },
    async record(key, value) {
      const path = recordPath(key);
      const mode = PRIVATE.has(key.kind) ? 0o600 : 0o666; // less what umask takes
      await appear(path, (fresh) => writeFile(fresh, `${JSON.stringify({ key, value })}\n`, { flush: true, mode }));
    },
    forget: (key) => remove(recordPath(key)),
    async arrange(at, files) {
      const root = join(folder, 'files', ...at);
      for (const [name, { sha256 }] of Object.entries(files)) {
        const path = join(root, name);
        const target = relative(dirname(path), blobPath(sha256));
        const found = await readlink(path).catch(() => undefined);
        if (found === target) continue;
        await appear(path, (fresh) =>
          // where symbolic links are not allowed (Windows), a second name for the same file serves as well
          symlink(target, fresh).catch(() => link(blobPath(sha256), fresh)),
        );
      }
      return root;
    },
  };
}

/** @throws IoError */
async function remove(path: string): Promise<void> {
  await rm(path, { force: true }).catch((error: unknown) => {
    throw cacheError('remove', path, error);
  });
}

function canonical({ endpoint, kind, repo, at, path }: CacheKey): string {
  return JSON.stringify([endpoint, kind, repo, at, path]);
}

/** `make` makes it under another name beside its place, and there it is moved. @throws IoError */
async function appear(path: string, make: (fresh: string) => Promise<void>): Promise<void> {
  const fresh = `${path}.${uniqueSuffix()}.new`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await make(fresh);
    await rename(fresh, path);
  } catch (error) {
    await rm(fresh, { force: true }).catch(() => undefined);
    throw cacheError('write', path, error);
  }
}

/** An error of the file system in the cache, with what can be done about it. */
export function cacheError(action: string, path: string, error: unknown): unknown {
  if (!(error instanceof Error && 'syscall' in error)) return error;
  const failure = ioError(action, path, error);
  failure.message += ' The cache can be elsewhere: set LCM_MERGE_CACHE to a folder that can be written and has room.';
  return failure;
}

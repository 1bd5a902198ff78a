/**
 * The stage between loading and planning: every hf:// reference becomes the path of a local copy. Of a folder in diffusers' layout
 * only what a merge reads is fetched. What is fetched is held to a lock when one is known: the same reference must still be the
 * same bytes.
 */
import { join, posix } from 'node:path';
import { isShardIndex } from '../architecture/diffusers-folder.ts';
import { FormatError, InputMissingError, UnavailableError } from '../errors.ts';
import type { Stage } from '../events.ts';
import { type Blob, type Cache, openCache } from '../hub/cache.ts';
import { download, type RemoteFile } from '../hub/download.ts';
import { explain } from '../hub/failures.ts';
import type { Wire } from '../hub/http.ts';
import { type HubWireOptions, openHubWire } from '../hub/hub-wire.ts';
import { isReference, parseReference, type Reference } from '../hub/reference.ts';
import { NotCached, notCached, openRepository, type Repository } from '../hub/repository.ts';
import { type HubSettings, readHubSettings } from '../hub/settings.ts';
import { quote } from '../text/quote.ts';
import { filesBeside, filesOfFolder, readShards, weightsIn } from './fetch-choice.ts';
import { findLocked, type LockedInputs, refuseOtherContent } from './fetch-lock.ts';
import { mapInputs, namedInputs, type Wanted } from './input-files.ts';
import { type KeyPath, keyName } from './located-yaml.ts';
import { atKey, recipeMistake } from './place.ts';
import type { FetchedFile, Origin, Recipe } from './schema.ts';

export interface FetchOptions extends HubWireOptions {
  readonly lock?: LockedInputs | undefined;
  /** Default: what the environment says. */
  readonly settings?: HubSettings | undefined;
}

interface Context {
  readonly recipe: Recipe;
  readonly cache: Cache;
  readonly settings: HubSettings;
  readonly wire: Wire | undefined;
  readonly options: FetchOptions;
}

interface Input {
  readonly key: KeyPath;
  readonly text: string;
  readonly reference: Reference;
  readonly wanted: Wanted;
}

/** An input whose repository has been asked what there is. */
interface Found extends Input {
  readonly repository: Repository;
  /** A folder's own place in the repository: what paths are relative to. */
  readonly folder: string | undefined;
  readonly files: readonly RemoteFile[];
  /** Everything that there is beside it, for the shards that an index will name. */
  readonly listed: ReadonlyMap<string, RemoteFile>;
}

/**
 * Fetches every input that `recipe` names by a reference, and gives back the recipe with local paths and their `origins`. A recipe
 * without references comes back as it is, without an event.
 * @throws InputMissingError for what is not there, or not in the cache when offline; UnavailableError when the Hub does not answer or
 * does not give it; FormatError for content that is not what the repository, or the lock, says; IoError
 */
export async function* fetchInputs(recipe: Recipe, options: FetchOptions = {}): Stage<Recipe> {
  const inputs = namedInputs(recipe).flatMap(([key, text, wanted]): Input[] => {
    const reference = isReference(text) ? parseReference(text) : undefined;
    if (reference === undefined) return [];
    if ('fault' in reference) throw new FormatError(reference.fault);
    return [{ key, text, reference, wanted }];
  });
  if (inputs.length === 0) return recipe;
  const started = performance.now();
  const settings = options.settings ?? (await readHubSettings());
  const wire = openHubWire(settings, options);
  const context: Context = { recipe, cache: openCache(settings.cache), settings, wire, options };
  const { host } = new URL(settings.endpoint);
  yield {
    type: 'stage-started',
    stage: 'fetch',
    subject: `${inputs.length} of the inputs, from ${wire ? host : 'the cache'}`,
  };

  const found: Found[] = [];
  for (const input of inputs) found.push(await locate(input, context));
  for (const { text, repository } of found.filter((one) => one.repository.remembered)) {
    yield {
      type: 'warning',
      stage: 'fetch',
      message: `${text} is taken at commit ${repository.commit}, as it was when it was last fetched.`,
    };
  }

  const progress: Progress = {
    done: 0,
    total: found.flatMap(({ files }) => files).reduce((sum, { bytes }) => sum + bytes, 0),
    fetched: 0,
  };
  const origins: Record<string, Origin> = {};
  for (const input of found) origins[keyName(input.key)] = yield* obtain(input, context, progress);

  yield {
    type: 'stage-finished',
    stage: 'fetch',
    milliseconds: performance.now() - started,
    summary:
      progress.fetched === 0
        ? 'all in the cache'
        : `${progress.fetched} of ${progress.done} bytes downloaded, the rest was in the cache`,
  };
  return { ...mapInputs(recipe, (path, key) => origins[keyName(key)]?.local ?? path), origins };
}

interface Progress {
  /** Bytes of the files that are here. */
  done: number;
  total: number;
  /** Bytes that came over the network. */
  fetched: number;
}

/** Asks the repository, and decides which files are needed. */
async function locate(input: Input, context: Context): Promise<Found> {
  const { settings, cache, wire } = context;
  const { endpoint, token } = settings;
  const { key, reference, wanted, text } = input;
  return located(input, context, async () => {
    const pinned = findLocked(context.options.lock, key, text)?.commit;
    const repository = await openRepository(reference, {
      endpoint,
      hasToken: token !== undefined,
      cache,
      wire,
      ...(context.options.lock?.pin && { pinned }),
    });
    const target = await repository.target(filesBeside(reference.path));
    if (target.kind === 'file') {
      if (wanted === 'folder')
        throw recipeMistake(context.recipe, key, `A folder is needed here, but ${quote(text, 200)} is a file.`);
      const files = [target.file, ...target.beside];
      for (const file of files) holdToLock(input, file, undefined, repository, context);
      return { ...input, repository, folder: undefined, files, listed: new Map() };
    }
    const prefix = reference.path === '' ? '' : `${reference.path}/`;
    const listed = new Map(target.files.map((file) => [file.path.slice(prefix.length), file]));
    if (wanted === 'file') {
      const what = prefix === '' ? 'a whole repository' : 'a folder';
      throw recipeMistake(
        context.recipe,
        key,
        `A file is needed here, but ${quote(text, 200)} is ${what}.${weightsIn(target.files)}`,
      );
    }
    const names = filesOfFolder(key, new Set(listed.keys()), context.recipe);
    const files = names.map((name) => listed.get(name) as RemoteFile);
    if (files.length === 0) {
      throw recipeMistake(
        context.recipe,
        key,
        `${quote(text, 200)} is not such a folder as is needed here, with the names that diffusers gives.${weightsIn(target.files)}`,
      );
    }
    for (const file of files) holdToLock(input, file, undefined, repository, context);
    return { ...input, repository, folder: reference.path, files, listed };
  });
}

/** Brings every file of `input` into the cache and gives the copies their names. */
async function* obtain(input: Found, context: Context, progress: Progress): Stage<Origin> {
  const { repository, folder, listed, text } = input;
  const { cache, settings } = context;
  const files = new Map<string, { readonly blob: Blob; readonly name: string }>();
  const queue = [...input.files];
  for (const file of queue) {
    const blob = yield* one(file);
    const name = folder ? posix.relative(folder, file.path) : file.path;
    files.set(file.path, { blob, name });
    if (folder !== undefined && isShardIndex(name)) {
      const shards = await located(input, context, () =>
        readShards(cache.blobPath(blob.sha256), file.path, name, listed),
      );
      queue.push(...shards);
      progress.total += shards.reduce((sum, { bytes }) => sum + bytes, 0);
    }
  }
  // apart by field, so that what one needs of a folder is never found by another
  const layout = folder === undefined ? 'file' : input.key.filter((step) => typeof step === 'string').join('.');
  const place = [
    encodeURIComponent(new URL(settings.endpoint).host),
    ...repository.reference.repo.split('/'),
    repository.commit,
    layout,
  ];
  if (folder) place.push(...folder.split('/'));
  const root = await cache.arrange(
    place,
    Object.fromEntries([...files.values()].map(({ blob, name }) => [name, blob])),
  );
  const copies = [...files].map(([path, { blob, name }]): [string, FetchedFile] => [
    path,
    { local: join(root, name), ...blob },
  ]);
  const local = folder === undefined ? (copies[0] as (typeof copies)[number])[1].local : root;
  const license = await located(input, context, () => repository.license());
  return {
    reference: text,
    commit: repository.commit,
    ...(license !== undefined && { license }),
    local,
    files: Object.fromEntries(copies),
  };

  async function* one(file: RemoteFile): Stage<Blob> {
    const before = progress.done;
    const tell = (bytes: number) => {
      progress.done = before + bytes;
      return {
        type: 'progress',
        stage: 'fetch',
        done: progress.done,
        total: progress.total,
        unit: 'bytes',
        detail: file.path,
      } as const;
    };
    const here = await repository.cached(file);
    if (here === undefined) {
      const downloading = await located(input, context, async () => start(file));
      const next = () => located(input, context, () => downloading.next());
      let step = await next();
      try {
        for (; !step.done; step = await next()) yield tell(step.value);
      } finally {
        await downloading.return(undefined as never); // who stops listening leaves no file open
      }
      await repository.remember(file, step.value);
      progress.fetched += file.bytes;
      holdToLock(input, file, step.value, repository, context);
      yield tell(file.bytes);
      return step.value;
    }
    holdToLock(input, file, here, repository, context);
    yield tell(file.bytes);
    return here;
  }

  function start(file: RemoteFile) {
    if (!context.wire) throw notCached({ ...input.reference, path: file.path });
    const { signal } = context.options;
    return download(repository.url(file), file, { wire: context.wire, cache, label: text, signal });
  }
}

function holdToLock(
  input: Input,
  file: RemoteFile,
  blob: Blob | undefined,
  { commit }: Repository,
  context: Context,
): void {
  const { lock } = context.options;
  if (lock) refuseOtherContent(lock, context.recipe, { ...input, file, blob, commit });
}

/** Runs `work`; what goes wrong with the Hub is reported at the line that names the input. */
async function located<Result>(input: Input, context: Context, work: () => Promise<Result>): Promise<Result> {
  const { endpoint, token } = context.settings;
  try {
    return await work();
  } catch (thrown) {
    const error = explain(thrown, { reference: input.reference, endpoint, hasToken: token !== undefined });
    if (error instanceof NotCached) throw missing(`${error.message} Fetch it once: ${fetchCommand(context)}`);
    if (error instanceof InputMissingError) throw missing(error.message);
    if (error instanceof UnavailableError)
      throw new UnavailableError(atKey(context.recipe, input.key, error.reason).message, error.remedy);
    throw error;
  }

  function missing(sentence: string): InputMissingError {
    const { message, place, problem } = atKey(context.recipe, input.key, sentence);
    return new InputMissingError(message, place, [problem]);
  }
}

/** What to type, with the variables of the environment that forbid it out of the way. */
function fetchCommand({ recipe, settings }: Context): string {
  const quoted = /^[\w./@+-]+$/.test(recipe.file) ? recipe.file : `'${recipe.file.replaceAll("'", "'\\''")}'`;
  return [...settings.offline.map((name) => `${name}=`), 'lcm-merge', 'plan', quoted].join(' ');
}

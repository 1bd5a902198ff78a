/**
 * The things in a folder that may be part of a recipe: files of weights, and folders whose files belong together as diffusers lays
 * them out. Told from names alone, shallow ones first, within limits, and each folder once however links lead to it.
 */
import { readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { MOTION_ADAPTER_WEIGHTS } from '../architecture/diffusers-folder.ts';
import { InputMissingError } from '../errors.ts';
import { ioError } from '../formats/byte-source.ts';
import { describeMissing, kindOf } from '../recipe/input-files.ts';

/** `pipeline`: a whole model, or a package. `component`: one network with its config. */
export interface Candidate {
  readonly path: string;
  readonly kind: 'file' | 'pipeline' | 'component';
}

export interface Candidates {
  readonly candidates: readonly Candidate[];
  /** What was not looked at, as a sentence. */
  readonly left_out?: string;
}

/** A Hugging Face cache puts its files four folders deep; a library of models seldom more than two. */
const MAX_DEPTH = 6;
/** Names that are looked at. A disk given by mistake has millions. */
const MAX_NAMES = 20_000;
/** Whose headers are read then: a few milliseconds each. */
const MAX_CANDIDATES = 1000;

const WEIGHT_FILE = /\.(safetensors|ckpt|pt|pth|bin|gguf)$/i;
/** Folders that hold no models, however many files they have. */
const NO_MODELS = /^(\.|node_modules$|__pycache__$)/;

/** @throws InputMissingError, IoError for a `folder` that is none or cannot be listed; one below it is passed over. */
export async function findCandidates(folder: string, signal?: AbortSignal): Promise<Candidates> {
  if ((await kindOf(folder)) !== 'folder')
    throw new InputMissingError(await describeMissing(folder, 'folder'), { file: folder });
  let looked = 0;
  const seen = new Set<string>();
  const candidates: Candidate[] = [];
  let level = [folder];
  for (let depth = 0; level.length > 0; depth++) {
    const below: string[] = [];
    for (const path of level) {
      signal?.throwIfAborted();
      const place = await realpath(path).catch(() => path);
      if (seen.has(place)) continue;
      seen.add(place);
      const entries = await listing(path, path === folder);
      looked += entries.length;
      if (looked > MAX_NAMES || candidates.length > MAX_CANDIDATES)
        return { candidates: candidates.slice(0, MAX_CANDIDATES), left_out: tooMuch(folder, path) };
      const names = new Set(entries.map(({ name }) => name));
      const kind = folderKind(names);
      if (kind) candidates.push({ path, kind });
      for (const { name, isFolder } of entries) {
        if (!isFolder && WEIGHT_FILE.test(name) && !(kind === 'component' && MOTION_ADAPTER_WEIGHTS.includes(name)))
          candidates.push({ path: join(path, name), kind: 'file' });
        if (isFolder && kind === undefined && !NO_MODELS.test(name)) below.push(join(path, name));
      }
    }
    if (depth === MAX_DEPTH && below.length > 0)
      return { candidates, left_out: `Folders more than ${MAX_DEPTH} deep in ${folder} were not looked at.` };
    level = below;
  }
  return { candidates };
}

const tooMuch = (folder: string, path: string) =>
  `${folder} holds more than can be looked at (${MAX_NAMES} names, ${MAX_CANDIDATES} files of weights); what comes from ${path} on was left out. Name a folder further down.`;

function folderKind(names: ReadonlySet<string>): Exclude<Candidate['kind'], 'file'> | undefined {
  if (names.has('model_index.json') || (names.has('unet') && names.has('text_encoder'))) return 'pipeline';
  return names.has('config.json') && MOTION_ADAPTER_WEIGHTS.some((name) => names.has(name)) ? 'component' : undefined;
}

async function listing(path: string, must: boolean): Promise<{ name: string; isFolder: boolean }[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch((error: unknown) => {
    if (must) throw ioError('scandir', path, error);
    return [];
  });
  const found = await Promise.all(
    entries.map(async (entry) => ({
      name: entry.name,
      isFolder: entry.isSymbolicLink()
        ? await stat(join(path, entry.name)).then(
            (target) => target.isDirectory(),
            () => false, // whoever opens it says that it leads nowhere
          )
        : entry.isDirectory(),
    })),
  );
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

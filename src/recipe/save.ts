/**
 * Writes a recipe's file whole or not at all: beside its place first, then moved there. One that is replaced must still hold what it is
 * taken to hold, a link stays a link, and the file keeps its mode and its byte order mark; a new one takes no other's place.
 */
import { randomUUID } from 'node:crypto';
import { access, constants, copyFile, link, open, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { IoError, RecipeError, UsageError } from '../errors.ts';
import { ioError, ioReason } from '../formats/byte-source.ts';

const BYTE_ORDER_MARK = '\uFEFF';

export interface SaveOptions {
  /** The text that the file is taken to hold. */
  readonly replaces: string;
}

/** @throws RecipeError when the file holds something else than `replaces`; IoError when writing fails, which leaves it as it was. */
export async function saveRecipe(file: string, text: string, { replaces }: SaveOptions): Promise<void> {
  try {
    const target = await realpath(file).catch(unlessMissing(file));
    const found = await readFile(target, 'utf8').catch(unlessMissing(undefined));
    const mark = found?.startsWith(BYTE_ORDER_MARK) ? BYTE_ORDER_MARK : '';
    if (found?.slice(mark.length) !== replaces) throw new RecipeError([changed(file, found)], { file });
    await access(target, constants.W_OK); // renaming would not ask
    const { mode } = await stat(target);
    await writeBeside(target, mark + text, (partial) => rename(partial, target), mode & 0o7777);
  } catch (error) {
    if (error instanceof RecipeError) throw error;
    throw new IoError(`The recipe ${file} cannot be saved: ${ioReason(error)}.`, { file }, { cause: error });
  }
}

/** Writes `text` to `file`, which must not be there yet. @throws UsageError when it is, IoError when it cannot be written. */
export async function createRecipe(file: string, text: string): Promise<void> {
  if (!(await tryCreateRecipe(file, text))) throw existsAlready(file);
}

/** The same, and false where the name is taken. */
export async function tryCreateRecipe(file: string, text: string): Promise<boolean> {
  try {
    await writeBeside(file, text, (partial) => linkOrCopy(partial, file));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw ioError('write', file, error);
  }
}

export const existsAlready = (file: string) =>
  new UsageError(`${file} exists already, and nothing is written over it. Choose another name.`);

/** `put` brings the written file to `target`; whatever is left of it goes. `mode` holds whatever the umask says. */
async function writeBeside(
  target: string,
  text: string,
  put: (partial: string) => Promise<void>,
  mode?: number,
): Promise<void> {
  const partial = join(dirname(target), `.${basename(target)}.${randomUUID()}.partial`);
  const handle = await open(partial, 'wx');
  try {
    await using _ = handle;
    if (mode !== undefined) await handle.chmod(mode);
    await handle.writeFile(text);
    await handle.sync();
    await put(partial);
  } finally {
    await rm(partial, { force: true });
  }
}

/** Where a file system knows no hard links, link(2) says one of these. */
const NO_LINKS: ReadonlySet<string | undefined> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

/** Unlike a rename these refuse where something stands. */
async function linkOrCopy(partial: string, file: string): Promise<void> {
  await link(partial, file).catch((error: NodeJS.ErrnoException) => {
    if (!NO_LINKS.has(error.code)) throw error;
    return copyFile(partial, file, constants.COPYFILE_EXCL);
  });
}

function changed(file: string, found: string | undefined): string {
  return found === undefined
    ? `${file} is not there any more, so it is not saved. Save the recipe under another name, or put the file back.`
    : `${file} has been changed by something else since it was read, so it is not overwritten. Read it again, or save under another name.`;
}

const unlessMissing =
  <T>(instead: T) =>
  (error: NodeJS.ErrnoException): T => {
    if (error.code === 'ENOENT') return instead;
    throw error;
  };

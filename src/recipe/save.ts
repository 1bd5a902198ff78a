/**
 * Writes a recipe whole or not at all: beside its place first, then moved there. A link stays a link, the file keeps its mode and its
 * byte order mark, and what somebody else has written in the meantime is not overwritten.
 */
import { access, constants, open, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { IoError, RecipeError } from '../errors.ts';
import { ioReason } from '../formats/byte-source.ts';

const BYTE_ORDER_MARK = '\uFEFF';
/** As open(2) makes files, before the umask. */
const NEW_FILE_MODE = 0o666;

export interface SaveOptions {
  /** The text that the file is taken to hold; undefined where there must be no such file yet. */
  readonly replaces: string | undefined;
}

/** @throws RecipeError when the file holds something else than `replaces`; IoError when writing fails, which leaves it as it was. */
export async function saveRecipe(file: string, text: string, { replaces }: SaveOptions): Promise<void> {
  try {
    const target = await realpath(file).catch(unlessMissing(file));
    const found = await readFile(target, 'utf8').catch(unlessMissing(undefined));
    const mark = found?.startsWith(BYTE_ORDER_MARK) ? BYTE_ORDER_MARK : '';
    if (found?.slice(mark.length) !== replaces) throw new RecipeError([changed(file, found, replaces)], { file });
    const mode = found === undefined ? NEW_FILE_MODE : (await stat(target)).mode & 0o7777;
    if (found !== undefined) await access(target, constants.W_OK); // renaming would not ask
    await replaceFile(target, mark + text, mode, found !== undefined);
  } catch (error) {
    if (error instanceof RecipeError) throw error;
    throw new IoError(`The recipe ${file} cannot be saved: ${ioReason(error)}.`, { file }, { cause: error });
  }
}

async function replaceFile(target: string, text: string, mode: number, isOld: boolean): Promise<void> {
  const partial = join(dirname(target), `.${basename(target)}.${process.pid}.partial`);
  const handle = await open(partial, 'w', mode);
  try {
    await using _ = handle;
    if (isOld) await handle.chmod(mode); // whatever the umask says
    await handle.writeFile(text);
    await handle.sync();
    await rename(partial, target);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}

function changed(file: string, found: string | undefined, replaces: string | undefined): string {
  if (found === undefined)
    return `${file} is not there any more, so it is not saved. Save the recipe under another name, or put the file back.`;
  if (replaces === undefined) return `${file} is there already, so it is not overwritten. Choose another name.`;
  return `${file} has been changed by something else since it was read, so it is not overwritten. Read it again, or save under another name.`;
}

const unlessMissing =
  <T>(instead: T) =>
  (error: NodeJS.ErrnoException): T => {
    if (error.code === 'ENOENT') return instead;
    throw error;
  };

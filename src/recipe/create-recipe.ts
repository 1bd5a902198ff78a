/** A new recipe file: whole or not at all, and never over another file. */
import { randomUUID } from 'node:crypto';
import { constants, copyFile, link, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { UsageError } from '../errors.ts';
import { ioError } from '../formats/byte-source.ts';

/** Where a file system knows no hard links, link(2) says one of these. */
const NO_LINKS: ReadonlySet<string | undefined> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

/** Writes `text` to `file`, which must not be there yet. @throws UsageError when it is, IoError when it cannot be written. */
export async function createRecipe(file: string, text: string): Promise<void> {
  if (!(await tryCreateRecipe(file, text))) throw existsAlready(file);
}

export const existsAlready = (file: string) =>
  new UsageError(`${file} exists already, and nothing is written over it. Choose another name.`);

/** The same, and false where the name is taken. */
export async function tryCreateRecipe(file: string, text: string): Promise<boolean> {
  const partial = join(dirname(file), `.${basename(file)}.${randomUUID()}.partial`);
  try {
    await writeFile(partial, text, { flag: 'wx', flush: true });
    await link(partial, file).catch((error: NodeJS.ErrnoException) => {
      if (!NO_LINKS.has(error.code)) throw error;
      return copyFile(partial, file, constants.COPYFILE_EXCL);
    });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw ioError('write', file, error);
  } finally {
    await rm(partial, { force: true });
  }
}

/** The files of a package as a comparison sees them: what the gate hashes, without verification, its model card, and signature. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FormatError, InputMissingError } from '../../errors.ts';
import { CARD_FILE, hasCard } from '../../export/model-card.ts';
import { describeMissing, kindOf } from '../../recipe/input-files.ts';
import { readLock } from '../../runtime/lock-file.ts';
import { pathInPackage } from '../../runtime/package-folder.ts';
import { SIGNATURE_FILE } from '../../sign/manifest.ts';
import { VERIFICATION_FOLDER } from '../../verify/report.ts';

export interface PackageFiles {
  readonly folder: string;
  /** Bytes by name, in the order of the names. */
  readonly sizes: ReadonlyMap<string, number>;
}

/** Without it nothing else of the layout means anything. */
const UNET = 'unet/model.onnx';

/**
 * Lists, and reads the lock only.
 * @throws InputMissingError when there is no such folder; FormatError when it is no package, its lock is damaged, or it holds a link,
 * which could lead anywhere
 */
export async function listPackage(folder: string): Promise<PackageFiles> {
  const kind = await kindOf(folder);
  if (kind === 'nothing') throw new InputMissingError(await describeMissing(folder, 'folder'), { file: folder });
  if (kind !== 'folder') throw new FormatError(`${folder} is a ${kind}; a package is a folder.`, { file: folder });
  const entries = (await readdir(folder, { recursive: true, withFileTypes: true })).filter(
    (entry) => !entry.isDirectory(),
  );
  const odd = entries.find((entry) => !entry.isFile());
  if (odd) {
    const path = join(odd.parentPath, odd.name);
    const what = odd.isSymbolicLink() ? 'a symbolic link' : 'a device, pipe or socket';
    throw new FormatError(
      `${path} is ${what}; a package is compared by its own files only. Put a copy of it in place.`,
      {
        file: path,
      },
    );
  }
  const later = new Set([SIGNATURE_FILE, ...(hasCard(await readLock(folder)) ? [CARD_FILE] : [])]);
  const names = entries
    .map((entry) => pathInPackage(folder, join(entry.parentPath, entry.name)))
    .filter((name) => !later.has(name) && !name.startsWith(`${VERIFICATION_FOLDER}/`))
    .sort();
  if (!names.includes(UNET)) throw new FormatError(`${folder} is no package: it has no ${UNET}.`, { file: folder });
  const sizes = names.map(async (name) => [name, (await stat(join(folder, name))).size] as const);
  return { folder, sizes: new Map(await Promise.all(sizes)) };
}

/** Whether a folder holds a package, whole, as its own lock describes it. */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LOCK_FILE, type Lock } from '../../src/export/lock.ts';
import { CARD_FILE } from '../../src/export/model-card.ts';
import { PROVENANCE_FILE } from '../../src/export/provenance.ts';

/**
 * The lock of the package in `folder`, or undefined when there is no such folder.
 * @throws Error saying what is missing, damaged or too much: something that looks like a package and is none.
 */
export async function completePackage(folder: string): Promise<Lock | undefined> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => undefined);
  if (!entries) return undefined;
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
  if (!files.includes(LOCK_FILE)) throw new Error(`${folder} has no ${LOCK_FILE}.`);
  const lock = JSON.parse(await readFile(join(folder, LOCK_FILE), 'utf8')) as Lock;
  const expected = [LOCK_FILE, PROVENANCE_FILE, CARD_FILE, ...Object.keys(lock.outputs)].sort();
  if (files.sort().join() !== expected.join()) throw new Error(`${folder} has ${files}; its lock lists ${expected}.`);
  for (const [file, { sha256, bytes }] of Object.entries(lock.outputs)) {
    const data = await readFile(join(folder, file));
    if (data.length !== bytes || createHash('sha256').update(data).digest('hex') !== sha256)
      throw new Error(`${folder}/${file} is not what its lock says.`);
  }
  return lock;
}

/**
 * A base that lcm-merge has made already carries a lock: lcm-merge.lock.json in its folder, or the same text in the metadata of a
 * weight file. A LoRA that the lock lists is in those weights, and adding it again would count it twice.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import { describeIssues, parseJsonText } from '../architecture/config-file.ts';
import { FormatError, InputMissingError, MergeError } from '../errors.ts';
import { openFile, readSmallFile } from '../formats/byte-source.ts';
import type { TensorFile } from '../formats/tensor-file.ts';

const LOCK_FILE = 'lcm-merge.lock.json';
/** Key of the safetensors metadata that holds the lock's text. */
export const LOCK_METADATA = 'lcm_merge.lock';
/** A lock lists a few inputs, outputs and globs; the largest recipe has 1 MB. */
const MAX_LOCK_BYTES = 8 << 20;
/** Of a LoRA, hashed at a time. */
const CHUNK = 1 << 20;

/** As much of a lock as the question needs. */
const lock = z.looseObject({
  inputs: z.array(z.looseObject({ role: z.string(), file: z.string(), sha256: z.string() })),
});

interface Merged {
  /** Where the lock was found. */
  readonly where: string;
  readonly inputs: readonly { readonly role: string; readonly file: string; readonly sha256: string }[];
}

/**
 * Compares the recipe's LoRAs with what the base's locks list; without a lock nothing is read.
 * @throws MergeError naming the LoRA and the lock, FormatError for a lock that cannot be read.
 */
export async function refuseDoubleMerge(
  base: { readonly folders: readonly string[]; readonly files: readonly TensorFile[] },
  loras: readonly { readonly role: string; readonly path: string }[],
): Promise<void> {
  const locks = [...(await locksInFolders(base.folders)), ...locksInFiles(base.files)];
  if (locks.length === 0) return;
  for (const { role, path } of loras) {
    const sha256 = await digest(path);
    for (const { where, inputs } of locks) {
      const merged = inputs.find((input) => input.sha256 === sha256);
      if (!merged) continue;
      throw new MergeError(
        `${path} (${role}) is merged into the base already: ${where} lists the same file as ${merged.role} (${merged.file}, ` +
          `sha256 ${sha256.slice(0, 12)}…). Leave it out, or take the base that it was merged into.`,
        { file: path },
      );
    }
  }
}

async function locksInFolders(folders: readonly string[]): Promise<Merged[]> {
  const locks: Merged[] = [];
  for (const folder of folders) {
    const where = join(folder, LOCK_FILE);
    const bytes = await readSmallFile(where, MAX_LOCK_BYTES).catch((error: unknown) => {
      if (error instanceof InputMissingError) return undefined;
      throw error;
    });
    if (bytes) locks.push(parse(bytes, where, where));
  }
  return locks;
}

function locksInFiles(files: readonly TensorFile[]): Merged[] {
  return files.flatMap(({ source: { name }, metadata }) => {
    const text = metadata[LOCK_METADATA];
    return text === undefined ? [] : [parse(Buffer.from(text), `${name} (metadata ${LOCK_METADATA})`, name)];
  });
}

function parse(bytes: Uint8Array, where: string, file: string): Merged {
  const parsed = lock.safeParse(parseJsonText(bytes, where), { reportInput: true });
  if (parsed.success) return { where, inputs: parsed.data.inputs };
  throw new FormatError(
    `${where} is not a lock that lcm-merge wrote: ${describeIssues(parsed.error.issues)}. What is merged into this base cannot be told; get a sound copy of it.`,
    { file },
  );
}

async function digest(path: string): Promise<string> {
  await using source = await openFile(path);
  const hash = createHash('sha256');
  for (let at = 0; at < source.size; at += CHUNK) hash.update(await source.read(at, Math.min(CHUNK, source.size - at)));
  return hash.digest('hex');
}

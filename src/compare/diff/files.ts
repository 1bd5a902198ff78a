/** Which files of two packages are the same to the last byte. Of one that is not, reading ends at the first piece that differs. */
import { join } from 'node:path';
import type { Stage } from '../../events.ts';
import { openFile } from '../../formats/byte-source.ts';
import { readAhead } from '../../merge/read-ahead.ts';
import type { FileDifferences } from '../../sign/manifest.ts';
import type { PackageFiles } from './package-files.ts';
import type { Tracker } from './tracker.ts';

export interface FileComparison extends FileDifferences {
  /** Of every file that both have: how many bytes from the first on are known to be the same in both. */
  readonly equalUpTo: ReadonlyMap<string, number>;
}

/** Bytes that are compared at a time: reads of this size keep a disk busy, and two of each package fit a core's cache. */
const PIECE = 1 << 20;

/** `altered`, `missing` and `added` as seen from `a`: missing in `b`, added by `b`. */
export async function* compareContents(a: PackageFiles, b: PackageFiles, tracker: Tracker): Stage<FileComparison> {
  const common = [...a.sizes.keys()].filter((name) => b.sizes.has(name));
  const equalUpTo = new Map<string, number>();
  tracker.setLeft(common.reduce((sum, name) => sum + (a.sizes.get(name) as number), 0));
  for (const name of common) {
    const sameSize = a.sizes.get(name) === b.sizes.get(name);
    equalUpTo.set(name, sameSize ? yield* equalStart(join(a.folder, name), join(b.folder, name), name, tracker) : 0);
  }
  return {
    equalUpTo,
    altered: common.filter(
      (name) => equalUpTo.get(name) !== a.sizes.get(name) || a.sizes.get(name) !== b.sizes.get(name),
    ),
    missing: [...a.sizes.keys()].filter((name) => !b.sizes.has(name)),
    added: [...b.sizes.keys()].filter((name) => !a.sizes.has(name)),
  };
}

/** How many bytes of two files of one size are the same before the first piece that differs. */
async function* equalStart(first: string, second: string, name: string, tracker: Tracker): Stage<number> {
  await using stack = new AsyncDisposableStack();
  const [a, b] = [stack.use(await openFile(first)), stack.use(await openFile(second))];
  const pieces = Array.from({ length: Math.ceil(a.size / PIECE) }, (_, i) => {
    return { at: i * PIECE, bytes: Math.min(PIECE, a.size - i * PIECE) };
  });
  const reading = readAhead(pieces, ({ at, bytes }, scratch) =>
    Promise.all([a.read(at, bytes, scratch.take(bytes)), b.read(at, bytes, scratch.take(bytes))]),
  );
  for await (const [{ at, bytes }, [x, y]] of reading) {
    if (Buffer.compare(x, y) !== 0) return at;
    yield tracker.advance(bytes, name);
  }
  return a.size;
}

/**
 * What differs between two packages, from what was asked for to what came of it: knobs, sources, weights, graphs, files, verification.
 * Reads, and writes nothing. Files that are the same are read once; of those that differ, what differs is read again.
 */
import type { Stage } from '../../events.ts';
import { LOCK_FILE } from '../../export/lock.ts';
import { readLock } from '../../runtime/lock-file.ts';
import { count } from '../../text/quantity.ts';
import { REPORT_FILE, readFindings, VERIFICATION_FOLDER } from '../../verify/report.ts';
import { compareContents, type FileComparison } from './files.ts';
import { type GraphDifference, graphDifferences } from './graphs.ts';
import { type KnobDifference, knobDifferences } from './knobs.ts';
import { listPackage, type PackageFiles } from './package-files.ts';
import { type SourcePair, sourcePairs } from './sources.ts';
import { compareWeights, type PartDistance } from './tensors.ts';
import { createTracker } from './tracker.ts';
import { type VerificationDifference, verificationDifference } from './verification.ts';

export interface PackageDiff {
  readonly a: DiffSide;
  readonly b: DiffSide;
  /** Every file, verification and signature left aside, is the same to the last bit. */
  readonly identical: boolean;
  /** Null where a package has no lock. */
  readonly knobs: readonly KnobDifference[] | null;
  readonly sources: readonly SourcePair[] | null;
  readonly weights: readonly PartDistance[];
  readonly graphs: readonly GraphDifference[];
  readonly files: {
    readonly same: number;
    readonly altered: readonly string[];
    readonly only_a: readonly string[];
    readonly only_b: readonly string[];
  };
  /** Null where a package has no report. */
  readonly verification: VerificationDifference | null;
  /** What could not be compared and why, as sentences. */
  readonly absent: readonly string[];
}

export interface DiffSide {
  /** What it is called: its folder, or a reference. */
  readonly package: string;
  readonly files: number;
  readonly bytes: number;
}

export interface DiffOptions {
  /** What the two are called, if not by their folders. */
  readonly names?: readonly [string, string] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** @throws InputMissingError, FormatError for what is no package, or whose lock, report or a graph is damaged; IoError */
export async function* diffPackages(
  folderA: string,
  folderB: string,
  { names = [folderA, folderB], signal }: DiffOptions = {},
): Stage<PackageDiff> {
  const started = performance.now();
  yield { type: 'stage-started', stage: 'diff', subject: names.join(' and ') };
  const [a, b] = [await listPackage(folderA), await listPackage(folderB)];
  const [lockA, lockB] = [await readLock(folderA), await readLock(folderB)];
  const [foundA, foundB] = [await readFindings(folderA), await readFindings(folderB)];
  const tracker = createTracker(signal);
  const contents = yield* compareContents(a, b, tracker);
  const { altered, missing, added } = contents;
  const weights = yield* compareWeights(a, b, contents, tracker);
  const graphs = await graphDifferences(a, b, contents);
  const identical = altered.length + missing.length + added.length === 0;
  yield {
    type: 'stage-finished',
    stage: 'diff',
    milliseconds: performance.now() - started,
    summary: identical ? 'the same to the last bit' : summarise(contents, weights),
  };
  return {
    a: sideOf(names[0], a),
    b: sideOf(names[1], b),
    identical,
    knobs: lockA && lockB ? knobDifferences(lockA, lockB) : null,
    sources: lockA && lockB ? sourcePairs(lockA, lockB) : null,
    weights,
    graphs,
    files: { same: a.sizes.size - altered.length - missing.length, altered, only_a: missing, only_b: added },
    verification: foundA && foundB ? verificationDifference(foundA, foundB) : null,
    absent: [
      ...lacking([lockA, lockB], LOCK_FILE, 'knobs and sources'),
      ...lacking([foundA, foundB], `${VERIFICATION_FOLDER}/${REPORT_FILE}`, 'verdicts and times'),
    ],
  };
}

const sideOf = (name: string, { sizes }: PackageFiles): DiffSide => ({
  package: name,
  files: sizes.size,
  bytes: [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0),
});

function summarise({ altered, missing, added }: FileComparison, weights: readonly PartDistance[]): string {
  const tensors = weights.reduce((sum, { differ }) => sum + differ, 0);
  return `${count(altered.length + missing.length + added.length, 'file')} and ${count(tensors, 'tensor')} differ`;
}

function lacking([a, b]: readonly unknown[], file: string, what: string): string[] {
  if (a !== undefined && b !== undefined) return [];
  const who = a === b ? 'Neither has' : a === undefined ? 'A has no' : 'B has no';
  return [`${who} ${file}: ${what} are not compared.`];
}

/**
 * A package on its way to publication: every file of it, and what forbids to publish it. `publish` asks this of the package and
 * again of its copy, the preview of the package, so that what the one refuses the other does, too.
 */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FormatError, InputMissingError } from '../errors.ts';
import type { CheckVerdict, Stage } from '../events.ts';
import { digestInSteps } from '../export/digest.ts';
import type { FileDigest } from '../export/lock.ts';
import { kindOf } from '../recipe/input-files.ts';
import { pathInPackage } from '../runtime/package-folder.ts';
import { REPORT_FILE, readReport, type StoredReport, VERIFICATION_FOLDER } from '../verify/report.ts';
import type { Refusal } from './refusal.ts';

export interface CandidateFile {
  /** In the package, with forward slashes. */
  readonly name: string;
  readonly bytes: number;
}

export interface Candidate {
  readonly folder: string;
  readonly verdict: CheckVerdict | 'not verified';
  /** Milliseconds since 1970. */
  readonly verifiedAt?: number;
  readonly report?: StoredReport;
  /** Everything that is sent, the verification included, by name. */
  readonly files: readonly CandidateFile[];
  readonly bytes: number;
  /** What shows without reading the files. */
  readonly refusals: readonly Refusal[];
}

/** Reads the report and lists the files; quick, whatever their size. @throws InputMissingError when there is no package. */
export async function openCandidate(folder: string): Promise<Candidate> {
  if ((await kindOf(folder)) !== 'folder')
    throw new InputMissingError(`The package ${folder} is not there, or is no folder.`, { file: folder });
  const { report, refusal } = await reportOf(folder);
  const entries = (await readdir(folder, { recursive: true, withFileTypes: true })).filter(
    (entry) => !entry.isDirectory(),
  );
  const odd = entries.find((entry) => !entry.isFile());
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const files = await Promise.all(
    paths.map(async (path) => ({ name: pathInPackage(folder, path), bytes: (await stat(path)).size })),
  );
  files.sort((a, b) => (a.name < b.name ? -1 : 1));
  return {
    folder,
    verdict: report?.verdict ?? 'not verified',
    ...(report && { report, verifiedAt: (await stat(join(folder, VERIFICATION_FOLDER, REPORT_FILE))).mtimeMs }),
    files,
    bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
    refusals: [
      ...(refusal ? [refusal] : []),
      ...(odd ? [refuseOdd(folder, join(odd.parentPath, odd.name), odd.isSymbolicLink())] : []),
      ...(report && !odd ? differences(folder, report, new Set(files.map(({ name }) => name))) : []),
    ],
  };
}

/**
 * Hashes every file and holds it to the report. `done` of `total` bytes are behind it when it begins.
 * Returns the digests in the order of the files.
 */
export async function* checkBytes(
  { folder, files, report }: Candidate,
  { done, total, action, signal }: { done: number; total: number; action: string; signal?: AbortSignal | undefined },
): Stage<{ readonly digests: readonly FileDigest[]; readonly refusals: readonly Refusal[] }> {
  const digests: FileDigest[] = [];
  const told = report && expected(report);
  const other: string[] = [];
  for (const { name } of files) {
    const digesting = digestInSteps(join(folder, name), signal);
    let step = await digesting.next();
    for (; !step.done; step = await digesting.next()) {
      done += step.value;
      yield { type: 'progress', stage: 'publish', done, total, unit: 'bytes', detail: `${action} ${name}` };
    }
    digests.push(step.value);
    if (name !== REPORT && told?.get(name) !== step.value.sha256) other.push(name);
  }
  return { digests, refusals: otherFiles(folder, other) };
}

const REPORT = `${VERIFICATION_FOLDER}/${REPORT_FILE}`;
/** Names that a sentence has room for. */
const MAX_NAMES = 5;

async function reportOf(folder: string): Promise<{ report?: StoredReport; refusal?: Refusal }> {
  try {
    const report = await readReport(folder);
    if (!report) return { refusal: refuse(folder, 'it has not been verified. Run lcm-merge verify first') };
    if (report.verdict === 'passed') return { report };
    const page = join(folder, VERIFICATION_FOLDER, 'report.html');
    return { report, refusal: refuse(folder, `its verification's verdict is ${report.verdict}. See ${page}`) };
  } catch (error) {
    if (error instanceof FormatError)
      return { refusal: { kind: 'publish', message: `${folder} is not published. ${error.message}` } };
    throw error;
  }
}

/** A link's target can change after the check, and other things cannot be copied; what is published is files. */
function refuseOdd(folder: string, path: string, isLink: boolean): Refusal {
  return refuse(
    folder,
    isLink
      ? `${path} is a symbolic link. Put a copy of the file in its place`
      : `${path} is a device, pipe or socket. Remove it`,
  );
}

/** Of which file the report tells which SHA-256; of itself it cannot. */
function expected({ package: own, verification }: StoredReport): ReadonlyMap<string, string> {
  return new Map([
    ...Object.entries(own),
    ...Object.entries(verification).map(([name, sha256]) => [`${VERIFICATION_FOLDER}/${name}`, sha256] as const),
  ]);
}

function differences(folder: string, report: StoredReport, present: ReadonlySet<string>): readonly Refusal[] {
  const told = new Set([...expected(report).keys(), REPORT]);
  return otherFiles(folder, [...present.symmetricDifference(told)].sort());
}

/** Clip, page and fingerprint are published, too: they are those that the verification wrote, and nothing lies among them. */
function otherFiles(folder: string, names: readonly string[]): readonly Refusal[] {
  const ofVerification = names.filter((name) => name.startsWith(`${VERIFICATION_FOLDER}/`));
  const own = names.filter((name) => !name.startsWith(`${VERIFICATION_FOLDER}/`));
  return [
    ...(own.length > 0
      ? [refuse(folder, `its report is about other bytes (${own.slice(0, MAX_NAMES).join(', ')}). Verify it again`)]
      : []),
    ...(ofVerification.length > 0
      ? [refuse(folder, `${ofVerification[0]} is not what the verification wrote. Verify the package again`)]
      : []),
  ];
}

function refuse(folder: string, reason: string): Refusal {
  return { kind: 'publish', message: `${folder} is not published: ${reason}.` };
}

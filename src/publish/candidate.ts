/**
 * A package on its way to publication: every file of it, and what forbids to publish it. `publish` asks this of it,
 * and so does the preview, so that what the one refuses the other does, too.
 */
import type { Dirent } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FormatError, InputMissingError, UsageError } from '../errors.ts';
import { type CheckVerdict, type Stage, type StageName, telling } from '../events.ts';
import { digestInSteps } from '../export/digest.ts';
import type { FileDigest } from '../export/lock.ts';
import { CARD_FILE } from '../export/model-card.ts';
import { kindOf } from '../recipe/input-files.ts';
import { pathInPackage } from '../runtime/package-folder.ts';
import { readBundle, unverifiedManifest } from '../sign/bundle.ts';
import { compareSigned, type Digests, describeDifferences, SIGNATURE_FILE } from '../sign/manifest.ts';
import { wrongPaths } from '../text/safe-path.ts';
import { REPORT_FILE, readReport, type StoredReport, VERIFICATION_FOLDER } from '../verify/report.ts';
import { isRemote } from './list-package.ts';
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
  /** Links, devices and the like, which are never sent; by their path in the package. */
  readonly odd: readonly string[];
  /** What shows without reading the files. */
  readonly refusals: readonly Refusal[];
}

/**
 * Reads the report and lists the files; quick, whatever their size. `resigned`: a signature that is there will be replaced, and is
 * none of the files. @throws InputMissingError when there is no package; UsageError for a reference.
 */
export async function openCandidate(folder: string, { resigned = false } = {}): Promise<Candidate> {
  if (isRemote(folder))
    throw new UsageError(`${folder} is elsewhere, and a folder is needed: lcm-merge pull ${folder} -o DIR makes one.`);
  if ((await kindOf(folder)) !== 'folder')
    throw new InputMissingError(`The package ${folder} is not there, or is no folder.`, { file: folder });
  const { report, refusal } = await reportOf(folder);
  const entries = (await readdir(folder, { recursive: true, withFileTypes: true })).filter(
    (entry) => !entry.isDirectory(),
  );
  const odds = entries.filter((entry) => oddityOf(entry) !== undefined);
  const [odd] = odds;
  const paths = entries
    .filter((entry) => oddityOf(entry) === undefined)
    .map((entry) => join(entry.parentPath, entry.name));
  const all = await Promise.all(
    paths.map(async (path) => ({ name: pathInPackage(folder, path), bytes: (await stat(path)).size })),
  );
  const files = all.filter(({ name }) => !(resigned && name === SIGNATURE_FILE));
  files.sort((a, b) => (a.name < b.name ? -1 : 1));
  const wrong = wrongPaths(files.map(({ name }) => name)); // what nobody could fetch
  return {
    folder,
    verdict: report?.verdict ?? 'not verified',
    ...(report && { report, verifiedAt: (await stat(join(folder, VERIFICATION_FOLDER, REPORT_FILE))).mtimeMs }),
    files,
    bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
    odd: odds.map((entry) => pathInPackage(folder, join(entry.parentPath, entry.name))),
    refusals: [
      ...(refusal ? [refusal] : []),
      ...(odd ? [refuse(folder, `${join(odd.parentPath, odd.name)} ${oddityOf(odd)}`)] : []),
      ...(wrong === undefined ? [] : [refuse(folder, `it ${wrong}. Rename that, and verify it again`)]),
      ...(report && !odd ? differences(folder, report, new Set(files.map(({ name }) => name))) : []),
    ],
  };
}

export interface Hashing {
  readonly stage?: StageName;
  /** What is done to the files, as progress tells it. */
  readonly action: string;
  /** Bytes that are behind it when it begins, of how many. */
  readonly done: number;
  readonly total: number;
  readonly signal?: AbortSignal | undefined;
}

/** Hashes every file. Returns the digests in the order of the files. */
export async function* digestCandidate(
  { folder, files }: Pick<Candidate, 'folder' | 'files'>,
  { stage = 'publish', action, done, total, signal }: Hashing,
): Stage<readonly FileDigest[]> {
  const digests: FileDigest[] = [];
  for (const { name } of files) {
    const digesting = digestInSteps(join(folder, name), signal);
    digests.push(
      yield* telling(digesting, (read) => {
        done += read;
        return { type: 'progress', stage, done, total, unit: 'bytes', detail: `${action} ${name}` };
      }),
    );
  }
  return digests;
}

/** Hashes every file and holds it to the report, and to the signature where there is one. */
export async function* checkBytes(
  candidate: Candidate,
  hashing: Hashing,
): Stage<{ readonly digests: readonly FileDigest[]; readonly refusals: readonly Refusal[] }> {
  const { folder, files, report } = candidate;
  const digests = yield* digestCandidate(candidate, hashing);
  const found = digestsByName(files, digests);
  const told = report && toldDigests(report);
  const other = files
    .map(({ name }) => name)
    .filter((name) => !UNTOLD.has(name) && told?.get(name) !== found.get(name));
  return { digests, refusals: [...otherFiles(folder, other), ...(await staleSignature(folder, found))] };
}

export function digestsByName(files: readonly CandidateFile[], digests: readonly FileDigest[]): Digests {
  return new Map(files.map(({ name }, i) => [name, digests[i]?.sha256 ?? '']));
}

const REPORT = `${VERIFICATION_FOLDER}/${REPORT_FILE}`;
/** What the report cannot tell of: itself, and what is signed after it. */
export const UNTOLD: ReadonlySet<string> = new Set([REPORT, SIGNATURE_FILE]);
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

/** Why something is not sent, behind its path. A link's target can change after the check, and other things cannot be copied; what is published is files. */
function oddityOf(entry: Dirent): string | undefined {
  if (entry.isSymbolicLink()) return 'is a symbolic link. Put a copy of the file in its place';
  if (!entry.isFile()) return 'is a device, pipe or socket. Remove it';
  if (entry.name.includes('\ufffd')) return 'has a name that is no text in UTF-8. Rename it';
  return undefined;
}

/** Whoever signed it: a signature of other bytes is of no use to anybody. */
async function staleSignature(folder: string, found: Digests): Promise<readonly Refusal[]> {
  if (!found.has(SIGNATURE_FILE)) return [];
  const advice = 'Sign the package again, or remove it';
  try {
    const manifest = unverifiedManifest(await readBundle(join(folder, SIGNATURE_FILE)));
    const differences = describeDifferences(compareSigned(manifest, found));
    if (differences === undefined) return [];
    return [refuse(folder, `its signature (${SIGNATURE_FILE}) is of other files: ${differences}. ${advice}`)];
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return [{ kind: 'publish', message: `${folder} is not published. ${error.message} ${advice}.` }];
  }
}

/** Of which file the report tells which SHA-256; of itself it cannot. */
export function toldDigests({ package: own, verification, card }: StoredReport): Digests {
  return new Map([
    ...Object.entries(own),
    ...(card === undefined ? [] : [[CARD_FILE, card] as const]),
    ...Object.entries(verification).map(([name, sha256]) => [`${VERIFICATION_FOLDER}/${name}`, sha256] as const),
  ]);
}

function differences(folder: string, report: StoredReport, present: ReadonlySet<string>): readonly Refusal[] {
  const told = new Set([...toldDigests(report).keys(), REPORT]);
  const unsigned = present.difference(new Set([SIGNATURE_FILE]));
  return otherFiles(folder, [...unsigned.symmetricDifference(told)].sort());
}

/** Clip, page, fingerprint and model card are published, too: they are those that the verification wrote, and nothing lies among them. */
function otherFiles(folder: string, names: readonly string[]): readonly Refusal[] {
  const isWritten = (name: string) => name === CARD_FILE || name.startsWith(`${VERIFICATION_FOLDER}/`);
  const ofVerification = names.filter(isWritten);
  const own = names.filter((name) => !isWritten(name));
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

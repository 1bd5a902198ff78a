/**
 * Publishes a verified package to a folder: the copy is checked byte for byte against the report and becomes visible as a whole;
 * the version that stood there before stays until then.
 */
import { cp, readdir } from 'node:fs/promises';
import { join, relative, resolve, sep } from 'node:path';
import { FormatError, InputMissingError, PublishError, UsageError } from '../errors.ts';
import type { Stage } from '../events.ts';
import { digestFile } from '../export/digest.ts';
import { openStaging } from '../export/staging.ts';
import { kindOf } from '../recipe/input-files.ts';
import { digestPackage } from '../verify/gate.ts';
import { REPORT_FILE, readReport, type StoredReport, VERIFICATION_FOLDER } from '../verify/report.ts';

export interface Published {
  readonly to: string;
  readonly files: number;
  readonly bytes: number;
}

/**
 * @throws PublishError when the package has no passed report for exactly these bytes; there is no way around it.
 */
export async function* publish(
  folder: string,
  { to, signal }: { to: string; signal?: AbortSignal | undefined },
): Stage<Published> {
  const started = performance.now();
  refuseTarget(folder, to);
  yield { type: 'stage-started', stage: 'publish', subject: to };
  const report = await reportOf(folder);
  if (report.verdict !== 'passed') {
    throw new PublishError(
      `${folder} is not published: its verification's verdict is ${report.verdict}. See ${join(folder, VERIFICATION_FOLDER, REPORT_FILE)}.`,
    );
  }
  await refuseLinks(folder);
  await refuseOtherBytes(folder, report, signal);
  await refuseOtherVerification(folder, report);
  await using staging = await openStaging(to);
  await cp(folder, staging.path, { recursive: true, dereference: false, verbatimSymlinks: true });
  signal?.throwIfAborted();
  const files = await refuseOtherBytes(staging.path, report, signal);
  await refuseOtherVerification(staging.path, report);
  const bytes = Object.values(files).reduce((sum, file) => sum + file.bytes, 0);
  const published = { to: await staging.commit(), files: Object.keys(files).length, bytes };
  yield {
    type: 'stage-finished',
    stage: 'publish',
    milliseconds: performance.now() - started,
    summary: `${published.files} files in ${published.to}`,
  };
  return published;
}

/** A package is copied to another place than below itself, and to one of this machine. */
function refuseTarget(folder: string, to: string): void {
  if (/^\w+:\/\//.test(to)) throw new UsageError(`This version does not publish to ${to} yet, only to a local folder.`);
  const [first] = relative(resolve(folder), resolve(to)).split(sep);
  if (first !== '' && first !== '..')
    throw new UsageError(`${to} lies inside the package ${folder}, which cannot be copied into itself.`);
}

/** @throws PublishError when there is no readable report, InputMissingError when there is no package. */
async function reportOf(folder: string): Promise<StoredReport> {
  if ((await kindOf(folder)) !== 'folder')
    throw new InputMissingError(`The package ${folder} is not there, or is no folder.`, { file: folder });
  const report = await readReport(folder).catch((error: unknown) => {
    if (error instanceof FormatError) throw new PublishError(`${folder} is not published. ${error.message}`);
    throw error;
  });
  if (report) return report;
  throw new PublishError(`${folder} is not published: it has not been verified. Run lcm-merge verify first.`);
}

/** A link's target can change after the check; what is published is files. */
async function refuseLinks(folder: string): Promise<void> {
  const link = (await readdir(folder, { recursive: true, withFileTypes: true })).find((entry) =>
    entry.isSymbolicLink(),
  );
  if (!link) return;
  throw new PublishError(
    `${folder} is not published: ${join(link.parentPath, link.name)} is a symbolic link. Put a copy of the file in its place.`,
  );
}

async function refuseOtherBytes(folder: string, report: StoredReport, signal: AbortSignal | undefined) {
  const files = await digestPackage(folder, signal);
  const names = new Set([...Object.keys(files), ...Object.keys(report.package)]);
  const different = [...names].filter((name) => files[name]?.sha256 !== report.package[name]);
  if (different.length > 0) {
    throw new PublishError(
      `${folder} is not published: its report is about other bytes (${different.slice(0, 5).join(', ')}). Verify it again.`,
    );
  }
  return files;
}

/** Clip, page and fingerprint are published, too: they are those that the verification wrote, and nothing lies among them. */
async function refuseOtherVerification(folder: string, { verification }: StoredReport): Promise<void> {
  const at = join(folder, VERIFICATION_FOLDER);
  const present = (await readdir(at)).filter((name) => name !== REPORT_FILE);
  for (const name of new Set([...present, ...Object.keys(verification)])) {
    const isThere = (await kindOf(join(at, name))) === 'file';
    if (isThere && (await digestFile(join(at, name))).sha256 === verification[name]) continue;
    throw new PublishError(
      `${folder} is not published: ${VERIFICATION_FOLDER}/${name} is not what the verification wrote. Verify the package again.`,
    );
  }
}

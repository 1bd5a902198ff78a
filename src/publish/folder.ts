/**
 * Publishes a verified package to a folder: the copy is checked byte for byte against the report and becomes visible as a whole;
 * the version that stood there before stays until then.
 */
import { cp, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PublishError } from '../errors.ts';
import type { Stage } from '../events.ts';
import { openStaging } from '../export/staging.ts';
import { digestPackage } from '../verify/gate.ts';
import { type Report, VERIFICATION_FOLDER } from '../verify/report.ts';

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
  yield { type: 'stage-started', stage: 'publish', subject: to };
  const report = await readReport(folder);
  if (report.verdict !== 'passed') {
    throw new PublishError(
      `${folder} is not published: its verification's verdict is ${report.verdict}. See ${join(folder, VERIFICATION_FOLDER, 'report.json')}.`,
    );
  }
  await refuseLinks(folder);
  await refuseOtherBytes(folder, report, signal);
  await using staging = await openStaging(to);
  await cp(folder, staging.path, { recursive: true, dereference: false, verbatimSymlinks: true });
  signal?.throwIfAborted();
  const files = await refuseOtherBytes(staging.path, report, signal);
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

async function readReport(folder: string): Promise<Report> {
  const path = join(folder, VERIFICATION_FOLDER, 'report.json');
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Report;
  } catch (error) {
    throw new PublishError(
      `${folder} is not published: it has no readable ${path} (${error instanceof Error ? error.message : error}). Run lcm-merge verify first.`,
    );
  }
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

async function refuseOtherBytes(folder: string, report: Report, signal: AbortSignal | undefined) {
  const files = await digestPackage(folder, signal);
  const names = new Set([...Object.keys(files), ...Object.keys(report.package ?? {})]);
  const different = [...names].filter((name) => files[name]?.sha256 !== report.package?.[name]);
  if (different.length > 0) {
    throw new PublishError(
      `${folder} is not published: its report is about other bytes (${different.slice(0, 5).join(', ')}). Verify it again.`,
    );
  }
  return files;
}

/**
 * What the gate found: verification/report.json for programs, report.html and frames.webp for people. A report speaks of exactly
 * the bytes whose hashes it lists.
 */
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CheckVerdict } from '../events.ts';
import { encodeAnimatedWebp } from '../runtime/frames.ts';
import type { Timing, Video } from '../runtime/pipeline.ts';
import { reportHtml } from './report-html.ts';

export const VERIFICATION_FOLDER = 'verification';

/** Frames per second of previews; AnimateDiff's own. */
export const PREVIEW_FPS = 8;

export interface CheckReport {
  readonly id: string;
  readonly proves: string;
  readonly verdict: CheckVerdict;
  readonly reason: string;
  readonly figures: Readonly<Record<string, number | string>>;
  readonly seconds: number;
}

export interface Report {
  readonly verdict: CheckVerdict;
  readonly name: string;
  readonly tool: { readonly name: 'lcm-merge'; readonly version: string };
  readonly device: string;
  /** What was sampled. */
  readonly run: {
    readonly prompt: string;
    readonly negative: string;
    readonly seed: number;
    readonly steps: number;
    readonly guidance: number;
    readonly frames: number;
    readonly width: number;
    readonly height: number;
  };
  readonly checks: readonly CheckReport[];
  /** Null when the run did not end. */
  readonly timing: Timing | null;
  /** File → SHA-256 of everything in the package but this folder. */
  readonly package: Readonly<Record<string, string>>;
}

/** Passed only if every check is; one that failed outweighs one that could not tell. */
export function overall(checks: readonly { verdict: CheckVerdict }[]): CheckVerdict {
  if (checks.some(({ verdict }) => verdict === 'failed')) return 'failed';
  return checks.length > 0 && checks.every(({ verdict }) => verdict === 'passed') ? 'passed' : 'unknown';
}

/** Replaces the package's verification folder as a whole. */
export async function writeReport(folder: string, report: Report, video: Video | undefined): Promise<void> {
  const target = join(folder, VERIFICATION_FOLDER);
  const partial = `${target}.partial`;
  await rm(partial, { recursive: true, force: true });
  try {
    await mkdir(partial);
    const webp = video && (await encodeAnimatedWebp(video.frames, { fps: PREVIEW_FPS, lossless: true }));
    if (webp) await writeFile(join(partial, 'frames.webp'), webp);
    await writeFile(join(partial, 'report.json'), `${JSON.stringify(report, null, 2)}\n`);
    await writeFile(join(partial, 'report.html'), reportHtml(report, webp));
    await rm(target, { recursive: true, force: true });
    await rename(partial, target);
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw error;
  }
}

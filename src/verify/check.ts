/** What a check of the gate is, and what it is given. To add one: a file in checks/ and a row in gate.ts. */
import type { CheckVerdict, Stage } from '../events.ts';
import type { FileDigest, Lock } from '../export/lock.ts';
import type { Plan } from '../merge/plan.ts';
import type { Profile } from '../recipe/profile.ts';
import type { Recipe } from '../recipe/schema.ts';
import type { VideoPackage } from '../runtime/package-folder.ts';
import type { Video } from '../runtime/pipeline.ts';
import type { Earlier } from './earlier.ts';
import type { RunLimit } from './limit.ts';

/** What is sampled to verify a package. */
export interface RunRequest {
  readonly prompt: string;
  readonly negative: string;
  /** Are brackets in both weights? */
  readonly promptWeights?: boolean;
  readonly seed: number;
  readonly guidance: number;
}

export interface CheckContext {
  readonly folder: string;
  readonly pkg: VideoPackage;
  readonly lock: Lock | undefined;
  /** Every file of the package but its verification, hashed when the gate opened. */
  readonly files: Readonly<Record<string, FileDigest>>;
  /** At hand when the sources are: right after baking, or with --recipe. */
  readonly plan: Plan | undefined;
  readonly request: RunRequest;
  /** What the run gave, or why it gave nothing. */
  readonly video: Video | Error;
  /** How close the run came to what the device can do; undefined where that could not be told. */
  readonly limit?: RunLimit | undefined;
  /** How thorough the checks are to be. */
  readonly profile: Profile;
  readonly budgets: Recipe['verify']['budgets'];
  /** The verification that was there before. */
  readonly earlier: Earlier | undefined;
  /** Runs once more what `video` is. */
  readonly again: () => Promise<Video>;
  readonly signal: AbortSignal | undefined;
}

export interface CheckResult {
  readonly verdict: CheckVerdict;
  /** A sentence with the numbers in it. */
  readonly reason: string;
  readonly figures: Readonly<Record<string, number | string>>;
}

export interface Check {
  readonly id: string;
  /** What a pass shows; stands in the report and in docs/gates.md. */
  readonly proves: string;
  /** What it takes, in words. */
  readonly cost: string;
  /** The least profile that it is part of. */
  readonly from: Profile;
  /** Work done for it before the checks began, which its time includes: hashing the files, or the run. */
  readonly prepared?: 'files' | 'video';
  /** When there is nothing to check it is left out of the report. */
  readonly applies?: (context: CheckContext) => boolean;
  readonly run: (context: CheckContext) => Promise<CheckResult> | CheckResult;
  /** The same with events on the way, for a check that takes long. */
  readonly stage?: (context: CheckContext) => Stage<CheckResult>;
}

export function passed(reason: string, figures: CheckResult['figures'] = {}): CheckResult {
  return { verdict: 'passed', reason, figures };
}

export function failed(reason: string, figures: CheckResult['figures'] = {}): CheckResult {
  return { verdict: 'failed', reason, figures };
}

export function unknown(reason: string, figures: CheckResult['figures'] = {}): CheckResult {
  return { verdict: 'unknown', reason, figures };
}

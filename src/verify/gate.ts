/**
 * The gate: runs a package and checks what came out. It has three verdicts — passed, failed, could not tell — and only passed
 * is ever published.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { FormatError } from '../errors.ts';
import { type CheckVerdict, drain, type Stage } from '../events.ts';
import { digestFile } from '../export/digest.ts';
import type { FileDigest } from '../export/lock.ts';
import { CARD_FILE, hasCard } from '../export/model-card.ts';
import type { Plan } from '../merge/plan.ts';
import { includes, type Profile } from '../recipe/profile.ts';
import { chooseDevice } from '../runtime/choose-device.ts';
import type { Device } from '../runtime/device.ts';
import { readLock } from '../runtime/lock-file.ts';
import { openPackage, pathInPackage, type VideoPackage, weightType } from '../runtime/package-folder.ts';
import { sample, type Video } from '../runtime/pipeline.ts';
import { SIGNATURE_FILE } from '../sign/manifest.ts';
import { VERSION } from '../version.ts';
import type { Check, CheckContext, CheckResult } from './check.ts';
import { accounting } from './checks/accounting.ts';
import { agreement } from './checks/agreement.ts';
import { configs } from './checks/configs.ts';
import { effect } from './checks/effect.ts';
import { encoder } from './checks/encoder.ts';
import { expectedFingerprint, fingerprint as fingerprintCheck, runOf } from './checks/fingerprint.ts';
import { frames } from './checks/frames.ts';
import { graph } from './checks/graph.ts';
import { integrity } from './checks/integrity.ts';
import { recompute } from './checks/recompute.ts';
import { reference } from './checks/reference.ts';
import { reproduce } from './checks/reproduce.ts';
import { sources } from './checks/sources.ts';
import { targets } from './checks/targets.ts';
import { timing } from './checks/timing.ts';
import { trajectory } from './checks/trajectory.ts';
import { weights } from './checks/weights.ts';
import { type Earlier, readEarlier } from './earlier.ts';
import { type Fingerprint, makeFingerprint } from './fingerprint.ts';
import { measureLimit, type RunLimit } from './limit.ts';
import { describeMachine } from './machine.ts';
import { type CheckReport, overall, type Report, VERIFICATION_FOLDER, writeReport } from './report.ts';

/** In the order in which they are reported: bytes, account, graph, numbers, then what running showed. */
export const CHECKS: readonly Check[] = [
  integrity,
  accounting,
  sources,
  configs,
  graph,
  weights,
  recompute,
  reproduce,
  trajectory,
  agreement,
  targets,
  effect,
  frames,
  reference,
  fingerprintCheck,
  encoder,
  timing,
];

export interface VerifyOptions {
  /** With it, source tensors are read again and recomputed. */
  readonly plan?: Plan | undefined;
  /** Default: what the recipe says, or else `standard`. */
  readonly profile?: Profile | undefined;
  readonly device?: Device | 'auto' | undefined;
  /** The package that this one is to replace: it is compared with what was verified there. Default: what was verified here. */
  readonly replaces?: string | undefined;
  /** As for `sample`; the report tells. */
  readonly allowFallback?: boolean | undefined;
  /** Leave the package as it is: what was found is returned and not written into it. */
  readonly keep?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Verifies the package in `folder` and writes its verification folder and model card.
 * @throws InputMissingError or FormatError when it is no package at all; what a check finds is in the report.
 */
export async function* verify(folder: string, options: VerifyOptions = {}): Stage<Report> {
  const started = performance.now();
  yield { type: 'stage-started', stage: 'verify', subject: folder };
  const pkg = await openPackage(folder);
  const prepared = { files: 0, video: 0 };
  const hashing = performance.now();
  const files = await digestPackage(folder, options.signal);
  prepared.files = performance.now() - hashing;
  const wanted = runRequest(pkg, options);
  const profile = options.profile ?? wishOf(pkg, options)?.profile ?? 'standard';
  const { device, trials } = await chooseDevice(wanted.device, weightType(pkg), options.signal);
  const running = performance.now();
  const clip = { ...wanted, device, preview: true, allowFallback: options.allowFallback, signal: options.signal };
  const video = yield* attempt(pkg, clip);
  prepared.video = performance.now() - running;
  const limit = yield* attemptLimit(pkg, video, { guidance: wanted.guidance, signal: options.signal });
  const context: CheckContext = {
    folder,
    pkg,
    lock: pkg.lock,
    files,
    plan: options.plan,
    request: wanted,
    video,
    limit,
    profile,
    budgets: wishOf(pkg, options)?.budgets ?? {},
    earlier: yield* attemptEarlier(folder, options),
    again: () => drain(sample(pkg, clip)),
    signal: options.signal,
  };
  const checks: CheckReport[] = [];
  const wantedChecks = CHECKS.filter(({ from, applies }) => includes(profile, from) && (applies?.(context) ?? true));
  for (const [done, check] of wantedChecks.entries()) {
    yield { type: 'progress', stage: 'verify', done, total: wantedChecks.length, unit: 'checks', detail: check.id };
    const at = performance.now();
    const result = yield* judge(check, context);
    const seconds = (performance.now() - at + (check.prepared ? prepared[check.prepared] : 0)) / 1000;
    checks.push({ id: check.id, proves: check.proves, ...result, seconds });
    yield { type: 'check', stage: 'verify', id: check.id, verdict: result.verdict, reason: result.reason, seconds };
  }
  const made = video instanceof Error ? undefined : video;
  const verdict = overall(checks);
  const hashes = Object.fromEntries(Object.entries(files).map(([file, { sha256 }]) => [file, sha256]));
  const fingerprint = made && makeFingerprint(made, { run: runOf(context), package: hashes });
  const found: Report = {
    verdict,
    name: pkg.lock?.name ?? folder,
    tool: { name: 'lcm-merge', version: VERSION },
    device,
    machine: describeMachine(),
    ...(trials.length > 0 && { trials }),
    ...(made?.fallback && { fallback: made.fallback }),
    profile,
    run: {
      prompt: wanted.prompt,
      negative: wanted.negative,
      ...(wanted.promptWeights && { prompt_weights: true }),
      seed: wanted.seed,
      steps: made?.trajectory.length ?? 0,
      guidance: wanted.guidance,
      frames: made?.frames.count ?? 0,
      width: made?.frames.width ?? 0,
      height: made?.frames.height ?? 0,
    },
    checks,
    graphs: made ? Object.values(made.graphs).map((path) => pathInPackage(folder, path)) : [],
    timing: made?.timing ?? null,
    ...(fingerprint && { frame_sha256: fingerprint.frames.sha256 }),
    ...(limit && { limit }),
    ...(pkg.lock?.effects && { effects: pkg.lock.effects }),
    package: hashes,
  };
  const report = options.keep
    ? found
    : await writeReport(folder, found, {
        video: made,
        lock: pkg.lock,
        fingerprint: fingerprintToKeep(context, verdict, fingerprint),
      });
  yield {
    type: 'stage-finished',
    stage: 'verify',
    milliseconds: performance.now() - started,
    summary: SUMMARY[report.verdict],
  };
  return report;
}

const SUMMARY: Record<CheckVerdict, string> = { passed: 'passed', failed: 'failed', unknown: 'could not tell' };

/** How the recipe wants the package to be proved: the recipe at hand, which may have changed since the bake, or else the lock's. */
function wishOf({ lock }: VideoPackage, { plan }: VerifyOptions) {
  return plan?.recipe.verify ?? lock?.recipe.verify;
}

/** What to sample. */
function runRequest(pkg: VideoPackage, options: VerifyOptions) {
  const wish = wishOf(pkg, options);
  return {
    prompt: wish?.prompt ?? 'a photo',
    negative: wish?.negative ?? '',
    promptWeights: wish?.prompt_weights ?? false,
    seed: wish?.seed ?? 0,
    guidance: pkg.lock?.recipe.sampler.guidance ?? 1,
    device: options.device ?? wish?.device ?? 'auto',
  } as const;
}

/** A device that fails is a finding, not an end; being interrupted is an end. */
async function* attempt(pkg: VideoPackage, options: Parameters<typeof sample>[1]): Stage<Video | Error> {
  try {
    return yield* sample(pkg, options);
  } catch (error) {
    options.signal?.throwIfAborted();
    return error instanceof Error ? error : new Error(String(error));
  }
}

/**
 * The first one stays as long as the bytes do, so that later runs cannot drift away from it step by step; a run that failed
 * makes none, and does not take away the one that it failed by.
 */
function fingerprintToKeep(
  context: CheckContext,
  verdict: CheckVerdict,
  made: Fingerprint | undefined,
): Fingerprint | undefined {
  return expectedFingerprint(context) ?? (verdict === 'failed' ? undefined : made);
}

/** An earlier verification that cannot be read is as good as none, but not silently. */
async function* attemptEarlier(folder: string, { replaces, keep }: VerifyOptions): Stage<Earlier | undefined> {
  try {
    const earlier = await readEarlier(replaces ?? folder, replaces === undefined);
    // of what is only looked at nothing has changed since: what is slower now is the machine
    return keep ? { ...earlier, report: undefined } : earlier;
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    const message = `Nothing is compared with the earlier verification: ${error.message}`;
    yield { type: 'warning', stage: 'verify', message };
    return undefined;
  }
}

/** How close the run came to the device's limit says nothing about the package: where it cannot be told, that is a warning. */
async function* attemptLimit(
  pkg: VideoPackage,
  video: Video | Error,
  options: Parameters<typeof measureLimit>[2],
): Stage<RunLimit | undefined> {
  if (video instanceof Error) return undefined;
  try {
    return await measureLimit(pkg, video, options);
  } catch (error) {
    options.signal?.throwIfAborted();
    const reason = error instanceof Error ? error.message : String(error);
    yield {
      type: 'warning',
      stage: 'verify',
      message: `How close the run came to the limit of ${video.device} is not in the report: ${reason}`,
    };
    return undefined;
  }
}

/** A check that cannot be carried out could not tell. */
async function* judge(check: Check, context: CheckContext): Stage<CheckResult> {
  try {
    return check.stage ? yield* check.stage(context) : await check.run(context);
  } catch (error) {
    context.signal?.throwIfAborted();
    return {
      verdict: 'unknown',
      reason: `The check could not be carried out: ${error instanceof Error ? error.message : error}`,
      figures: {},
    };
  }
}

/**
 * SHA-256 of every file but those that the verification writes (its folder, the model card) and the signature of both, by its path inside the package with
 * forward slashes. @throws FormatError for a lock that cannot be read
 */
export async function digestPackage(folder: string, signal?: AbortSignal): Promise<Record<string, FileDigest>> {
  const later = new Set([SIGNATURE_FILE, ...(hasCard(await readLock(folder)) ? [CARD_FILE] : [])]);
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const names = entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => pathInPackage(folder, join(entry.parentPath, entry.name)))
    .filter(
      (name) =>
        !later.has(name) &&
        !name.startsWith(`${VERIFICATION_FOLDER}/`) &&
        !name.startsWith(`${VERIFICATION_FOLDER}.partial/`),
    )
    .sort();
  const digests: Record<string, FileDigest> = {};
  for (const name of names) digests[name] = await digestFile(join(folder, name), signal);
  return digests;
}

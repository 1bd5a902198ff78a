/**
 * What the gate found: verification/report.json for programs, report.html and frames.webp for people. A report speaks of exactly
 * the bytes whose hashes it lists.
 */
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { readConfig } from '../architecture/config-file.ts';
import { InputMissingError } from '../errors.ts';
import type { CheckVerdict } from '../events.ts';
import { digestBytes } from '../export/digest.ts';
import type { Lock } from '../export/lock.ts';
import type { CardReport } from '../export/model-card/card-report.ts';
import { CARD_FILE, hasCard, modelCard } from '../export/model-card.ts';
import { writingTo } from '../formats/byte-source.ts';
import type { Effects } from '../merge/effects.ts';
import type { Profile } from '../recipe/profile.ts';
import type { DeviceTrial } from '../runtime/choose-device.ts';
import { encodeAnimatedWebp } from '../runtime/frame-files.ts';
import { CLIP_FPS } from '../runtime/frames.ts';
import type { Timing, Video } from '../runtime/pipeline.ts';
import { FINGERPRINT_FILE, type Fingerprint } from './fingerprint.ts';
import type { RunLimit } from './limit.ts';
import { reportHtml } from './report/page.ts';
import { picturesOf } from './report/pictures.ts';
import { CHECK_ORDER, CLIP_FILE, VERIFICATION_FOLDER } from './verdict.ts';

export { overall, VERIFICATION_FOLDER } from './verdict.ts';

export const REPORT_FILE = 'report.json';

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
  /** Processor and system; reports of older tools have none. */
  readonly machine?: string;
  /** What `auto` found of each device; left out where one was asked for. */
  readonly trials?: readonly DeviceTrial[];
  /** What was computed on the CPU instead; left out where nothing was. */
  readonly fallback?: readonly string[];
  /** How much of the gate it went through. */
  readonly profile: Profile;
  /** What was sampled. */
  readonly run: CardReport['run'] & {
    /** Brackets were read as weights. */
    readonly prompt_weights?: true;
  };
  readonly checks: readonly CheckReport[];
  /** The files that ran, by their path in the package. */
  readonly graphs: readonly string[];
  /** Null when the run did not end. */
  readonly timing: Timing | null;
  /** Of the clip's frames, in order: the SHA-256 of their pixels. fingerprint.json has more to compare. */
  readonly frame_sha256?: readonly string[];
  /** How close a step came to what the device can do; left out where that could not be told. */
  readonly limit?: RunLimit;
  /** From the lock: how much each source changes. */
  readonly effects?: Effects;
  /** File → SHA-256 of everything in the package but this folder, the model card and the signature. */
  readonly package: Readonly<Record<string, string>>;
  /** The same of what lies beside the report. */
  readonly verification?: Readonly<Record<string, string>>;
  /** SHA-256 of the model card, where the verification wrote one. */
  readonly card?: string;
}

/** What is relied upon of a report that lies in a package. */
const reportSchema = z.looseObject({
  verdict: z.enum(['passed', 'failed', 'unknown']),
  device: z.string(),
  package: z.record(z.string(), z.string()),
  verification: z.record(z.string(), z.string()).default({}), // older reports have none
  card: z.string().exactOptional(),
});

/** What is relied upon of a report that was read. */
export type StoredReport = Required<Pick<Report, 'verdict' | 'device' | 'package' | 'verification'>> &
  Pick<Report, 'card'>;

/** The report that lies in `folder`, or undefined when there is none. @throws FormatError when it is damaged. */
export async function readReport(folder: string): Promise<StoredReport | undefined> {
  return readStored(folder, reportSchema);
}

const milliseconds = z.number().min(0);
/** What is shown of one. */
const findingsSchema = reportSchema.extend({
  checks: z.array(
    z.object({
      id: z.string(),
      proves: z.string(),
      verdict: z.enum(['passed', 'failed', 'unknown']),
      reason: z.string(),
      figures: z.record(z.string(), z.union([z.number(), z.string()])),
      seconds: z.number(),
    }),
  ),
  run: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(), // of older reports: unknown
  timing: z
    .object({
      load_ms: milliseconds,
      denoise_ms: milliseconds,
      step_ms: z.array(milliseconds),
      decode_ms: milliseconds,
      peak_bytes: z.number().min(0),
    })
    .nullable(),
});

/** What the gate found, as far as it can be shown again. */
export type Findings = Pick<Report, 'verdict' | 'device' | 'checks' | 'timing'> & {
  readonly run?: Readonly<Record<string, string | number | boolean>> | undefined;
};

/** What the report that lies in `folder` found, or undefined when there is none. @throws FormatError when it is damaged. */
export async function readFindings(folder: string): Promise<Findings | undefined> {
  return readStored(folder, findingsSchema);
}

async function readStored<Shape extends z.ZodType>(
  folder: string,
  schema: Shape,
): Promise<z.output<Shape> | undefined> {
  return readConfig(join(folder, VERIFICATION_FOLDER, REPORT_FILE), schema, (raw) => raw).catch((error: unknown) => {
    if (error instanceof InputMissingError) return undefined;
    throw error;
  });
}

/** What lies in the verification folder beside the report itself. */
export interface ReportParts {
  readonly video?: Video | undefined;
  readonly lock?: Lock | undefined;
  readonly fingerprint?: Fingerprint | undefined;
}

/**
 * Replaces the package's verification folder as a whole, and its model card where it is one of this tool. The report goes first and comes last, so that
 * whatever interrupts this leaves a package that is not verified. Returns the report as it is written: it tells what lies beside it.
 */
export async function writeReport(
  folder: string,
  report: Report,
  { video, lock, fingerprint }: ReportParts,
): Promise<Report> {
  const target = join(folder, VERIFICATION_FOLDER);
  const partial = `${target}.partial`;
  await rm(partial, { recursive: true, force: true });
  try {
    await mkdir(partial);
    const verification: Record<string, string> = {};
    const put = async (name: string, content: string | Uint8Array) => {
      const data = typeof content === 'string' ? Buffer.from(content) : content;
      verification[name] = digestBytes(data).sha256;
      await writingTo(join(target, name), writeFile(join(partial, name), data));
    };
    if (video) await put(CLIP_FILE, await encodeAnimatedWebp(video.frames, { fps: CLIP_FPS, lossless: true }));
    if (fingerprint) await put(FINGERPRINT_FILE, `${JSON.stringify(fingerprint, null, 2)}\n`);
    await put('report.html', reportHtml({ report, lock, pictures: await picturesOf(video) }));
    const card = hasCard(lock)
      ? Buffer.from(modelCard(lock, { ...report, skipped: skippedChecks(report) }))
      : undefined;
    const whole: Report = {
      ...report,
      verification: { ...verification },
      ...(card && { card: digestBytes(card).sha256 }),
    };
    await put(REPORT_FILE, `${JSON.stringify(whole, null, 2)}\n`);
    const [cardPlace, newCard] = [join(folder, CARD_FILE), join(partial, CARD_FILE)];
    if (card) await writingTo(cardPlace, writeFile(newCard, card));
    await rm(target, { recursive: true, force: true });
    if (card) await writingTo(cardPlace, rename(newCard, cardPlace));
    await rename(partial, target);
    return whole;
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw error;
  }
}

/** Ids of the checks that the gate has and this report has not. */
function skippedChecks({ checks }: Report): string[] {
  const made = new Set(checks.map(({ id }) => id));
  return Object.keys(CHECK_ORDER).filter((id) => !made.has(id));
}

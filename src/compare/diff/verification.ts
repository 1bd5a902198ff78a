/** What the verifications of two packages found: verdicts that differ, and times, which are comparable on one device only. */
import type { CheckVerdict } from '../../events.ts';
import { median } from '../../runtime/statistics.ts';
import type { Findings } from '../../verify/report.ts';

export interface VerificationDifference {
  readonly verdict: Sides<CheckVerdict>;
  readonly device: Sides<string>;
  /** Left out of a side: it was not verified by this check. */
  readonly checks: readonly ({ readonly id: string } & Partial<
    Sides<{ readonly verdict: CheckVerdict; readonly reason: string }>
  >)[];
  /** Null where one of the runs did not end. */
  readonly times: readonly TimeDifference[] | null;
  /** Why the times say nothing about the packages, as sentences; empty where they do. */
  readonly incomparable: readonly string[];
}

export interface Sides<Value> {
  readonly a: Value;
  readonly b: Value;
}

export interface TimeDifference extends Sides<number> {
  readonly what: 'step_ms' | 'denoise_ms' | 'decode_ms' | 'total_ms' | 'load_ms' | 'peak_bytes';
  /** `b` over `a`; null where `a` is 0. */
  readonly ratio: number | null;
}

type Timing = NonNullable<Findings['timing']>;

/** `step_ms` is the median of the steps; the total is that of one clip by a package that is loaded. */
const TIMES: Readonly<Record<TimeDifference['what'], (timing: Timing) => number>> = {
  step_ms: ({ step_ms }) => median(step_ms),
  denoise_ms: ({ denoise_ms }) => denoise_ms,
  decode_ms: ({ decode_ms }) => decode_ms,
  total_ms: ({ denoise_ms, decode_ms }) => denoise_ms + decode_ms,
  load_ms: ({ load_ms }) => load_ms,
  peak_bytes: ({ peak_bytes }) => peak_bytes,
};

/** What decides how long a clip takes. */
const LENGTHS = ['frames', 'width', 'height', 'steps', 'guidance'] as const;

export function verificationDifference(a: Findings, b: Findings): VerificationDifference {
  const ids = new Set([...a.checks, ...b.checks].map(({ id }) => id));
  const of = ({ checks }: Findings, id: string) => {
    const [found] = checks.filter((check) => check.id === id);
    return found && { verdict: found.verdict, reason: found.reason };
  };
  return {
    verdict: { a: a.verdict, b: b.verdict },
    device: { a: a.device, b: b.device },
    checks: [...ids].flatMap((id) => {
      const [own, other] = [of(a, id), of(b, id)];
      return own?.verdict === other?.verdict ? [] : [{ id, ...(own && { a: own }), ...(other && { b: other }) }];
    }),
    times: a.timing && b.timing ? timesOf(a.timing, b.timing) : null,
    incomparable: incomparable(a, b),
  };
}

function timesOf(own: Timing, other: Timing): TimeDifference[] {
  return (Object.keys(TIMES) as TimeDifference['what'][])
    .map((what) => ({ what, a: TIMES[what](own), b: TIMES[what](other) }))
    .filter(({ a, b }) => Number.isFinite(a) && Number.isFinite(b))
    .map((time) => ({ ...time, ratio: time.a === 0 ? null : time.b / time.a }));
}

function incomparable(a: Findings, b: Findings): string[] {
  const lengths = LENGTHS.filter((key) => a.run?.[key] !== b.run?.[key]).map(
    (key) => `${key} ${a.run?.[key] ?? 'unknown'} and ${b.run?.[key] ?? 'unknown'}`,
  );
  return [
    ...(a.device === b.device ? [] : [`A ran on ${a.device} and B on ${b.device}: their times are not comparable.`]),
    ...(lengths.length === 0
      ? []
      : [`The clips are of other lengths (${lengths.join(', ')}), and so are their times.`]),
  ];
}

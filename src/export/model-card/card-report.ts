/** What a card tells of a verification: of a report (verify/report.ts), and which checks its profile left out. */
import type { CheckVerdict } from '../../events.ts';

export interface CardReport {
  readonly verdict: CheckVerdict;
  readonly device: string;
  /** Processor and system. */
  readonly machine?: string;
  readonly fallback?: readonly string[];
  readonly profile: string;
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
  readonly checks: readonly { readonly id: string; readonly verdict: CheckVerdict; readonly reason: string }[];
  readonly graphs: readonly string[];
  /** Null when the run did not end: then there is no clip, either. Milliseconds and bytes. */
  readonly timing: {
    readonly load_ms: number;
    readonly denoise_ms: number;
    readonly step_ms: readonly number[];
    readonly decode_ms: number;
    readonly peak_bytes: number;
  } | null;
  readonly skipped: readonly string[];
}

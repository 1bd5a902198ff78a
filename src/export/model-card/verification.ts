/** What the gate found, check by check, and how long the run took. */
import type { CheckVerdict } from '../../events.ts';
import { markdownTable, markdownText } from '../../text/markdown.ts';
import { formatBytes, formatDuration } from '../../text/quantity.ts';
import type { CardReport } from './card-report.ts';

const WORDS: Readonly<Record<CheckVerdict, string>> = {
  passed: 'passed',
  failed: '**failed**',
  unknown: '**could not tell**',
};

export function verificationSection(report: CardReport | undefined): string {
  if (!report) return '## Verification\n\nNot verified yet. `lcm-merge verify .` does, and writes what it finds here.';
  const { verdict, device, profile, checks, skipped } = report;
  const rows = checks.map(({ id, verdict, reason }) => [markdownText(id), WORDS[verdict], markdownText(reason)]);
  const passed = checks.filter(({ verdict }) => verdict === 'passed').length;
  const left =
    skipped.length > 0
      ? ` Not made, because the profile leaves them out or there was nothing to look at: ${skipped.map(markdownText).join(', ')}.`
      : '';
  return `## Verification

${capitalised(WORDS[verdict])} on ${markdownText(device)}, in the profile ${markdownText(profile)}: ${passed} of ${checks.length} checks passed.${left}

${markdownTable(['check', 'verdict', 'reason'], rows)}`;
}

const capitalised = (text: string): string => text.replace(/[a-z]/, (letter) => letter.toUpperCase());

/** More steps than these are told by the fastest and the slowest. */
const MAX_STEPS = 12;

export function timingSection({ device, machine, fallback = [], run, graphs, timing }: CardReport): string {
  if (!timing) return '## Timing\n\nThe run did not end.';
  const { step_ms: steps } = timing;
  const each =
    steps.length <= MAX_STEPS
      ? steps.map(formatDuration).join(', ')
      : `${formatDuration(Math.min(...steps))} to ${formatDuration(Math.max(...steps))}`;
  const rows = [
    [`${run.steps} steps together`, formatDuration(timing.denoise_ms)],
    ['each step', each],
    [`decoding ${run.frames} frames`, formatDuration(timing.decode_ms)],
    ['loading', formatDuration(timing.load_ms)],
    ['most memory', formatBytes(timing.peak_bytes)],
  ];
  const where = machine === undefined ? '' : ` (${markdownText(machine)})`;
  const cpu = fallback.map((sentence) => `\n\nNot all of it ran there: ${markdownText(sentence)}.`).join('');
  return `## Timing

${run.frames} frames of ${run.width}×${run.height}, guidance ${run.guidance}, on **${markdownText(device)}**${where}, with ${graphs.map(markdownText).join(', ')}:

${markdownTable(['', 'took'], rows)}${cpu}`;
}

/** The page of a job: what became of the recipe and, check by check, why. Pure: results of lcm-merge in, GitHub's Markdown out. */

/** How one call of lcm-merge ended; `value` is what it printed with `--json`. */
export interface Attempt {
  readonly exitCode: number;
  readonly value: {
    readonly package?: string;
    readonly verdict?: 'passed' | 'failed' | 'unknown';
    readonly published?: string;
    readonly pullRequest?: string;
    readonly report?: Findings;
    readonly error?: { readonly message: string };
  };
}

interface Findings {
  readonly name: string;
  readonly device: string;
  readonly profile: string;
  readonly timing: { readonly denoise_ms: number } | null;
  readonly checks: readonly { readonly id: string; readonly verdict: string; readonly reason: string }[];
}

const MARKS: Readonly<Record<string, string>> = {
  passed: '✅ passed',
  failed: '❌ failed',
  unknown: '❔ could not tell',
};

export function summaryOf(made: Attempt, sent: Attempt | undefined): string {
  const { report, verdict, package: folder } = made.value;
  const { published, pullRequest } = { ...made.value, ...sent?.value };
  const errors = [made, sent].flatMap((attempt) => attempt?.value.error ?? []);
  return [
    ...(report && verdict
      ? [`## ${plain(report.name)}: ${MARKS[verdict]}`, facts(report)]
      : ['## lcm-merge: ❌ no package']),
    ...errors.map(({ message }) => `<pre>${plain(message)}</pre>`),
    ...(folder === undefined ? [] : [`Package: <code>${plain(folder)}</code>`]),
    ...(published === undefined ? [] : [`Published to <code>${plain(published)}</code>`]),
    ...(pullRequest === undefined ? [] : [`Offered in <code>${plain(pullRequest)}</code>`]),
    ...(report ? [table(report)] : []),
  ]
    .map((part) => `${part}\n\n`)
    .join('');
}

function facts({ device, profile, timing }: Findings): string {
  const denoised = timing ? `, denoised in ${Math.round(timing.denoise_ms)} ms` : '';
  return `On ${plain(device)}, profile ${plain(profile)}${denoised}`;
}

function table({ checks }: Findings): string {
  const rows = checks.map(
    ({ id, verdict, reason }) => `| ${plain(id)} | ${MARKS[verdict] ?? plain(verdict)} | ${plain(reason)} |`,
  );
  return ['| check | verdict | why |', '|---|---|---|', ...rows].join('\n');
}

/** Text of recipes and files, which may hold anything, as text and nothing else: every character that Markdown or HTML knows is spelled as a number. */
function plain(text: string): string {
  return text.replaceAll(/[^\p{L}\p{N} .,;:%/()+-]/gu, (character) => `&#${character.codePointAt(0)};`);
}

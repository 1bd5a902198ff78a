/** The report as one self-contained page: verdict, moving frames, checks with reasons, timing, and the bytes it speaks of. */
import type { CheckVerdict } from '../events.ts';
import type { Effects } from '../merge/effects.ts';
import type { Report } from './report.ts';
import { limitHtml } from './report-limit.ts';
import { escapeHtml, milliseconds, percent } from './report-text.ts';

const GLYPH: Record<CheckVerdict, string> = { passed: '✓', failed: '✗', unknown: '?' };
const WORD: Record<CheckVerdict, string> = { passed: 'passed', failed: 'failed', unknown: 'could not tell' };

/** `webp` is embedded; everything that comes from files or recipes is escaped. */
export function reportHtml(report: Report, webp: Uint8Array | undefined): string {
  const { run, timing } = report;
  const preview = webp
    ? `<img alt="${escapeHtml(run.prompt)}" width="${previewWidth(run)}" src="data:image/webp;base64,${Buffer.from(webp).toString('base64')}">`
    : '<p class="none">No frames: the run did not end.</p>';
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(report.name)}: ${WORD[report.verdict]}</title>
<style>${STYLE}</style>
</head>
<body>
<header class="${report.verdict}">
<h1><span class="glyph">${GLYPH[report.verdict]}</span> ${escapeHtml(report.name)}</h1>
<p>Verification: <strong>${WORD[report.verdict]}</strong> · ${report.checks.length} checks · device ${escapeHtml(report.device)} · lcm-merge ${escapeHtml(report.tool.version)}</p>
</header>
<main>
<section class="run">
<figure>${preview}<figcaption>“${escapeHtml(run.prompt)}”${run.negative ? `, not “${escapeHtml(run.negative)}”` : ''}</figcaption></figure>
<dl>
${facts(report)
  .map(([term, value]) => `<dt>${term}</dt><dd>${escapeHtml(value)}</dd>`)
  .join('\n')}
</dl>
</section>
<h2>Checks</h2>
<table class="checks">
<thead><tr><th scope="col">Check</th><th scope="col">Verdict</th><th scope="col">Found</th><th scope="col" class="n">Seconds</th></tr></thead>
<tbody>
${report.checks
  .map(
    (
      check,
    ) => `<tr class="${check.verdict}"><th scope="row">${escapeHtml(check.id)}</th><td class="verdict"><span class="glyph">${GLYPH[check.verdict]}</span> ${WORD[check.verdict]}</td>
<td>${escapeHtml(check.reason)}<p class="proves">A pass shows: ${escapeHtml(check.proves)}.</p></td><td class="n">${check.seconds.toFixed(2)}</td></tr>`,
  )
  .join('\n')}
</tbody>
</table>
${timing ? steps(timing.step_ms) : ''}
${report.limit ? limitHtml(report.limit) : ''}
${report.effects ? effectsHtml(report.effects) : ''}
<h2>What this report is about</h2>
<table class="files">
<thead><tr><th scope="col">File</th><th scope="col">SHA-256</th></tr></thead>
<tbody>
${Object.entries(report.package)
  .map(([file, sha256]) => `<tr><td>${escapeHtml(file)}</td><td><code>${escapeHtml(sha256)}</code></td></tr>`)
  .join('\n')}
</tbody>
</table>
</main>
</body>
</html>
`;
}

function facts({ run, timing }: Report): [string, string][] {
  const shown: [string, string][] = [
    ['seed', String(run.seed)],
    ['steps', String(run.steps)],
    ['guidance', String(run.guidance)],
    ['frames', `${run.frames} of ${run.width}×${run.height}`],
  ];
  if (!timing) return shown;
  return [
    ...shown,
    ['denoising', milliseconds(timing.denoise_ms)],
    ['decoding', milliseconds(timing.decode_ms)],
    ['loading', milliseconds(timing.load_ms)],
    ['peak memory', `${(timing.peak_bytes / 2 ** 20).toFixed(0)} MiB`],
  ];
}

function steps(step_ms: readonly number[]): string {
  const longest = Math.max(...step_ms);
  const bars = step_ms
    .map(
      (ms, i) =>
        `<li><span>step ${i + 1}</span><i style="width:${((ms / longest) * 60).toFixed(1)}%"></i><span>${milliseconds(ms)}</span></li>`,
    )
    .join('\n');
  return `<h2>UNet evaluations</h2>\n<ol class="steps">\n${bars}\n</ol>`;
}

/** A row per block, a column per source; the colour is the change's share of the weights, on a logarithmic scale. */
function effectsHtml({ sampled, unchanged, sources, blocks, pairs }: Effects): string {
  const roles = Object.keys(sources) as (keyof typeof sources)[];
  const row = (name: string, values: Effects['sources'], kept: number) => {
    const cells = roles.map((role) => {
      const value = values[role];
      return value === undefined ? '<td></td>' : `<td style="--heat:${heat(value)}">${percent(value)}</td>`;
    });
    return `<tr><th scope="row">${escapeHtml(name)}</th>${cells.join('')}<td class="kept">${percent(kept)}</td></tr>`;
  };
  const conflicts = pairs.map(
    ({ a, b, cosine, opposed }) =>
      `<li>${escapeHtml(a)} and ${escapeHtml(b)}: cosine ${cosine.toFixed(3)}, opposite signs in ${percent(opposed)} of the weights that both change</li>`,
  );
  return `<h2>What the sources change</h2>
<p>‖Δ‖/‖W‖ by block, measured on ${percent(sampled)} of the changed weights, and the share of weights that rounding leaves as they were.</p>
<table class="effects">
<thead><tr><th scope="col">Block</th>${roles.map((role) => `<th scope="col">${escapeHtml(role)}</th>`).join('')}<th scope="col">unchanged</th></tr></thead>
<tbody>
${Object.entries(blocks)
  .map(([block, { sources: ofBlock, unchanged: kept }]) => row(block, ofBlock, kept))
  .join('\n')}
</tbody>
<tfoot>${row('all', sources, unchanged)}</tfoot>
</table>
${conflicts.length > 0 ? `<ul>${conflicts.join('\n')}</ul>` : ''}`;
}

/** 0 for a ten-thousandth and less, 1 for a change as large as the weights. */
function heat(value: number): string {
  return Math.min(1, Math.max(0, 1 + Math.log10(Math.max(value, 1e-4)) / 4)).toFixed(2);
}

/** Small clips are shown enlarged, in whole multiples, so that their pixels stay square. */
function previewWidth({ width }: Report['run']): number {
  return width * Math.max(1, Math.floor(320 / Math.max(1, width)));
}

const STYLE = `
:root{color-scheme:light dark;--good:#1a7f37;--bad:#c62828;--unsure:#9a6700;--line:#8884;--soft:#8881}
*{box-sizing:border-box}
body{margin:0;font:15px/1.5 system-ui,sans-serif}
header,main{max-width:72rem;margin:0 auto;padding:1rem 1.25rem}
header{border-left:.5rem solid var(--unsure);margin-top:1rem}
header.passed{border-color:var(--good)}header.failed{border-color:var(--bad)}
h1{margin:0;font-size:1.6rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}header p{margin:.25rem 0 0}
.passed .glyph{color:var(--good)}.failed .glyph{color:var(--bad)}.unknown .glyph{color:var(--unsure)}
.glyph{font-weight:700}
.run{display:flex;flex-wrap:wrap;gap:1.5rem}
figure{margin:0}img{image-rendering:pixelated;border-radius:.4rem;max-width:100%;height:auto;display:block}
figcaption{margin-top:.35rem;opacity:.8}
dl{display:grid;grid-template-columns:auto auto;gap:.15rem 1.25rem;align-content:start;margin:0}
dt{opacity:.7}dd{margin:0;font-variant-numeric:tabular-nums}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.45rem .6rem;border-bottom:1px solid var(--line)}
thead th{font-weight:600;opacity:.7;font-size:.85rem}
.n{text-align:right;font-variant-numeric:tabular-nums}.verdict{white-space:nowrap}
.proves{font-size:.85rem;opacity:.65}
tr.failed td,tr.failed th{background:color-mix(in srgb,var(--bad) 9%,transparent)}
main p{margin:.25rem 0 .75rem}.checks td p.proves{margin:.1rem 0 0}
.effects{width:auto;font-size:.85rem;font-variant-numeric:tabular-nums}.effects th,.effects td{padding:.15rem .6rem;text-align:right;white-space:nowrap}
.effects tr>th:first-child{text-align:left;padding-left:0}.effects td[style]{background:color-mix(in srgb,#e2662a calc(var(--heat)*75%),transparent)}
.effects .kept{opacity:.75}.effects tfoot th,.effects tfoot td{font-weight:600}
code{font:12px/1.4 ui-monospace,monospace;overflow-wrap:anywhere}
.steps{list-style:none;padding:0;margin:0}.steps li{display:flex;gap:.75rem;align-items:center}
.steps span{min-width:4.5rem;font-variant-numeric:tabular-nums}.steps i{height:.8rem;background:#5b8def;border-radius:.2rem}
.none{opacity:.7}
.limit{font-variant-numeric:tabular-nums}.limit th{font-weight:400;white-space:nowrap;padding-left:0}.limit td:nth-child(2){width:100%}.limit .n{white-space:nowrap}
.limit i{display:block;min-width:2px;height:.8rem;margin-top:.35rem;border-radius:.2rem;background:#8888}.limit .took i{background:#5b8def}.limit .took th,.limit .took .n{font-weight:600}
`.trim();

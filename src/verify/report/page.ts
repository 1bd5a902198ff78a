/** The report as one page for people: no script, nothing that lies elsewhere, light and dark, wide and narrow. */
import type { Lock } from '../../export/lock.ts';
import { describeChoice } from '../../runtime/choose-device.ts';
import type { Report } from '../report.ts';
import { badge, checksSection } from './checks.ts';
import { clipFigure } from './clip.ts';
import { effectsSection } from './effects.ts';
import { figure, milliseconds, percent, plural, WORDS } from './figures.ts';
import { filesSection } from './files.ts';
import { type Html, html, trusted } from './html.ts';
import { limitSection } from './limit.ts';
import { VERDICT_CLASS } from './palette.ts';
import type { Pictures } from './pictures.ts';
import { recipeSection } from './recipe.ts';
import type { Section } from './section.ts';
import { stepsSection } from './steps.ts';
import { STYLE } from './style.ts';
import { timingSection } from './timing.ts';

export interface Page {
  readonly report: Report;
  readonly lock: Lock | undefined;
  readonly pictures: Pictures;
}

export function reportHtml({ report, lock, pictures }: Page): string {
  const sections = [
    stepsSection(report, pictures),
    checksSection(report),
    timingSection(report, lock),
    report.limit && limitSection(report.limit),
    report.effects && effectsSection(report.effects),
    lock && recipeSection(lock),
    filesSection(report, lock),
  ].filter((section) => section !== undefined);
  const baked = lock && `Baked by lcm-merge ${lock.tool.version}. `;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${report.name}: ${WORDS[report.verdict]}</title>
<style>${trusted(STYLE)}</style>
</head>
<body>
<header class="${VERDICT_CLASS[report.verdict]}">
<div class="hero">
${clipFigure(report, pictures)}
<div class="about">
<p class="eyebrow">Verification report</p>
<h1>${report.name}</h1>
<p class="verdict">${badge(report.verdict)} <span>${tally(report)}</span></p>
${objections(report)}
${deviceNotes(report)}
${facts(report)}
</div>
</div>
<nav aria-label="Sections">${sections.map(({ id, title }) => html`<a href="#${id}">${title}</a>`)}</nav>
</header>
<main>
${sections.map(section)}</main>
<footer>
<p>${baked}Verified by lcm-merge ${report.tool.version}. The same for programs: <code>report.json</code>.</p>
</footer>
</body>
</html>
`.html;
}

function section({ id, title, body }: Section): Html {
  return html`<section id="${id}" aria-labelledby="${id}-title">
<h2 id="${id}-title">${title}</h2>
${body}
</section>
`;
}

function tally({ checks, device, profile }: Report): string {
  const passed = checks.filter(({ verdict }) => verdict === 'passed').length;
  return `${passed} of ${plural(checks.length, 'check')} passed on ${device}, profile ${profile}`;
}

/** What keeps the package from passing, first of all. */
function objections({ checks }: Report): Html | undefined {
  const against = checks.filter(({ verdict }) => verdict !== 'passed');
  if (against.length === 0) return undefined;
  return html`<ul class="objections">${against.map(
    ({ id, verdict, reason }) =>
      html`<li class="${VERDICT_CLASS[verdict]}"><a href="#check-${id}">${id}</a> ${WORDS[verdict]}: ${reason}</li>`,
  )}</ul>`;
}

/** How the device was chosen, and what of the graphs it left to the CPU. */
function deviceNotes({ trials = [], fallback = [] }: Report): readonly (Html | undefined)[] {
  const why = describeChoice({ trials });
  return [
    fallback.length > 0
      ? html`<ul class="objections">${fallback.map((part) => html`<li class="${VERDICT_CLASS.unknown}">${part}.</li>`)}</ul>`
      : undefined,
    why === undefined ? undefined : html`<p class="note">${why}</p>`,
  ];
}

function facts({ run, timing, limit }: Report): Html {
  const clip: [string, string][] = [
    ['frames', String(run.frames)],
    ['size', `${run.width}×${run.height}`],
    ['steps', String(run.steps)],
  ];
  const sampled: [string, string][] = [
    ...(run.frames > 0 ? clip : []),
    ['guidance', String(run.guidance)],
    ['seed', String(run.seed)],
  ];
  const measured: [string, string][] = timing
    ? [
        ['all steps', milliseconds(timing.denoise_ms)],
        ['decoding', milliseconds(timing.decode_ms)],
        ...(limit ? [['of the limit', percent(limit.share)] as [string, string]] : []),
        ['peak memory', figure('peak_bytes', timing.peak_bytes)],
      ]
    : [];
  const list = (entries: readonly [string, string][]) =>
    entries.map(([term, value]) => html`<div><dt>${term}</dt><dd>${value}</dd></div>`);
  return html`<dl class="facts">${list(measured)}</dl>
<dl class="facts small">${list(sampled)}</dl>`;
}

/** Where the time went, and how that compares with the budgets of the recipe. */
import type { Lock } from '../../export/lock.ts';
import type { Timing } from '../../runtime/pipeline.ts';
import type { Report } from '../report.ts';
import { figure, label, milliseconds } from './figures.ts';
import { type Html, html } from './html.ts';
import type { Section } from './section.ts';

export function timingSection(report: Report, lock: Lock | undefined): Section | undefined {
  const { timing } = report;
  if (!timing) return undefined;
  const budgets = Object.entries(lock?.recipe.verify.budgets ?? {}).flatMap(([name, budget]) => {
    const measured = measuredFor(name, report);
    return typeof budget === 'number' && measured !== undefined ? [budgetRow(name, measured, budget)] : [];
  });
  return {
    id: 'timing',
    title: 'Timing',
    body: html`<div class="columns">
<div class="card"><h3>Where the time went</h3>${parts(timing)}</div>
<div class="card"><h3>Against the recipe’s budgets</h3>${
      budgets.length > 0
        ? html`<table class="budgets">
<thead><tr><th scope="col">Figure</th><th scope="col" class="n">Measured</th><th scope="col" class="n">Budget</th><th scope="col" class="n">Used</th></tr></thead>
${budgets}</table>`
        : html`<p class="note">The recipe sets none.</p>`
    }
<dl class="figures"><div><dt>all steps together</dt><dd>${milliseconds(timing.denoise_ms)}</dd></div><div><dt>peak memory</dt><dd>${figure('peak_bytes', timing.peak_bytes)}</dd></div></dl></div>
</div>`,
  };
}

interface Part {
  readonly name: string;
  readonly ms: number;
  readonly kind: 'bar' | 'rest';
}

/** More steps than these are one bar, with their own behind a fold. */
const MAX_ROWS = 12;

/** Loading, steps and decoding. */
function parts({ load_ms, step_ms, decode_ms }: Timing): Html {
  const steps = step_ms.map((ms, i): Part => ({ name: `Step ${i + 1}`, ms, kind: 'bar' }));
  const many = steps.length > MAX_ROWS;
  const together: Part = { name: `${steps.length} steps`, ms: step_ms.reduce((sum, ms) => sum + ms, 0), kind: 'bar' };
  return html`${timeline([
    { name: 'Loading', ms: load_ms, kind: 'rest' },
    ...(many ? [together] : steps),
    { name: 'Decoding', ms: decode_ms, kind: 'rest' },
  ])}${many && html`<details><summary>Each step</summary>${timeline(steps)}</details>`}`;
}

/** End to end, on one scale. */
function timeline(parts: readonly Part[]): Html {
  const total = Math.max(
    Number.MIN_VALUE,
    parts.reduce((sum, { ms }) => sum + ms, 0),
  );
  let from = 0;
  const rows = parts.map(({ name, ms, kind }) => {
    const bar = html`<span class="bar ${kind}" style="margin-left:${share(from / total)};width:${share(ms / total)}"></span>`;
    from += ms;
    return html`<tr><th scope="row">${name}</th><td class="chart">${bar}</td><td class="n">${milliseconds(ms)}</td></tr>
`;
  });
  return html`<table class="timeline">
<thead class="unseen"><tr><th scope="col">Part</th><th scope="col">Share of the run</th><th scope="col">Time</th></tr></thead>
<tbody>${rows}</tbody></table>`;
}

/** The figure that has a budget's name: as the check told it, else as it was measured; of a list the largest counts. */
function measuredFor(name: string, { checks, timing }: Report): number | undefined {
  const told = checks.find(({ id }) => id === 'timing')?.figures[name];
  if (typeof told === 'number') return told;
  const measured = (timing as Readonly<Record<string, unknown>> | null)?.[name];
  const values = (Array.isArray(measured) ? measured : [measured]).filter((value) => typeof value === 'number');
  return values.length > 0 ? Math.max(...values) : undefined;
}

/** Two rows: the figures, and their bar, in which the budget is a line where it was passed. */
function budgetRow(name: string, measured: number, budget: number): Html {
  const scale = Math.max(measured, budget);
  const kept = measured <= budget;
  return html`<tbody><tr><th scope="row">${label(name)}</th><td class="n">${figure(name, measured)}</td><td class="n">${figure(name, budget)}</td><td class="n ${kept ? 'good' : 'bad'}">${ratio(measured / budget)}</td></tr>
<tr aria-hidden="true"><td colspan="4"><span class="track"><span class="bar ${kept ? 'bar' : 'over'}" style="width:${share(measured / scale)}"></span>${!kept && html`<span class="limit-line" style="left:${share(budget / scale)}"></span>`}</span></td></tr></tbody>
`;
}

function ratio(value: number): string {
  return value < 10 ? `${Number((value * 100).toPrecision(3))} %` : `${Math.round(value)}×`;
}

function share(value: number): string {
  return `${(value * 100).toFixed(2)}%`;
}

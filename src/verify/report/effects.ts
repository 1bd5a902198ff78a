/** What each source changes in each block, as a heat map whose cells are also figures. */
import type { Effects } from '../../merge/effects.ts';
import { percent } from './figures.ts';
import { type Html, html } from './html.ts';
import { HEATS } from './palette.ts';
import type { Section } from './section.ts';

type Values = Effects['sources'];

export function effectsSection({ sampled, unchanged, sources, blocks, pairs }: Effects): Section {
  const roles = Object.keys(sources) as (keyof Values)[];
  const row = (name: string, values: Values, kept: number) =>
    html`<tr><th scope="row">${name}</th>${roles.map((role) => cell(values[role]))}<td>${short(kept)}</td></tr>
`;
  const conflicts = pairs.map(
    ({ a, b, cosine, opposed }) =>
      html`<li><strong>${a}</strong> and <strong>${b}</strong>: cosine ${cosine.toFixed(3)}, opposite signs in ${percent(opposed)} of the weights that both change</li>`,
  );
  return {
    id: 'effects',
    title: 'What the sources change',
    body: html`<p class="lead">‖Δ‖/‖W‖ by block in percent, measured on ${percent(sampled)} of the changed weights, and below the share of weights that rounding leaves as they were.</p>
<div class="card">
<table class="heat">
<thead><tr><th scope="col">Block</th>${roles.map((role) => html`<th scope="col">${role}</th>`)}<th scope="col">unchanged</th></tr></thead>
<tbody>
${Object.entries(blocks).map(([block, found]) => row(block, found.sources, found.unchanged))}</tbody>
<tfoot>${row('all', sources, unchanged)}</tfoot>
</table>
<p class="legend note"><span>Change in percent, on a logarithmic scale:</span>${HEATS.map((heat) => html`<span class="heat-${heat}">${bounds(heat)}</span>`)}</p>
${conflicts.length > 0 && html`<ul class="note">${conflicts}</ul>`}
</div>`,
  };
}

function cell(value: number | undefined): Html {
  return value === undefined
    ? html`<td class="no-change">–</td>`
    : html`<td class="heat-${heatOf(value)}">${short(value)}</td>`;
}

/** Two figures, in percent. */
function short(value: number): string {
  return String(Number((value * 100).toPrecision(2)));
}

/** Where each step of the scale begins; two to a decade, up to a change of a third of the weights. */
const STEPS = [0, 0.003, 0.01, 0.03, 0.1, 0.3] as const;

function heatOf(value: number): number {
  return STEPS.findLastIndex((from) => value >= from);
}

function bounds(heat: number): string {
  return heat === 0 ? `below ${short(STEPS[1])}` : `from ${short(STEPS[heat] as number)}`;
}

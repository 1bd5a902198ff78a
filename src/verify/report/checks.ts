/** The gate: every check with its verdict, the reason, what a pass shows, and the figures behind it. */
import type { CheckVerdict } from '../../events.ts';
import type { CheckReport, Report } from '../report.ts';
import { figure, GLYPHS, label, WORDS } from './figures.ts';
import { type Html, html } from './html.ts';
import { VERDICT_CLASS } from './palette.ts';
import type { Section } from './section.ts';

/** A sign, a word and a colour: none of them alone. */
export function badge(verdict: CheckVerdict): Html {
  return html`<span class="badge ${VERDICT_CLASS[verdict]}"><span aria-hidden="true">${GLYPHS[verdict]}</span> ${WORDS[verdict]}</span>`;
}

export function checksSection({ checks }: Report): Section {
  return {
    id: 'checks',
    title: 'Checks',
    body: html`<div class="card"><table class="checks">
<thead><tr><th scope="col">Check</th><th scope="col">Verdict</th><th scope="col">Found</th><th scope="col" class="n">Seconds</th></tr></thead>
<tbody>
${checks.map(row)}</tbody>
</table></div>`,
  };
}

function row({ id, verdict, reason, proves, figures, seconds }: CheckReport): Html {
  return html`<tr class="${VERDICT_CLASS[verdict]}" id="check-${id}">
<th scope="row">${id}</th>
<td>${badge(verdict)}</td>
<td><p>${reason}</p><p class="note">A pass shows: ${proves}.</p>${figuresOf(figures)}</td>
<td class="n">${seconds.toFixed(2)}<span class="unit"> s</span></td>
</tr>
`;
}

function figuresOf(figures: CheckReport['figures']): Html | undefined {
  const entries = Object.entries(figures);
  if (entries.length === 0) return undefined;
  return html`<details><summary>Figures</summary><dl class="figures">${entries.map(
    ([name, value]) => html`<div><dt>${label(name)}</dt><dd>${figure(name, value)}</dd></div>`,
  )}</dl></details>`;
}

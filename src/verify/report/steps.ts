/** The trajectory as a strip: the middle frame as each step estimates it. */
import type { Report } from '../report.ts';
import { type Html, html } from './html.ts';
import type { Pictures } from './pictures.ts';
import type { Section } from './section.ts';

export function stepsSection({ run }: Report, { steps }: Pictures): Section | undefined {
  if (steps.length === 0) return undefined;
  const item = (step: number): Html => {
    const found = steps.find((candidate) => candidate.step === step);
    const picture = found
      ? html`<img alt="Middle frame as step ${step} of ${run.steps} estimates it" width="256" src="${found.picture}"${found.width < 256 && html` class="enlarged"`}>`
      : html`<p class="nothing" style="aspect-ratio:${run.width}/${run.height}">The estimate has no colours.</p>`;
    return html`<li><figure>${picture}<figcaption>Step ${step}</figcaption></figure></li>`;
  };
  return {
    id: 'steps',
    title: 'From noise to picture',
    body: html`<p class="lead">The clip’s middle frame as each step estimates it: what would have come out, had sampling ended there.</p>
<ol class="strip${run.steps > 8 && ' many'}">${Array.from({ length: run.steps }, (_, i) => item(i + 1))}</ol>`,
  };
}

/** How close a step came to the device's limit: three bars on one scale, and the figures they come from. */
import { formatBytes, formatCount } from '../../text/quantity.ts';
import type { RunLimit } from '../limit.ts';
import { milliseconds, percent } from './figures.ts';
import { html } from './html.ts';
import type { Section } from './section.ts';

export function limitSection(limit: RunLimit): Section {
  const { rates, runs_per_step } = limit;
  const longest = Math.max(limit.step_ms, limit.limit_ms);
  const row = (kind: 'bar' | 'rest', name: string, ms: number, detail: string) =>
    html`<tr><th scope="row">${name}</th><td class="chart"><span class="bar ${kind}" style="width:${((ms / longest) * 100).toFixed(1)}%"></span></td><td class="n">${milliseconds(ms)}</td><td class="n note">${detail}</td></tr>
`;
  const flops = formatCount(limit.flops_per_step, 'FLOP');
  const attained = formatCount(limit.achieved_flops_per_second, 'FLOP/s');
  const best = formatCount(Math.max(...Object.values(rates.matrix)), 'FLOP/s');
  const measured = Object.entries(rates.matrix).map(([type, rate]) => `${formatCount(rate, 'FLOP/s')} in ${type}`);
  const often = runs_per_step > 1 ? `, which runs ${runs_per_step} times,` : '';
  return {
    id: 'limit',
    title: 'How close to the device’s limit',
    body: html`<div class="card">
<p>A step of <code>${limit.graph}</code>${often} has ${flops} of products and attained ${attained}: <strong>${percent(limit.share)}</strong> of the limit.</p>
<table class="timeline">
<thead class="unseen"><tr><th scope="col">What</th><th scope="col">Length</th><th scope="col">Time</th><th scope="col">From</th></tr></thead>
<tbody>${row('bar', 'A step', limit.step_ms, attained)}${row('rest', 'Its products at least', limit.products_ms, `${flops} at ${best}`)}${row('rest', 'Its weights, inputs and outputs at least', limit.memory_ms, `${formatBytes(limit.least_bytes_per_step)} at ${formatBytes(rates.copy)}/s`)}</tbody>
</table>
<p class="note">Rates of onnxruntime on the device, measured after the run: matrix products ${measured.join(', ')}; memory ${formatBytes(rates.copy)}/s. A step has ${formatCount(limit.other_flops_per_step, 'FLOP')} of other arithmetic; node by node it would read and write ${formatBytes(limit.traffic_bytes_per_step)}, and hold activations of ${formatBytes(limit.peak_activation_bytes)} at a time.</p>
</div>`,
  };
}

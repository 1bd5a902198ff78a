/** The report's section on how close a step came to the device's limit: three bars on one scale, and the figures they come from. */
import { formatBytes, formatCount } from '../text/quantity.ts';
import type { RunLimit } from './limit.ts';
import { escapeHtml, milliseconds, percent } from './report-text.ts';

export function limitHtml(limit: RunLimit): string {
  const { rates, runs_per_step } = limit;
  const longest = Math.max(limit.step_ms, limit.limit_ms);
  const row = (kind: string, name: string, ms: number, detail: string) =>
    `<tr class="${kind}"><th scope="row">${name}</th><td><i style="width:${((ms / longest) * 100).toFixed(1)}%"></i></td><td class="n">${milliseconds(ms)}</td><td class="n">${detail}</td></tr>`;
  const flops = formatCount(limit.flops_per_step, 'FLOP');
  const attained = formatCount(limit.achieved_flops_per_second, 'FLOP/s');
  const best = formatCount(Math.max(...Object.values(rates.matrix)), 'FLOP/s');
  const measured = Object.entries(rates.matrix).map(([type, rate]) => `${formatCount(rate, 'FLOP/s')} in ${type}`);
  const graph = `${escapeHtml(limit.graph)}${runs_per_step > 1 ? `, which runs ${runs_per_step} times,` : ''}`;
  return `<h2>How close to the device’s limit</h2>
<p>A step of ${graph} has ${flops} of products and attained ${attained}: <strong>${percent(limit.share)}</strong> of the limit.</p>
<table class="limit">
${row('took', 'a step', limit.step_ms, attained)}
${row('bound', 'its products at least', limit.products_ms, `${flops} at ${best}`)}
${row('bound', 'its weights, inputs and outputs at least', limit.memory_ms, `${formatBytes(limit.least_bytes_per_step)} at ${formatBytes(rates.copy)}/s`)}
</table>
<p class="proves">Rates of onnxruntime on the device, measured after the run: matrix products ${measured.join(', ')}; memory ${formatBytes(rates.copy)}/s. A step has ${formatCount(limit.other_flops_per_step, 'FLOP')} of other arithmetic; node by node it would read and write ${formatBytes(limit.traffic_bytes_per_step)}, and hold activations of ${formatBytes(limit.peak_activation_bytes)} at a time.</p>`;
}

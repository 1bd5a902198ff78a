/** The bytes that the report speaks of. */
import type { Lock } from '../../export/lock.ts';
import { formatBytes } from '../../text/quantity.ts';
import type { Report } from '../report.ts';
import { html } from './html.ts';
import type { Section } from './section.ts';

export function filesSection(report: Report, lock: Lock | undefined): Section {
  const ran = new Set(report.graphs);
  return {
    id: 'files',
    title: 'Files',
    body: html`<p class="lead">The report speaks of exactly these bytes, and of no others.</p>
<div class="card"><table class="files">
<thead><tr><th scope="col">File</th><th scope="col" class="n">Size</th><th scope="col">SHA-256</th></tr></thead>
<tbody>
${Object.entries(report.package).map(([file, sha256]) => {
  const bytes = lock?.outputs[file]?.bytes;
  return html`<tr><th scope="row">${file}${ran.has(file) && html` <span class="tag">ran</span>`}</th><td class="n">${bytes !== undefined && formatBytes(bytes)}</td><td><code>${sha256}</code></td></tr>
`;
})}</tbody>
</table></div>`,
  };
}

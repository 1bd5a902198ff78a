/** The clip, moving, with a still beside it: for whoever holds it, and from the start for whoever has asked for less motion. */
import type { Report } from '../report.ts';
import { type Html, html } from './html.ts';
import type { Pictures } from './pictures.ts';

/** CSS pixels that small clips are enlarged to, in whole multiples, so that their pixels stay square. */
const SIDE = 384;

export function clipFigure({ run }: Report, { clip, still }: Pictures): Html {
  const caption = html`<figcaption>“${run.prompt}”${run.negative && html`, not “${run.negative}”`}</figcaption>`;
  if (!clip || !still)
    return html`<figure class="clip"><p class="nothing">No frames: the run did not end.</p>${caption}</figure>`;
  const factor = Math.max(1, Math.floor(SIDE / Math.max(1, run.width)));
  const size = html`width="${run.width * factor}" height="${run.height * factor}"`;
  return html`<figure class="clip${factor > 1 && ' enlarged'}">
<input type="checkbox" id="hold"><label for="hold"><span class="if-moving">Hold still</span><span class="if-reduced">Play</span></label>
<img class="moving" alt="The clip, ${run.frames} frames: ${run.prompt}" ${size} src="${clip}">
<img class="still" alt="The middle frame of the clip: ${run.prompt}" ${size} src="${still}">
${caption}</figure>`;
}

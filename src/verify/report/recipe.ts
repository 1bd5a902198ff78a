/** The recipe as it was resolved, and the files that went into it: what the lock has, so that it is what was baked. */
import { stringify } from 'yaml';
import type { Lock } from '../../export/lock.ts';
import { formatBytes } from '../../text/quantity.ts';
import { type Html, html } from './html.ts';
import type { Section } from './section.ts';

export function recipeSection(lock: Lock): Section {
  const origins = lock.origins ?? {};
  const { name, base, personalized, lcm, motion, ...rest } = lock.recipe;
  const recipe = { name, base, personalized, ...(lcm && { lcm }), motion, ...rest }; // in the order in which recipes are written
  return {
    id: 'recipe',
    title: 'Recipe and inputs',
    body: html`<div class="columns">
<div class="card"><h3>Recipe, as it was resolved</h3>
<pre>${stringify(recipe, { lineWidth: 0 }).trimEnd().split('\n').map(line)}</pre></div>
<div class="card"><h3>Inputs</h3>
<ul class="inputs">${lock.inputs.map(
      ({
        role,
        file,
        bytes,
        sha256,
        origin,
      }) => html`<li><strong>${role}</strong> <span class="n note">${formatBytes(bytes)}</span>
<span class="file">${file}</span>${origin !== undefined && origins[origin] && html`<span class="note">${origins[origin].reference} at ${origins[origin].commit}</span>`}
<code>${sha256}</code></li>`,
    )}</ul></div>
</div>`,
  };
}

/** A line of YAML, its key apart from its value. */
function line(text: string): Html {
  const [, before = '', key, after = ''] = /^(\s*(?:- )*)([\w[\]. *-]+:)(.*)$/.exec(text) ?? [];
  return key === undefined ? html`${text}\n` : html`${before}<b>${key}</b>${after}\n`;
}

/** HTML as a value: what is put into a template is escaped, unless it is HTML itself. Nothing from a file or recipe can become markup. */

import { escapeHtml } from '../../text/escape-html.ts';

export interface Html {
  readonly html: string;
}

/** Left out: undefined and false. */
export type Part = Html | string | number | undefined | false | readonly Part[];

/** A tagged template: html`<p>${text}</p>`. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return { html: strings.reduce((text, string, i) => text + markup(parts[i - 1]) + string) };
}

/** Text that is HTML or CSS already, and of our own making. */
export function trusted(text: string): Html {
  return { html: text };
}

function markup(part: Part): string {
  if (part === undefined || part === false) return '';
  if (typeof part === 'string') return escapeHtml(part);
  if (typeof part === 'number') return String(part);
  return 'html' in part ? part.html : part.map(markup).join('');
}

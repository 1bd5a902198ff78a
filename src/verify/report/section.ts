/** What the page is made of. */
import type { Html } from './html.ts';

export interface Section {
  /** The anchor; unique in the page. */
  readonly id: string;
  readonly title: string;
  readonly body: Html;
}

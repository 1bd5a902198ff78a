/** A component as a terminal without colours shows it, line by line. */
import { renderToString } from 'ink';
import type { ReactNode } from 'react';

export function linesOf(node: ReactNode, columns: number): string[] {
  return renderToString(node, { columns }).split('\n');
}

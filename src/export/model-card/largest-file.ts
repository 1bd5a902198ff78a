/** The largest file of a package, which decides whether a browser can hold it. */
import type { Lock } from '../lock.ts';

/** Chromium's longest ArrayBuffer (docs/browser.md). */
export const BROWSER_FILE_BYTES = 2_145_386_496;

export function largestFile(outputs: Lock['outputs']): readonly [name: string, bytes: number] {
  return Object.entries(outputs)
    .map(([name, { bytes }]) => [name, bytes] as const)
    .reduce((a, b) => (b[1] > a[1] ? b : a), ['', 0] as const);
}

/** Which packages can stand beside each other. */
import { describeClip } from '../recipe/clip-shapes.ts';
import type { PackageFound } from './find-packages.ts';

/** Why clips of the two cannot be laid side by side, as a sentence; undefined when they can. */
export function whyNotBeside(first: PackageFound, other: PackageFound): string | undefined {
  const [a, b] = [first, other].map(({ clip }) => describeClip(clip));
  return a === b ? undefined : `It makes ${b}, and ${first.name} makes ${a}: only clips of one shape can be compared.`;
}

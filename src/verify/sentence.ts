/** Faults as one sentence: the first ones, and how many more there are. */

/** A reader needs no more to see what is wrong. */
const LISTED = 6;

export function sentence(faults: readonly string[]): string {
  const more = faults.length - LISTED;
  return `${faults.slice(0, LISTED).join('; ')}${more > 0 ? `; and ${more} more` : ''}.`;
}

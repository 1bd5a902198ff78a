/** The command palette: what can be done from where one is, found by typing parts of its description. Pure. */
import { type Binding, KEYS, type KeyContext } from './keys.ts';

/** Commands of `context` that fit `query`, the best first; moving about is nothing to look for. */
export function findCommands(context: KeyContext, query: string): readonly Binding[] {
  const known = new Set<string>();
  return KEYS.filter(({ in: places, does, move }) => {
    if (move || !places.includes(context) || known.has(does)) return false;
    known.add(does);
    return true;
  })
    .map((binding) => ({ binding, score: scoreOf(binding.help, query) }))
    .filter(({ score }) => score !== undefined)
    .sort((a, b) => (a.score ?? 0) - (b.score ?? 0))
    .map(({ binding }) => binding);
}

/** Is every word of `query` somewhere in `text`? */
export function containsWords(text: string, query: string): boolean {
  const hay = text.toLowerCase();
  return query
    .toLowerCase()
    .split(/\s+/)
    .every((word) => hay.includes(word));
}

/**
 * How far the letters of `query` are spread over `text`, in its order and whatever their case; undefined when they are not all
 * there. Words that begin with what is typed come before words that contain it.
 */
export function scoreOf(text: string, query: string): number | undefined {
  const letters = [...query.toLowerCase().replace(/\s+/g, '')];
  const hay = text.toLowerCase();
  let [at, score] = [-1, 0];
  for (const letter of letters) {
    const next = hay.indexOf(letter, at + 1);
    if (next < 0) return undefined;
    const startsWord = next === 0 || !/\p{L}/u.test(hay[next - 1] ?? '');
    score += next === at + 1 ? 0 : startsWord ? 1 : 4 + Math.min(9, next - at);
    at = next;
  }
  return score;
}

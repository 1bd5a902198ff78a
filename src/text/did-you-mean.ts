/** The question after a name that is not known. Where names are so long that a slip hides in them, it says where to look. */

/** Shorter ones are compared at a glance. */
const LONG = 30;

/** `did you mean …attn1_to_q? It has "attn1" where "atn1" stands`, without a full stop. */
export function didYouMean(near: string, name: string): string {
  const question = `did you mean ${near}?`;
  if (name.length < LONG) return question;
  const [wrong, right] = differingWords(name, near);
  return wrong === '' || right === '' ? question : `${question} It has "${right}" where "${wrong}" stands`;
}

/** What is left of both when the words that they begin and end with alike are taken off. Dots and underscores part words. */
function differingWords(a: string, b: string): readonly [string, string] {
  const words = [a, b].map((name) => name.split(/(?=[._])|(?<=[._])/)) as [string[], string[]];
  const shortest = Math.min(words[0].length, words[1].length);
  let [before, after] = [0, 0];
  while (before < shortest && words[0][before] === words[1][before]) before++;
  while (after < shortest - before && words[0].at(-1 - after) === words[1].at(-1 - after)) after++;
  const middle = (list: readonly string[]) => list.slice(before, list.length - after).join('');
  return [middle(words[0]), middle(words[1])];
}

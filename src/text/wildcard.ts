/** Patterns on dotted names: `*` stands for any run of characters, dots too, and `?` for one. No other character is special. */

export function isPattern(text: string): boolean {
  return /[*?]/.test(text);
}

/** Does `pattern` describe all of `name`? Takes at most |name|·|pattern| steps, however many stars a pattern has. */
export function matchesPattern(name: string, pattern: string): boolean {
  let [at, next] = [0, 0];
  /** The last star met, and where in the name what follows it was tried last: only that star ever has to give way. */
  let [star, tried] = [-1, 0];
  while (at < name.length) {
    if (pattern[next] === '*') [star, tried, next] = [next, at, next + 1];
    else if (pattern[next] === '?' || pattern[next] === name[at]) [at, next] = [at + 1, next + 1];
    else if (star >= 0) [tried, at, next] = [tried + 1, tried + 1, star + 1];
    else return false;
  }
  return /^\**$/.test(pattern.slice(next));
}

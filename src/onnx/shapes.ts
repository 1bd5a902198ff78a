/**
 * Open lengths of a graph: a dimension is a number or an expression over names that get their numbers at run time, such
 * as `batch*frames` or `ceil(height/2)*2`, as `onnx/graph.ts` and other exporters write them into dim_param.
 */
import type { Dim } from './graph.ts';

/** Name → length. */
export type Lengths = Readonly<Record<string, number>>;

const TOKEN = /\s*(\d+|[A-Za-z_][\w.]*|\/\/|[-+*/()])/y;
const NAME = /^[A-Za-z_]/;

const FUNCTIONS: Readonly<Record<string, (x: number) => number>> = { ceil: Math.ceil, floor: Math.floor };

/**
 * The length of `dim`. A name that stands in `lengths` as it is written counts as a whole, whatever characters it has.
 * Undefined where a name has no length, where the text is no expression, or where the result is no length.
 */
export function lengthOf(dim: Dim, lengths: Lengths): number | undefined {
  const value = typeof dim === 'number' ? dim : (lengths[dim] ?? evaluate(dim, lengths));
  return value !== undefined && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

/** All lengths of a shape, or undefined while one of them is not known. */
export function resolveShape(shape: readonly Dim[], lengths: Lengths): number[] | undefined {
  const known = shape.map((dim) => lengthOf(dim, lengths));
  return known.includes(undefined) ? undefined : (known as number[]);
}

/** The names that `dim` depends on. */
export function namesIn(dim: Dim): string[] {
  if (typeof dim === 'number') return [];
  const tokens = tokenize(dim);
  if (!tokens) return [dim];
  return [...new Set(tokens.filter((token, i) => NAME.test(token) && tokens[i + 1] !== '('))];
}

function tokenize(text: string): string[] | undefined {
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  for (let at = 0; at < text.length; at = TOKEN.lastIndex) {
    const found = TOKEN.exec(text);
    if (!found) return text.slice(at).trim() === '' ? tokens : undefined;
    tokens.push(found[1] as string);
  }
  return tokens;
}

/**
 * sum := product (± product)*; product := factor (* or / or // factor)*; factor := number, name, function(sum), (sum).
 * NaN stands for what is not known and spreads by itself.
 */
function evaluate(text: string, lengths: Lengths): number | undefined {
  const tokens = tokenize(text);
  if (!tokens) return undefined;
  let at = 0;
  const take = (...wanted: readonly string[]): string | undefined => {
    const token = tokens[at];
    if (token === undefined || !wanted.includes(token)) return undefined;
    at += 1;
    return token;
  };
  const inBrackets = (): number => {
    const value = sum();
    return take(')') ? value : Number.NaN;
  };
  const factor = (): number => {
    if (take('(')) return inBrackets();
    const token = tokens[at] ?? '';
    at += 1;
    if (/^\d/.test(token)) return Number(token);
    if (take('(')) return FUNCTIONS[token]?.(inBrackets()) ?? Number.NaN;
    return Object.hasOwn(lengths, token) ? (lengths[token] as number) : Number.NaN;
  };
  const product = (): number => {
    let value = factor();
    for (let sign = take('*', '/', '//'); sign; sign = take('*', '/', '//')) {
      const right = factor();
      value = sign === '*' ? value * right : sign === '/' ? value / right : Math.floor(value / right);
    }
    return value;
  };
  const sum = (): number => {
    let value = product();
    for (let sign = take('+', '-'); sign; sign = take('+', '-')) value += sign === '+' ? product() : -product();
    return value;
  };
  const value = sum();
  return at === tokens.length && !Number.isNaN(value) ? value : undefined;
}

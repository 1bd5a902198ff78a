/**
 * JSON of a file header, held to what RFC 8259 only recommends: names within an object are unique. `JSON.parse` keeps the
 * last of two equal names silently, so two readers of one file could see two different tensors.
 */

/** The value, and the first name that stands twice in one object. Throws SyntaxError like `JSON.parse`. */
export function parseJson(text: string): { readonly value: unknown; readonly duplicate: string | undefined } {
  return { value: JSON.parse(text), duplicate: duplicateName(text) };
}

/** `text` must be valid JSON: then a string that a colon follows is a name, and nothing else is. */
function duplicateName(text: string): string | undefined {
  const names: Set<string>[] = []; // one per open object
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '{') names.push(new Set());
    else if (c === '}') names.pop();
    else if (c === '"') {
      const start = i++;
      while (text[i] !== '"') i += text[i] === '\\' ? 2 : 1;
      if (!colonFollows(text, i + 1)) continue;
      const name = String(JSON.parse(text.slice(start, i + 1))); // so that "a" and "\u0061" are equal
      const seen = names.at(-1);
      if (seen?.has(name)) return name;
      seen?.add(name);
    }
  }
  return undefined;
}

function colonFollows(text: string, from: number): boolean {
  let i = from;
  while (text[i] === ' ' || text[i] === '\n' || text[i] === '\r' || text[i] === '\t') i++;
  return text[i] === ':';
}

/** What answers and files of others hold; undefined where that is no JSON. */
export function jsonIn(data: string | Uint8Array): unknown {
  try {
    return JSON.parse(typeof data === 'string' ? data : new TextDecoder().decode(data));
  } catch {
    return undefined;
  }
}

/** A JSON object: not null, not an array. */
export function isJsonObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

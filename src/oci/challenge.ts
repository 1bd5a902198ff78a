/** WWW-Authenticate (RFC 9110, 11.6.1): `Bearer realm="https://auth…",service="…",scope="…"`, several of them one after the other. */

export interface Challenge {
  /** In small letters. */
  readonly scheme: string;
  readonly parameters: Readonly<Record<string, string>>;
}

const TOKEN = /[!#$%&'*+.^_`|~\w-]+/y;
const PARAMETER = /\s*([!#$%&'*+.^_`|~\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*,?/y;

/** As far as it can be read; what cannot be is left out. */
export function parseChallenges(text: string): readonly Challenge[] {
  const challenges: Challenge[] = [];
  let at = 0;
  for (;;) {
    at += /^[\s,]*/.exec(text.slice(at))?.[0].length ?? 0;
    TOKEN.lastIndex = at;
    const [scheme] = TOKEN.exec(text) ?? [];
    if (scheme === undefined) return challenges;
    at += scheme.length;
    const parameters: Record<string, string> = Object.create(null);
    for (;;) {
      PARAMETER.lastIndex = at;
      const found = PARAMETER.exec(text);
      if (!found) break;
      const [whole, name = '', quoted, plain = ''] = found;
      parameters[name.toLowerCase()] = quoted === undefined ? plain : quoted.replace(/\\(.)/g, '$1');
      at += whole.length;
    }
    challenges.push({ scheme: scheme.toLowerCase(), parameters });
  }
}

import { describe, expect, it } from 'vitest';
import { parseJson } from '../../src/formats/json.ts';

describe('parseJson', () => {
  it.each([
    ['{"a":1,"b":{"a":2}}', undefined],
    ['[{"a":1},{"a":2}]', undefined],
    ['{"a":"b","b":"a","c":["a","a"]}', undefined],
    ['{"a\\"":1,"a":2,"\\\\":3}', undefined],
    ['{"a":"{\\"a\\":1,\\"a\\":2}"}', undefined],
    ['{"a":1,"b":2,"a":3}', 'a'],
    ['{"a":{"x":1, "y":[{}], "x" \n\t: 2}}', 'x'],
    ['{"a":1,"\\u0061":2}', 'a'],
    ['{"":1,"":2}', ''],
    ['{"__proto__":1,"__proto__":2}', '__proto__'],
    ['{"a\\\\":1,"a\\\\":2}', 'a\\'],
  ])('%s has the duplicate %j', (text, duplicate) => {
    expect(parseJson(text)).toEqual({ value: JSON.parse(text), duplicate });
  });

  it('throws what JSON.parse throws', () => {
    expect(() => parseJson('{"a":1,}')).toThrow(SyntaxError);
  });
});

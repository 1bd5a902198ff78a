import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { RecipeError } from '../../src/errors.ts';
import { type Edit, editRecipe, type Json, readJson } from '../../src/recipe/edit.ts';
import type { KeyPath } from '../../src/recipe/located-yaml.ts';

const set = (path: KeyPath, value: Json): Edit => ({ path, value });
const remove = (...path: KeyPath): Edit => ({ path, value: undefined });
const insert = (path: KeyPath, value: Json): Edit => ({ path, value, insert: true });

const RECIPES = new URL('../../recipes/', import.meta.url);
const recipe = (name: string) => readFileSync(new URL(name, RECIPES), 'utf8');

describe('editRecipe', () => {
  it.each<[what: string, text: string, edit: Edit, result: string]>([
    ['a number', 'a: 0.8 # so\nb: 1\n', set(['a'], 0.85), 'a: 0.85 # so\nb: 1\n'],
    ['the noise of arithmetic', 'a: 1\n', set(['a'], 0.1 + 0.2), 'a: 0.3\n'],
    ['spacing', 'a:   1   # so\n', set(['a'], 2), 'a:   2   # so\n'],
    ['single quotes', "a: 'x'\n", set(['a'], "it's"), "a: 'it''s'\n"],
    ['double quotes', 'a: "x"\n', set(['a'], 'y'), 'a: "y"\n'],
    ['a text that needs quotes', 'a: x\n', set(['a'], 'a: b #c'), 'a: "a: b #c"\n'],
    ['a text that looks like a number', 'a: x\n', set(['a'], '1e3'), 'a: "1e3"\n'],
    ['a text with a comma in a block', 'a: x\n', set(['a'], 'a boy, a rabbit'), 'a: a boy, a rabbit\n'],
    ['a text with a comma in a flow', '{ a: x }\n', set(['a'], 'b, c'), '{ a: "b, c" }\n'],
    ['CRLF', 'a: 1\r\nb:\r\n  c: 2\r\n', set(['b', 'd'], 3), 'a: 1\r\nb:\r\n  c: 2\r\n  d: 3\r\n'],
    ['no line end at the end', 'a: 1', set(['b'], 2), 'a: 1\nb: 2'],
    ['a text on several lines', 'a: one\n  two # no\nb: 1\n', set(['a'], 'x'), 'a: x # no\nb: 1\n'],
    ['a block text', 'a: | # so\n  one\n  two\n\nb: 1\n', set(['a'], 'x'), 'a: x # so\n\nb: 1\n'],
    ['nothing yet', 'a: # so\nb: 1\n', set(['a'], 2), 'a: 2 # so\nb: 1\n'],
    ['null', 'a: null # so\n', set(['a', 'b'], 2), 'a: { b: 2 } # so\n'],
    ['an alias', 'a: &x 1\nb: *x\n', set(['b'], 2), 'a: &x 1\nb: 2\n'],
    ['an anchor that nobody means', 'a: &x 1\n', set(['a'], 2), 'a: &x 2\n'],
    ['a mapping by a text', 'base:\n  model: m # so\n  vae: v\nc: 1\n', set(['base'], 'x'), 'base: x\nc: 1\n'],
    [
      'a text by a mapping',
      'base: m # so\n',
      set(['base'], { model: 'm', vae: 'v' }),
      'base: { model: m, vae: v } # so\n',
    ],
    [
      'a key behind the last one, before what belongs to the next',
      'a:\n  b: 1 # so\n\n# of c\nc: 2\n',
      set(['a', 'd'], true),
      'a:\n  b: 1 # so\n  d: true\n\n# of c\nc: 2\n',
    ],
    ['a key of a flow', 'a: { b: 1 } # so\n', set(['a', 'c'], 2), 'a: { b: 1, c: 2 } # so\n'],
    ['a key of an empty flow', 'a: {}\n', set(['a', 'c'], 2), 'a: { c: 2 }\n'],
    ['a key of a flow on lines', 'a: {\n  b: 1, # so\n}\n', set(['a', 'c'], 2), 'a: {\n  b: 1, # so\n  c: 2,\n}\n'],
    ['missing parents', 'a: 1\n', set(['sampler', 'steps'], 8), 'a: 1\nsampler: { steps: 8 }\n'],
    [
      'missing lists',
      'a: 1\n',
      set(['personalized', 0], { lora: 'x.safetensors', alpha: 0.8 }),
      'a: 1\npersonalized:\n  - lora: x.safetensors\n    alpha: 0.8\n',
    ],
    [
      'blocks of a source',
      '- lora: x # so\n  alpha: 1\n- lora: y\n',
      set([0, 'blocks', 'IN00'], 0.5),
      '- lora: x # so\n  alpha: 1\n  blocks: { IN00: 0.5 }\n- lora: y\n',
    ],
    [
      'an item behind the last',
      'a:\n  - b # so\n# of c\nc: 1\n',
      set(['a', 1], 'x'),
      'a:\n  - b # so\n  - x\n# of c\nc: 1\n',
    ],
    [
      'an item before the first',
      'a:\n  # of b\n  - b\n',
      insert(['a', 0], { x: 1, y: 2 }),
      'a:\n  # of b\n  - x: 1\n    y: 2\n  - b\n',
    ],
    ['an item between', 'a: [b, c]\n', insert(['a', 1], 'x'), 'a: [b, x, c]\n'],
    ['an item before the first of a flow', 'a: [b, c]\n', insert(['a', 0], 'x'), 'a: [x, b, c]\n'],
    [
      'an item of a flow on lines',
      'a: [\n  1, # one\n  2 # two\n]\n',
      set(['a', 2], 3),
      'a: [\n  1, # one\n  2, # two\n  3\n]\n',
    ],
    ['an item of a flow on lines away', 'a: [\n  1, # one\n  2 # two\n]\n', remove('a', 1), 'a: [\n  1, # one\n]\n'],
    ['an item of a flow', 'a: [b, c]\n', set(['a', 2], 'x'), 'a: [b, c, x]\n'],
    ['a key away', '# of a\na: 1 # so\nb: 2 # of b\n', remove('a'), '# of a\nb: 2 # of b\n'],
    ['a key with its lines away', 'a:\n  b: 1\n  c: |\n    x\n\n# of d\nd: 2\n', remove('a'), '\n# of d\nd: 2\n'],
    ['the only key away', 'a:\n  b: 1 # so\nc: 2\n', remove('a', 'b'), 'a:\n  {}\nc: 2\n'],
    ['the key behind a dash away', '- a: 1 # so\n  # of b\n  b: 2\n', remove(0, 'a'), '- # of b\n  b: 2\n'],
    ['an item away', '- a: 1\n  b: 2 # so\n- c\n', remove(0), '- c\n'],
    ['the first key of a flow away', '{ a: 1, b: 2 }\n', remove('a'), '{ b: 2 }\n'],
    ['the last key of a flow away', '{ a: 1, b: 2 }\n', remove('b'), '{ a: 1 }\n'],
    ['the only key of a flow away', '{ a: 1 }\n', remove('a'), '{ }\n'],
    ['a flow whose comments are of others', '{ a: 1, # of a\n  b: 2 }\n', remove('b'), '{ a: 1 # of a\n   }\n'],
    ['what is not there away', 'a: 1\n', remove('b', 'c'), 'a: 1\n'],
    ['what is there already', 'a: 1.0 # so\n', set(['a'], 1), 'a: 1.0 # so\n'],
    ['an empty text', '', set(['a', 'b'], 1), 'a: { b: 1 }\n'],
    ['nothing but comments', '# so', set(['a'], 1), '# so\na: 1\n'],
  ])('changes %s and nothing else', (_, text, edit, result) => {
    expect(editRecipe(text, [edit])).toBe(result);
  });

  it.each<[what: string, text: string, edit: Edit, sentence: string]>([
    [
      'an alias from inside',
      'a: &x { b: 1 }\nc: *x\n',
      set(['c', 'b'], 2),
      'c.b cannot be changed here, because it is written elsewhere and only meant by *x. ',
    ],
    [
      'what an alias means',
      'a: &x 1\nb: *x\n',
      set(['a'], 2),
      'a cannot be changed here, because its spelling there (an anchor ',
    ],
    ['an anchor away', 'a: &x 1\nb: *x\n', remove('a'), 'a cannot be changed here'],
    [
      'keys given twice',
      'a: 1\na: 2\n',
      set(['a'], 3),
      'cannot be changed before line 2 is put right: The key a is given twice.',
    ],
    [
      'tabs as indentation',
      'a:\n\tb: 1\n',
      set(['a', 'b'], 3),
      'cannot be changed before line 2 is put right: This is not valid YAML',
    ],
    [
      'a single value',
      'base: m\n',
      set(['base', 'vae'], 'v'),
      'base.vae cannot be changed here, because base is a single value. ',
    ],
    ['a list by name', 'a: [1]\n', set(['a', 'b'], 1), 'because a is a list. '],
    ['beyond the end', 'a: [1]\n', set(['a', 2], 1), 'because the list has only 1 items. '],
    ['to infinity', 'a: 1\n', set(['a'], Infinity), 'because the new value is not a finite number. '],
    ['a second document', 'a: 1\n---\nb: 1\n', set(['a'], 2), 'A recipe is one YAML document'],
  ])('refuses to change %s', (_, text, edit, sentence) => {
    expect(() => editRecipe(text, [edit])).toThrow(RecipeError);
    expect(() => editRecipe(text, [edit])).toThrow(sentence);
  });

  it('keeps merge keys and tags out of it: a text with them is no recipe, or a key like any other', () => {
    expect(editRecipe('a: { "<<": 1 }\n', [set(['a', 'b'], 2)])).toBe('a: { "<<": 1, b: 2 }\n');
    expect(() => editRecipe('a: !!js/regexp x\n', [set(['b'], 2)])).toThrow('This YAML tag is not understood');
  });

  it('leaves every other line of our own recipes as it is', () => {
    for (const name of readdirSync(RECIPES).filter((file) => file.endsWith('.yaml'))) {
      const text = recipe(name);
      const edited = editRecipe(text, [
        set(['personalized', 0, 'alpha'], 0.35),
        set(['sampler', 'steps'], 7),
        set(['lcm', 'blocks', 'OUT11'], 0.5),
        remove('verify', 'seed'),
      ]);
      const lines = text.split('\n');
      const changed = edited.split('\n').filter((line) => !lines.includes(line));
      expect(changed.length).toBeLessThanOrEqual(3);
      expect(edited).toContain('alpha: 0.35');
    }
    expect(editRecipe(recipe('tiny.yaml'), [set(['personalized', 0, 'alpha'], 0.35)])).toBe(
      recipe('tiny.yaml').replace('alpha: 0.8', 'alpha: 0.35'),
    );
  });
});

/** mulberry32. */
function generator(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * limit) | 0;
  };
}

type Random = (limit: number) => number;
const pick = <T>(random: Random, from: readonly T[]): T => from[random(from.length)] as T;
const KEYS = ['a', 'b', 'alpha', 'key with spaces', '1', 'true', 'é', 'a.b', '#', '- x', 'x: y'];
const SCALARS: readonly Json[] = [
  0,
  0.8,
  -1.25,
  1e21,
  true,
  false,
  null,
  '',
  'x',
  'a, b',
  'a: b',
  ' x ',
  '#',
  'it\'s "so"',
  'no',
  '0x1',
  '- a',
  '[',
  'a\nb',
  '\t',
  '\u202e',
  '~',
  '*a',
  '---',
  'é',
];

function randomValue(random: Random, depth: number): Json {
  const kind = random(depth > 2 ? 1 : 4);
  if (kind < 2) return pick(random, SCALARS);
  const size = random(4);
  const members = Array.from({ length: size }, () => randomValue(random, depth + 1));
  return kind === 2 ? members : Object.fromEntries(members.map((member) => [pick(random, KEYS), member]));
}

/** The value as somebody might have written it: any mixture of styles, comments, empty lines and quotes. */
function write(random: Random, value: Json, indent: string, flow: boolean): string {
  const note = () => pick(random, ['', '', ` # note ${random(99)}`]);
  const scalar = (text: Json) =>
    typeof text !== 'string'
      ? String(text)
      : /^[a-zé]+$/.test(text) && text !== 'true' && random(2)
        ? text
        : /^[\w ,é#:-]*$/.test(text) && random(2)
          ? `'${text}'`
          : JSON.stringify(text);
  if (typeof value !== 'object' || value === null) return ` ${scalar(value)}`;
  const list = Array.isArray(value);
  const members = Object.entries(value as Record<string, Json>);
  if (flow || members.length === 0 || random(4) === 0) {
    const [open, close] = list ? '[]' : '{}';
    const pad = pick(random, ['', ' ', `${random(2) ? ' # in' : ''}\n${indent}  `]);
    const items = members.map(([key, item]) => {
      const text = write(random, item, `${indent}  `, true).trimStart();
      return list ? text : `${scalar(key)}: ${text}`;
    });
    const comma = pick(random, [', ', ',  ', ` ,\n${indent}  `, `, # of it\n${indent}  `]);
    const last = members.length > 0 && random(5) === 0 ? ',' : '';
    return ` ${open}${pad}${items.join(comma)}${last}${members.length > 0 ? pad : ''}${close}`;
  }
  const deeper = `${indent}${pick(random, ['  ', ' ', '    '])}`;
  return members
    .map(([key, item]) => {
      const above = pick(random, ['', '', '', '\n', `\n${deeper}# above ${random(99)}`]);
      const text = write(random, item, deeper, false);
      return `${above}\n${deeper}${list ? '-' : `${scalar(key)}:`}${text}${text.includes('\n') ? '' : note()}`;
    })
    .join('');
}

function paths(value: Json, path: KeyPath = []): KeyPath[] {
  if (typeof value !== 'object' || value === null) return [path];
  const inner = Object.entries(value).flatMap(([key, member]) =>
    paths(member as Json, [...path, Array.isArray(value) ? Number(key) : key]),
  );
  return [path, ...inner];
}

/** Written apart from the code under test. */
function edited(value: Json, { path, value: put, insert: inserts }: Edit): Json {
  const copy = structuredClone({ root: value }) as { root: Json };
  let holder = copy as unknown as Record<string | number, Json>;
  const steps = ['root', ...path];
  for (const step of steps.slice(0, -1)) holder = holder[step] as unknown as Record<string | number, Json>;
  const last = steps.at(-1) as string | number;
  if (Array.isArray(holder)) {
    if (put === undefined) holder.splice(last as number, 1);
    else holder.splice(last as number, inserts ? 0 : 1, put);
  } else if (put === undefined) delete holder[last];
  else holder[last] = put;
  return copy.root;
}

function randomEdit(random: Random, document: Json): Edit {
  const path = pick(random, paths(document));
  const there = path.reduce<Json>((value, key) => (value as Record<string | number, Json>)[key] as Json, document);
  const value = randomValue(random, 2);
  if (Array.isArray(there) && random(2)) {
    const index = random(there.length + 1);
    return { path: [...path, index], value, insert: index < there.length };
  }
  if (typeof there === 'object' && there !== null && !Array.isArray(there) && (path.length === 0 || random(2)))
    return { path: [...path, pick(random, KEYS)], value };
  if (path.length === 0) return { path: [0], value, insert: true };
  return { path, value: random(3) === 0 ? undefined : value };
}

it('says what was meant and leaves the other lines alone, whatever the document and the edit', () => {
  const random = generator(7);
  let looked = 0;
  for (let round = 0; round < 2000; round++) {
    const value = Object.fromEntries(
      Array.from({ length: 1 + random(4) }, (_, i) => [`k${i}`, randomValue(random, 0)]),
    ) as Json;
    const unix = `# top${write(random, value, '', false).replace(/^ /, '\n')}\n`;
    const text = random(3) === 0 ? unix.replaceAll('\n', '\r\n') : unix;
    expect(readJson(text)).toEqual(value);
    const edit = randomEdit(random, value);
    const where = JSON.stringify({ round, text, edit });
    let result: string;
    try {
      result = editRecipe(text, [edit]);
    } catch (error) {
      throw new Error(where, { cause: error });
    }
    expect(readJson(result), where).toEqual(edited(value, edit));
    if (text !== unix) expect(result.replaceAll('\r\n', ''), where).not.toContain('\n');
    if (edit.value === undefined) continue;
    // What an addition takes away, and what the change of a scalar takes away but the scalar.
    const old = edit.insert ? undefined : at(value, edit.path);
    if (old === undefined) expect(isWithin(text, result), where).toBe(true);
    else if (typeof old !== 'object')
      expect(lost(text, result).length, where).toBeLessThanOrEqual(JSON.stringify(old).length + 1);
    else continue;
    looked++;
  }
  expect(looked).toBeGreaterThan(1000);
});

it('makes a recipe of damaged text no worse: it is changed as meant, or refused', () => {
  const random = generator(11);
  const tiny = recipe('tiny.yaml');
  const nasty = '[]{}&*!|>"\'%@`#,:?-~<=\n\t \r&a *a ';
  const edits = [
    set(['lcm', 'beta'], 0.5),
    set(['sampler', 'kind'], 'ddim'),
    remove('verify', 'seed'),
    set(['motion', 'loras', 0], { lora: 'x' }),
  ];
  const outcomes = { changed: 0, refused: 0 };
  for (let round = 0; round < 1500; round++) {
    let text = tiny.slice(random(200), tiny.length - random(200));
    for (let n = random(4); n > 0; n--) {
      const place = random(text.length);
      text = text.slice(0, place) + pick(random, [...nasty]) + text.slice(place + random(3));
    }
    const edit = pick(random, edits);
    try {
      const result = editRecipe(text, [edit]);
      expect(at(readJson(result), edit.path)).toEqual(edit.value);
      outcomes.changed++;
    } catch (error) {
      if (!(error instanceof RecipeError)) throw new Error(JSON.stringify({ round, text, edit }), { cause: error });
      outcomes.refused++;
    }
  }
  expect(outcomes.changed).toBeGreaterThan(100);
  expect(outcomes.refused).toBeGreaterThan(100);
});

/** Are all characters of `before` still there, in their order? */
function isWithin(before: string, after: string): boolean {
  let found = 0;
  for (const character of after) if (character === before[found]) found++;
  return found === before.length;
}

/** What stands in `before` between the beginning and the end that both have. */
function lost(before: string, after: string): string {
  const shorter = Math.min(before.length, after.length);
  let start = 0;
  while (start < shorter && before[start] === after[start]) start++;
  let end = 0;
  while (end < shorter - start && before.at(-1 - end) === after.at(-1 - end)) end++;
  return before.slice(start, before.length - end);
}

const at = (value: Json, path: KeyPath): Json =>
  path.reduce<Json>(
    (holder, key) => (holder as Record<string | number, Json> | null | undefined)?.[key] as Json,
    value,
  );

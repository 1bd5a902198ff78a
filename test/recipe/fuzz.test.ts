import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { InputMissingError, RecipeError } from '../../src/errors.ts';
import { loadRecipe, parseRecipe } from '../../src/recipe/load.ts';

const TINY = readFileSync(new URL('../../recipes/tiny.yaml', import.meta.url));

/** mulberry32: small, seeded, good enough to pick bytes. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Bytes that mean something to YAML or to text at large. */
const NASTY = Buffer.from('[]{}&*!|>"\'%@`#,:?-~<=\n\t \0\x1b\x80\xff0.', 'latin1');

function mutate(random: () => number): Buffer {
  const pick = (limit: number) => Math.floor(random() * limit);
  let bytes = TINY;
  for (let edits = 1 + pick(6); edits > 0; edits--) {
    const at = pick(bytes.length);
    const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)];
    const replacement = random() < 0.8 ? [NASTY[pick(NASTY.length)]!] : [pick(256)];
    const source = pick(bytes.length);
    bytes = [
      () => Buffer.concat([before, Buffer.from(replacement), after.subarray(1)]),
      () => Buffer.concat([before, Buffer.from(replacement), after]),
      () => Buffer.concat([before, after.subarray(pick(12))]),
      () => Buffer.concat([before, bytes.subarray(source, source + pick(60)), after]),
    ][pick(4)]!();
  }
  return bytes;
}

const LINE = /^\S+\.yaml:[1-9]\d*:[1-9]\d*: ["A-Za-z].*[.?]$/;

it('whatever the text, parsing gives a recipe or one sentence per mistake', () => {
  const random = generator(20241);
  const outcomes = { recipe: 0, refused: 0 };
  for (let round = 0; round < 3000; round++) {
    const text = mutate(random).toString('utf8');
    try {
      const recipe = parseRecipe(text, '/r/fuzz.yaml');
      expect(Number.isFinite(recipe.motion.gamma)).toBe(true);
      outcomes.recipe++;
    } catch (error) {
      if (!(error instanceof RecipeError)) throw new Error(`Round ${round}: ${JSON.stringify(text)}`, { cause: error });
      for (const problem of error.problems) expect(problem).toMatch(LINE);
      outcomes.refused++;
    }
  }
  expect(outcomes.recipe).toBeGreaterThan(100);
  expect(outcomes.refused).toBeGreaterThan(100);
});

it('whatever the bytes, loading them where no model is fails as malformed or as missing', async () => {
  const random = generator(7);
  const folder = await mkdtemp(join(tmpdir(), 'fuzz-'));
  // the recipe says ../models: what is beside that is looked through for similar names, and a temporary folder may hold thousands
  await mkdir(join(folder, 'recipes'));
  const file = join(folder, 'recipes', 'fuzz.yaml');
  for (let round = 0; round < 300; round++) {
    const bytes = mutate(random);
    await writeFile(file, bytes);
    const outcome = await loadRecipe(file).catch((error: unknown) => error);
    const expected = outcome instanceof RecipeError || outcome instanceof InputMissingError;
    if (!expected) throw new Error(`Round ${round}: ${JSON.stringify(bytes.toString('latin1'))}`, { cause: outcome });
  }
  await rm(folder, { recursive: true });
});

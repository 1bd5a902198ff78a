import { readdir, readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { recipeJsonSchema } from '../../src/recipe/json-schema.ts';
import { loadRecipe, parseRecipe } from '../../src/recipe/load.ts';

const recipes = new URL('../../recipes/', import.meta.url);
const names = (await readdir(recipes)).filter((name) => name.endsWith('.yaml'));

const parse = async (name: string) => {
  const file = new URL(name, recipes);
  return parseRecipe(await readFile(file, 'utf8'), file.pathname);
};

describe('recipes/', () => {
  it('holds the examples', () => {
    expect(names).toEqual(expect.arrayContaining(['tiny.yaml', 'animatelcm.yaml', 'animatelcm-compat.yaml']));
  });

  it.each(names)('%s is valid, bears its own name and points editors to the schema', async (name) => {
    const recipe = await parse(name);
    expect(`${recipe.name}.yaml`).toBe(name);
    expect(recipe.text.split('\n')[0]).toBe('# yaml-language-server: $schema=./recipe.schema.json');
  });

  it('tiny.yaml finds all its files', async () => {
    const recipe = await loadRecipe(new URL('tiny.yaml', recipes).pathname);
    expect(recipe.personalized[0]).toMatchObject({ alpha: 0.8, text_encoder: 0.8, scale: 'alpha/rank' });
    expect(recipe.lcm).toMatchObject({ beta: 1, expect: { modules: 278 } });
    expect(recipe.output).toMatchObject({ frames: 16, width: 64, height: 64 });
  });

  it('tiny-teacher.yaml is tiny.yaml with the module that was not distilled', async () => {
    const [tiny, teacher] = await Promise.all(
      ['tiny.yaml', 'tiny-teacher.yaml'].map((name) => loadRecipe(new URL(name, recipes).pathname)),
    );
    expect(teacher).toMatchObject({ base: tiny!.base, personalized: tiny!.personalized, output: tiny!.output });
    expect(teacher!.lcm).toBeUndefined();
    expect(teacher!.sampler).toMatchObject({ kind: 'ddim', steps: 25, guidance: 4, beta_schedule: 'linear' });
  });

  it("animatelcm-compat.yaml counts strengths as AnimateLCM's app does", async () => {
    const { personalized, lcm } = await parse('animatelcm-compat.yaml');
    expect(personalized[0]).toMatchObject({ scale: 'raw', alpha: 0.8, text_encoder: 0.8 });
    expect(lcm).toMatchObject({ scale: 'alpha/rank', beta: 0.8 }); // 8/64 = the app's 1/8
  });

  it('recipe.schema.json is what the schema generates (node tools/generate-recipe-schema.ts)', async () => {
    const committed = await readFile(new URL('recipe.schema.json', recipes), 'utf8');
    expect(committed).toBe(`${JSON.stringify(recipeJsonSchema(), null, 2)}\n`);
  });
});

/** Walks a JSON schema; only what ours uses. */
interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly properties?: Record<string, Schema>;
  readonly additionalProperties?: unknown;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
}

function mappings(schema: Schema, name = 'recipe'): { name: string; schema: Schema }[] {
  const inner = [
    ...Object.entries(schema.properties ?? {}),
    ...(schema.items ? [['[]', schema.items] as const] : []),
    ...(schema.anyOf ?? []).map((option, index) => [`|${index}`, option] as const),
  ];
  const own = schema.properties ? [{ name, schema }] : [];
  return [...own, ...inner.flatMap(([key, value]) => mappings(value, `${name}.${key}`))];
}

describe('the JSON schema', () => {
  const all = mappings(recipeJsonSchema() as Schema);

  it('has every section', () => {
    expect(all.map(({ name }) => name)).toEqual([
      'recipe',
      'recipe.base.|1',
      'recipe.base.|1.license.|1',
      'recipe.base.|1.vae_license.|1',
      'recipe.base.|1.text_encoder_license.|1',
      'recipe.personalized.[]',
      'recipe.personalized.[].license.|1',
      'recipe.personalized.[].expect',
      'recipe.lcm',
      'recipe.lcm.license.|1',
      'recipe.lcm.expect',
      'recipe.motion',
      'recipe.motion.positions.|1',
      'recipe.motion.loras.[]',
      'recipe.motion.loras.[].license.|1',
      'recipe.motion.loras.[].expect',
      'recipe.motion.license.|1',
      'recipe.motion.base_license.|1',
      'recipe.motion.expect',
      'recipe.sampler',
      'recipe.output',
      'recipe.output.shapes.|1.[]',
      'recipe.output.prompt',
      'recipe.verify',
      'recipe.verify.budgets',
      'recipe.publish',
    ]);
  });

  it.each(all)('$name describes each of its keys and knows no others', ({ schema }) => {
    expect(schema.additionalProperties).toBe(false);
    for (const [key, value] of Object.entries(schema.properties!)) expect(value.description, key).toMatch(/\S.*\.$/);
  });
});

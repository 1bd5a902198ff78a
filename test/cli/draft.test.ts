import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { drain } from '../../src/events.ts';
import { planRecipe } from '../../src/publish/plan-recipe.ts';
import { editRecipe } from '../../src/recipe/edit.ts';

const FILE = fileURLToPath(new URL('../../recipes/tiny.yaml', import.meta.url));
const SAVED = readFileSync(FILE, 'utf8');

const plan = (text?: string) => drain(planRecipe(FILE, { signal: new AbortController().signal, text }));

it('plans a text that has not been saved, and looks for its files beside the recipe', async () => {
  const draft = editRecipe(SAVED, [{ path: ['personalized', 0, 'alpha'], value: 0.25 }]);
  const planned = await plan(draft);
  expect(planned.recipe).toMatchObject({ file: FILE, text: draft, personalized: [{ alpha: 0.25 }] });
  expect((await plan()).recipe.personalized[0]?.alpha).toBe(0.8);
  expect(readFileSync(FILE, 'utf8')).toBe(SAVED);
});

it('says of a draft which key is wrong', async () => {
  const missing = editRecipe(SAVED, [{ path: ['lcm', 'lora'], value: '../models/tiny/lmc.safetensors' }]);
  await expect(plan(missing)).rejects.toMatchObject({
    kind: 'input-missing',
    located: [{ path: ['lcm', 'lora'], sentence: expect.stringContaining('Did you mean "lcm.safetensors"?') }],
  });
  const steps = editRecipe(SAVED, [{ path: ['motion', 'positions'], value: 8 }]);
  await expect(plan(steps)).rejects.toMatchObject({ kind: 'merge', located: [{ path: expect.anything() }] });
});

import { expect, it } from 'vitest';
import { didYouMean } from '../../src/text/did-you-mean.ts';

it.each([
  ['wieght', 'weight', 'did you mean weight?'],
  [
    'lora_unet_down_blocks_0_attentions_0_atn1_to_q',
    'lora_unet_down_blocks_0_attentions_0_attn1_to_q',
    'did you mean lora_unet_down_blocks_0_attentions_0_attn1_to_q? It has "attn1" where "atn1" stands',
  ],
  [
    'down_blocks.0.motion_modules.0.proj_inn.weight',
    'down_blocks.0.motion_modules.0.proj_in.weight',
    'did you mean down_blocks.0.motion_modules.0.proj_in.weight? It has "in" where "inn" stands',
  ],
  // a word more or less: there is nothing to point at
  ['down_blocks.0.attentions.0.to_q.weight', 'down_blocks.0.attentions.0.to.q.weight', undefined],
  ['model.down_blocks.0.attentions.0.weight', 'down_blocks.0.attentions.0.weight', undefined],
])('%s', (name, near, expected) => {
  const sentence = didYouMean(near, name);
  if (expected !== undefined) expect(sentence).toBe(expected);
  expect(sentence.startsWith(`did you mean ${near}?`)).toBe(true);
  expect(sentence).not.toContain('""');
});

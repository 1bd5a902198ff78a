import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { writeSafetensors } from '../../src/formats/safetensors.ts';
import { openTensorFile, readTensor } from '../../src/formats/tensor-file.ts';
import { plan } from '../../src/merge/plan.ts';
import { findLicenses } from '../../src/merge/plan-licenses.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { tinyRecipe } from '../helpers/tiny.ts';

describe('the licence of a source', () => {
  it('is what the recipe says, else the Hub, else the file; nothing else is taken for one', () => {
    const recipe = tinyRecipe({
      base: { model: 'base', vae: 'vae', license: undefined },
      personalized: [
        { lora: 'a', alpha: 1, license: 'mit' },
        { lora: 'b', alpha: 1 },
        { checkpoint: 'c', alpha: 1 },
        { lora: 'd', alpha: 1 },
      ],
      motion: {
        license: undefined,
        loras: [{ lora: 'e', alpha: 1, license: { name: 'Mine', link: 'https://example.com/' } }],
      },
    });
    const origin = (license: string) => ({ reference: 'hf://o/r', commit: '', local: '', files: {}, license });
    const origins = { 'personalized[0].lora': origin('gpl-3.0'), 'personalized[1].lora': origin('openrail++') };
    const files = [
      { role: 'base.unet', license: 'CreativeML Open RAIL-M' },
      { role: 'base.vae', license: 'unknown' },
      { role: 'personalized[0]', license: 'gpl-3.0' },
      { role: 'personalized[1]', license: 'gpl-3.0' },
      { role: 'personalized[2]', license: 'cc-by-4.0' },
      { role: 'personalized[3]' },
      { role: 'motion' },
      { role: 'motion.loras[0]', license: 'gpl-3.0' },
    ] as const;
    expect(findLicenses({ ...recipe, origins }, files)).toEqual({
      'base.model': { license: 'creativeml-openrail-m', from: 'file' },
      'personalized[0].lora': { license: 'mit', from: 'recipe' },
      'personalized[1].lora': { license: 'openrail++', from: 'hub' },
      'personalized[2].checkpoint': { license: 'cc-by-4.0', from: 'file' },
      'lcm.lora': { license: 'cc0-1.0', from: 'recipe' },
      'motion.loras[0].lora': { license: 'Mine', link: 'https://example.com/', from: 'recipe' },
    });
  });

  it('is planned, and warned of where it is unknown or cannot go with another', async () => {
    const lora = join(await temporaryFolder(), 'ink.safetensors');
    await using ink = await openTensorFile('models/tiny/ink.safetensors');
    const tensors = await Promise.all(
      [...ink.tensors.values()].map(async (entry) => ({ ...entry, data: await readTensor(ink, entry) })),
    );
    await writeSafetensors(lora, tensors, { 'modelspec.license': 'CC-BY-SA-4.0' });
    const { licenses, warnings } = await plan(
      tinyRecipe({
        base: { model: 'base', license: 'creativeml-openrail-m' },
        personalized: [{ lora, alpha: 1 }],
        lcm: { license: 'Mine' },
        motion: { license: undefined },
      }),
    );
    expect(licenses['personalized[0].lora']).toEqual({ license: 'cc-by-sa-4.0', from: 'file' });
    expect(warnings).toEqual([
      'The licence of motion.module is not known, and the model card will say so. The key license of a source tells it.',
      'What the licence Mine demands is not known here. Read it before you pass the model on.',
      expect.stringMatching(/^cc-by-sa-4\.0 wants the whole under its own terms, and creativeml-openrail-m adds/),
    ]);
  });
});

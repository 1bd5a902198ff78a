import { cp, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { FormatError, InputMissingError, MergeError } from '../../src/errors.ts';
import { planCheckpoint } from '../../src/merge/checkpoint.ts';
import { type Plan, plan } from '../../src/merge/plan.ts';
import { openPlanFiles } from '../../src/merge/plan-files.ts';
import { type Stored, tinyLdm, writeLdm } from '../helpers/ldm.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { tinyRecipe } from '../helpers/tiny.ts';

const TINY = resolve('models/tiny/base');

let folder: string;
let base: Plan;
beforeAll(async () => {
  [folder, base] = [await temporaryFolder(), await plan(tinyRecipe())];
});

/** Plans the whole checkpoint at `path` against the tables of models/tiny. */
async function planned(path: string, allow?: readonly string[]) {
  await using files = openPlanFiles();
  const { unet, vae, configs } = base;
  const parameters = {
    unet: base.tensors.unet.map((tensor) => ({ ...tensor, motion: tensor.name.includes('.motion_modules.') })),
    text_encoder: base.tensors.text_encoder.map((tensor) => ({ ...tensor, motion: false })),
    vae_decoder: [],
    vae_encoder: [],
  };
  const tables = { parameters, models: { unet, vae }, configs };
  const tensors = await planCheckpoint(files, path, tables, { role: 'personalized[0]', ...(allow && { allow }) });
  return { tensors, files: files.planned() };
}

const single = async (name: string, alter: (tensors: Stored[]) => Stored[] = (tensors) => tensors) =>
  writeLdm(join(folder, name), alter(await tinyLdm()));

describe('a whole checkpoint', () => {
  it('is a diffusers folder, of which the VAE is not opened', async () => {
    const { tensors, files } = await planned(TINY);
    expect(tensors.size).toBe(686 + 36);
    expect(tensors.get('text_encoder/text_model.final_layer_norm.bias')).toEqual({
      file: 1,
      tensor: 'text_model.final_layer_norm.bias',
    });
    expect(files.map(({ role, accounting }) => [role, accounting.applied])).toEqual([
      ['personalized[0]', 686],
      ['personalized[0]', 36],
    ]);
  });

  it('is a single file, of which the VAE is put aside', async () => {
    const { tensors, files } = await planned(await single('whole.safetensors'));
    expect(tensors.size).toBe(686 + 36);
    expect(tensors.get('unet/up_blocks.1.upsamplers.0.conv.bias')).toEqual({
      file: 0,
      tensor: 'model.diffusion_model.output_blocks.5.2.conv.bias',
    });
    expect(files).toMatchObject([{ accounting: { applied: 722, ignored: { 'other-component': 188, ema: 687 } } }]);
  });

  it('may have no text encoder, but not half of one', async () => {
    const none = await single('unet.safetensors', (all) => all.filter(({ name }) => !name.startsWith('cond_stage')));
    expect((await planned(none)).tensors.size).toBe(686);
    const pruned = join(folder, 'pruned');
    await cp(TINY, pruned, { recursive: true });
    await rm(join(pruned, 'text_encoder'), { recursive: true });
    expect((await planned(pruned)).tensors.size).toBe(686);
    const half = await single('half.safetensors', (all) =>
      all.filter(({ name }) => !name.includes('final_layer_norm')),
    );
    await expect(planned(half)).rejects.toThrow(
      /half\.safetensors lacks cond_stage_model\.transformer\.text_model\.final_layer_norm\.weight/,
    );
  });

  it('may have more than it should where the recipe allows it', async () => {
    const extra = { name: 'embedding_manager.embedder', dtype: 'F16', shape: [1], data: new Uint8Array(2) } as const;
    const file = await single('extra.safetensors', (all) => [...all, extra]);
    await expect(planned(file)).rejects.toThrow(/1 of \d+ tensors fit nothing.*\n.*embedding_manager/);
    expect((await planned(file, ['embedding_manager.*'])).files).toMatchObject([
      { accounting: { allowed_unmatched: ['embedding_manager.embedder'] } },
    ]);
  });

  it('is refused for what a base is refused for', async () => {
    const inpainting = await single('inpainting.safetensors', (all) =>
      all.map((stored) =>
        stored.name.endsWith('input_blocks.0.0.weight')
          ? { ...stored, shape: [32, 9, 3, 3], data: new Uint8Array(2 * 32 * 9 * 9) }
          : stored,
      ),
    );
    await expect(planned(inpainting)).rejects.toThrow(/is an inpainting model/);
    const predictsV = join(folder, 'predicts-v');
    await cp(TINY, predictsV, { recursive: true });
    await writeFile(join(predictsV, 'scheduler/scheduler_config.json'), '{"prediction_type":"v_prediction"}');
    await expect(planned(predictsV)).rejects.toThrow(FormatError);
    await expect(planned(resolve('models/tiny/lcm.safetensors'))).rejects.toThrow(MergeError);
    await expect(planned(join(TINY, 'tokenizer'))).rejects.toThrow(InputMissingError);
  });
});

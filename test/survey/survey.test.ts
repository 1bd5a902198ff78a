import { copyFile, cp, mkdir, rename, symlink, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { drain, type Event } from '../../src/events.ts';
import { surveyFiles } from '../../src/survey/survey.ts';
import { safetensors } from '../formats/build.ts';
import { loraModule, writeTensors } from '../helpers/family.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

const put = (from: string, to: string) => cp(`models/tiny/${from}`, join(folder, to), { recursive: true });

/** Findings by path within the folder. */
async function found(onEvent?: (event: Event) => void) {
  const { findings } = await drain(surveyFiles(folder), onEvent);
  return Object.fromEntries(findings.map((finding) => [relative(folder, finding.path), finding]));
}

/** A safetensors file of F16 zeros with these names and shapes. */
async function writeNamed(name: string, shapes: Readonly<Record<string, readonly number[]>>, metadata?: object) {
  let end = 0;
  const entries = Object.entries(shapes).map(([tensor, shape]) => {
    const begin = end;
    end += 2 * shape.reduce((n, dim) => n * dim, 1);
    return [tensor, { dtype: 'F16', shape, data_offsets: [begin, end] }] as const;
  });
  const header = { ...(metadata && { __metadata__: metadata }), ...Object.fromEntries(entries) };
  await mkdir(join(folder, name, '..'), { recursive: true });
  await writeFile(join(folder, name), safetensors(header, end));
}

const UNET = 'down_blocks.0.attentions.0.transformer_blocks.0';
const KOHYA = `lora_unet_${UNET.replaceAll('.', '_')}`;
const STYLE = { [`${KOHYA}_attn1_to_q.lora_down.weight`]: [4, 320], [`${KOHYA}_attn1_to_q.lora_up.weight`]: [320, 4] };

describe('surveyFiles', () => {
  it('tells the parts of the tiny family, whatever the files are called and where they lie', async () => {
    await put('base', 'models/first');
    await put('ink.safetensors', 'a.safetensors');
    await put('lcm.safetensors', 'loras/b.bin');
    await put('animatelcm.ckpt', 'motion/deep/c.pt');
    await put('animatediff.ckpt', 'd.ckpt');
    await put('reference.safetensors', 'e.safetensors');
    await put('base/vae/diffusion_pytorch_model.safetensors', 'f.safetensors');
    await put('base/unet/diffusion_pytorch_model.safetensors', 'g.safetensors');
    await put('base/text_encoder/model.safetensors', 'h.safetensors');
    await put('README.md', 'README.md');
    const events: Event[] = [];
    expect(await found((event) => events.push(event))).toEqual({
      'models/first': expect.objectContaining({ part: 'base', base: { layout: 'folder', side: 64, hasVae: true } }),
      'a.safetensors': expect.objectContaining({ part: 'personalized', note: 'rank 8, alpha 4' }),
      'loras/b.bin': expect.objectContaining({ part: 'lcm', modules: 278 }),
      'motion/deep/c.pt': expect.objectContaining({ part: 'motion', motion: { distilled: true } }),
      'd.ckpt': expect.objectContaining({ part: 'motion', motion: { distilled: false, rows: 32 } }),
      'e.safetensors': expect.objectContaining({ reason: 'None of its tensors is named as a part of SD1.5 is.' }),
      'f.safetensors': expect.objectContaining({ part: 'vae' }),
      'g.safetensors': expect.objectContaining({ reason: expect.stringContaining('the UNet alone') }),
      'h.safetensors': expect.objectContaining({ reason: expect.stringContaining('the text encoder alone') }),
    });
    expect(events.map(({ type }) => type)).toEqual(['stage-started', ...Array(9).fill('progress'), 'stage-finished']);
    expect(events.at(-1)).toMatchObject({ summary: expect.stringContaining('6 of the 9 things') });
  });

  it('lists a damaged file with its fault, warns of it, and goes on', async () => {
    await writeFile(join(folder, 'cut.safetensors'), 'version https://git-lfs.github.com/spec/v1\n');
    await writeFile(join(folder, 'empty.ckpt'), '');
    await symlink('nowhere', join(folder, 'lost.safetensors'));
    await mkdir(join(folder, 'odd', 'unet'), { recursive: true });
    await writeFile(join(folder, 'odd', 'model_index.json'), '{}');
    await put('ink.safetensors', 'ink.safetensors');
    const warnings: string[] = [];
    const all = await found((event) => event.type === 'warning' && warnings.push(event.message));
    expect(all).toMatchObject({
      'cut.safetensors': { damaged: true, reason: expect.stringMatching(/^a Git LFS pointer/) },
      'empty.ckpt': { damaged: true, reason: expect.stringMatching(/^an empty file/) },
      'lost.safetensors': { damaged: true, reason: expect.stringContaining('no such file') },
      odd: { damaged: true, reason: expect.stringContaining('config.json') },
      'ink.safetensors': { part: 'personalized' },
    });
    expect(warnings).toHaveLength(4);
    expect(warnings).toContainEqual(expect.stringContaining(join(folder, 'cut.safetensors')));
  });

  it('goes once through folders that are linked in a circle, and follows links to files', async () => {
    await mkdir(join(folder, 'loras'));
    await put('ink.safetensors', 'loras/blob');
    await symlink('blob', join(folder, 'loras', 'ink.safetensors'));
    await symlink('..', join(folder, 'loras', 'up'));
    await symlink('loras', join(folder, 'again'));
    expect(Object.keys(await found())).toEqual(['again/ink.safetensors']);
  });

  it('takes a component with its config for one thing, and looks into no folder of a model or a tool', async () => {
    await put('base', 'base');
    await writeNamed('base/loose.safetensors', STYLE);
    await writeNamed('node_modules/x.safetensors', STYLE);
    await writeNamed('.cache/x.safetensors', STYLE);
    await mkdir(join(folder, 'adapter'));
    await writeFile(join(folder, 'adapter', 'config.json'), '{}');
    await put('animatediff.ckpt', 'adapter/diffusion_pytorch_model.bin');
    expect(Object.keys(await found()).sort()).toEqual(['adapter', 'base', 'base/loose.safetensors']);
  });

  it('leaves folders that lie too deep, and says so', async () => {
    const deep = 'a/b/c/d/e/f/g';
    await writeNamed(`${deep}/style.safetensors`, STYLE);
    const survey = await drain(surveyFiles(folder));
    expect(survey.findings).toEqual([]);
    expect(survey.left_out).toContain('Folders more than 6 deep');
    await rename(join(folder, deep, 'style.safetensors'), join(folder, 'a/b/c/d/e/f/style.safetensors'));
    expect((await drain(surveyFiles(folder))).findings).toHaveLength(1);
  });

  it('says what a package is, and what was made for another model', async () => {
    await mkdir(join(folder, 'package', 'unet'), { recursive: true });
    await writeFile(join(folder, 'package', 'model_index.json'), '{}');
    await writeFile(join(folder, 'package', 'unet', 'model.onnx'), '');
    await mkdir(join(folder, 'xl', 'unet'), { recursive: true });
    await writeFile(join(folder, 'xl', 'model_index.json'), '{}');
    await writeFile(
      join(folder, 'xl', 'unet', 'config.json'),
      JSON.stringify({
        block_out_channels: [320, 640],
        down_block_types: ['DownBlock2D', 'DownBlock2D'],
        up_block_types: ['UpBlock2D', 'UpBlock2D'],
        addition_embed_type: 'text_time',
      }),
    );
    await writeNamed('sdxl.safetensors', { [`${KOHYA}_attn2_to_k.lora_down.weight`]: [4, 2048] });
    await writeNamed('flux.safetensors', { 'lora_unet_double_blocks_0_img_attn_proj.lora_down.weight': [4, 64] });
    await writeNamed('pia.safetensors', {
      'down_blocks.0.motion_modules.0.proj_in.weight': [8, 8],
      'conv_in.weight': [8, 9, 3, 3],
    });
    await writeNamed('inpainting.safetensors', { 'model.diffusion_model.input_blocks.0.0.weight': [320, 9, 3, 3] });
    await writeNamed('pruned.safetensors', { 'model.diffusion_model.input_blocks.0.0.weight': [320, 4, 3, 3] });
    const all = await found(({ type }) => expect(type).not.toBe('warning'));
    const reasons = Object.fromEntries(
      Object.entries(all).map(([name, f]) => [name, 'reason' in f ? f.reason : f.part]),
    );
    expect(reasons).toEqual({
      package: 'It holds graphs, which is what a recipe makes.',
      xl: 'addition_embed_type is "text_time": this is an SDXL UNet.',
      'sdxl.safetensors': 'It was made for SDXL: its text states are 2048 wide.',
      'flux.safetensors': "It changes neither a block of SD1.5's UNet nor its text encoder.",
      'pia.safetensors': 'It wants a first frame beside the noise. The graph has no input for that.',
      'inpainting.safetensors': expect.stringContaining('an inpainting model'),
      'pruned.safetensors': 'A base needs UNet, text encoder and VAE, and it has no text encoder.',
    });
  });

  it('calls a guess at an LCM LoRA a guess', async () => {
    const time = { 'unet.down_blocks.0.resnets.0.time_emb_proj.lora_A.weight': [4, 1280] };
    await writeNamed('AnimateLCM_lora.safetensors', STYLE);
    await writeNamed('pytorch_lora_weights.safetensors', time);
    await writeNamed('calm.safetensors', STYLE);
    await writeNamed('lcm_style.safetensors', {
      ...STYLE,
      'lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight': [4, 8],
    });
    await writeNamed(
      'trained.safetensors',
      { [`lora_unet_down_blocks_0_resnets_0_time_emb_proj.lora_down.weight`]: [4, 8] },
      { ss_network_dim: '4' },
    );
    await writeTensors(
      join(folder, 'few.safetensors'),
      new Map([...loraModule('lora_unet_mid_block_resnets_0_time_emb_proj', [8, 8])]),
    );
    const all = await found();
    const told = Object.fromEntries(
      Object.entries(all).map(([name, f]) => [name, f.part && [f.part, 'guess' in f ? f.guess : '']]),
    );
    expect(told).toEqual({
      'AnimateLCM_lora.safetensors': ['lcm', 'it has the name of one'],
      'pytorch_lora_weights.safetensors': [
        'lcm',
        'it changes the time embeddings and not the text encoder, as they do',
      ],
      'calm.safetensors': ['personalized', ''],
      'lcm_style.safetensors': ['personalized', ''],
      'trained.safetensors': ['personalized', ''],
      'few.safetensors': ['lcm', 'it changes 1 modules, the usual ones 278'],
    });
  });

  it('refuses what is no folder, and stops when it is told to', async () => {
    await expect(drain(surveyFiles(join(folder, 'none')))).rejects.toThrow(/The folder .* does not exist/);
    await copyFile('models/tiny/ink.safetensors', join(folder, 'ink.safetensors'));
    const controller = new AbortController();
    const stage = surveyFiles(folder, { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(drain(stage)).rejects.toThrow('enough');
  });
});

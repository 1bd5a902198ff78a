import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readClipTextConfig } from '../../src/architecture/clip-config.ts';
import { readBaseSchedulerConfig } from '../../src/architecture/scheduler-config.ts';
import { readUNetConfig } from '../../src/architecture/unet-config.ts';
import { readVaeConfig } from '../../src/architecture/vae-config.ts';
import { FormatError, InputMissingError } from '../../src/errors.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

async function configFile(text: string | Uint8Array): Promise<string> {
  const path = join(await temporaryFolder(), 'config.json');
  await writeFile(path, text);
  return path;
}

const tiny = async (part: string) =>
  JSON.parse(await readFile(`models/tiny/base/${part}/config.json`, 'utf8')) as object;

/** SD1.5's own unet/config.json, which leaves out what diffusers has learned since. */
const SD15_UNET = {
  _class_name: 'UNet2DConditionModel',
  act_fn: 'silu',
  attention_head_dim: 8,
  block_out_channels: [320, 640, 1280, 1280],
  center_input_sample: false,
  cross_attention_dim: 768,
  down_block_types: ['CrossAttnDownBlock2D', 'CrossAttnDownBlock2D', 'CrossAttnDownBlock2D', 'DownBlock2D'],
  downsample_padding: 1,
  flip_sin_to_cos: true,
  freq_shift: 0,
  in_channels: 4,
  layers_per_block: 2,
  mid_block_scale_factor: 1,
  norm_eps: 1e-5,
  norm_num_groups: 32,
  out_channels: 4,
  sample_size: 64,
  up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D'],
};

describe('unet/config.json', () => {
  it('reads SD1.5’s: attention_head_dim is the number of heads', async () => {
    expect(await readUNetConfig(await configFile(JSON.stringify(SD15_UNET)))).toEqual({
      in_channels: 4,
      out_channels: 4,
      block_out_channels: [320, 640, 1280, 1280],
      layers_per_block: 2,
      cross_attention_dim: 768,
      num_attention_heads: [8, 8, 8, 8],
      norm_num_groups: 32,
      norm_eps: 1e-5,
      flip_sin_to_cos: true,
      freq_shift: 0,
      use_linear_projection: false,
      cross_attention: [true, true, true, false],
      sample_size: 64,
    });
  });

  /** What is refused, why, and a neighbour that is not. */
  const pairs: readonly (readonly [refused: object, reason: RegExp, accepted: object])[] = [
    [{ in_channels: 9 }, /in_channels is 9: this is an inpainting model/, { in_channels: 4 }],
    [{ in_channels: 8 }, /in_channels is 8: this is an InstructPix2Pix model/, {}],
    [{ in_channels: 5 }, /in_channels 5 and out_channels 4 should be 4/, {}],
    [{ out_channels: 8 }, /in_channels 4 and out_channels 8 should be 4/, {}],
    [{ act_fn: 'gelu' }, /act_fn is "gelu"; SD1\.5's structure has "silu" or "swish"/, { act_fn: 'swish' }],
    [{ class_embed_type: 'timestep' }, /class_embed_type is "timestep"/, { class_embed_type: null }],
    [
      { addition_embed_type: 'text_time' },
      /addition_embed_type is "text_time": this is an SDXL/,
      { addition_embed_type: null },
    ],
    [{ time_cond_proj_dim: 256 }, /time_cond_proj_dim is 256: this is a full LCM/, { time_cond_proj_dim: null }],
    [{ resnet_time_scale_shift: 'scale_shift' }, /resnet_time_scale_shift/, { resnet_time_scale_shift: 'default' }],
    [{ only_cross_attention: [true, true, true, false] }, /only_cross_attention/, { only_cross_attention: false }],
    [
      { transformer_layers_per_block: [1, 2, 10, 10] },
      /transformer_layers_per_block is \[1,2,10,10\]/,
      { transformer_layers_per_block: 1 },
    ],
    [{ mid_block_type: null }, /mid_block_type is null/, {}],
    [{ time_embedding_dim: 64 }, /time_embedding_dim is 64/, { time_embedding_dim: null }],
    [{ timestep_post_act: 'silu' }, /timestep_post_act/, { timestep_post_act: null }],
    [{ resnet_skip_time_act: true }, /resnet_skip_time_act is true/, { resnet_skip_time_act: false }],
    [{ resnet_out_scale_factor: 2 }, /resnet_out_scale_factor is 2/, { resnet_out_scale_factor: 1 }],
    [{ attention_type: 'gated' }, /attention_type is "gated"/, { attention_type: 'default' }],
    [{ cross_attention_norm: 'layer_norm' }, /cross_attention_norm/, { cross_attention_norm: null }],
    [{ mid_block_only_cross_attention: true }, /mid_block_only_cross/, { mid_block_only_cross_attention: null }],
    [{ down_block_types: Array(4).fill('constructor') }, /down block type constructor is not supported/, {}],
    [
      { mid_block_type: 'UNetMidBlock2D' },
      /mid_block_type is "UNetMidBlock2D"/,
      { mid_block_type: 'UNetMidBlock2DCrossAttn' },
    ],
    [{ encoder_hid_dim_type: 'ip_image_proj' }, /encoder_hid_dim_type/, { encoder_hid_dim_type: null }],
    [{ layers_per_block: [2, 2, 2, 2] }, /layers_per_block/, { layers_per_block: 3 }],
    [{ cross_attention_dim: 0 }, /cross_attention_dim/, { cross_attention_dim: 1280 }],
    [{ cross_attention_dim: 1024 }, /cross_attention_dim is 1024: this is an SD2 UNet/, {}],
    [{ block_out_channels: [320] }, /block_out_channels/, {}],
    [
      { block_out_channels: [320, 640, 1280] },
      /block_out_channels has 3 entries, down_block_types 4, up_block_types 4/,
      {},
    ],
    [
      { block_out_channels: [320, 640, 1280, 1296] },
      /width 1296 is not a multiple of norm_num_groups 32/,
      { block_out_channels: [320, 640, 1280, 1312] },
    ],
    [{ attention_head_dim: 7 }, /width 320 is not a multiple of its 7 attention heads/, { attention_head_dim: 5 }],
    [{ attention_head_dim: [8, 8] }, /2 head counts are given for 4 blocks/, { attention_head_dim: [5, 10, 20, 20] }],
    [{ num_attention_heads: 7 }, /its 7 attention heads/, { num_attention_heads: 4, attention_head_dim: 7 }],
    [{ down_block_types: Array(4).fill('AttnDownBlock2D') }, /down block type AttnDownBlock2D is not supported/, {}],
    [{ up_block_types: Array(4).fill('SkipUpBlock2D') }, /up block type SkipUpBlock2D is not supported/, {}],
    [{ up_block_types: SD15_UNET.up_block_types.toReversed() }, /up_block_types do not mirror down_block_types/, {}],
    [{ _class_name: 'FluxTransformer2DModel' }, /_class_name/, { _class_name: undefined }],
    [{ norm_eps: '1e-5' }, /norm_eps/, { norm_eps: 1e-6 }],
  ];

  it.each(pairs)('refuses %j', async (refused, reason, accepted) => {
    const path = await configFile(JSON.stringify({ ...SD15_UNET, ...refused }));
    const error = await readUNetConfig(path).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(FormatError);
    expect((error as FormatError).message).toMatch(reason);
    expect((error as FormatError).message.startsWith(`${path}: `)).toBe(true);
    await expect(
      readUNetConfig(await configFile(JSON.stringify({ ...SD15_UNET, ...accepted }))),
    ).resolves.toBeDefined();
  });
});

describe('vae/config.json', () => {
  const pairs: readonly (readonly [refused: object, reason: RegExp, accepted: object])[] = [
    [{ latent_channels: 16 }, /latent_channels 16 and out_channels 3 should be 4 and 3/, {}],
    [{ out_channels: 4 }, /out_channels 4 should be 4 and 3/, {}],
    [{ shift_factor: 0.1159 }, /shift_factor is 0\.1159/, { shift_factor: null }],
    [{ latents_mean: [0, 0, 0, 0] }, /latents_mean is set/, { latents_mean: null }],
    [{ act_fn: 'relu' }, /act_fn/, { act_fn: 'swish' }],
    [
      { up_block_types: ['UpDecoderBlock2D', 'AttnUpDecoderBlock2D'] },
      /up block type AttnUpDecoderBlock2D is not supported/,
      {},
    ],
    [
      { block_out_channels: [16, 32, 48, 60] },
      /width 60 is not a multiple of norm_num_groups 8/,
      { block_out_channels: [16, 32, 48, 56] },
    ],
    [{ block_out_channels: [16, 32, 64] }, /block_out_channels has 3 entries; SD1\.5's VAE has 4/, {}],
    [{ scaling_factor: 0 }, /scaling_factor/, { scaling_factor: 1 }],
  ];

  it.each(pairs)('refuses %j', async (refused, reason, accepted) => {
    const config = await tiny('vae');
    const read = readVaeConfig(await configFile(JSON.stringify({ ...config, ...refused })));
    await expect(read).rejects.toThrow(FormatError);
    await expect(read).rejects.toThrow(reason);
    await expect(readVaeConfig(await configFile(JSON.stringify({ ...config, ...accepted })))).resolves.toBeDefined();
  });

  it.each([
    [
      { down_block_types: ['DownEncoderBlock2D', 'AttnDownEncoderBlock2D'] },
      /down block type AttnDownEncoderBlock2D is/,
    ],
    [{ in_channels: 4 }, /in_channels 4 should be 3/],
  ])('refuses %j where the encoder is wanted, and only there', async (refused, reason) => {
    const file = await configFile(JSON.stringify({ ...(await tiny('vae')), ...refused }));
    await expect(readVaeConfig(file)).resolves.toMatchObject(refused);
    await expect(readVaeConfig(file, { encoder: true })).rejects.toThrow(FormatError);
    await expect(readVaeConfig(file, { encoder: true })).rejects.toThrow(reason);
  });

  it('fills in what the oldest configs leave out', async () => {
    const old = { block_out_channels: [128, 256, 512, 512], layers_per_block: 2, norm_num_groups: 32 };
    expect(await readVaeConfig(await configFile(JSON.stringify(old)))).toMatchObject({
      ...old,
      scaling_factor: 0.18215,
      in_channels: 3,
      use_quant_conv: true,
      use_post_quant_conv: true,
      mid_block_add_attention: true,
    });
  });
});

describe('text_encoder/config.json', () => {
  const pairs: readonly (readonly [refused: object, reason: RegExp, accepted: object])[] = [
    [{ hidden_act: 'relu' }, /hidden_act/, { hidden_act: 'gelu' }],
    [
      { num_attention_heads: 5 },
      /hidden_size 64 is not a multiple of num_attention_heads 5/,
      { num_attention_heads: 8 },
    ],
    [{ num_hidden_layers: 1e6 }, /num_hidden_layers/, { num_hidden_layers: 12 }],
    [{ vocab_size: -1 }, /vocab_size/, {}],
  ];

  it.each(pairs)('refuses %j', async (refused, reason, accepted) => {
    const config = await tiny('text_encoder');
    const read = readClipTextConfig(await configFile(JSON.stringify({ ...config, ...refused })));
    await expect(read).rejects.toThrow(FormatError);
    await expect(read).rejects.toThrow(reason);
    await expect(
      readClipTextConfig(await configFile(JSON.stringify({ ...config, ...accepted }))),
    ).resolves.toBeDefined();
  });
});

describe('scheduler/scheduler_config.json', () => {
  const noise = { beta_start: 0.00085, beta_end: 0.012, num_train_timesteps: 1000 };
  const sd15 = { ...noise, steps_offset: 1, set_alpha_to_one: false };
  const defaults = { ...noise, steps_offset: 0, set_alpha_to_one: true };

  it('is SD1.5’s where there is none, and else what it says', async () => {
    expect(await readBaseSchedulerConfig(join(await temporaryFolder(), 'scheduler_config.json'))).toEqual(sd15);
    expect(await readBaseSchedulerConfig(await configFile('{}'))).toEqual(defaults);
    expect(await readBaseSchedulerConfig(await configFile('{"beta_end":0.014,"skip_prk_steps":true}'))).toEqual({
      ...defaults,
      beta_end: 0.014,
    });
    expect(await readBaseSchedulerConfig(await configFile('{"steps_offset":1,"set_alpha_to_one":false}'))).toEqual(
      sd15,
    );
  });

  it.each([
    [{ prediction_type: 'v_prediction' }, /prediction_type is v_prediction; LCM LoRAs/, { prediction_type: 'epsilon' }],
    [{ rescale_betas_zero_snr: true }, /rescale_betas_zero_snr is true/, { rescale_betas_zero_snr: false }],
    [{ beta_start: 0 }, /beta_start/, {}],
    [{ beta_end: 1 }, /beta_end must be less than 1, but 1 was found/, {}],
    [{ num_train_timesteps: 1e12 }, /num_train_timesteps must be at most 100000/, {}],
    [{ steps_offset: -1 }, /steps_offset must be at least 0/, { steps_offset: 0 }],
    [{ trained_betas: [0.1, 0.2] }, /trained_betas is set/, { trained_betas: null }],
  ])('refuses %j', async (refused, reason, accepted) => {
    await expect(readBaseSchedulerConfig(await configFile(JSON.stringify(refused)))).rejects.toThrow(reason);
    expect(await readBaseSchedulerConfig(await configFile(JSON.stringify(accepted)))).toEqual(defaults);
  });
});

describe('any config.json', () => {
  it.each([
    ['not JSON', '{"block_out_channels": [', /not valid JSON/],
    ['not UTF-8', new Uint8Array([0x7b, 0xff, 0x7d]), /not valid JSON: it is not UTF-8 text\.$/],
    ['a list', '[]', /the whole must be a mapping, but a list was found\.$/],
    ['empty', '{}', /: block_out_channels is missing; down_block_types is missing; up_block_types is missing\.$/],
    [
      'of other types',
      JSON.stringify({ ...SD15_UNET, layers_per_block: 1e9, norm_eps: 0, block_out_channels: 'x' }),
      /: block_out_channels must be a list, but the text "x" was found; layers_per_block must be at most 64, but 1000000000 was found; norm_eps must be more than 0, but 0 was found\.$/,
    ],
    ['of another kind', ' '.repeat(2_000_000), /the file has 2000000 bytes, and one of its kind has at most 1048576/],
  ])('is refused when it is %s', async (_, text, reason) => {
    const path = await configFile(text);
    await expect(readUNetConfig(path)).rejects.toThrow(FormatError);
    await expect(readUNetConfig(path)).rejects.toThrow(reason);
  });

  it('is refused, not waited for, when it is a pipe, and named when it is a folder', async () => {
    const folder = await temporaryFolder();
    const pipe = join(folder, 'config.json');
    execFileSync('mkfifo', [pipe]);
    await expect(readUNetConfig(pipe)).rejects.toThrow(`${pipe}: not a regular file but a device, pipe or socket`);
    await expect(readUNetConfig(folder)).rejects.toThrow(`${folder}: a folder; a file was expected here.`);
  });

  it('is missed by its name', async () => {
    const path = join(await temporaryFolder(), 'config.json');
    await expect(readVaeConfig(path)).rejects.toThrow(InputMissingError);
    await expect(readVaeConfig(path)).rejects.toThrow(`${path} is missing; a diffusers folder has one.`);
  });
});

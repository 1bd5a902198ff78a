import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { motionAdapterFiles } from '../../src/architecture/diffusers-folder.ts';
import { FormatError, InputMissingError, MergeError } from '../../src/errors.ts';
import { toFloat64 } from '../../src/formats/dtype.ts';
import { openTensorFile } from '../../src/formats/tensor-file.ts';
import { openBake } from '../../src/merge/bake.ts';
import { type Plan, plan } from '../../src/merge/plan.ts';
import { recognise } from '../../src/merge/recognise.ts';
import { type Family, filled, type Tensors, writeFamily, writeTensors } from '../helpers/family.ts';
import { openGolden } from '../helpers/golden.ts';
import { float16Steps } from '../helpers/numbers.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import type { Section } from '../helpers/tiny.ts';

/** Made by `python test/oracle/motion.py` with diffusers and PEFT. */
const GOLDEN = resolve('test/golden/motion');
const golden = await openGolden<Readonly<Record<string, MotionSection>>>(join(GOLDEN, 'expected.safetensors'));
const expectedNames = await readNames(join(GOLDEN, 'expected.safetensors'));

type MotionSection = Readonly<Record<string, unknown>> & {
  readonly module: string;
  readonly base?: string;
  readonly loras?: readonly { readonly lora: string }[];
};

async function readNames(path: string): Promise<string[]> {
  const bytes = await readFile(path);
  const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE(0))).toString()) as object;
  return Object.keys(header).filter((name) => name !== '__metadata__');
}

/** A `motion:` section with its files where they lie. */
function section({ module, base, loras, ...rest }: MotionSection): MotionSection {
  const at = (path: string) => join(GOLDEN, path);
  return {
    ...rest,
    module: at(module),
    ...(base !== undefined && { base: at(base) }),
    ...(loras && { loras: loras.map(({ lora, ...more }) => ({ ...more, lora: at(lora) })) }),
  };
}

async function bakeTensors(planned: Plan, names: readonly string[]): Promise<Map<string, Float64Array>> {
  const requests = names.map((name) => {
    const tensor = planned.tensors.unet.find((candidate) => candidate.name === name);
    if (!tensor) throw new RangeError(`No tensor ${name} in the plan.`);
    return { tensor, transposed: false };
  });
  await using session = await openBake(planned);
  const baked = new Map<string, Float64Array>();
  for await (const data of session.tensors(requests))
    baked.set(names[baked.size] as string, toFloat64(data, planned.recipe.output.dtype === 'fp16' ? 'F16' : 'F32'));
  return baked;
}

describe('motion modules and LoRAs of diffusers, PEFT and AnimateDiff', async () => {
  const family = await writeFamily();
  const planned = (motion: MotionSection, output: Readonly<Record<string, unknown>> = {}) =>
    plan(family.recipe({ motion: section(motion), output }));

  describe.each(Object.keys(golden.cases))('"%s"', (name) => {
    it.each(['fp16', 'fp32'])('merges to what the oracle says, in %s', async (dtype) => {
      const names = expectedNames.flatMap((each) => (each.startsWith(`${name}/`) ? [each.slice(name.length + 1)] : []));
      expect(names.length).toBeGreaterThanOrEqual(8);
      const baked = await bakeTensors(await planned(golden.cases[name] as MotionSection, { dtype }), names);
      for (const each of names) {
        const [found, expected] = [baked.get(each) as Float64Array, await golden.tensor(`${name}/${each}`)];
        expect(found).toHaveLength(expected.length);
        const wrong = [...found].filter((x, i) =>
          dtype === 'fp16'
            ? float16Steps(x, expected[i] as number) > 1
            : Math.abs(x - (expected[i] as number)) > 2e-6 * Math.max(1, Math.abs(expected[i] as number)),
        );
        expect(wrong, each).toEqual([]);
      }
    });
  });

  it('accounts for a folder, its encodings and its length', async () => {
    const { files, motion } = await planned({ module: 'adapter' });
    expect(files.at(-1)).toMatchObject({
      role: 'motion',
      path: join(GOLDEN, 'adapter/diffusion_pytorch_model.fp16.safetensors'),
      accounting: { tensors: 189, applied: 182, ignored: { 'positional-encoding': 7 }, allowed_unmatched: [] },
      modules: { unet: 7 },
    });
    expect(motion).toMatchObject({ mid: true, positions: 32 });
    expect(motion.stored_positional_encodings).toHaveLength(7);
  });

  it('reads around objects beside the tensors, and runs nothing', async () => {
    await using file = await openTensorFile(join(GOLDEN, 'training.ckpt'));
    expect(file.ignoredGlobals).toEqual(
      expect.arrayContaining(['omegaconf.base.ContainerMetadata', 'omegaconf.dictconfig.DictConfig']),
    );
    expect(await recognise(file)).toMatchObject({
      kind: 'motion-unet',
      facts: { modules: 7, 'positional encoding': '32 rows' },
    });
  });

  it('takes the motion modules out of a trainer’s checkpoint, and says so', async () => {
    const { files, warnings } = await planned({ module: 'training.ckpt' });
    expect(files.at(-1)?.accounting).toMatchObject({
      applied: 182,
      ignored: { 'positional-encoding': 14, 'spatial-weights': 22 },
    });
    expect(warnings).toContainEqual(
      expect.stringMatching(/^motion \(\S+training\.ckpt\) holds a whole UNet\. .* its 22 other tensors are not/),
    );
  });

  it('accounts for LoRAs: their modules, ranks and alphas, from metadata where they lie there', async () => {
    const loras = [
      { lora: 'lora-peft.safetensors', alpha: 0.5, expect: { modules: 28 } },
      { lora: 'lora-animatediff.ckpt', alpha: 0, scale: 'rslora', blocks: { mid_block: 3 } },
    ];
    const { files, tensors, warnings } = await planned({ module: 'other.safetensors', loras });
    expect(files.slice(-2)).toMatchObject([
      {
        role: 'motion.loras[0]',
        modules: { unet: 28 },
        ranks: [3],
        alphas: [6],
        accounting: { tensors: 56, applied: 56 },
      },
      {
        role: 'motion.loras[1]',
        modules: { unet: 56 },
        ranks: [4],
        alphas: [null],
        accounting: { tensors: 112, applied: 112 },
      },
    ]);
    expect(warnings).toContainEqual(expect.stringMatching(/^motion\.loras\[1\] \(.*\) has strength 0 everywhere/));
    const terms = tensors.unet.find(
      ({ name }) => name === 'mid_block.motion_modules.0.transformer_blocks.0.attn1.to_q.weight',
    )?.terms;
    expect(terms).toMatchObject([
      { kind: 'lora', of: 'motion.loras[0]', scale: 1 },
      { kind: 'lora', of: 'motion.loras[1]', scale: 0 },
    ]);
  });

  it('holds LoRAs to what the recipe expects, at its line', async () => {
    const loras = [{ lora: 'lora-peft.safetensors', alpha: 1, expect: { modules: 30 } }];
    await expect(planned({ module: 'adapter', loras })).rejects.toThrow(
      /recipe\.yaml:1:\d+: the recipe expects 30 modules, 28 were matched/,
    );
  });

  it('makes γ act on the difference of two modules, weight by weight', async () => {
    const { files, tensors } = await planned({
      module: 'adapter',
      base: 'other.safetensors',
      gamma: 0.5,
      blocks: { '*.norm.*': 0.25 },
    });
    const roles = files.map(({ role }) => role);
    const of = (name: string) => tensors.unet.find((tensor) => tensor.name === name);
    expect(roles.slice(-2)).toEqual(['motion.base', 'motion']);
    const norm = 'mid_block.motion_modules.0.norm.weight';
    expect(of(norm)).toMatchObject({
      gain: 1,
      source: { file: roles.indexOf('motion.base'), tensor: norm.replace('0.norm', '0.temporal_transformer.norm') },
      terms: [
        {
          kind: 'difference',
          of: 'motion',
          operands: {
            weight: { file: roles.indexOf('motion'), tensor: norm },
            origin: { file: roles.indexOf('motion.base') },
          },
          scale: 0.125,
        },
      ],
    });
    const parameters = tensors.unet.filter(
      ({ name, kind }) => name.includes('.motion_modules.') && kind !== 'positional-encoding',
    );
    expect(parameters.map(({ terms }) => terms.map(({ kind }) => kind))).toEqual(parameters.map(() => ['difference']));
  });

  it('stretches encodings to more frames, and makes as many rows as the recipe asks for', async () => {
    const name = 'mid_block.motion_modules.0.transformer_blocks.0.pos_embed.pe';
    const rows = async (positions: unknown, frames: number) => {
      const made = await planned({ module: 'adapter', positions }, { frames });
      return { made, values: (await bakeTensors(made, [name])).get(name) as Float64Array };
    };
    const plain = (await rows(undefined, 32)).values;
    const { made, values } = await rows({ from: 16, to: 32 }, 32);
    expect(made.motion).toMatchObject({ positions: 32, stretched_from: 16 });
    expect(made.tensors.unet.find((tensor) => tensor.name === name)).toMatchObject({
      shape: [1, 32, 16],
      stretched_from: 16,
    });
    // row 2p + 1 lies a quarter of the way from row p to row p + 1: (p + ½)·16/32 − ½
    for (const [at, below] of [
      [1, 0],
      [13, 6],
    ] as const)
      for (let c = 0; c < 16; c += 1)
        expect(values[at * 16 + c]).toBeCloseTo(0.75 * plain[below * 16 + c]! + 0.25 * plain[(below + 1) * 16 + c]!, 5);
    expect([...(await rows(8, 8)).values]).toEqual([...plain.subarray(0, 8 * 16)]);
  });
});

describe('a motion module’s folder', async () => {
  const family = await writeFamily({ positions: 24 });
  const CONFIG = JSON.parse(await readFile(join(GOLDEN, 'adapter/config.json'), 'utf8')) as object;

  /** What planning a folder with this config and the family's motion module fails with. */
  const failure = async (config: object | undefined, weights = 'diffusion_pytorch_model.safetensors') => {
    const folder = join(await temporaryFolder(), 'adapter');
    await mkdir(folder);
    if (config)
      await writeFile(join(folder, 'config.json'), JSON.stringify({ ...CONFIG, motion_max_seq_length: 24, ...config }));
    await writeFile(join(folder, weights), await readFile(join(family.folder, 'motion.safetensors')));
    return plan(family.recipe({ motion: { module: folder } })).then(
      () => undefined,
      (thrown: unknown) => thrown as Error,
    );
  };

  it('may hold AnimateDiff’s names and .bin files too', async () => {
    expect(await failure({})).toBeUndefined();
    expect(await failure({}, 'diffusion_pytorch_model.bin')).toBeUndefined();
  });

  it('is read from the file that is fetched of such a folder on the Hub', async () => {
    const folder = join(await temporaryFolder(), 'adapter');
    await mkdir(folder);
    await writeFile(join(folder, 'config.json'), JSON.stringify({ ...CONFIG, motion_max_seq_length: 24 }));
    const weights = await readFile(join(family.folder, 'motion.safetensors'));
    const names = ['bin', 'fp16.safetensors', 'fp32.safetensors'].map((end) => `diffusion_pytorch_model.${end}`);
    for (const [i, name] of names.entries()) {
      await writeFile(join(folder, name), weights);
      const there = new Set(['config.json', ...names.slice(0, i + 1)]);
      const { files } = await plan(family.recipe({ motion: { module: folder } }));
      const read = files.find(({ role }) => role === 'motion')?.path;
      expect(read).toBe(join(folder, name));
      expect(motionAdapterFiles(there)).toEqual(['config.json', name]);
    }
  });

  it.each([
    [{ block_out_channels: [8, 32] }, /block_out_channels is 8,32, but the base's UNet calls for 8,16\./],
    [{ motion_layers_per_block: 2 }, /motion_layers_per_block is 2,2, but the base's UNet calls for 1,1/],
    [{ motion_num_attention_heads: 4 }, /motion_num_attention_heads is 4,4, but the base's UNet calls for 2,2/],
    [{ motion_norm_num_groups: 8 }, /motion_norm_num_groups is 8, but the base's UNet calls for 4/],
    [
      { use_motion_mid_block: false },
      /use_motion_mid_block is false, but the weights have a module for the middle block/,
    ],
    [{ motion_max_seq_length: 32 }, /motion_max_seq_length is 32, but the stored positional encodings have 24 rows/],
  ])('is refused when its config says %o', async (config, message) => {
    const error = await failure(config);
    expect(error).toBeInstanceOf(MergeError);
    expect(error?.message).toMatch(message);
    expect(error?.message).toContain('adapter/config.json: ');
  });

  it.each([
    [{ conv_in_channels: 9 }, /conv_in_channels is 9: this is PIA/],
    [{ motion_transformer_layers_per_block: [1, 2] }, /motion_transformer_layers_per_block should be 1/],
    [{ _class_name: 'UNetMotionModel' }, /_class_name must be "MotionAdapter"/],
  ])('and %o is no such config', async (config, message) => {
    const error = await failure(config);
    expect(error).toBeInstanceOf(FormatError);
    expect(error?.message).toMatch(message);
  });

  it('without config or weights is incomplete', async () => {
    expect((await failure(undefined))?.message).toMatch(/adapter\/config\.json is missing/);
    const error = await failure({}, 'model.safetensors');
    expect(error).toBeInstanceOf(InputMissingError);
    expect(error?.message).toMatch(/adapter holds no weights: none of diffusion_pytorch_model\.safetensors, /);
  });

  it('says how many positions there are where none are stored', async () => {
    const { motion } = await plan((await writeFamily()).recipe({ motion: { module: await withoutEncodings(CONFIG) } }));
    expect(motion).toMatchObject({ positions: 48, stored_positional_encodings: [] });
  });

  async function withoutEncodings(config: object): Promise<string> {
    const folder = await temporaryFolder();
    const plain = await writeFamily();
    await writeFile(join(folder, 'config.json'), JSON.stringify({ ...config, motion_max_seq_length: 48 }));
    await writeFile(
      join(folder, 'diffusion_pytorch_model.safetensors'),
      await readFile(join(plain.folder, 'motion.safetensors')),
    );
    return folder;
  }
});

describe('what is no motion module for SD1.5', async () => {
  const family = await writeFamily();
  const MODULE = 'down_blocks.0.motion_modules.0.temporal_transformer';
  const refusal = async (tensors: Tensors, changes: (path: string) => object = (module) => ({ module })) => {
    const path = join(await temporaryFolder(), 'file.safetensors');
    await writeTensors(path, tensors);
    const error = await plan(family.recipe({ motion: { module: 'motion.safetensors', ...changes(path) } })).catch(
      (e: unknown) => e,
    );
    expect(error).toBeInstanceOf(MergeError);
    expect((error as Error).message).toContain(`${path}: `);
    return (error as Error).message;
  };
  const tensors = (...names: readonly (readonly [string, readonly number[]])[]): Tensors =>
    new Map(names.map(([name, shape]) => [name, filled(shape)]));
  const sdxl = ([320, 640, 1280] as const).map(
    (width, i) => [`down_blocks.${i}.motion_modules.0.temporal_transformer.proj_in.weight`, [width, 1]] as const,
  );

  it.each([
    [
      'PIA',
      tensors([`${MODULE}.proj_in.weight`, [8, 8]], ['conv_in.weight', [8, 9, 3, 3]], ['conv_in.bias', [8]]),
      /PIA: .* 9 channels\. It wants a first frame/,
    ],
    [
      'HotshotXL',
      tensors([
        'down_blocks.0.temporal_attentions.0.transformer_blocks.0.attention_blocks.0.pos_encoder.positional_encoding',
        [1, 24, 8],
      ]),
      /HotshotXL: .*The base is SD1\.5/,
    ],
    ['HelloMeme', tensors(['reference_modules_mid.attn.to_q.weight', [8, 8]]), /HelloMeme.*reference image/],
    ['HelloMeme 3', tensors(['motion_down.0.attentions.0.proj_in.weight', [8, 8]]), /HelloMeme/],
    [
      'FancyVideo',
      tensors(
        [`${MODULE}.proj_in.weight`, [8, 8]],
        ['fps_embedding.linear.weight', [8, 8]],
        ['conv_in.weight', [8, 9, 3, 3]],
      ),
      /FancyVideo/,
    ],
    [
      'CameraCtrl',
      tensors(
        ['encoder.down.weight', [8, 8]],
        [`${MODULE}.transformer_blocks.0.attention_blocks.0.processor.qkv_merge.weight`, [8, 8]],
      ),
      /CameraCtrl.*poses of a camera/,
    ],
    [
      'AnimateLCM-I2V',
      tensors([`${MODULE}.proj_in.weight`, [8, 8]], ['img_encoder.conv_in.weight', [8, 4, 1, 1]]),
      /AnimateLCM-I2V.*use AnimateLCM_sd15_t2v\.ckpt/,
    ],
    ['an SDXL module', tensors(...sdxl), /motion module for SDXL\. The base is SD1\.5/],
    ['SVD', tensors(['down_blocks.0.resnets.0.temporal_res_block.conv1.weight', [8, 8]]), /Stable Video Diffusion/],
    [
      'SparseCtrl',
      tensors([`module.${MODULE}.proj_in.weight`, [8, 8]], ['module.controlnet_down_blocks.0.weight', [8, 8]]),
      /SparseCtrl/,
    ],
    ['MotionCtrl', tensors([`${MODULE}.transformer_blocks.0.cc_projection.weight`, [8, 8]]), /MotionCtrl/],
    [
      'a motion LoRA',
      tensors([`${MODULE}.transformer_blocks.0.attention_blocks.0.processor.to_q_lora.down.weight`, [4, 8]]),
      /motion LoRA\. List it under motion\.loras\./,
    ],
    [
      'a LoRA',
      tensors(['lora_unet_conv_in.lora_down.weight', [4, 36]]),
      /LoRA \(kohya names\)\. List it under personalized\./,
    ],
    [
      'a LoRA of attention processors',
      tensors(['down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.down.weight', [4, 8]]),
      /v3_sd15_adapter\)\. List it under personalized\./,
    ],
    [
      'a checkpoint',
      tensors(['model.diffusion_model.input_blocks.0.0.weight', [8, 4, 3, 3]]),
      /LDM single-file checkpoint\. Name it as the base\./,
    ],
    ['anything else', tensors(['x', [1]]), /none of the 1 tensors of file\.safetensors is named …motion_modules\.N…/],
  ])('%s is refused by name', async (_, content, message) => {
    expect(await refusal(content)).toMatch(message);
    expect(await refusal(content, (base) => ({ base }))).toMatch(message);
  });

  const lora = (path: string) => ({ loras: [{ lora: path, alpha: 1 }] });

  it('tells a LoRA on the images that it is no motion LoRA', async () => {
    const adapter = ['down', 'up'].map(
      (which, i) =>
        [
          `down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.${which}.weight`,
          i === 0 ? [4, 8] : [8, 4],
        ] as const,
    );
    expect(await refusal(tensors(...adapter), lora)).toMatch(
      /motion\.loras\[0\] wants a LoRA on motion modules, and this one changes the images, not the motion: .*v3_sd15_adapter\)\. List it under personalized\./,
    );
    expect(await refusal(tensors(['conv_in.weight', [8, 4, 3, 3]]), lora)).toMatch(/this is something else/);
    expect(
      await refusal(
        tensors([
          `${MODULE.replace('0.motion', '7.motion')}.transformer_blocks.0.attention_blocks.0.processor.to_q_lora.down.weight`,
          [4, 8],
        ]),
        lora,
      ),
    ).toMatch(/none of the modules of this one is in the motion module of the recipe/);
  });

  it('tells of a file that changes both which part belongs where', async () => {
    const pair = (module: string): Tensors =>
      tensors([`${module}_lora.down.weight`, [4, 8]], [`${module}_lora.up.weight`, [8, 4]]);
    const images = pair('unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_q');
    const motion = pair(`${MODULE}.transformer_blocks.0.attention_blocks.0.processor.to_q`);
    const both = new Map([...images, ...motion]);
    expect(await refusal(both, lora)).toMatch(
      /2 of 4 tensors fit nothing .*\n.*to_q_lora\.\* \(2 tensors: it changes the images, not the motion; what it is part of belongs under personalized\)/,
    );
    const path = join(await temporaryFolder(), 'both.safetensors');
    await writeTensors(path, both);
    const source = { lora: path, alpha: 1 };
    await expect(plan(family.recipe({ personalized: [source] }))).rejects.toThrow(/belongs under motion\.loras\)/);
    const shared = {
      personalized: [{ ...source, allow_unmatched: ['*motion_modules*'] }],
      motion: { loras: [{ ...source, allow_unmatched: ['unet.*'] }] },
    };
    const { files } = await plan(family.recipe(shared));
    expect(files.flatMap(({ modules }) => modules?.unet ?? [])).toEqual([1, 7, 1]);
  });

  it('and a motion LoRA that it is none of the images', async () => {
    const path = join(GOLDEN, 'lora-animatediff.ckpt');
    await expect(plan(family.recipe({ personalized: [{ lora: path, alpha: 1 }] }))).rejects.toThrow(
      /personalized\[0\] wants a LoRA for SD1\.5's UNet or text encoder, and this is something else: motion LoRA\. List it under motion\.loras\./,
    );
  });
});

describe('a motion module without a middle block', async () => {
  const withoutMid = await writeFamily({ mid: false, positions: 24 });
  const lora = { lora: join(GOLDEN, 'lora-animatediff.ckpt'), alpha: 1 };

  it('leaves the middle block’s part of a motion LoRA out, and says so', async () => {
    const { files, warnings } = await plan(withoutMid.recipe({ motion: { loras: [lora] } }));
    expect(files.at(-1)).toMatchObject({
      role: 'motion.loras[0]',
      modules: { unet: 48 },
      accounting: { tensors: 112, applied: 96, ignored: { 'no-middle-block': 16 } },
    });
    expect(warnings).toContainEqual(
      expect.stringMatching(/^motion\.loras\[0\] \(.*\) has 16 tensors for the middle block/),
    );
  });

  it('and one with it make no pair', async () => {
    const other = join(GOLDEN, 'other.safetensors');
    const pair = (family: Family, motion: Section) => plan(family.recipe({ motion }));
    await expect(pair(withoutMid, { base: other })).rejects.toThrow(
      /recipe\.yaml:1:\d+: motion\.base and motion\.module must have the same parts, but \S+other\.safetensors has a module for the middle block and \S+motion\.safetensors has none/,
    );
    await expect(pair(withoutMid, { module: other, base: 'motion.safetensors' })).rejects.toThrow(
      /motion\.base and motion\.module/,
    );
  });
});

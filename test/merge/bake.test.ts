import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MergeError } from '../../src/errors.ts';
import { toFloat64 } from '../../src/formats/dtype.ts';
import { openBake } from '../../src/merge/bake.ts';
import { type Plan, plan } from '../../src/merge/plan.ts';
import {
  type FamilyOptions,
  type FloatDType,
  filled,
  loraModule,
  type Tensors,
  writeFamily,
  writeTensors,
} from '../helpers/family.ts';
import { openGolden } from '../helpers/golden.ts';
import { float16Steps } from '../helpers/numbers.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { bakeAndCheck, recipeIn, type Section, tinyRecipe } from '../helpers/tiny.ts';

/** Made by `python test/oracle/golden_graphs.py`; `values.<merge>` holds the elements at `indices` of one sample after another. */
interface MergeCases {
  readonly samples: readonly {
    readonly component: string;
    readonly name: string;
    readonly kind: string;
    readonly start: number;
    readonly count: number;
  }[];
  readonly recipes: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

const golden = await openGolden<MergeCases>('test/golden/merge.safetensors');

/** Merges one tensor as the plan says, in the recipe's dtype. */
async function merged(planned: Plan, name: string, { transposed = false } = {}): Promise<Float64Array> {
  const tensor = Object.values(planned.tensors)
    .flat()
    .find((candidate) => candidate.name === name);
  if (!tensor) throw new RangeError(`No tensor ${name} in the plan.`);
  await using session = await openBake(planned);
  for await (const data of session.tensors([{ tensor, transposed }])) {
    return toFloat64(data, planned.recipe.output.dtype === 'fp16' ? 'F16' : 'F32');
  }
  throw new RangeError('The session gave no tensor.');
}

describe('merged values', () => {
  it('are sampled from every rule', () => {
    expect(Object.keys(golden.cases.recipes)).toEqual(
      expect.arrayContaining(['alpha/rank, residual', 'alpha/rank, weights', 'raw', 'rslora', 'blocks']),
    );
    const kinds = new Set(golden.cases.samples.map(({ kind }) => kind));
    expect(kinds.size).toBeGreaterThanOrEqual(12);
    for (const rule of [
      /conv1x1/,
      /conv3x3/,
      /linear/,
      /proj_out\.weight/,
      /proj_out\.bias/,
      /text_encoder personalized/,
      /untouched/,
    ]) {
      expect(
        [...kinds].some((kind) => rule.test(kind)),
        String(rule),
      ).toBe(true);
    }
  });

  describe.each(Object.keys(golden.cases.recipes))('of the merge "%s"', (merge) => {
    it.each(['fp16', 'fp32'])('are those of the float64 oracle, in %s', async (dtype) => {
      const document = { name: 'golden', output: { width: 64, height: 64, dtype }, ...golden.cases.recipes[merge] };
      const into = await temporaryFolder();
      const { weight } = await bakeAndCheck(recipeIn('models/tiny', document), into);
      const [indices, values] = [await golden.tensor('indices'), await golden.tensor(`values.${merge}`)];
      // within 1 fp16 ulp; in fp32 within some roundings of terms that may be larger than what is left of them
      const isRight = (found: number, expected: number) =>
        dtype === 'fp16'
          ? float16Steps(found, expected) <= 1
          : Math.abs(found - expected) <= 1e-6 * Math.max(0.25, Math.abs(expected));
      const wrong = golden.cases.samples.flatMap(({ component, name, start, count }) => {
        const elements = weight(`${component}/${name}`);
        return Array.from(indices.subarray(start, start + count), (at, i) => {
          return { at: `${name}[${at}]`, found: elements[at] as number, expected: values[start + i] as number };
        }).filter(({ found, expected }) => !isRight(found, expected));
      });
      expect(wrong).toEqual([]);
    });
  });
});

describe('a bake', () => {
  const TO_Q = 'down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight';
  const KEY = 'lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q';
  const planOf = async (changes: Readonly<Record<string, Section>> = {}, options: FamilyOptions = {}) =>
    plan((await writeFamily(options)).recipe(changes));

  it('gives the same bytes every time', async () => {
    const folders = [join(await temporaryFolder(), 'a'), join(await temporaryFolder(), 'b')] as const;
    for (const folder of folders) {
      await mkdir(folder);
      await bakeAndCheck(tinyRecipe({ output: { dtype: 'fp16' } }), folder);
    }
    for (const file of [
      'unet/model.onnx',
      'unet/model.onnx_data',
      'text_encoder/model.onnx_data',
      'lcm-merge.lock.json',
      'README.md',
    ]) {
      const [a, b] = await Promise.all(folders.map((folder) => readFile(join(folder, file))));
      expect(a?.equals(b as Buffer), file).toBe(true);
    }
  });

  it('adds terms in recipe order to the weight, and lays it out as asked', async () => {
    const family = await writeFamily();
    for (const file of ['one', 'two'])
      await writeTensors(
        join(family.folder, `${file}.safetensors`),
        loraModule(KEY, [8, 8], { rank: file === 'one' ? 2 : 3 }),
      );
    const personalized = [
      { lora: 'one.safetensors', alpha: 0.5 },
      { lora: 'two.safetensors', alpha: -2 },
    ];
    const planned = await plan(family.recipe({ personalized }));
    const product = (rank: number, o: number, i: number) => {
      const [up, down] = [filled([8, rank]).data, filled([rank, 8]).data];
      return Array.from({ length: rank }, (_, r) => (up[o * rank + r] as number) * (down[r * 8 + i] as number)).reduce(
        (a, b) => a + b,
      );
    };
    const expected = filled([8, 8]).data.map(
      (w, at) => w + 0.5 * product(2, at >> 3, at & 7) - 2 * product(3, at >> 3, at & 7),
    );
    expect([...(await merged(planned, TO_Q))]).toEqual([...expected]);
    expect([...(await merged(planned, TO_Q, { transposed: true }))]).toEqual(
      [...expected].map((_, at) => expected[(at & 7) * 8 + (at >> 3)]),
    );
  });

  it.each(['F16', 'BF16', 'F32', 'F64'] as const)('takes files in %s for what they say', async (dtype) => {
    const merge = async (stored: FloatDType) => {
      const family = await writeFamily({ dtype: stored });
      await writeTensors(join(family.folder, 'one.safetensors'), loraModule(KEY, [8, 8], { alpha: 1 }), stored);
      const planned = await plan(
        family.recipe({ personalized: [{ lora: 'one.safetensors', alpha: 0.5 }], motion: { gamma: 0.5 } }),
      );
      const names = [TO_Q, 'conv_in.weight', 'mid_block.motion_modules.0.proj_out.weight'];
      return Promise.all(names.map(async (name) => [...(await merged(planned, name, { transposed: name === TO_Q }))]));
    };
    // every number of these files is exact in every type
    expect(await merge(dtype)).toEqual(await merge('F32'));
  });

  it('rounds once, to nearest even', async () => {
    // 1 + 2⁻¹¹ lies halfway between two float16 numbers, 1 + 3·2⁻¹¹ as well: ties go to the even one
    const values = [
      1 + 2 ** -11,
      1 + 3 * 2 ** -11,
      1 + 2 ** -11 + 2 ** -20,
      -65504,
      2 ** -25,
      2 ** -24 * 1.5,
      65519,
      0,
    ];
    const alter = {
      unet: (tensors: Tensors) => void tensors.set('conv_in.bias', { shape: [8], data: Float32Array.from(values) }),
    };
    const rounded = [1, 1 + 2 ** -9, 1 + 2 ** -10, -65504, 0, 2 ** -23, 65504, 0];
    expect([...(await merged(await planOf({ output: { dtype: 'fp16' } }, { alter }), 'conv_in.bias'))]).toEqual(
      rounded,
    );
  });

  it('names what leaves the range of fp16, and not what stays in that of fp32', async () => {
    const alter = { unet: (tensors: Tensors) => void ((tensors.get(TO_Q) as { data: Float32Array }).data[5] = 65520) };
    const fp16 = merged(await planOf({ output: { dtype: 'fp16' } }, { alter }), TO_Q);
    await expect(fp16).rejects.toThrow(MergeError);
    await expect(fp16).rejects.toThrow(
      /The merged \S+to_q\.weight leaves the range of fp16 \(±65504\) at its element 5; ask for output\.dtype: fp32\.$/,
    );
    await expect(fp16).rejects.toMatchObject({
      place: { tensor: TO_Q, file: expect.stringMatching(/unet\/diffusion_pytorch_model\.safetensors$/) },
    });
    expect((await merged(await planOf({}, { alter }), TO_Q))[5]).toBe(65520);
  });

  it('names what leaves the range of fp32', async () => {
    const alter = { unet: (tensors: Tensors) => void (tensors.get(TO_Q) as { data: Float32Array }).data.fill(3e38) };
    const family = await writeFamily({ alter });
    const lora = loraModule(KEY, [8, 8], { rank: 1 });
    for (const { data } of lora.values()) data.fill(1.5e19);
    await writeTensors(join(family.folder, 'one.safetensors'), lora);
    const baking = merged(await plan(family.recipe({ personalized: [{ lora: 'one.safetensors', alpha: 1 }] })), TO_Q);
    await expect(baking).rejects.toThrow(MergeError);
    await expect(baking).rejects.toThrow(
      /leaves the range of float32 \(±3\.4e38\) at its element 0; lower the strength of personalized\[0\]\.$/,
    );
  });

  it.each([
    [
      'the base',
      Number.NaN,
      (value: number): FamilyOptions => ({
        alter: { unet: (tensors) => void ((tensors.get(TO_Q) as { data: Float32Array }).data[7] = value) },
      }),
      /diffusion_pytorch_model\.safetensors: down_blocks\S+to_q\.weight holds NaN at element 7 of 64/,
    ],
    [
      'the motion module',
      Number.POSITIVE_INFINITY,
      (value: number): FamilyOptions => ({
        alter: {
          motion: (tensors) =>
            void ((
              tensors.get('mid_block.motion_modules.0.temporal_transformer.proj_in.bias') as { data: Float32Array }
            ).data[3] = value),
        },
      }),
      /motion\.safetensors: mid_block\S+proj_in\.bias holds Infinity at element 3 of 16/,
    ],
  ])('names a broken number in %s', async (where, value, options, message) => {
    const planned = await planOf({}, options(value));
    const name = where === 'the base' ? TO_Q : 'mid_block.motion_modules.0.proj_in.bias';
    await expect(merged(planned, name)).rejects.toThrow(message);
  });

  it('names a broken number in a LoRA, even behind one of strength 0', async () => {
    const family = await writeFamily();
    for (const file of ['zero', 'broken']) {
      const tensors = loraModule(KEY, [8, 8]);
      (tensors.get(`${KEY}.lora_up.weight`) as { data: Float32Array }).data[2] = Number.NEGATIVE_INFINITY;
      await writeTensors(join(family.folder, `${file}.safetensors`), tensors);
    }
    const source = (file: string, alpha: number) => ({ lora: `${file}.safetensors`, alpha });
    const planned = await plan(family.recipe({ personalized: [source('zero', 0), source('broken', 1)] }));
    await expect(merged(planned, TO_Q)).rejects.toThrow(
      /broken\.safetensors: \S+lora_up\.weight holds -Infinity at element 2 of 16/,
    );
    expect([...(await merged(await plan(family.recipe({ personalized: [source('zero', 0)] })), TO_Q))]).toEqual([
      ...filled([8, 8]).data,
    ]);
  });

  it('makes encodings where there are none, and refuses stored ones that are no sinusoid', async () => {
    const name = 'mid_block.motion_modules.0.transformer_blocks.0.pos_embed.pe';
    const made = await merged(await planOf(), name);
    expect([...made.subarray(0, 4)]).toEqual([0, 1, 0, 1]);
    expect([...(await merged(await planOf({}, { positions: 64 }), name))]).toEqual([...made]);
    const alter = {
      motion: (tensors: Tensors) => {
        const stored = tensors.get(
          'mid_block.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.1.pos_encoder.pe',
        );
        (stored as { data: Float32Array }).data[16 * 2 + 5] = 0.25;
      },
    };
    await expect(openBake(await planOf({}, { positions: 24, alter }))).rejects.toThrow(
      /attention_blocks\.1\.pos_encoder\.pe is not AnimateDiff's sinusoid: row 2, channel 5 is 0\.25, the formula gives 0\.98/,
    );
  });

  it('stops when it is told to', async () => {
    const planned = await planOf();
    await using session = await openBake(planned);
    const controller = new AbortController();
    const requests = planned.tensors.unet.map((tensor) => ({ tensor, transposed: false }));
    let given = 0;
    const baking = async () => {
      for await (const _ of session.tensors(requests, controller.signal)) {
        given += 1;
        if (given === 3) controller.abort();
      }
    };
    await expect(baking()).rejects.toThrow(/aborted/);
    expect(given).toBe(3);
  });
});

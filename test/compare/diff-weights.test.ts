import { readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { diffPackages } from '../../src/compare/diff/package-diff.ts';
import { FormatError } from '../../src/errors.ts';
import { drain, type Event } from '../../src/events.ts';
import { type SmallTensor, smallPackage, tensor } from './small-package.ts';

type Spec = readonly [dtype: keyof typeof ARRAYS, multiplier: number, divisor: number];

interface Case {
  readonly name: string;
  readonly elements: number;
  readonly equal?: number;
  readonly a: Spec;
  readonly b: Spec;
  readonly absolute: number;
  readonly relative: number;
  readonly largest: { readonly index: number; readonly a: number; readonly b: number };
}

const { cases } = JSON.parse(await readFile('test/golden/diff.json', 'utf8')) as { readonly cases: readonly Case[] };

const ARRAYS = { float16: Float16Array, float32: Float32Array, int8: Int8Array };

/** The elements that test/oracle/diff.py makes. */
function numbers(elements: number, [dtype, multiplier, divisor]: Spec) {
  const values = new ARRAYS[dtype](elements);
  for (let i = 0; i < elements; i += 1) values[i] = (((i * multiplier) % 4001) - 2000) / divisor;
  return values;
}

const compare = (a: string, b: string, onEvent?: (event: Event) => unknown) => drain(diffPackages(a, b), onEvent);
const unet = (tensors: Readonly<Record<string, SmallTensor>>) => smallPackage({ weights: { unet: tensors } });

describe('the distance of two tensors', () => {
  it.each(cases)('is what numpy says: $name', async ({ elements, equal = 0, a, b, absolute, relative, largest }) => {
    const [own, other] = [numbers(elements, a), numbers(elements, b)];
    other.set(own.subarray(0, equal));
    const sides = [own, other].map((values) => unet({ 'conv_in.weight': { shape: [elements], values } }));
    const [part] = (await compare(await (sides[0] as Promise<string>), await (sides[1] as Promise<string>))).weights;
    expect(part).toMatchObject({ part: 'unet', differ: 1, same: 0, largest: { tensor: 'conv_in.weight', ...largest } });
    expect(part?.absolute).toBeCloseTo(absolute, 9);
    expect((part?.relative ?? 0) / relative).toBeCloseTo(1, 12);
  });

  it('is 0 for the same values in another type, which is told', async () => {
    const values = [0.5, -1, 2];
    const a = await unet({ 'conv_in.weight': { shape: [3], values: Float16Array.from(values) } });
    const b = await unet({ 'conv_in.weight': { shape: [3], values: Float64Array.from(values) } });
    const { weights, identical } = await compare(a, b);
    expect(weights).toMatchObject([{ same: 1, differ: 0, absolute: 0, relative: 0, retyped: { 'F16 → F64': 1 } }]);
    expect(identical).toBe(false);
  });

  it('is not finite where a number is not, and the largest change is there', async () => {
    const a = await unet({ 'conv_in.weight': tensor(1, 2, 3), 'conv_in.bias': tensor(0, 0) });
    const b = await unet({ 'conv_in.weight': tensor(1, Number.NaN, 3), 'conv_in.bias': tensor(0, 60000) });
    const [part] = (await compare(a, b)).weights;
    expect(part).toMatchObject({ absolute: Number.NaN, largest: { tensor: 'conv_in.weight', index: 1, a: 2 } });
  });

  it('counts other bits of the same value as a difference of 0', async () => {
    const a = await unet({ 'conv_in.weight': tensor(0, 1) });
    const [part] = (await compare(a, await unet({ 'conv_in.weight': tensor(-0, 1) }))).weights;
    expect(part).toMatchObject({ differ: 1, absolute: 0, relative: 0 });
    expect(part).not.toHaveProperty('largest');
  });
});

describe('the weights of two packages', () => {
  const A = {
    'conv_in.weight': tensor(3, 4),
    'down_blocks.1.attentions.0.proj_in.weight': tensor(1, 1),
    'down_blocks.1.motion_modules.0.proj_out.weight': tensor(6, 8),
    'mid_block.resnets.0.conv1.weight': tensor(5),
    'up_blocks.3.resnets.0.conv1.weight': tensor(1, 2),
  };
  const B = {
    ...A,
    'down_blocks.1.attentions.0.proj_in.weight': tensor(1, 2),
    'down_blocks.1.motion_modules.0.proj_out.weight': tensor(3, 4),
    'up_blocks.3.resnets.0.conv1.weight': tensor(1, 2, 3),
  };

  it('are told by part and block, motion modules apart, in the order of the blocks', async () => {
    const a = await smallPackage({
      weights: { unet: A, text_encoder: { 'text_model.x': tensor(1) }, vae_decoder: { x: tensor(1) } },
    });
    const b = await smallPackage({
      weights: { unet: B, text_encoder: { 'text_model.x': tensor(2) }, vae_decoder: { x: tensor(1) } },
    });
    const { weights } = await compare(a, b);
    expect(weights.map(({ part, same, differ, relative }) => ({ part, same, differ, relative }))).toEqual([
      { part: 'unet', same: 2, differ: 1, relative: Math.SQRT1_2 },
      { part: 'motion', same: 0, differ: 1, relative: 0.5 },
      { part: 'text_encoder', same: 0, differ: 1, relative: 1 },
      { part: 'vae_decoder', same: 1, differ: 0, relative: 0 },
    ]);
    const blocks = weights.map((part) =>
      part.blocks.map(({ block, same, differ, absolute }) => [block, same, differ, absolute]),
    );
    expect(blocks).toEqual([
      [
        ['IN00', 1, 0, 0],
        ['IN04', 0, 1, 1],
        ['M00', 1, 0, 0],
      ],
      [['IN04', 0, 1, 5]],
      [['BASE', 0, 1, 1]],
      [['all', 1, 0, 0]],
    ]);
    expect(weights[0]?.reshaped).toEqual([{ tensor: 'up_blocks.3.resnets.0.conv1.weight', a: [2], b: [3] }]);
  });

  it('may be in one of the two only', async () => {
    const a = await smallPackage({ weights: { unet: { 'conv_in.weight': tensor(1), 'conv_in.old': tensor(1) } } });
    const b = await smallPackage({
      weights: { unet: { 'conv_in.weight': tensor(1), 'conv_in.new': tensor(1) }, vae_encoder: { x: tensor(1) } },
    });
    const { weights, files } = await compare(a, b);
    expect(weights).toMatchObject([
      { part: 'unet', same: 1, only_a: ['conv_in.old'], only_b: ['conv_in.new'] },
      { part: 'vae_encoder', same: 0, differ: 0, only_b: ['x'] },
    ]);
    expect(files.only_b).toEqual(['vae_encoder/model.onnx', 'vae_encoder/model.onnx_data']);
  });

  it('are found wherever they lie in their files, and only those that differ are read twice', async () => {
    const values = new Float16Array(1 << 20).fill(0.5);
    const changed = values.with(values.length - 1, 1);
    const large = { shape: [values.length], values };
    const own = { 'conv_in.weight': large, 'conv_in.bias': tensor(1) };
    const moved = { 'conv_in.bias': tensor(1), 'conv_in.weight': large };
    expect((await compare(await unet(own), await unet(moved))).weights).toMatchObject([{ same: 2, differ: 0 }]);
    const swapped = { 'conv_in.bias': tensor(3), 'conv_in.weight': tensor(4) };
    const found = await compare(
      await unet({ 'conv_in.weight': tensor(3), 'conv_in.bias': tensor(4) }),
      await unet(swapped),
    );
    expect(found.weights).toMatchObject([{ same: 0, differ: 2, absolute: Math.SQRT2 }]); // in files that are the same
    const names: string[] = [];
    const shares: number[] = [];
    const other = { ...own, 'conv_in.weight': { shape: [values.length], values: changed } };
    const before = { 'time_embedding.x': large };
    const { weights } = await compare(
      await unet({ ...before, ...own }),
      await unet({ ...before, ...other }),
      (event) => {
        if (event.type !== 'progress') return;
        names.push(event.detail ?? '');
        shares.push(event.done / event.total);
      },
    );
    expect(weights).toMatchObject([{ same: 2, differ: 1 }]);
    // ‖A‖ counts the piece of the tensor that is the same
    expect(weights[0]?.relative).toBeCloseTo(0.5 / (0.5 * Math.sqrt(values.length)), 12);
    expect([Math.max(...shares), shares.filter((share) => share === 1).length]).toEqual([1, 1]);
    expect(names).toContain('conv_in.weight');
    expect(names).not.toContain('time_embedding.x');
  });

  it('are never read outside the package, by a link or by a name', async () => {
    const sound = await unet({ 'conv_in.weight': tensor(1) });
    const linked = await unet({ 'conv_in.weight': tensor(2) });
    await symlink('/etc/hostname', join(linked, 'unet/extra.json'));
    await expect(compare(sound, linked)).rejects.toThrow(/unet\/extra\.json is a symbolic link/);
    const foreign = await smallPackage({
      weights: { unet: { 'conv_in.weight': tensor(1) } },
      location: '../../outside',
    });
    await writeFile(join(foreign, '../outside'), '00');
    await expect(compare(sound, foreign)).rejects.toThrow(FormatError);
    await expect(compare(sound, foreign)).rejects.toThrow(
      /should lie in a file beside the graph, not in "\.\.\/\.\.\/outside"/,
    );
  });
});

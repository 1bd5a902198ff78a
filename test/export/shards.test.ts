import { readdir, readFile, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { beforeAll, describe, expect, it } from 'vitest';
import { MergeError } from '../../src/errors.ts';
import { drain } from '../../src/events.ts';
import { layOutComponents } from '../../src/export/layouts.ts';
import { plan } from '../../src/merge/plan.ts';
import { readModelInfo } from '../../src/onnx/model-info.ts';
import { verify } from '../../src/verify/gate.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { type Baked, bakeAndCheck, type Section, tinyRecipe } from '../helpers/tiny.ts';

/** Three frames, so that the runs are short. */
const output = { frames: 3 };
const LIMIT = 4_000_000;
const FOLDERS = ['unet', 'text_encoder', 'vae_decoder'] as const;

describe('a package with output.max_shard_bytes', () => {
  let whole: Baked;
  let sharded: Baked;

  beforeAll(async () => {
    whole = await bakeAndCheck(tinyRecipe({ output }), await temporaryFolder());
    sharded = await bakeAndCheck(
      tinyRecipe({ output: { ...output, max_shard_bytes: '4MB' } }),
      await temporaryFolder(),
    );
  });

  const filesOf = async ({ folder }: Baked, component: string) =>
    (await readdir(join(folder, component))).filter((name) => name.startsWith('model.onnx_data')).sort();

  it('has several files of at most so many bytes, under the names of transformers.js, all of them in the lock', async () => {
    expect(await filesOf(whole, 'unet')).toEqual(['model.onnx_data']);
    const names = await filesOf(sharded, 'unet');
    expect(names).toEqual(names.map((_, i) => `model.onnx_data${i === 0 ? '' : `_${i}`}`));
    expect(names.length).toBeGreaterThanOrEqual(4);
    for (const component of FOLDERS) {
      for (const name of await filesOf(sharded, component)) {
        const { length } = await readFile(join(sharded.folder, component, name));
        expect(length).toBeLessThanOrEqual(LIMIT);
        expect(sharded.lock.outputs[`${component}/${name}`]?.bytes).toBe(length);
      }
    }
  });

  it('has the bytes of the one file in every tensor, and nothing but zeros between them', async () => {
    for (const component of FOLDERS) {
      const one = await readFile(join(whole.folder, component, 'model.onnx_data'));
      const places = async ({ folder }: Baked) =>
        (await readModelInfo(join(folder, component, 'model.onnx'))).initializers.flatMap(({ name, external }) =>
          external ? [{ name, ...external }] : [],
        );
      const before = new Map((await places(whole)).map((place) => [place.name, place]));
      const after = Map.groupBy(await places(sharded), ({ location }) => location);
      expect([...after.keys()].sort()).toEqual(await filesOf(sharded, component));
      let count = 0;
      for (const [location, own] of after) {
        const rebuilt = Buffer.alloc(Math.max(...own.map(({ offset, length }) => offset + length)));
        for (const { name, offset, length } of own) {
          const place = before.get(name);
          if (place?.length !== length) throw new Error(`${name} has another length.`);
          one.copy(rebuilt, offset, place.offset, place.offset + length);
          count += 1;
        }
        expect((await readFile(join(sharded.folder, component, location))).equals(rebuilt), location).toBe(true);
      }
      expect(count).toBe(before.size);
    }
  });

  it('has every weight at one place, whichever graph asks for it', async () => {
    for (const component of FOLDERS) {
      const graphs = (await readdir(join(sharded.folder, component))).filter((name) => name.endsWith('.onnx'));
      expect(graphs.length).toBeGreaterThan(1); // portable and that for CPUs
      const places = async (graph: string) =>
        new Map(
          (await readModelInfo(join(sharded.folder, component, graph))).initializers.flatMap(({ name, external }) =>
            external ? [[name, external] as const] : [],
          ),
        );
      const known = await places('model.onnx');
      for (const graph of graphs) {
        const own = await places(graph);
        expect(own.size).toBeGreaterThan(0);
        for (const [name, place] of own) expect(place, `${name} of ${graph}`).toEqual(known.get(name));
      }
    }
  });

  it('says in each config.json what transformers.js reads: how many files, and that the graph’s name has no ending', async () => {
    for (const component of FOLDERS) {
      const config = JSON.parse(await readFile(join(sharded.folder, component, 'config.json'), 'utf8'));
      const { 'transformers.js_config': custom, ...rest } = config;
      expect(custom).toEqual({
        dtype: 'fp32',
        use_external_data_format: { 'model.onnx': (await filesOf(sharded, component)).length },
      });
      const plain = JSON.parse(await readFile(join(whole.folder, component, 'config.json'), 'utf8'));
      expect(plain['transformers.js_config'].use_external_data_format).toEqual({ 'model.onnx': 1 });
      delete plain['transformers.js_config'];
      expect(rest).toEqual(plain);
    }
    const source = JSON.parse(await readFile('models/tiny/base/text_encoder/config.json', 'utf8'));
    const made = JSON.parse(await readFile(join(sharded.folder, 'text_encoder/config.json'), 'utf8'));
    expect(made).toEqual({ ...source, 'transformers.js_config': made['transformers.js_config'] });
  });

  it('gives the same numbers in onnxruntime', async () => {
    const run = async ({ folder }: Baked) => {
      const session = await InferenceSession.create(join(folder, 'text_encoder/model.onnx'));
      const ids = BigInt64Array.from({ length: 77 }, (_, i) => BigInt((i * 37) % 400));
      const { last_hidden_state } = await session.run({ input_ids: new Tensor('int64', ids, [1, 77]) });
      await session.release();
      return last_hidden_state?.data;
    };
    expect(await run(sharded)).toEqual(await run(whole));
  });

  it('passes the gate, every weight of every file read and recomputed', async () => {
    const report = await drain(verify(sharded.folder, { plan: sharded.plan }));
    expect(report.checks.filter(({ verdict }) => verdict !== 'passed')).toEqual([]);
    expect(report.checks.find(({ id }) => id === 'weights')?.figures?.['elements']).toBe(9_126_555);
    expect(Object.keys(report.package)).toContain('unet/model.onnx_data_3');
  });

  it('is refused when one of the files is cut short or missing', async () => {
    const { folder, plan: planned } = await bakeAndCheck(
      tinyRecipe({ output: { ...output, max_shard_bytes: LIMIT } }),
      await temporaryFolder(),
    );
    await truncate(join(folder, 'unet/model.onnx_data_2'), 1000);
    const verdicts = async () => {
      const { checks } = await drain(verify(folder, { plan: planned }));
      return checks.flatMap(({ id, verdict, reason }) => (verdict === 'failed' ? [`${id}: ${reason}`] : []));
    };
    expect((await verdicts()).join('\n')).toMatch(/ends at byte \d+ of model\.onnx_data_2, which has 1000/);
    await rm(join(folder, 'unet/model.onnx_data_2'));
    expect((await verdicts()).join('\n')).toMatch(/unet\/model\.onnx_data_2 is missing/);
  });
});

describe('a limit that cannot be kept', () => {
  const planned = (section: Section) => plan(tinyRecipe({ output: section }));

  it('is found by planning, which names the largest tensor, its size and the line', async () => {
    const error = await planned({ max_shard_bytes: '100 kB' }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(MergeError);
    expect((error as Error).message).toMatch(
      /recipe\.yaml:1:\d+: output\.max_shard_bytes is 100000, but \S+ of (unet|text_encoder|vae_decoder) alone has \d+ bytes in fp16, and a tensor lies whole in one file\. Ask for that many or more\.$/,
    );
    const [, name, bytes] = /but (\S+) of \S+ alone has (\d+)/.exec((error as Error).message) ?? [];
    const { tensors } = await planned({ max_shard_bytes: Number(bytes) });
    const sizes = Object.values(tensors)
      .flat()
      .map((tensor) => [tensor.shape.reduce((n, dim) => n * dim, 2), tensor.name] as const);
    expect(Math.max(...sizes.map(([size]) => size))).toBe(Number(bytes));
    expect(sizes.find(([, candidate]) => candidate === name)?.[0]).toBe(Number(bytes));
    await expect(planned({ max_shard_bytes: Number(bytes) - 1 })).rejects.toThrow(MergeError);
    await expect(planned({ max_shard_bytes: Number(bytes), dtype: 'fp32' })).rejects.toThrow(/in fp32/);
  });

  it('is refused when there would be more files than transformers.js loads', async () => {
    const fine = await planned({ max_shard_bytes: '400 kB' });
    const many = { ...fine, recipe: { ...fine.recipe, output: { ...fine.recipe.output, max_shard_bytes: 1000 } } };
    expect(() => layOutComponents(many)).toThrow(
      /output\.max_shard_bytes \(1000\) would cut the \d+ bytes of unet into \d{3,} files; transformers\.js loads 100 at most/,
    );
  });
});

import { cp, mkdir, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import onnxProto from 'onnx-proto';
import { beforeAll, describe, expect, it } from 'vitest';
import { drain, type Event } from '../../src/events.ts';
import { LOCK_FILE, type Lock } from '../../src/export/lock.ts';
import { type Plan, plan } from '../../src/merge/plan.ts';
import { openPackage } from '../../src/runtime/package-folder.ts';
import type { CheckContext } from '../../src/verify/check.ts';
import { CHECKS, digestPackage, verify } from '../../src/verify/gate.ts';
import { overall, type Report } from '../../src/verify/report.ts';
import { contextWith, movingVideo } from '../helpers/clip.ts';
import { overwrite } from '../helpers/overwrite.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { bakeAndCheck, type Section, tinyRecipe } from '../helpers/tiny.ts';

const { onnx } = onnxProto;

/** As other tools write it: types and shapes of intermediate values are left out. */
async function withoutShapes(path: string): Promise<void> {
  const model = onnx.ModelProto.decode(await readFile(path));
  if (model.graph) model.graph.valueInfo = [];
  await writeFile(path, onnx.ModelProto.encode(model).finish());
}

/** Checks of what the tiny package has not: an encoder, graphs that did not run, a reference, an earlier verification. */
const NOT_OF_IT = ['encoder', 'targets', 'reference', 'fingerprint'];

describe('the gate on the tiny package', () => {
  let sound: string;
  let planned: Plan;

  beforeAll(async () => {
    sound = join(await temporaryFolder(), 'package');
    await mkdir(sound);
    ({ plan: planned } = await bakeAndCheck(tinyRecipe(), sound));
  });

  /** A copy of the sound package with something done to it. */
  const altered = async (alter: (folder: string) => Promise<unknown>): Promise<string> => {
    const folder = join(await temporaryFolder(), 'package');
    await cp(sound, folder, { recursive: true });
    await alter(folder);
    return folder;
  };

  /** What one check says, without the run that the whole gate begins with. */
  const judge = async (id: string, folder: string, changes: Partial<CheckContext> = {}) => {
    const pkg = await openPackage(folder);
    const context = contextWith({ pkg, files: await digestPackage(folder), plan: planned, ...changes });
    const check = CHECKS.find((candidate) => candidate.id === id);
    if (!check) throw new RangeError(`There is no check ${id}.`);
    expect(check.applies?.(context) ?? true).toBe(true);
    return check.run(context);
  };

  it('passes what is sound, and its report speaks of these bytes', async () => {
    const folder = await altered(async () => undefined);
    const events: Event[] = [];
    const report = await drain(verify(folder, { plan: planned }), (event) => events.push(event));
    expect(report.checks.filter(({ verdict }) => verdict !== 'passed')).toEqual([]);
    const made = CHECKS.filter(({ id, from }) => from !== 'full' && !NOT_OF_IT.includes(id));
    const ids = made.map(({ id }) => id);
    expect(report.checks.map(({ id }) => id)).toEqual(ids);
    expect(report).toMatchObject({ verdict: 'passed', device: 'cpu', run: { frames: 16, width: 64, steps: 4 } });
    expect(events.flatMap((event) => (event.type === 'check' ? [event.id] : []))).toEqual(ids);
    const announced = events.flatMap((event) =>
      event.type === 'progress' && event.unit === 'checks' ? [[event.done, event.total, event.detail]] : [],
    );
    expect(announced).toEqual(ids.map((id, i) => [i, ids.length, id]));
    const steps = events.flatMap((event) =>
      event.type === 'progress' && event.unit === 'steps' && event.milliseconds !== undefined ? [event.done] : [],
    );
    expect(steps).toEqual([1, 2, 3, 4]);

    const written: Report = JSON.parse(await readFile(join(folder, 'verification/report.json'), 'utf8'));
    expect(written).toEqual(report);
    const digests = await digestPackage(folder);
    expect(Object.keys(digests)).toContain(LOCK_FILE);
    expect(written.package).toEqual(Object.fromEntries(Object.entries(digests).map(([file, d]) => [file, d.sha256])));
    expect((await readdir(join(folder, 'verification'))).sort()).toEqual([
      'fingerprint.json',
      'frames.webp',
      'report.html',
      'report.json',
    ]);
    const html = await readFile(join(folder, 'verification/report.html'), 'utf8');
    expect(html).toContain('src="data:image/webp;base64,');
    for (const step of [1, 2, 3, 4]) expect(html).toContain(`Middle frame as step ${step} of 4 estimates it`);
    expect(events.flatMap((event) => (event.type === 'preview' ? [event.step] : []))).toEqual([1, 2, 3, 4]);
    expect(report.limit).toMatchObject({ graph: 'unet/model.cpu.onnx' });
    // what PyTorch counts (test/golden/cost.json), and the sums of normalisations, which are products with ones here
    expect(report.limit?.flops_per_step).toBeGreaterThan(2_223_689_728);
    expect(report.limit?.flops_per_step).toBeLessThan(1.01 * 2_223_689_728);
    expect(html).toContain('How close to the device’s limit');
    expect(html).not.toMatch(/(src|href)="(?!data:|#)/); // nothing is fetched from outside
  });

  it('leaves recomputation out where there are no sources, and cannot tell without a lock', async () => {
    const folder = await altered(async (at) => {
      await rm(join(at, LOCK_FILE));
      await withoutShapes(join(at, 'unet/model.cpu.onnx'));
    });
    const events: Event[] = [];
    const report = await drain(verify(folder), (event) => events.push(event));
    expect(report.limit).toBeUndefined();
    expect(events.flatMap((event) => (event.type === 'warning' ? [event.message] : []))).toEqual([
      expect.stringContaining('unet/model.cpu.onnx cannot be worked out: it does not tell the shapes'),
    ]);
    expect(report.checks.map(({ id }) => id)).not.toContain('recompute');
    expect(report.checks.filter(({ verdict }) => verdict === 'unknown').map(({ id }) => id)).toEqual([
      'integrity',
      'accounting',
    ]);
    expect(report.verdict).toBe('unknown');
  });

  it('is told how to prove by the recipe at hand, which may have changed since the bake', async () => {
    const folder = await altered(async () => undefined);
    const section = { prompt: 'a blue square', seed: 5, profile: 'quick', budgets: { denoise_ms: 1 } };
    const report = await drain(verify(folder, { plan: await plan(tinyRecipe({ verify: section })) }));
    expect(report).toMatchObject({ profile: 'quick', run: { prompt: 'a blue square', seed: 5 } });
    const verdicts = Object.fromEntries(report.checks.map(({ id, verdict }) => [id, verdict]));
    expect(verdicts).toMatchObject({ configs: 'passed', timing: 'failed' });
  });

  it('escapes what comes from a recipe', async () => {
    const folder = await altered((at) =>
      edit(join(at, LOCK_FILE), (lock: Lock) => ({
        ...lock,
        name: '<script>alert(1)</script>',
        recipe: { ...lock.recipe, verify: { ...lock.recipe.verify, prompt: '"><img src=x onerror=alert(1)>' } },
      })),
    );
    await drain(verify(folder, { profile: 'quick' }));
    const html = await readFile(join(folder, 'verification/report.html'), 'utf8');
    expect(html).not.toMatch(/<script|<img src=x/);
  });

  describe('integrity', () => {
    it.each([
      [
        'a bit is flipped in the weights',
        'unet/model.onnx_data has other bytes',
        (at: string) => flipBit(join(at, 'unet/model.onnx_data'), 100_000),
      ],
      ['a file is gone', 'tokenizer/merges.txt is missing', (at: string) => rm(join(at, 'tokenizer/merges.txt'))],
      [
        'a file was added',
        'unet/extra.bin is not in the lock',
        (at: string) => writeFile(join(at, 'unet/extra.bin'), 'x'),
      ],
    ])('fails when %s', async (_, reason, alter) => {
      const pkg = await openPackage(sound);
      const result = await judge('integrity', sound, { files: await digestPackage(await altered(alter)), pkg });
      expect(result.verdict).toBe('failed');
      expect(result.reason).toContain(reason);
    });
  });

  it('accounting fails when a tensor is unaccounted for, when a file did nothing, when modules are fewer than expected', async () => {
    const change = async (alter: (lock: Lock) => unknown) =>
      judge('accounting', await altered((at) => edit(join(at, LOCK_FILE), alter)));
    const input = (lock: Lock, role: string, changes: object) => ({
      ...lock,
      inputs: lock.inputs.map((file) => (file.role === role ? { ...file, ...changes } : file)),
    });
    const account = (applied: number) => ({
      accounting: { tensors: 834, applied, ignored: {}, allowed_unmatched: [] },
    });
    expect(await judge('accounting', sound)).toMatchObject({ verdict: 'passed' });
    expect((await change((lock) => input(lock, 'motion', { alphas: [4] }))).reason).toBe(
      `${LOCK_FILE}: inputs[5].alphas is [4], not missing.`,
    );
    expect((await change((lock) => input(lock, 'lcm', account(833)))).reason).toContain(
      '834 tensors, 833 are accounted for',
    );
    expect(
      (
        await change((lock) =>
          input(lock, 'lcm', { accounting: { tensors: 0, applied: 0, ignored: {}, allowed_unmatched: [] } }),
        )
      ).reason,
    ).toContain('nothing of lcm.safetensors');
    expect((await change((lock) => input(lock, 'lcm', { modules: { unet: 277 } }))).reason).toContain(
      '277 modules, 278 were expected',
    );
  });

  describe('graph', () => {
    it.each([
      [
        'two initializers share bytes',
        /share bytes of model\.onnx_data/,
        (model: Model) => {
          const [first, second] = external(model);
          setOffset(second as Tensor, offsetOf(first as Tensor));
        },
      ],
      [
        'an initializer ends beyond the file',
        /ends at byte \d+ of model\.onnx_data, which has \d+/,
        (model: Model) => {
          setOffset(external(model).at(-1) as Tensor, 1e9);
        },
      ],
      [
        'an initializer is not of the plan',
        /has other as its input 1, not conv_in\.weight/,
        (model: Model) => {
          const tensor = external(model).find(({ name }) => name === 'conv_in.weight') as Tensor;
          for (const node of model.graph?.node ?? [])
            node.input = (node.input ?? []).map((name) => (name === tensor.name ? 'other' : name));
          tensor.name = 'other';
        },
      ],
      [
        'an input has another type',
        /timestep should be INT64 of rank 0, it is FLOAT/,
        (model: Model) => {
          const tensor = model.graph?.input?.[1]?.type?.tensorType;
          if (tensor) tensor.elemType = onnx.TensorProto.DataType.FLOAT;
        },
      ],
      [
        'the graphs of targets take text states of other lengths',
        /unet\/model\.cpu\.onnx: it takes text states of 77 tokens for all frames, the portable graph text states of 154 tokens for all frames/,
        (model: Model) => {
          const tokens = model.graph?.input?.[2]?.type?.tensorType?.shape?.dim?.[1];
          if (tokens) tokens.dimValue = 154;
        },
      ],
      [
        'the opset is another',
        /opset 21/,
        (model: Model) => {
          const opset = model.opsetImport?.[0];
          if (opset) opset.version = 21;
        },
      ],
      [
        'an operator is of another domain',
        /com\.microsoft:Add/,
        (model: Model) => {
          const node = model.graph?.node?.find(({ opType }) => opType === 'Add');
          if (node) node.domain = 'com.microsoft';
        },
      ],
    ])('fails when %s', async (_, reason, alter) => {
      const folder = await altered(async (at) => {
        const path = join(at, 'unet/model.onnx');
        const model = onnx.ModelProto.decode(await readFile(path));
        alter(model);
        await writeFile(path, onnx.ModelProto.encode(model).finish());
      });
      const result = await judge('graph', folder);
      expect(result.verdict).toBe('failed');
      expect(result.reason).toMatch(reason);
    });

    it('passes as it was baked', async () => {
      expect(await judge('graph', sound)).toMatchObject({ verdict: 'passed', figures: { parameters: 9126555 } });
    });
  });

  describe('targets', () => {
    const withGraph = (file: string, alter: (model: Model) => void) =>
      altered(async (at) => {
        const model = onnx.ModelProto.decode(await readFile(join(at, 'unet/model.onnx')));
        alter(model);
        await writeFile(join(at, 'unet', file), onnx.ModelProto.encode(model).finish());
      });

    /** The CPU's graphs have made the clip, so that they are not compared. */
    const ran = async (folder: string): Promise<Partial<CheckContext>> => {
      const { models } = await openPackage(folder);
      const of = (path: string) => path.replace(/model\.onnx$/, 'model.cpu.onnx');
      const [unet, text_encoder, vae_decoder] = [of(models.unet), of(models.text_encoder), of(models.vae_decoder)];
      return { video: movingVideo({ graphs: { unet, text_encoder, vae_decoder } }) };
    };

    it('passes as it was baked, and says how near the graphs are', async () => {
      const result = await judge('targets', sound);
      expect(result).toMatchObject({ verdict: 'passed', figures: { compared: 3, not_run: '' } });
      expect(result.figures['largest_difference']).toBeGreaterThan(1e-5); // fp16 against float32 arithmetic
      expect(result.figures['largest_difference']).toBeLessThan(5e-3);
    });

    it('fails when a target’s graph takes one weight for another of its shape', async () => {
      const folder = await withGraph('model.cpu.onnx', (model) => {
        const [q, k] = ['to_q', 'to_v'].map((leaf) =>
          external(model).find(
            ({ name }) => name === `down_blocks.0.attentions.0.transformer_blocks.0.attn1.${leaf}.weight`,
          ),
        ) as [Tensor, Tensor];
        [q.name, k.name] = [k.name as string, q.name as string];
      });
      const result = await judge('targets', folder);
      expect(result.verdict).toBe('failed');
      expect(result.reason).toMatch(
        /^unet\/model\.cpu\.onnx differs by \S+ \(limit 0\.02\) from the portable graph\.$/,
      );
    });

    it('fails when the only graph of a shape gives no numbers, and counts it when it does', async () => {
      const frequencies = (model: Model) =>
        model.graph?.initializer?.find(({ name }) => name?.endsWith('timestep_frequencies'))?.rawData as Uint8Array;
      const broken = await withGraph('model.16x64x72.onnx', (model) => frequencies(model).fill(0xff));
      const result = await judge('targets', broken, await ran(broken));
      expect(result.verdict).toBe('failed');
      expect(result.reason).toBe('unet/model.16x64x72.onnx gives values that are not finite.');
      const whole = await withGraph('model.16x64x72.onnx', () => undefined);
      expect(await judge('targets', whole, await ran(whole))).toMatchObject({
        verdict: 'passed',
        figures: { compared: 0, run_alone: 1 },
      });
    });

    it('cannot tell where a graph’s device is not there', async () => {
      const folder = await withGraph('model.cuda.onnx', () => undefined);
      const result = await judge('targets', folder, await ran(folder));
      expect(result.verdict).toBe('unknown');
      expect(result.reason).toMatch(/^unet\/model\.cuda\.onnx could not be run here\. Verify on a machine/);
    });
  });

  it('weights fails on one NaN in one component, and names it', async () => {
    const folder = await altered((at) =>
      overwrite(at, 'vae_decoder', 'decoder.conv_out.bias', (values) => values.fill(Number.NaN, 1, 2)),
    );
    const result = await judge('weights', folder);
    expect(result.verdict).toBe('failed');
    expect(result.reason).toMatch(/decoder\.conv_out\.bias in .* is not finite at element 1/);
  });

  describe('recompute', () => {
    const attention = 'down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight';

    it.each([
      [
        'a square attention matrix is transposed',
        'unet',
        attention,
        (values: Float16Array) => {
          const side = Math.sqrt(values.length);
          values.set(values.map((_, i) => values[(i % side) * side + Math.floor(i / side)] as number));
        },
      ],
      [
        'a weight is scaled by a thousandth',
        'unet',
        attention,
        (values: Float16Array) => values.set(values.map((x) => x * 1.004)),
      ],
      [
        'a text-encoder LoRA was dropped',
        'text_encoder',
        'text_model.encoder.layers.0.self_attn.q_proj.weight',
        (values: Float16Array) => values.set(values.map((x) => x * 0.99)),
      ],
      [
        'γ missed a proj_out bias',
        'unet',
        'down_blocks.0.motion_modules.0.proj_out.bias',
        (values: Float16Array) => values.set(values.map((x) => x * 0.5)),
      ],
    ])('fails when %s', async (_, component, name, alter) => {
      const result = await judge('recompute', await altered((at) => overwrite(at, component, name, alter)));
      expect(result.verdict).toBe('failed');
      expect(result.reason).toContain(name);
    });

    it.each([
      ['alpha', { personalized: [{ alpha: 0.7 }] }],
      ['the scale convention', { personalized: [{ scale: 'raw' }] }],
      ['beta', { lcm: { beta: 0.9 } }],
      ['gamma', { motion: { gamma: 0.5 } }],
      ['a block weight', { personalized: [{ blocks: { IN01: 0.5 } }] }],
    ])('fails when the recipe has another %s than was baked', async (_, changes) => {
      const other = await plan(tinyRecipe(merged(changes)));
      expect((await judge('recompute', sound, { plan: other })).verdict).toBe('failed');
    });

    it('passes as it was baked', async () => {
      const { verdict, figures } = await judge('recompute', sound);
      expect(verdict).toBe('passed');
      expect(figures['ulps']).toBeLessThanOrEqual(1); // which elements are looked at depends on the package's hashes
    });
  });
});

it('passes as a whole only if every check does', () => {
  const of = (...verdicts: ('passed' | 'failed' | 'unknown')[]) => overall(verdicts.map((verdict) => ({ verdict })));
  expect(of('passed', 'passed')).toBe('passed');
  expect(of('passed', 'unknown')).toBe('unknown');
  expect(of('unknown', 'failed', 'passed')).toBe('failed');
  expect(of()).toBe('unknown');
});

// ---------------------------------------------------------------------------------------------------- sabotage

type Model = ReturnType<typeof onnx.ModelProto.decode>;
type Tensor = NonNullable<NonNullable<Model['graph']>['initializer']>[number];

function external(model: Model): Tensor[] {
  return (model.graph?.initializer ?? []).filter((tensor) => (tensor.externalData ?? []).length > 0);
}

function offsetOf(tensor: Tensor): number {
  return Number(tensor.externalData?.find(({ key }) => key === 'offset')?.value);
}

function setOffset(tensor: Tensor, offset: number): void {
  const entry = tensor.externalData?.find(({ key }) => key === 'offset');
  if (entry) entry.value = String(offset);
}

async function edit<Content>(path: string, alter: (content: Content) => unknown): Promise<void> {
  await writeFile(path, JSON.stringify(alter(JSON.parse(await readFile(path, 'utf8')) as Content)));
}

async function flipBit(path: string, offset: number): Promise<void> {
  await using file = await open(path, 'r+');
  const byte = new Uint8Array(1);
  await file.read(byte, 0, 1, offset);
  await file.write(Uint8Array.of((byte[0] as number) ^ 1), 0, 1, offset);
}

/** Changes to the personalized source are made to the tiny recipe's own. */
function merged(changes: Record<string, Section>): Record<string, Section> {
  const [personalized] = (changes['personalized'] as object[] | undefined) ?? [];
  return personalized ? { personalized: [{ lora: 'ink.safetensors', alpha: 0.8, ...personalized }] } : changes;
}

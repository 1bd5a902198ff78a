import {
  appendFileSync,
  closeSync,
  cpSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readSavedScheduler, samplerConfig } from '../../src/architecture/sampler-config.ts';
import { IoError } from '../../src/errors.ts';
import { drain, type Event } from '../../src/events.ts';
import { bake } from '../../src/export/package.ts';
import { plan } from '../../src/merge/plan.ts';
import { readModelInfo } from '../../src/onnx/model-info.ts';
import { loraModule, writeFamily, writeTensors } from '../helpers/family.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { type Baked, bakeAndCheck, tinyRecipe } from '../helpers/tiny.ts';

describe('the package of models/tiny', () => {
  let tiny: Baked;
  const json = async (file: string) => JSON.parse(await readFile(join(tiny.folder, file), 'utf8'));

  beforeAll(async () => {
    tiny = await bakeAndCheck(tinyRecipe({ sampler: { steps: 6, original_steps: 100 } }), await temporaryFolder());
  });

  it('has the layout that diffusers, optimum and transformers.js know', async () => {
    const files = (await readdir(tiny.folder, { recursive: true, withFileTypes: true })).filter((entry) =>
      entry.isFile(),
    );
    const names = files.map((entry) => join(entry.parentPath, entry.name).slice(tiny.folder.length + 1));
    const model = (folder: string) =>
      ['config.json', 'model.onnx', 'model.cpu.onnx', 'model.onnx_data'].map((file) => `${folder}/${file}`);
    expect(names.sort()).toEqual(
      [
        'README.md',
        'lcm-merge.lock.json',
        'model_index.json',
        'provenance.json',
        'scheduler/scheduler_config.json',
        ...['unet', 'text_encoder', 'vae_decoder'].flatMap(model),
        ...['vocab.json', 'merges.txt', 'tokenizer_config.json', 'special_tokens_map.json'].map(
          (file) => `tokenizer/${file}`,
        ),
      ].sort(),
    );
    expect(await json('model_index.json')).toMatchObject({
      _class_name: 'AnimateDiffPipeline',
      vae_decoder: ['diffusers', 'OnnxRuntimeModel'],
    });
    expect(await json('vae_decoder/config.json')).toMatchObject({ scaling_factor: 0.87699 });
  });

  it('has a scheduler with the noise of the base and the schedule of the recipe', async () => {
    const file = 'scheduler/scheduler_config.json';
    expect(samplerConfig(readSavedScheduler(await json(file), file))).toEqual({
      kind: 'lcm',
      num_train_timesteps: 1000,
      beta_start: 0.00085,
      beta_end: 0.012,
      beta_schedule: 'linear',
      original_inference_steps: 100,
      prediction_type: 'epsilon',
      timestep_scaling: 10,
      timestep_spacing: 'leading',
      steps_offset: 1,
      set_alpha_to_one: false,
    });
  });

  it('has graphs of opset 20, IR 10 and the default domain only', async () => {
    for (const component of ['unet', 'text_encoder', 'vae_decoder']) {
      const info = await readModelInfo(join(tiny.folder, component, 'model.onnx'));
      expect(info).toMatchObject({ irVersion: 10, opsets: { '': 20 } });
      expect(Object.keys(info.opsets)).toEqual(['']);
      expect(Object.keys(info.operators).filter((name) => name.includes(':'))).toEqual([]);
    }
  });

  it('has a lock that says what went in, by which rule, and nothing of the machine', async () => {
    const { lock } = tiny;
    expect(lock.strengths).toEqual({ alpha: [0.8], beta: 1, gamma: 1 });
    expect(lock.inputs.map(({ role, file }) => [role, file])).toEqual([
      ['base.unet', 'base/unet/diffusion_pytorch_model.safetensors'],
      ['base.text_encoder', 'base/text_encoder/model.safetensors'],
      ['base.vae_decoder', 'base/vae/diffusion_pytorch_model.safetensors'],
      ['personalized[0]', 'ink.safetensors'],
      ['lcm', 'lcm.safetensors'],
      ['motion', 'animatelcm.ckpt'],
    ]);
    expect(lock.rules).toEqual({
      unet: {
        'base.unet': 408,
        'base.unet + lora of lcm': 86,
        'base.unet + lora of personalized[0] + lora of lcm': 192,
        motion: 546,
        'positional-encoding': 21,
      },
      text_encoder: { 'base.text_encoder': 24, 'base.text_encoder + lora of personalized[0]': 12 },
      vae_decoder: { 'base.vae_decoder': 110 },
    });
    const text = await readFile(join(tiny.folder, 'lcm-merge.lock.json'), 'utf8');
    for (const trace of [process.cwd(), dirname(process.cwd()), tmpdir(), homedir()])
      expect(text).not.toContain(`${trace}/`);
    expect(text).not.toMatch(/"(\/|[A-Z]:\\)/);
    expect(text).not.toMatch(/\d{4}-\d{2}-\d{2}|\d{2}:\d{2}:\d{2}|\b1[6-9]\d{8,11}\b(?=[,\n])/);
  });
});

describe('a package with a VAE encoder', () => {
  it('has its folder, graph and config, and names it in index, lock and graph', async () => {
    const {
      folder,
      lock,
      plan: planned,
    } = await bakeAndCheck(tinyRecipe({ output: { vae_encoder: true } }), await temporaryFolder());
    expect((await readdir(join(folder, 'vae_encoder'))).sort()).toEqual([
      'config.json',
      'model.cpu.onnx',
      'model.onnx',
      'model.onnx_data',
    ]);
    const index = JSON.parse(await readFile(join(folder, 'model_index.json'), 'utf8'));
    expect(index).toMatchObject({ vae_encoder: ['diffusers', 'OnnxRuntimeModel'] });
    const config = JSON.parse(await readFile(join(folder, 'vae_encoder/config.json'), 'utf8'));
    expect(config).toMatchObject(JSON.parse(await readFile('models/tiny/base/vae/config.json', 'utf8')));
    expect(lock.recipe.output.vae_encoder).toBe(true);
    expect(planned.components).toEqual(['unet', 'text_encoder', 'vae_decoder', 'vae_encoder']);
    const info = await readModelInfo(join(folder, 'vae_encoder/model.onnx'));
    expect(info).toMatchObject({
      irVersion: 10,
      opsets: { '': 20 },
      inputs: [{ name: 'sample', type: 'FLOAT', shape: ['images', 3, 64, 64] }],
      outputs: [{ name: 'latent_parameters', type: 'FLOAT', shape: ['images', 8, 8, 8] }],
    });
  });
});

describe('baking', () => {
  const KEY = 'lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q';
  const family = async () => {
    const made = await writeFamily({ mid: false, positions: 24 });
    await writeTensors(join(made.folder, 'style.safetensors'), loraModule(KEY, [8, 8], { alpha: 1 }));
    return made;
  };
  const changes = {
    personalized: [{ lora: 'style.safetensors', alpha: 1, allow_unmatched: ['x*'] }],
    publish: { to: 'out' },
  };

  it('gives the same bytes wherever the inputs lie', async () => {
    const packages = await Promise.all(
      [await family(), await family()].map(async (made) => {
        const into = await temporaryFolder();
        await bakeAndCheck(made.recipe(changes), into);
        return into;
      }),
    );
    const [a, b] = packages as [string, string];
    const names = (await readdir(a, { recursive: true, withFileTypes: true }))
      .filter((e) => e.isFile())
      .map((e) => join(e.parentPath, e.name).slice(a.length + 1));
    expect(names.length).toBeGreaterThan(10);
    for (const name of names)
      expect((await readFile(join(a, name))).equals(await readFile(join(b, name))), name).toBe(true);
  });

  it('tells of every byte of weights on the way', async () => {
    const events: Event[] = [];
    const into = await temporaryFolder();
    const planned = await plan((await family()).recipe(changes));
    const { bytes } = await drain(bake(planned, { into }), (event) => events.push(event));
    expect(events[0]).toEqual({ type: 'stage-started', stage: 'bake', subject: 'small' });
    expect(events.at(-1)).toMatchObject({ type: 'stage-finished', stage: 'bake' });
    const progress = events.filter((event) => event.type === 'progress');
    expect(progress).toHaveLength(Object.values(planned.tensors).flat().length);
    for (const [i, event] of progress.entries()) expect(event.done).toBeGreaterThan(progress[i - 1]?.done ?? 0);
    const last = progress.at(-1) as (typeof progress)[number];
    expect(last.done).toBe(last.total);
    expect(last.total).toBeLessThan(bytes);
  });

  it('stops in the middle when it is told to', async () => {
    const controller = new AbortController();
    const baking = bake(await plan((await family()).recipe(changes)), {
      into: await temporaryFolder(),
      signal: controller.signal,
    });
    const run = drain(baking, (event) => event.type === 'progress' && event.done > 1000 && controller.abort());
    await expect(run).rejects.toThrow(/aborted/);
  });

  it.each([
    [
      'is written to',
      (path: string) => appendFileSync(path, 'x'),
      /motion\.safetensors: it was changed while it was being read/,
    ],
    [
      'is written to in place, its time set back',
      (path: string) => {
        const { atime, mtime, size } = statSync(path);
        const file = openSync(path, 'r+');
        writeSync(file, 'x', size - 1);
        closeSync(file);
        utimesSync(path, atime, mtime);
      },
      /it was changed while/,
    ],
    [
      'is replaced by an equal one',
      (path: string) => {
        cpSync(path, `${path}.new`);
        renameSync(`${path}.new`, path);
      },
      /it was changed while/,
    ],
    ['is removed', (path: string) => rmSync(path), /moved or removed while|can no longer be hashed/],
    [
      'is truncated',
      (path: string) => truncateSync(path, 1000),
      /was changed|now ends at byte|can no longer be hashed/,
    ],
  ] as const)('makes nothing of an input that %s meanwhile', async (_, change, message) => {
    const made = await family();
    const into = await temporaryFolder();
    let changed = false;
    const baking = drain(bake(await plan(made.recipe(changes)), { into }), (event) => {
      if (changed || event.type !== 'progress') return;
      changed = true;
      change(join(made.folder, 'motion.safetensors'));
    });
    await expect(baking).rejects.toThrow(message);
    await expect(baking).rejects.toThrow(IoError);
    expect(await readdir(into)).not.toContain('lcm-merge.lock.json');
  });

  it('does not take an input that changed between planning and baking', async () => {
    const made = await family();
    const planned = await plan(made.recipe(changes));
    appendFileSync(join(made.folder, 'motion.safetensors'), 'x');
    await expect(drain(bake(planned, { into: await temporaryFolder() }))).rejects.toThrow(/motion\.safetensors/);
  });

  it('does not write into a folder that has files of these names', async () => {
    const into = await temporaryFolder();
    await mkdir(join(into, 'unet'));
    await writeFile(join(into, 'unet', 'model.onnx'), 'mine');
    await expect(drain(bake(await plan((await family()).recipe(changes)), { into }))).rejects.toThrow(/EEXIST/);
    expect(await readFile(join(into, 'unet', 'model.onnx'), 'utf8')).toBe('mine');
  });

  it('works without the tokenizer’s optional files', async () => {
    const made = await family();
    await rm(join(made.folder, 'base', 'tokenizer', 'special_tokens_map.json'));
    const { lock } = await bakeAndCheck(made.recipe(changes), await temporaryFolder());
    expect(Object.keys(lock.outputs).filter((file) => file.startsWith('tokenizer/'))).toEqual([
      'tokenizer/merges.txt',
      'tokenizer/tokenizer_config.json',
      'tokenizer/vocab.json',
    ]);
  });
});

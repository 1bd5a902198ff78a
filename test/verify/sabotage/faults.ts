/**
 * The sabotage table: faults as they would come from the merge, the export or a hand, and the checks that must catch each. To add one: a
 * row here and the same in docs/gates.md, which a test holds equal.
 */
import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { drain } from '../../../src/events.ts';
import { digestFile } from '../../../src/export/digest.ts';
import { LOCK_FILE, type Lock } from '../../../src/export/lock.ts';
import { CARD_FILE } from '../../../src/export/model-card.ts';
import { PROVENANCE_FILE } from '../../../src/export/provenance.ts';
import { writeSafetensors } from '../../../src/formats/safetensors.ts';
import { openTensorFile, readTensor, type TensorEntry } from '../../../src/formats/tensor-file.ts';
import { type Plan, type PlannedTensor, plan, type Role } from '../../../src/merge/plan.ts';
import { publish } from '../../../src/publish/publish.ts';
import { signPackage } from '../../../src/publish/sign.ts';
import type { Profile } from '../../../src/recipe/profile.ts';
import type { Recipe } from '../../../src/recipe/schema.ts';
import { openPackage } from '../../../src/runtime/package-folder.ts';
import { sample, type Video } from '../../../src/runtime/pipeline.ts';
import { loadPlaced } from '../../../src/runtime/placement.ts';
import type { CheckContext } from '../../../src/verify/check.ts';
import type { Earlier } from '../../../src/verify/earlier.ts';
import { makeFingerprint } from '../../../src/verify/fingerprint.ts';
import { digestPackage } from '../../../src/verify/gate.ts';
import { movingVideo } from '../../helpers/clip.ts';
import { hostWith, placed } from '../../helpers/cpu-fallback.ts';
import { temporaryFolder } from '../../helpers/temporary.ts';
import { tinyRecipe } from '../../helpers/tiny.ts';
import type { Bench, Initializer, Node } from './workshop.ts';

export interface Fault {
  readonly fault: string;
  /** Ids of all checks that do not pass, in the gate's order. */
  readonly caught: readonly string[];
  /** Default: standard. */
  readonly profile?: Profile;
  /** Left out where nothing is wrong with the package. */
  readonly inject?: (bench: Bench) => Promise<unknown>;
  /** Checks that are made beside those of the package itself, which need no run; alone where the package is sound. */
  readonly checks?: readonly string[];
  /** What the gate is given otherwise than for the sound package: a run, an earlier verification. */
  readonly given?: (bench: Bench) => Partial<CheckContext> | Promise<Partial<CheckContext>>;
  /** Baked in place of the honest recipe: the fault is one of a source. */
  readonly recipe?: () => Promise<Recipe>;
  /** Who catches it, where that is not the gate: resolves to what stands in `caught`. */
  readonly judge?: (bench: Bench) => Promise<readonly string[]>;
}

/** Strengths that differ wherever they might be mixed up. */
export const honestRecipe = (): Recipe =>
  tinyRecipe({
    personalized: [{ lora: 'ink.safetensors', alpha: 0.8, text_encoder: 0.6, blocks: { IN01: 0.5, OUT: 0.75 } }],
    motion: { gamma: 0.9 },
    output: { weights: true, frames: 4 },
  });

const [ATTENTION, MOTION] = [
  'down_blocks.0.attentions.0.transformer_blocks.0.attn1',
  'down_blocks.0.motion_modules.0',
] as const;
const GRAPHS = ['unet/model.onnx', 'unet/model.cpu.onnx'] as const;

export const FAULTS: readonly Fault[] = [
  // ------------------------------------------------------------------------------------------------ the merge
  {
    fault: 'a square attention matrix is transposed',
    caught: ['recompute'],
    inject: ({ reweigh }) =>
      reweigh('unet', `${ATTENTION}.to_q.weight`, (values) => {
        const side = Math.sqrt(values.length);
        values.set(values.map((_, i) => values[(i % side) * side + Math.floor(i / side)] as number));
      }),
  },
  {
    fault: 'the convolutions of a LoRA are dropped',
    caught: ['recompute'],
    inject: ({ remerge }) => remerge((tensor) => (tensor.kind === 'conv' ? withoutTerms(tensor, 'lcm') : tensor)),
  },
  {
    fault: 'one module of a LoRA is dropped',
    caught: ['recompute'],
    inject: ({ remerge }) =>
      remerge((tensor) => (tensor.name === `${ATTENTION}.to_v.weight` ? withoutTerms(tensor, 'lcm') : tensor)),
  },
  {
    fault: 'α and β are swapped',
    caught: ['recompute'],
    inject: (bench) =>
      remergeAs(bench, ({ personalized: [style], lcm }) => ({
        personalized: [{ ...style, alpha: lcm?.beta }],
        lcm: { ...lcm, beta: style?.alpha },
      })),
  },
  {
    fault: 'alpha / rank is ignored',
    caught: ['recompute'],
    inject: (bench) => remergeAs(bench, ({ lcm }) => ({ lcm: { ...lcm, scale: 'raw' } })),
  },
  {
    fault: 'a LoRA is applied twice',
    caught: ['recompute'],
    inject: ({ remerge }) =>
      remerge((tensor) => ({ ...tensor, terms: [...tensor.terms, ...tensor.terms.filter(({ of }) => of === 'lcm')] })),
  },
  {
    fault: 'a LoRA is subtracted',
    caught: ['recompute'],
    inject: ({ remerge }) =>
      remerge((tensor) => ({
        ...tensor,
        terms: tensor.terms.map((term) => (term.of === 'personalized[0]' ? { ...term, scale: -term.scale } : term)),
      })),
  },
  {
    fault: 'the strength of one block is ignored',
    caught: ['recompute'],
    inject: (bench) =>
      remergeAs(bench, ({ personalized: [style] }) => ({ personalized: [{ ...style, blocks: { OUT: 0.75 } }] })),
  },
  {
    fault: 'the bias of a motion module’s proj_out is not scaled by γ',
    caught: ['recompute'],
    inject: ({ remerge }) =>
      remerge((tensor) => (tensor.name === `${MOTION}.proj_out.bias` ? { ...tensor, gain: 1 } : tensor)),
  },
  {
    fault: 'γ scales every motion weight instead of the residual',
    caught: ['recompute'],
    inject: (bench) => remergeAs(bench, ({ motion }) => ({ motion: { ...motion, mode: 'weights' } })),
  },
  {
    fault: 'the LoRA of the text encoder is dropped',
    caught: ['recompute'],
    inject: ({ remerge }) =>
      remerge((tensor) => (tensor.component === 'text_encoder' ? { ...tensor, terms: [] } : tensor)),
  },
  {
    fault: 'the motion module is another file’s',
    caught: ['recompute'],
    inject: async (bench) => {
      const other = await planAs(bench, ({ motion }) => ({
        motion: { ...motion, module: join(dirname(motion.module), 'animatediff.ckpt') },
      }));
      // the plan that bakes has the honest files: the other module's take the place of its own
      const files = bench.plan.files.map((file, i) => (file.role === 'motion' ? (other.files[i] ?? file) : file));
      const byName = new Map(other.tensors.unet.map((tensor) => [tensor.name, tensor]));
      await bench.remerge((tensor) => byName.get(tensor.name) ?? tensor, { ...bench.plan, files });
    },
  },
  {
    fault: 'q and k of an attention are swapped',
    caught: ['recompute'],
    inject: ({ remerge, plan: { tensors } }) => {
      const [q, k] = ['to_q', 'to_k'].map((leaf) =>
        tensors.unet.find(({ name }) => name === `${ATTENTION}.${leaf}.weight`),
      ) as [PlannedTensor, PlannedTensor];
      const swapped = new Map([
        [q.name, { ...k, name: q.name }],
        [k.name, { ...q, name: k.name }],
      ]);
      return remerge((tensor) => swapped.get(tensor.name) ?? tensor);
    },
  },
  {
    fault: 'a bias is dropped',
    caught: ['recompute'],
    inject: ({ reweigh }) => reweigh('vae_decoder', 'decoder.conv_in.bias', (values) => values.fill(0)),
  },
  {
    fault: 'a positional encoding is zero',
    caught: ['recompute'],
    inject: ({ reweigh, plan: { tensors } }) => {
      const encoding = tensors.unet.find(({ kind }) => kind === 'positional-encoding') as PlannedTensor;
      return reweigh('unet', encoding.name, (values) => values.fill(0));
    },
  },
  {
    fault: 'the kernels of a convolution are mirrored',
    caught: ['recompute'],
    inject: ({ reweigh }) =>
      reweigh('vae_decoder', 'decoder.conv_out.weight', (values) =>
        values.set(values.map((_, i) => values[i - (i % 9) + 8 - (i % 9)] as number)),
      ),
  },
  {
    fault: 'a weight is off by the last bit in most places',
    caught: ['recompute'],
    inject: ({ reweigh }) =>
      reweigh('unet', `${ATTENTION}.to_k.weight`, (values) => values.set(values.map((x) => x * (1 + 2 ** -11)))),
  },
  {
    fault: 'the weights for PyTorch have another bias than those of the graph',
    caught: ['recompute'],
    inject: async ({ folder, edit, relock }) => {
      const file = 'weights/unet/diffusion_pytorch_model.safetensors';
      await using opened = await openTensorFile(join(folder, file));
      const { offset, byteLength } = opened.tensors.get('conv_in.bias') as TensorEntry;
      await edit(file, { offset, length: byteLength }, (bytes) => bytes.fill(0));
      await relock();
    },
  },
  {
    fault: 'a value beyond fp16’s range became an infinity',
    caught: ['weights'],
    inject: ({ reweigh }) =>
      reweigh('unet', `${ATTENTION}.to_v.weight`, (values) => values.fill(Number.POSITIVE_INFINITY, 77, 78)),
  },
  {
    fault: 'one bit of one weight is flipped, and the lock has the new hash',
    profile: 'full',
    caught: ['reproduce'],
    inject: ({ reweigh }) => reweigh('vae_decoder', 'decoder.conv_in.weight', flipLastBit),
  },
  {
    fault:
      'the last bit of one merged weight is flipped, and the lock has the new hash (could not tell: other processors round so)',
    profile: 'full',
    caught: ['reproduce'],
    inject: ({ reweigh }) => reweigh('unet', `${ATTENTION}.to_q.weight`, flipLastBit),
  },

  // ------------------------------------------------------------------------------------------------ the export
  {
    fault: 'GroupNorm of the motion modules pools over frames instead of one by one',
    caught: ['graph'],
    inject: async (bench) =>
      bench.regraphAs(await planAs(bench, ({ motion }) => ({ motion: { ...motion, norm: 'pooled' } }))),
  },
  {
    fault: 'frames and batch change places',
    caught: ['graph'],
    inject: ({ regraph }) =>
      regraph(GRAPHS, (graph) => {
        const perm = attribute(nodeOf(graph, 'Transpose'), 'perm');
        const [batch, channels, frames, ...rest] = perm.ints as [unknown, unknown, unknown];
        perm.ints = [frames, channels, batch, ...rest] as NonNullable<typeof perm.ints>;
      }),
  },
  {
    fault: 'two weights share the bytes of one',
    caught: ['graph', 'weights', 'recompute'],
    inject: ({ regraph }) =>
      regraph(GRAPHS, (graph) => {
        const [q, k] = queryAndKey(graph);
        k.externalData = q.externalData ?? [];
      }),
  },
  {
    fault: 'two weights of one shape have each other’s place',
    caught: ['graph', 'recompute'],
    inject: ({ regraph }) =>
      regraph(GRAPHS, (graph) => {
        const [q, k] = queryAndKey(graph);
        [q.externalData, k.externalData] = [k.externalData ?? [], q.externalData ?? []];
      }),
  },
  {
    fault: 'attention is scaled by another number',
    caught: ['graph'],
    inject: ({ regraph }) =>
      regraph(GRAPHS.slice(0, 1), (graph) => {
        const scale = attentionScale(graph);
        scale.rawData = (scale.rawData as Uint8Array).map((byte, i, all) => (i === all.length - 1 ? byte ^ 1 : byte));
      }),
  },
  {
    fault: 'a target’s own kernel has another number of heads',
    caught: ['graph'],
    inject: ({ regraph }) =>
      regraph(GRAPHS.slice(1), (graph) => {
        attribute(nodeOf(graph, 'MultiHeadAttention'), 'num_heads').i = 1;
      }),
  },
  {
    fault: 'a normalisation has another ε',
    caught: ['graph'],
    inject: ({ regraph }) =>
      regraph(['text_encoder/model.onnx'], (graph) => {
        attribute(nodeOf(graph, 'LayerNormalization'), 'epsilon').f = 1e-3;
      }),
  },
  {
    fault: 'a node takes another value of the same shape',
    caught: ['graph'],
    inject: ({ regraph }) =>
      regraph(GRAPHS.slice(0, 1), (graph) => {
        const [q, k] = ['to_q', 'to_k'].map((leaf) =>
          (graph.node ?? []).find(({ input }) => input?.includes(`${ATTENTION}.${leaf}.weight`)),
        ) as [Node, Node];
        [q.input, k.input] = [k.input ?? [], q.input ?? []];
      }),
  },
  {
    fault: 'a graph holds a field that this tool does not know',
    caught: ['graph'],
    inject: ({ append }) => append('unet/model.onnx', Uint8Array.of(0xc2, 0x0c, 1, 0)),
  },
  {
    fault: 'the beta schedule is another',
    caught: ['configs'],
    inject: ({ rewrite }) =>
      rewrite('scheduler/scheduler_config.json', (config: object) => ({ ...config, beta_schedule: 'scaled_linear' })),
  },
  {
    fault: 'the timesteps are another distillation’s',
    caught: ['configs'],
    inject: ({ rewrite }) =>
      rewrite('scheduler/scheduler_config.json', (config: object) => ({ ...config, original_inference_steps: 100 })),
  },
  {
    fault: 'the tokenizer pads with another token',
    caught: ['configs'],
    inject: ({ rewrite }) =>
      rewrite('tokenizer/special_tokens_map.json', (map: object) => ({ ...map, pad_token: '!' })),
  },
  {
    fault: 'the VAE’s scaling factor is SD1.5’s instead of the base’s',
    caught: ['configs'],
    inject: ({ rewrite }) =>
      rewrite('vae_decoder/config.json', (config: object) => ({ ...config, scaling_factor: 0.18215 })),
  },
  {
    fault: 'the model index names another text encoder',
    caught: ['configs'],
    inject: ({ rewrite }) =>
      rewrite('model_index.json', (index: object) => ({ ...index, text_encoder: ['transformers', 'CLIPTextModel'] })),
  },

  // ------------------------------------------------------------------------------------------------ the package
  {
    fault: 'one bit of the data file is flipped',
    caught: ['integrity'],
    inject: async ({ reweigh, rewrite, folder }) => {
      const { outputs } = JSON.parse(await readFile(join(folder, LOCK_FILE), 'utf8')) as Lock;
      await reweigh('unet', `${ATTENTION}.to_q.weight`, flipLastBit);
      await rewrite(LOCK_FILE, (lock: Lock) => ({ ...lock, outputs })); // the hash stays as it was
    },
  },
  {
    fault: 'a report that has passed lies beside new weights',
    caught: ['publish'],
    inject: async ({ folder, plan: { recipe }, reweigh }) => {
      await writePassedReport(folder, recipe.name);
      await reweigh('unet', `${ATTENTION}.to_q.weight`, flipLastBit);
    },
    judge: ({ folder }) =>
      drain(publish(folder, { to: `${folder}.published` })).then(
        () => [],
        (error: unknown) => (/about other bytes/.test(String(error)) ? ['publish'] : [String(error)]),
      ),
  },
  {
    fault: 'the provenance names another source than the lock',
    caught: ['integrity'],
    inject: ({ rewrite }) =>
      rewrite(PROVENANCE_FILE, (statement: object) =>
        JSON.parse(JSON.stringify(statement).replaceAll('ink.safetensors', 'oil.safetensors')),
      ),
  },
  {
    fault: 'a package that was verified again after it was signed',
    caught: ['publish'],
    inject: async ({ folder, plan: { recipe } }) => {
      const report = await writePassedReport(folder, recipe.name);
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const signer = { curve: 'P-256', hint: '', sign: (data: Uint8Array) => sign('sha256', data, privateKey) };
      await drain(signPackage(folder, { signer }));
      await writeFile(join(folder, 'verification', 'report.json'), JSON.stringify({ ...report, device: 'webgpu' }));
    },
    judge: ({ folder }) =>
      drain(publish(folder, { to: `${folder}.published` })).then(
        () => [],
        (error: unknown) => (/its signature .* is of other files/.test(String(error)) ? ['publish'] : [String(error)]),
      ),
  },
  {
    fault: 'the model card says something else than the verification wrote',
    caught: ['publish'],
    inject: async ({ folder, plan: { recipe } }) => {
      await writePassedReport(folder, recipe.name);
      const card = join(folder, CARD_FILE);
      await writeFile(card, (await readFile(card, 'utf8')).replace('cc0-1.0', 'mit'));
    },
    judge: ({ folder }) =>
      drain(publish(folder, { to: `${folder}.published` })).then(
        () => [],
        (error: unknown) =>
          /README\.md is not what the verification wrote/.test(String(error)) ? ['publish'] : [String(error)],
      ),
  },
  {
    fault: 'a file is added, and the lock has it',
    caught: ['configs'],
    inject: async ({ folder, rewrite }) => {
      await writeFile(join(folder, 'unet', 'run.py'), 'x');
      const digest = (await digestPackage(folder))['unet/run.py'];
      await rewrite(LOCK_FILE, (lock: Lock) => ({ ...lock, outputs: { ...lock.outputs, 'unet/run.py': digest } }));
    },
  },
  {
    fault: 'the lock tells another strength than was baked',
    caught: ['configs'],
    inject: ({ rewrite }) =>
      rewrite(LOCK_FILE, (lock: Lock) => ({
        ...lock,
        recipe: { ...lock.recipe, lcm: { ...lock.recipe.lcm, beta: 0.7 } },
        strengths: { ...lock.strengths, beta: 0.7 },
      })),
  },
  {
    fault: 'the lock’s strengths are not those of its recipe',
    caught: ['accounting', 'configs'],
    inject: ({ rewrite }) =>
      rewrite(LOCK_FILE, (lock: Lock) => ({ ...lock, strengths: { ...lock.strengths, gamma: 0.5 } })),
  },
  {
    fault: 'the lock counts tensors that no source has',
    caught: ['accounting'],
    inject: ({ rewrite }) =>
      rewrite(LOCK_FILE, (lock: Lock) => ({
        ...lock,
        inputs: lock.inputs.map((input) => {
          const { tensors, applied } = input.accounting;
          return { ...input, accounting: { ...input.accounting, tensors: tensors + 1, applied: applied + 1 } };
        }),
      })),
  },
  {
    fault: 'a source file is no longer what was baked',
    caught: ['sources'],
    inject: ({ rewrite }) =>
      rewrite(LOCK_FILE, (lock: Lock) => ({
        ...lock,
        inputs: lock.inputs.map((input) => (input.role === 'lcm' ? { ...input, sha256: '0'.repeat(64) } : input)),
      })),
  },

  // ------------------------------------------------------------------------------------------------ the run
  {
    fault: 'sampling takes three times as long as the recipe allows',
    caught: ['timing'],
    checks: ['timing'],
    given: () => ({
      budgets: { denoise_ms: movingVideo().timing.denoise_ms },
      video: slowVideo(),
      again: async () => slowVideo(),
    }),
  },
  {
    fault: 'a step takes three times as long as in the package verified before',
    caught: ['timing'],
    checks: ['timing'],
    given: (bench) => ({ video: slowVideo(), again: async () => slowVideo(), earlier: earlierRun(bench) }),
  },
  {
    fault: 'a device leaves a part of the UNet to the CPU',
    caught: ['run'],
    checks: ['run'],
    given: async ({ folder }) => {
      const { host } = hostWith(placed(['Gelu (ff/Gelu_7)']));
      const loading = loadPlaced(host, join(folder, 'unet/model.onnx'), 'webgpu');
      return {
        video: await loading.then(
          () => movingVideo(),
          (refused: Error) => refused,
        ),
      };
    },
  },
  {
    fault: 'a device computes the first step 5 % too strong',
    caught: ['agreement'],
    checks: ['run', 'agreement', 'frames'],
    given: async (bench) => {
      const video = await soundRun(bench);
      const noise = video.first.noise.map((values) => values.map((x) => 1.05 * x));
      return { video: { ...video, first: { ...video.first, noise } } };
    },
  },
  {
    fault: 'the decoder gives values that are not numbers',
    caught: ['run'],
    checks: ['run', 'frames'],
    given: () => ({ video: movingVideo({ decoded: { min: Number.NaN, max: Number.NaN, finite: false } }) }),
  },
  {
    fault: 'the frames are black',
    caught: ['frames'],
    checks: ['run', 'frames'],
    given: () => ({ video: withFrames((data) => data.fill(0)) }),
  },
  {
    fault: 'all frames are the first',
    caught: ['frames'],
    checks: ['run', 'frames'],
    given: () => ({ video: withFrames((data, size) => data.map((_, i) => data[i % size] as number)) }),
  },
  {
    fault: 'the same bytes make another clip',
    caught: ['fingerprint'],
    checks: ['run', 'frames', 'fingerprint'],
    given: async (bench) => ({
      video: movingVideo({ latents: movingVideo().latents.map((x) => 1.02 * x) }),
      earlier: await verifiedBefore(bench, bench.folder),
    }),
  },
  {
    fault: 'one bit of one weight is flipped after the package was verified, and the lock has the new hash',
    caught: ['fingerprint'],
    inject: ({ reweigh }) => reweigh('unet', `${ATTENTION}.to_q.weight`, flipLastBit),
    checks: ['run', 'frames', 'fingerprint'],
    given: async (bench) => ({ earlier: await verifiedBefore(bench, bench.sound), video: movingVideo() }),
  },
  {
    fault: 'γ is applied as 0',
    caught: ['recompute', 'effect'],
    inject: ({ remerge }) =>
      remerge((tensor) => (/\.motion_modules\.\d+\.proj_out\./.test(tensor.name) ? { ...tensor, gain: 0 } : tensor)),
    checks: ['effect'],
    given: () => ({ video: movingVideo() }),
  },
  {
    fault: 'a LoRA’s own weights are zero, and all of them were applied',
    caught: ['effect'],
    recipe: async () =>
      tinyRecipe({ personalized: [{ lora: await zeroLora(), alpha: 1 }], lcm: undefined, output: { frames: 2 } }),
    checks: ['effect'],
    given: () => ({ video: movingVideo() }),
  },
];

// ---------------------------------------------------------------------------------------------------- tools

/** The plan of the honest recipe with some of its sections, as they are resolved, changed. */
async function planAs({ plan: { recipe } }: Bench, change: (recipe: Recipe) => object): Promise<Plan> {
  return plan({ ...recipe, ...change(recipe) });
}

/** Bakes anew the tensors that another recipe over the same files makes otherwise. */
async function remergeAs(bench: Bench, change: (recipe: Recipe) => object): Promise<void> {
  const { tensors } = await planAs(bench, change);
  await bench.remerge(
    ({ component, name }) => tensors[component].find((tensor) => tensor.name === name) as PlannedTensor,
  );
}

function withoutTerms(tensor: PlannedTensor, role: Role): PlannedTensor {
  return { ...tensor, terms: tensor.terms.filter(({ of }) => of !== role) };
}

/** The lowest bit of a number in the middle. */
function flipLastBit(values: Float16Array): void {
  const bits = new Uint16Array(values.buffer);
  const middle = values.length >> 1;
  bits[middle] = (bits[middle] as number) ^ 1;
}

type Graph = Parameters<Parameters<Bench['regraph']>[1]>[0];

/** The first node of this kind. */
function nodeOf({ node = [] }: Graph, operator: string): Node {
  return node?.find(({ opType }) => opType === operator) ?? raise(`No ${operator} is in the graph.`);
}

function attribute({ attribute = [] }: Node, name: string) {
  return attribute?.find((one) => one.name === name) ?? raise(`The node has no ${name}.`);
}

function initializer({ initializer = [] }: Graph, name: string): Initializer {
  return initializer?.find((one) => one.name === name) ?? raise(`The graph has no ${name}.`);
}

/** The weights of the first attention. */
function queryAndKey(graph: Graph): [Initializer, Initializer] {
  return [initializer(graph, `${ATTENTION}.to_q.weight`), initializer(graph, `${ATTENTION}.to_k.weight`)];
}

/** The number that the first attention's queries are multiplied with. */
function attentionScale(graph: Graph): Initializer {
  const scaling = (graph.node ?? []).find(
    ({ name, opType, input }) => opType === 'Mul' && name?.startsWith(ATTENTION) && input?.[1]?.startsWith('const.'),
  );
  return initializer(graph, scaling?.input?.[1] ?? raise('No attention is scaled.'));
}

function raise(message: string): never {
  throw new RangeError(message);
}

/** What the sound package makes, run once. */
let ran: Promise<Video> | undefined;
function soundRun({ sound }: Bench): Promise<Video> {
  ran ??= openPackage(sound).then((pkg) =>
    drain(sample(pkg, { prompt: 'a red circle', negative: '', seed: 0, guidance: 1, device: 'cpu' })),
  );
  return ran;
}

/** A report that has passed, of the package as it is. */
async function writePassedReport(folder: string, name: string): Promise<object> {
  const digests = Object.entries(await digestPackage(folder)).map(([file, { sha256 }]) => [file, sha256]);
  const { sha256: card } = await digestFile(join(folder, CARD_FILE));
  const report = { verdict: 'passed', name, device: 'cpu', package: Object.fromEntries(digests), card };
  await mkdir(join(folder, 'verification'));
  await writeFile(join(folder, 'verification', 'report.json'), JSON.stringify(report));
  return report;
}

/** The verification of the package in `folder`, which made the clip of the stand-in. */
async function verifiedBefore(bench: Bench, folder: string): Promise<Earlier> {
  const digests = Object.entries(await digestPackage(folder)).map(([file, { sha256 }]) => [file, sha256]);
  const run = { ...RUN, prompt: 'a red circle', negative: '', seed: 0 };
  const fingerprint = makeFingerprint(movingVideo(), { run, package: Object.fromEntries(digests) });
  return { ...earlierRun(bench), own: true, fingerprint };
}

const RUN = { guidance: 1, steps: 3, frames: 4, width: 8, height: 8 } as const;

/** Of another package of the recipe, in the time of the stand-in. */
function earlierRun({ plan: { recipe } }: Bench): Earlier {
  const timing = { step_ms: [...movingVideo().timing.step_ms] };
  return { own: false, report: { verdict: 'passed', name: recipe.name, device: 'cpu', run: RUN, timing } };
}

function withFrames(alter: (data: Uint8Array, size: number) => Uint8Array): Video {
  const { frames } = movingVideo();
  const data = alter(frames.data, frames.width * frames.height * 3);
  return movingVideo({ frames: { ...frames, data } });
}

/** models/tiny's style with every product zero. */
async function zeroLora(): Promise<string> {
  const path = join(await temporaryFolder(), 'nothing.safetensors');
  await using ink = await openTensorFile('models/tiny/ink.safetensors');
  const tensors = await Promise.all(
    [...ink.tensors.values()].map(async (entry) => {
      const data = await readTensor(ink, entry);
      return { ...entry, data: entry.name.endsWith('lora_up.weight') ? new Uint8Array(data.length) : data };
    }),
  );
  await writeSafetensors(path, tensors);
  return path;
}

function slowVideo(): Video {
  const { timing } = movingVideo();
  const step_ms = timing.step_ms.map((ms) => 3 * ms);
  return movingVideo({ timing: { ...timing, step_ms, denoise_ms: 3 * timing.denoise_ms } });
}

/**
 * The plan decides everything before a byte is written: which source tensor goes into which parameter by which rule, at
 * what strength, and what is left over. It reads file headers, configs and the LoRAs' alpha scalars, nothing else.
 */
import { join } from 'node:path';
import { blockOf, blockWeight } from '../architecture/block-map.ts';
import { TEXT_ENCODER_BLOCK } from '../architecture/block-names.ts';
import { type ClipTextConfig, readClipTextConfig } from '../architecture/clip-config.ts';
import { animateDiffName, type Component, kohyaTargets, type LoraTarget } from '../architecture/names.ts';
import {
  clipTextParameters,
  type ModelParameter,
  type ParameterKind,
  unetParameters,
  vaeDecoderParameters,
} from '../architecture/parameters.ts';
import { type BaseSchedulerConfig, readBaseSchedulerConfig } from '../architecture/scheduler-config.ts';
import { readTokenizerFiles } from '../architecture/tokenizer-files.ts';
import { readUNetConfig } from '../architecture/unet-config.ts';
import { type UNetStructure, unetStructure } from '../architecture/unet-structure.ts';
import { readVaeConfig, type VaeConfig } from '../architecture/vae-config.ts';
import { MergeError } from '../errors.ts';
import { toFloat64 } from '../formats/dtype.ts';
import { openTensorFile, readTensor, type TensorEntry, type TensorFile } from '../formats/tensor-file.ts';
import type { Recipe, ScaleConvention } from '../recipe/schema.ts';
import { type Account, type Accounting, openAccount } from './account.ts';
import type { Adapter, AdapterModule, Term } from './adapters/adapter.ts';
import { ADAPTERS, REFUSED_KINDS } from './adapters/index.ts';
import { findBaseFiles, matchBase } from './base.ts';
import { type MotionLayout, matchMotion, motionGain, motionLayout, storedPositionalEncodings } from './motion.ts';

/** Where in the recipe a file is named. */
export type Role = `base.${Component}` | `personalized[${number}]` | 'lcm' | 'motion';

export interface PlannedFile {
  readonly role: Role;
  readonly path: string;
  readonly container: TensorFile['kind'];
  readonly bytes: number;
  readonly accounting: Accounting;
  /** Adapters: how many modules it changes, by component, and the ranks and alphas met. */
  readonly modules?: Readonly<Partial<Record<Component, number>>>;
  readonly ranks?: readonly number[];
  readonly alphas?: readonly (number | null)[];
}

export interface PlannedTensor {
  readonly name: string;
  readonly component: Component;
  readonly kind: ParameterKind;
  /** As in PyTorch. */
  readonly shape: readonly number[];
  /** The tensor that it starts from, or null for a positional encoding, which is computed. */
  readonly source: { readonly file: number; readonly tensor: string } | null;
  /** Multiplies the source: γ where it applies, else 1. */
  readonly gain: number;
  /** Added to it, in recipe order. */
  readonly terms: readonly Term[];
}

export interface Plan {
  readonly recipe: Recipe;
  readonly files: readonly PlannedFile[];
  readonly tensors: Readonly<Record<Component, readonly PlannedTensor[]>>;
  readonly unet: UNetStructure;
  readonly text_encoder: ClipTextConfig;
  readonly vae: VaeConfig;
  readonly scheduler: BaseSchedulerConfig;
  readonly motion: {
    readonly mid: boolean;
    /** Rows of the positional encoding: the most frames the model can make. */
    readonly positions: number;
    /** Tensors of the motion file to compare with the sinusoid before merging. */
    readonly stored_positional_encodings: readonly string[];
  };
  /** Folder with the base's configs and tokenizer. */
  readonly config_folder: string;
  readonly warnings: readonly string[];
}

/**
 * Plans the merge that `recipe` describes.
 * @throws MergeError when files do not fit together, FormatError when one is damaged, InputMissingError when one is absent.
 */
export async function plan(recipe: Recipe): Promise<Plan> {
  await using open = new AsyncDisposableStack();
  const openFile = async (path: string) => open.use(await openTensorFile(path));
  const warnings: string[] = [];

  const base = await findBaseFiles(recipe.base);
  const motionFile = await openFile(recipe.motion.module);
  const layout = motionLayout(motionFile);
  checkFrames(recipe, layout);
  const config = (folder: string) => join(base.config, folder, 'config.json');
  const unet = unetStructure(await readUNetConfig(config('unet')), layout);
  const clip = await readClipTextConfig(config('text_encoder'));
  checkBlockNames(recipe, unet, config('unet'));
  const vae = await readVaeConfig(config('vae'));
  await readTokenizerFiles(join(base.config, 'tokenizer'), clip.vocab_size); // what is missing is found now, not in the middle of the bake
  if (clip.hidden_size !== unet.config.cross_attention_dim) {
    throw new MergeError(
      `The text encoder is ${clip.hidden_size} wide, but the UNet's cross_attention_dim is ${unet.config.cross_attention_dim}: they are of different models.`,
      { file: config('text_encoder') },
    );
  }
  const parameters: Record<Component, ModelParameter[]> = {
    unet: unetParameters(unet, layout.positions),
    text_encoder: clipTextParameters(clip),
    vae_decoder: vaeDecoderParameters(vae),
  };

  const files: PlannedFile[] = [];
  const sources = new Map<string, PlannedTensor['source']>();
  const addFile = (file: TensorFile, role: Role, accounting: Accounting, modules: Partial<PlannedFile> = {}) =>
    files.push({
      role,
      path: file.source.name,
      container: file.kind,
      bytes: file.source.size,
      accounting,
      ...modules,
    }) - 1;

  for (const component of Object.keys(parameters) as Component[]) {
    const file = await openFile(base.weights[component]);
    const account = openAccount(file.source.name, file.tensors.keys());
    const wanted = parameters[component].filter((parameter) => !parameter.motion);
    const found = matchBase(component, wanted, file, account);
    const index = addFile(file, `base.${component}`, account.close({ candidates: wanted.map((p) => p.name) }));
    for (const [name, tensor] of found) sources.set(`${component}/${name}`, { file: index, tensor });
  }

  const terms = new Map<string, Term[]>();
  for (const adapter of adapterSources(recipe)) {
    const file = await openFile(adapter.path);
    const planned = await planAdapter(file, files.length, adapter, parameters);
    for (const { target, term } of planned.terms) {
      const key = `${target.component}/${target.parameter.name}`;
      terms.set(key, [...(terms.get(key) ?? []), term]);
    }
    addFile(file, adapter.role, planned.accounting, planned.summary);
    warnings.push(...planned.warnings);
  }
  if (!recipe.lcm)
    warnings.push('The recipe has no lcm LoRA: with a base that is no LCM itself, few steps give noisy frames.');

  const account = openAccount(motionFile.source.name, motionFile.tensors.keys());
  const motionParameters = parameters.unet.filter((parameter) => parameter.motion);
  const found = matchMotion(motionParameters, motionFile, layout, account);
  const { allow_unmatched, expect } = recipe.motion;
  const motionIndex = addFile(
    motionFile,
    'motion',
    account.close({ allow: allow_unmatched, candidates: motionParameters.map(({ name }) => animateDiffName(name)) }),
  );
  for (const [name, tensor] of found) sources.set(`unet/${name}`, { file: motionIndex, tensor });
  checkExpectation(
    motionFile.source.name,
    expect?.modules,
    new Set([...found.keys()].map((name) => name.replace(/(?<=\.motion_modules\.\d+)\..*$/, ''))).size,
  );

  const planned = (component: Component) =>
    parameters[component].map(({ name, kind, shape, motion }): PlannedTensor => {
      const block = blockWeight(motion ? recipe.motion.blocks : {}, blockOf(component, name));
      const gain =
        motion && kind !== 'positional-encoding'
          ? motionGain({ ...recipe.motion, gamma: recipe.motion.gamma * block }, name)
          : 1;
      const source = sources.get(`${component}/${name}`) ?? null;
      return { name, component, kind, shape, source, gain, terms: terms.get(`${component}/${name}`) ?? [] };
    });
  return {
    recipe,
    files,
    tensors: { unet: planned('unet'), text_encoder: planned('text_encoder'), vae_decoder: planned('vae_decoder') },
    unet,
    text_encoder: clip,
    vae,
    scheduler: await readBaseSchedulerConfig(join(base.config, 'scheduler', 'scheduler_config.json')),
    motion: {
      mid: layout.mid,
      positions: layout.positions,
      stored_positional_encodings: storedPositionalEncodings(motionFile),
    },
    config_folder: base.config,
    warnings,
  };
}

function checkFrames(recipe: Recipe, { positions }: MotionLayout): void {
  if (recipe.output.frames > positions) {
    throw new MergeError(
      `output.frames is ${recipe.output.frames}, but ${recipe.motion.module} has positional encodings for ${positions} frames. Ask for ${positions} or fewer.`,
      { file: recipe.motion.module },
    );
  }
}

/** IN00…OUT11 count SD1.5's layers; in a UNet with more or fewer they would name others than the recipe means. */
function checkBlockNames(recipe: Recipe, { config }: UNetStructure, file: string): void {
  const sources = [...recipe.personalized, ...(recipe.lcm ? [recipe.lcm] : []), recipe.motion];
  const named = sources.some(({ blocks }) => Object.keys(blocks).some((block) => block !== TEXT_ENCODER_BLOCK));
  if (!named || (config.block_out_channels.length === 4 && config.layers_per_block === 2)) return;
  throw new MergeError(
    `The recipe weighs blocks by name, which are made for 4 blocks of 2 layers; ${file} has ${config.block_out_channels.length} of ` +
      `${config.layers_per_block}. Leave blocks out for this base.`,
    { file },
  );
}

function checkExpectation(path: string, expected: number | undefined, found: number): void {
  if (expected !== undefined && expected !== found) {
    throw new MergeError(
      `${path}: the recipe expects ${expected} modules, ${found} were matched. Nothing was merged.`,
      { file: path },
    );
  }
}

// ---------------------------------------------------------------------------------------------------- adapters

interface AdapterSource {
  readonly role: Role;
  readonly path: string;
  readonly strength: Readonly<Record<'unet' | 'text_encoder', number>>;
  readonly scale: ScaleConvention;
  readonly blocks: Readonly<Record<string, number>>;
  readonly allow_unmatched: readonly string[];
  readonly modules: number | undefined;
}

/** The recipe's LoRAs in the order in which they are summed: personalized ones first, then the LCM LoRA (equation 2). */
function adapterSources(recipe: Recipe): AdapterSource[] {
  const personalized = recipe.personalized.map(
    (p, i): AdapterSource => ({
      role: `personalized[${i}]`,
      path: p.lora,
      strength: { unet: p.alpha, text_encoder: p.text_encoder },
      scale: p.scale,
      blocks: p.blocks,
      allow_unmatched: p.allow_unmatched,
      modules: p.expect?.modules,
    }),
  );
  if (!recipe.lcm) return personalized;
  const { lora, beta, scale, blocks, allow_unmatched, expect } = recipe.lcm;
  const strength = { unet: beta, text_encoder: beta };
  return [
    ...personalized,
    { role: 'lcm', path: lora, strength, scale, blocks, allow_unmatched, modules: expect?.modules },
  ];
}

async function planAdapter(
  file: TensorFile,
  index: number,
  source: AdapterSource,
  parameters: Readonly<Record<Component, readonly ModelParameter[]>>,
) {
  const path = file.source.name;
  const targets = new Map([
    ...kohyaTargets('unet', parameters.unet),
    ...kohyaTargets('text_encoder', parameters.text_encoder),
  ]);
  const account = openAccount(path, file.tensors.keys());
  const terms: { target: LoraTarget; term: Term }[] = [];
  const seen = new Map<ModelParameter, string>();
  for (const { adapter, module } of modules(file, targets)) {
    const { component, parameter } = module.target;
    const twin = seen.get(parameter);
    if (twin)
      throw new MergeError(
        `${path} changes ${parameter.name} twice, as ${twin} and as ${module.prefix}. Remove one of them.`,
        { file: path },
      );
    seen.set(parameter, module.prefix);
    const strength = source.strength[component] * blockWeight(source.blocks, blockOf(component, parameter.name));
    const scalar = (entry: TensorEntry) => readScalar(file, entry);
    terms.push({
      target: module.target,
      term: await adapter.term(module, { file: index, strength, convention: source.scale, scalar }),
    });
    for (const entry of module.parts.values()) account.apply(entry.name);
  }
  const accounting = closeAdapter(account, source, targets, terms.length);
  checkExpectation(path, source.modules, terms.length);
  const count = (component: Component) => terms.filter((t) => t.target.component === component).length;
  return {
    terms,
    accounting,
    summary: {
      modules: { unet: count('unet'), text_encoder: count('text_encoder') },
      ranks: distinct(terms.map(({ term }) => term.rank)),
      alphas: distinct(terms.map(({ term }) => term.alpha)),
    },
    warnings: terms.every(({ term }) => term.scale === 0)
      ? [`${source.role} (${path}) has strength 0 everywhere: it changes nothing.`]
      : [],
  };
}

/** Groups a file's tensors into modules by their suffixes; a module whose parts make no adapter kind is left unmatched. */
function* modules(
  file: TensorFile,
  targets: ReadonlyMap<string, LoraTarget>,
): Generator<{ adapter: Adapter; module: AdapterModule }> {
  const byPrefix = new Map<string, Map<string, TensorEntry>>();
  for (const entry of file.tensors.values()) {
    const dot = entry.name.indexOf('.');
    const [prefix, suffix] = [entry.name.slice(0, dot), entry.name.slice(dot + 1)];
    if (dot < 0 || !targets.has(prefix)) continue;
    const parts = byPrefix.get(prefix) ?? new Map<string, TensorEntry>();
    byPrefix.set(prefix, parts.set(suffix, entry));
  }
  for (const [prefix, parts] of byPrefix) {
    const target = targets.get(prefix) as LoraTarget;
    const adapter = ADAPTERS.find(
      ({ required, optional }) =>
        required.every((part) => parts.has(part)) &&
        [...parts.keys()].every((part) => required.includes(part) || optional.includes(part)),
    );
    if (adapter) yield { adapter, module: { prefix, parts, target, path: file.source.name } };
  }
}

function closeAdapter(
  account: Account,
  source: AdapterSource,
  targets: ReadonlyMap<string, LoraTarget>,
  matched: number,
): Accounting {
  const { path } = source;
  const explain = (tensor: string) => {
    const dot = tensor.indexOf('.');
    const kind = Object.entries(REFUSED_KINDS).find(
      ([suffix]) => tensor.slice(dot + 1) === suffix || tensor.endsWith(`.${suffix}`),
    )?.[1];
    if (kind) return `${kind}, which this version does not merge`;
    if (tensor.startsWith('bundle_emb.')) return 'an embedded textual inversion, which is no part of the weights';
    return targets.has(tensor.slice(0, dot))
      ? 'its module is incomplete: lora_down and lora_up belong together'
      : undefined;
  };
  const suffixed = (function* () {
    for (const key of targets.keys())
      for (const suffix of ['lora_down.weight', 'lora_up.weight', 'alpha']) yield `${key}.${suffix}`;
  })();
  const accounting = account.close({ allow: source.allow_unmatched, candidates: suffixed, explain });
  if (matched === 0) {
    throw new MergeError(
      `${path} changes nothing: none of its ${accounting.tensors} tensors belongs to a LoRA module of this model.`,
      { file: path },
    );
  }
  return accounting;
}

/** Alphas are scalars of any float or integer type, of shape [] or [1]. */
async function readScalar(file: TensorFile, entry: TensorEntry): Promise<number> {
  const values = entry.byteLength <= 8 ? toFloat64(await readTensor(file, entry), entry.dtype) : [];
  const [value] = values;
  if (values.length !== 1 || value === undefined || !Number.isFinite(value)) {
    throw new MergeError(
      `${file.source.name}: ${entry.name} should be one finite number; it is [${entry.shape}] with the value ${value}.`,
      {
        file: file.source.name,
        tensor: entry.name,
      },
    );
  }
  return value;
}

function distinct<T>(values: readonly T[]): T[] {
  return [...new Set(values)].sort((a, b) => Number(a) - Number(b));
}

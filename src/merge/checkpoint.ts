/**
 * Models that come as a whole: a base, or a fine-tuned checkpoint that is merged as w − w0. One mechanism finds the tensor of every
 * parameter, in a folder's files, shards and all, or in a single file, and puts aside by named rules what else such files hold.
 */
import { join } from 'node:path';
import { fileNames, type NamedModels, PART_PREFIXES } from '../architecture/file-names.ts';
import type { Component } from '../architecture/names.ts';
import type { ModelParameter } from '../architecture/parameters.ts';
import { readBaseSchedulerConfig } from '../architecture/scheduler-config.ts';
import { STOCK_FOLDER } from '../architecture/stock.ts';
import { InputMissingError, MergeError } from '../errors.ts';
import type { TensorFile } from '../formats/tensor-file.ts';
import { type Account, type IgnoreRule, openAccount } from './account.ts';
import type { PlanFiles, Role, TensorRef } from './plan-files.ts';
import { recognise } from './recognise.ts';
import { unfitBase } from './unfit-bases.ts';
import { type FoundWeights, findWeights } from './weight-files.ts';
import { assertFloat } from './weight-type.ts';

/** What a model is held to: the parameters of each component, what names them, and the config files that call for them. */
export interface ModelTables {
  readonly parameters: Readonly<Record<Component, readonly ModelParameter[]>>;
  readonly models: NamedModels;
  readonly configs: Readonly<Record<Component, string>>;
}

/** Where each component that is wanted lies. Components of one single file share it. */
export type ComponentWeights = Readonly<Partial<Record<Component, FoundWeights>>>;

/** `component/name` of a parameter → its tensor. */
export type FoundTensors = Map<string, TensorRef>;

interface OpenedFile {
  readonly file: TensorFile;
  readonly index: number;
  /** What is taken from it. */
  readonly components: readonly Component[];
  readonly account: Account;
}

interface ModelSource {
  /** Names a file by the components that are taken from it. */
  readonly role: (components: readonly Component[]) => Role;
  /** Components that may be missing altogether. */
  readonly optional?: readonly Component[];
  /** Globs of tensors that may stay unmatched; a base has none. */
  readonly allow?: readonly string[];
}

/**
 * Opens the files of a model, finds the tensor of every parameter and accounts for every tensor of every file.
 * @throws MergeError when a file is of another architecture, lacks a tensor or has one too many or of another shape.
 */
export async function planModel(
  files: PlanFiles,
  weights: ComponentWeights,
  tables: ModelTables,
  { role, optional = [], allow }: ModelSource,
): Promise<{ readonly tensors: FoundTensors; readonly files: readonly TensorFile[] }> {
  const opened: OpenedFile[] = [];
  for (const [path, components] of byPath(weights)) {
    const file = await files.open(path);
    const account = openAccount(file.source.name, file.tensors.keys(), role(components));
    opened.push({ file, index: files.add(file, role(components)), components, account });
  }
  const found: FoundTensors = new Map();
  for (const [component, { name }] of Object.entries(weights) as [Component, FoundWeights][]) {
    const holders = opened.filter(({ components }) => components.includes(component));
    if (component === 'unet') for (const { file } of holders) refuseUnfit(file);
    for (const { parameter, holder, tensor } of await matchComponent(component, holders, name, tables, optional)) {
      found.set(`${component}/${parameter.name}`, { file: holder.index, tensor });
      holder.account.apply(tensor);
    }
  }
  for (const { file, index, components, account } of opened) {
    for (const tensor of file.tensors.keys()) {
      const rule = ruleOf(tensor, components);
      if (rule) account.ignore(rule, tensor);
    }
    const candidates = [...found.values()].filter((ref) => ref.file === index).map(({ tensor }) => tensor);
    files.settle(index, account.close({ ...(allow && { allow }), candidates }));
  }
  return { tensors: found, files: opened.map(({ file }) => file) };
}

/**
 * Opens a whole checkpoint that is merged into a base: its UNet and, where it has one, its text encoder. Its VAE is left alone.
 * @throws what planModel throws; FormatError when the folder's scheduler says that it does not predict epsilon.
 */
export async function planCheckpoint(
  files: PlanFiles,
  path: string,
  tables: ModelTables,
  { role, allow }: { readonly role: Role; readonly allow?: readonly string[] },
): Promise<FoundTensors> {
  const [unet, text_encoder] = await Promise.all([findWeights(path, 'unet'), findWeights(path, 'text_encoder')]);
  if (!unet) {
    throw new InputMissingError(
      `${path} holds no checkpoint: it is neither a file nor a diffusers folder with a unet/.`,
      {
        file: path,
      },
    );
  }
  if (unet.folder !== undefined) await readBaseSchedulerConfig(join(path, 'scheduler', 'scheduler_config.json'));
  const { tensors } = await planModel(files, { unet, ...(text_encoder && { text_encoder }) }, tables, {
    role: () => role,
    optional: ['text_encoder'],
    ...(allow && { allow }),
  });
  return tensors;
}

/** Every file once, with the components that are taken from it, in the order in which they come. */
function byPath(weights: ComponentWeights): Map<string, Component[]> {
  const components = new Map<string, Component[]>();
  for (const [component, { paths }] of Object.entries(weights) as [Component, FoundWeights][])
    for (const path of paths) components.set(path, [...(components.get(path) ?? []), component]);
  return components;
}

interface Match {
  readonly parameter: ModelParameter;
  readonly holder: OpenedFile;
  readonly tensor: string;
}

/**
 * The tensor of each parameter among the files that hold `component`; none at all when it is optional and missing. `name` is what
 * errors call those files.
 */
async function matchComponent(
  component: Component,
  holders: readonly OpenedFile[],
  name: string,
  { parameters, models, configs }: ModelTables,
  optional: readonly Component[],
): Promise<Match[]> {
  const wanted = parameters[component].filter(({ motion }) => !motion);
  const looked = wanted.map((parameter) => {
    const names = fileNames(component, parameter.name, models);
    return { parameter, names, hits: names.flatMap((tensor, layout) => entriesOf(tensor, layout, names, holders)) };
  });
  const layouts = looked.flatMap(({ hits }) => hits.slice(0, 1).map(({ layout }) => layout));
  if (layouts.length === 0) {
    if (optional.includes(component)) return [];
    throw await nothingOf(component, holders, name);
  }
  return looked.map(({ parameter, names, hits }) => {
    const [hit, twin] = hits;
    if (!hit) {
      const lacking = names[mostCommon(layouts)] ?? parameter.name;
      throw new MergeError(`${name} lacks ${lacking} [${parameter.shape}], which ${configs[component]} calls for.`, {
        file: name,
        tensor: lacking,
      });
    }
    const { holder, entry } = hit;
    const path = holder.file.source.name;
    if (twin) {
      throw new MergeError(
        `${parameter.name} is there twice: as ${entry.name} in ${path} and as ${twin.entry.name} in ${twin.holder.file.source.name}. One of them must go.`,
        { file: path, tensor: entry.name },
      );
    }
    const isMatrix = parameter.kind === 'linear' || parameter.kind === 'conv';
    if (!sameMatrix(entry.shape, parameter.shape, isMatrix)) {
      throw new MergeError(
        `${path}: ${entry.name} has the shape [${entry.shape}]; ${configs[component]} calls for [${parameter.shape}].${stockHint(configs[component])}`,
        { file: path, tensor: entry.name },
      );
    }
    assertFloat(path, entry);
    return { parameter, holder, tensor: entry.name };
  });
}

/** Some layouts agree on a name, which then counts once. */
function entriesOf(tensor: string, layout: number, names: readonly string[], holders: readonly OpenedFile[]) {
  if (names.indexOf(tensor) !== layout) return [];
  return holders.flatMap((holder) => {
    const entry = holder.file.tensors.get(tensor);
    return entry ? [{ holder, entry, layout }] : [];
  });
}

function mostCommon(layouts: readonly number[]): number {
  const counts = Map.groupBy(layouts, (layout) => layout);
  return [...counts].reduce((best, next) => (next[1].length > best[1].length ? next : best))[0];
}

function refuseUnfit(file: TensorFile): void {
  const unfit = unfitBase(file);
  if (!unfit) return;
  throw new MergeError(
    `${file.source.name} is ${unfit.what}, which cannot be merged with SD1.5's files: ${unfit.because}.`,
    { file: file.source.name },
  );
}

const TITLES: Readonly<Record<Component, string>> = {
  unet: 'UNet',
  text_encoder: 'text encoder',
  vae_decoder: 'VAE',
  vae_encoder: 'VAE encoder',
};

/** What to do about a part that is not there. */
const REMEDIES: Readonly<Record<Component, string>> = {
  unet: 'Give a model of SD1.5.',
  text_encoder: 'Name a file or folder that has one as base.text_encoder.',
  vae_decoder: 'Name a file or folder that has one as base.vae.',
  vae_encoder: 'Name a file or folder that has one as base.vae, or leave output.vae_encoder out.',
};

/** Files that hold nothing of a component they are named for are something else, and often it is known what. */
async function nothingOf(component: Component, holders: readonly OpenedFile[], name: string): Promise<MergeError> {
  const [{ file } = {}] = holders;
  const { kind, title } = file ? await recognise(file) : { kind: 'unknown', title: '' };
  const [first = ''] = file?.tensors.keys() ?? [];
  const what = kind === 'unknown' ? '' : ` This is something else: ${title}.`;
  return new MergeError(
    `${name} holds no SD1.5 ${TITLES[component]}, which the recipe takes from it.${what} Its tensors have names like ${first}. ${REMEDIES[component]}`,
    { file: name, ...(first !== '' && { tensor: first }) },
  );
}

/** A single file of another width is the recipe's to explain. */
function stockHint(config: string): string {
  return config.startsWith(STOCK_FOLDER)
    ? ' A single file is taken for stock SD1.5; where it is not, name a diffusers folder with its configs as base.config.'
    : '';
}

/** What else lies in such files. The first row that fits counts. */
const IGNORED: readonly (readonly [RegExp, IgnoreRule])[] = [
  [/^model_ema\./, 'ema'],
  [
    /^(betas|alphas_cumprod(_prev)?|sqrt_\w+|log_one_minus_\w+|posterior_\w+|lvlb_weights|logvar|scale_factor)$|^(first_stage_model\.)?loss\./,
    'training-buffers',
  ],
  [/(^|\.)position_ids$/, 'position-ids'],
  [/^(cond_stage_model\.(transformer\.)?)?(vision_model|visual_projection)\./, 'clip-vision'],
  [/^(cond_stage_model\.(transformer\.)?)?(text_model\.)?(text_projection(\.weight)?|logit_scale)$/, 'text-projection'],
  [
    /^(first_stage_model\.|vae\.)?(encoder\.(conv_in|conv_out|conv_norm_out|norm_out|mid|mid_block|down|down_blocks)|quant_conv)\./,
    'vae-encoder',
  ],
];

function ruleOf(tensor: string, components: readonly Component[]): IgnoreRule | undefined {
  const known = IGNORED.find(([pattern]) => pattern.test(tensor))?.[1];
  const isHalf = components.includes('vae_decoder') && !components.includes('vae_encoder');
  if (known && (known !== 'vae-encoder' || isHalf)) return known;
  const parts = Object.entries(PART_PREFIXES) as [Component, RegExp][];
  const owner = parts.find(([, prefix]) => prefix.test(tensor))?.[0];
  return owner && !components.includes(owner) ? 'other-component' : undefined;
}

/** A 1×1 convolution `[o, i, 1, 1]` (or `[o, i, 1]`) and a Linear `[o, i]` are the same matrix; files have any of them. */
function sameMatrix(a: readonly number[], b: readonly number[], matrix: boolean): boolean {
  const squeeze = (shape: readonly number[]) =>
    matrix && shape.slice(2).every((length) => length === 1) ? shape.slice(0, 2) : shape;
  return squeeze(a).join() === squeeze(b).join();
}

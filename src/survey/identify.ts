/**
 * Which part of a recipe a file or folder can be: what merge/recognise.ts calls it, and a table from that to the key of the recipe,
 * or to the reason why there is none. What is guessed is called a guess.
 */
import { basename, join } from 'node:path';
import { MOTION_ADAPTER_WEIGHTS } from '../architecture/diffusers-folder.ts';
import { readUNetConfig } from '../architecture/unet-config.ts';
import { VAE_SCALE } from '../architecture/vae-scale.ts';
import { FormatError, LcmMergeError } from '../errors.ts';
import { openTensorFile, type TensorFile } from '../formats/tensor-file.ts';
import { NO_MOTION_MODULE } from '../merge/motion-file.ts';
import { type Recognition, recognise } from '../merge/recognise.ts';
import { unfitBase } from '../merge/unfit-bases.ts';
import { findWeights, requireWeights } from '../merge/weight-files.ts';
import { kindOf } from '../recipe/input-files.ts';
import type { Candidate } from './candidates.ts';
import { type Measures, measuresOf } from './measures.ts';

export type Part = 'base' | 'personalized' | 'lcm' | 'motion' | 'motion-lora' | 'vae';

export type Finding = Usable | Unusable;

export interface Usable {
  readonly path: string;
  readonly part: Part;
  /** What it is. */
  readonly title: string;
  readonly measures: Measures;
  /** Why it is only a guess that it is this part, as a clause. */
  readonly guess?: string;
  /** Adapters: modules that it changes. */
  readonly modules?: number;
  /** Figures that are worth a comment: rank and alpha, rows of the positional encoding. */
  readonly note?: string;
  readonly base?: BaseFacts;
  readonly motion?: MotionFacts;
}

export interface MotionFacts {
  /** Does it look like one that was distilled for few steps, as AnimateLCM's was? */
  readonly distilled: boolean;
  /** Of the positional encoding: more frames it cannot make. Unknown where the file stores none. */
  readonly rows?: number;
}

export interface BaseFacts {
  readonly layout: 'folder' | 'single file';
  /** Sides of a picture as it was trained. */
  readonly side: number;
  readonly hasVae: boolean;
}

export interface Unusable {
  readonly path: string;
  readonly part?: undefined;
  readonly title: string;
  /** As a sentence. */
  readonly reason: string;
  /** It could not be read. */
  readonly damaged: boolean;
}

/** What `recognise` calls the files that can be a part of a recipe by themselves. */
const PARTS: Readonly<Record<string, Part>> = {
  'ldm-checkpoint': 'base',
  'lcm-lora': 'lcm',
  'motion-module': 'motion',
  'motion-adapter': 'motion',
  'motion-unet': 'motion',
  'motion-lora': 'motion-lora',
  vae: 'vae',
  'ldm-vae': 'vae',
  dora: 'personalized',
  loha: 'personalized',
  lokr: 'personalized',
  glora: 'personalized',
  oft: 'personalized',
  ia3: 'personalized',
  'tucker-lora': 'personalized',
  'kohya-lora': 'personalized',
  'peft-lora': 'personalized',
  'diffusers-lora': 'personalized',
  'full-difference': 'personalized',
};

const ALONE = 'A base needs UNet, text encoder and VAE';
/** Why the others can be none. */
const REASONS: Readonly<Record<string, string>> = {
  ...NO_MOTION_MODULE,
  'sdxl-checkpoint': 'The base must be of SD1.5',
  controlnet: 'It wants an image to follow, for which the graph has no input',
  'ldm-unet': `${ALONE}, and this is the UNet alone`,
  unet: `${ALONE}, and this is the UNet alone; name the folder that holds all three`,
  'clip-text': `${ALONE}, and this is the text encoder alone; base.text_encoder takes it, if that is what you want`,
  'textual-inversion': 'Embeddings are no weights, and nothing merges them',
  unknown: 'None of its tensors is named as a part of SD1.5 is',
};

/** @throws only what is no finding: faults of the program. */
export async function identify({ path, kind }: Candidate): Promise<Finding> {
  try {
    if (kind === 'pipeline') return await identifyPipeline(path);
    return await identifyFile(path, kind === 'component' ? await componentWeights(path) : path);
  } catch (error) {
    if (!(error instanceof LcmMergeError)) throw error;
    return { path, title: 'not to be read', reason: withoutPath(error.message, path), damaged: true };
  }
}

const withoutPath = (message: string, path: string) =>
  message.startsWith(`${path}: `) ? message.slice(path.length + 2) : message;

/** Of several variants the first, as plan takes them. */
async function componentWeights(folder: string): Promise<string> {
  for (const name of MOTION_ADAPTER_WEIGHTS) {
    const file = join(folder, name);
    if ((await kindOf(file)) === 'file') return file;
  }
  return folder;
}

/** `path` is what a recipe would name: the file, or the folder that it lies in. */
async function identifyFile(path: string, weights: string): Promise<Finding> {
  await using file = await openTensorFile(weights);
  const recognition = await recognise(file);
  const { kind, title } = recognition;
  const part = Object.hasOwn(PARTS, kind) ? PARTS[kind] : undefined;
  const refuse = (reason: string): Unusable => ({ path, title, reason: `${reason}.`, damaged: false });
  if (part === undefined) return refuse(REASONS[kind] ?? 'lcm-merge does not merge it');
  const usable = { path, title, part, measures: measuresOf(file) };
  switch (part) {
    case 'base': {
      const unfit = unfitBase(file);
      if (unfit) return refuse(`It is ${unfit.what}: ${unfit.because}`);
      if (recognition.facts['text encoder'] !== true) return refuse(`${ALONE}, and it has no text encoder`);
      return { ...usable, base: { layout: 'single file', side: 512, hasVae: recognition.facts['vae'] === true } };
    }
    case 'motion':
      return { ...usable, ...describeMotion(path, recognition) };
    case 'vae': {
      const channels = recognition.facts['latent channels'] ?? 4;
      return channels === 4 ? usable : refuse(`Its latents have ${channels} channels, those of SD1.5 have 4`);
    }
    case 'motion-lora':
      return { ...usable, ...describeAdapter(recognition) };
    case 'personalized':
    case 'lcm': {
      const foreign = foreignAdapter(file, usable.measures);
      return foreign === undefined
        ? { ...usable, ...describeAdapter(recognition), ...tellLcm(path, file, recognition) }
        : refuse(foreign);
    }
  }
}

async function identifyPipeline(path: string): Promise<Finding> {
  const title = 'model in diffusers layout';
  const refuse = (reason: string): Unusable => ({ path, title, reason, damaged: false });
  const isPackage = (await kindOf(join(path, 'unet', 'model.onnx'))) === 'file';
  if (isPackage && !(await findWeights(path, 'unet')))
    return { ...refuse('It holds graphs, which is what a recipe makes.'), title: 'package in ONNX' };
  const file = join(path, 'unet', 'config.json');
  const config = await readUNetConfig(file).catch((error: unknown) => {
    if (error instanceof FormatError) return error; // it says which other model this is
    throw error;
  });
  if (config instanceof FormatError) return refuse(withoutPath(config.message, file));
  const shards = await requireWeights(path, 'unet');
  await requireWeights(path, 'text_encoder');
  const hasVae = (await findWeights(path, 'vae_decoder')) !== undefined;
  const context = new Set([config.cross_attention_dim]);
  for (const shard of shards.paths) {
    await using file = await openTensorFile(shard);
    const unfit = unfitBase(file);
    if (unfit) return refuse(`It is ${unfit.what}: ${unfit.because}.`);
    for (const width of measuresOf(file).context) context.add(width);
  }
  const ascending = (values: Iterable<number>) => [...new Set(values)].sort((a, b) => a - b);
  return {
    path,
    title,
    part: 'base',
    measures: { widths: ascending(config.block_out_channels), context: ascending(context) },
    base: { layout: 'folder', side: config.sample_size * VAE_SCALE, hasVae },
  };
}

function describeMotion(path: string, { facts }: Recognition): Pick<Usable, 'note' | 'motion'> {
  const encoding = String(facts['positional encoding']);
  const rows = Number.parseInt(encoding, 10);
  return {
    note: `${facts['modules']} modules, positional encoding: ${encoding}`,
    // AnimateLCM's file stores no positional encoding; AnimateDiff's do
    motion: Number.isNaN(rows) ? { distilled: true } : { distilled: NAMED_LCM.test(basename(path)), rows },
  };
}

function describeAdapter({ facts }: Recognition): Pick<Usable, 'note' | 'modules'> {
  const list = (values: unknown) => (Array.isArray(values) && values.length > 0 ? values.join(', ') : 'none');
  return {
    modules: Number(facts['modules']),
    note: `rank ${list(facts['rank'])}, alpha ${list(facts['alpha'])}`,
  };
}

/** `lcm` as a word or at the end of one: AnimateLCM_sd15_t2v_lora, lcm-lora-sdv1-5. */
const NAMED_LCM = /lcm(?![a-z])/i;
/** Modules of the LoRAs that latent-consistency/lcm-lora-sdv1-5 and AnimateLCM publish. */
const LCM_MODULES = 278;

/**
 * An LCM LoRA changes the time embeddings and all convolutions but not the text encoder, and no trainer has signed its metadata.
 * Nothing in the file says LCM, though: what has not quite those modules is guessed at.
 */
function tellLcm(path: string, file: TensorFile, { kind, facts }: Recognition): Pick<Usable, 'part' | 'guess'> {
  const { unet = 0, text_encoder = 0 } = (facts['modules by component'] ?? {}) as Readonly<Record<string, number>>;
  if (kind === 'lcm-lora') {
    return unet === LCM_MODULES
      ? { part: 'lcm' }
      : { part: 'lcm', guess: `it changes ${unet} modules, the usual ones ${LCM_MODULES}` };
  }
  const signed = Object.keys(file.metadata).some((key) => key.startsWith('ss_'));
  const changesTime = [...file.tensors.keys()].some((name) => /time_emb/.test(name));
  if (text_encoder > 0) return { part: 'personalized' };
  if (NAMED_LCM.test(basename(path))) return { part: 'lcm', guess: 'it has the name of one' };
  return changesTime && !signed
    ? { part: 'lcm', guess: 'it changes the time embeddings and not the text encoder, as they do' }
    : { part: 'personalized' };
}

/** Blocks of the UNet and layers of the text encoder, in every naming. */
const SD_MODULE = /(down|up|input|output)_blocks|mid(dle)?_block|text_model|lora_te_|text_encoder/;

/** Widths of text states that give another family away. */
const FOREIGN_CONTEXT: Readonly<Record<number, string>> = { 1024: 'SD2', 2048: 'SDXL' };

function foreignAdapter({ tensors }: TensorFile, { context }: Measures): string | undefined {
  const width = context.find((value) => FOREIGN_CONTEXT[value] !== undefined);
  if (width !== undefined) return `It was made for ${FOREIGN_CONTEXT[width]}: its text states are ${width} wide`;
  return [...tensors.keys()].some((name) => SD_MODULE.test(name))
    ? undefined
    : "It changes neither a block of SD1.5's UNet nor its text encoder";
}

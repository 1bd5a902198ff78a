/**
 * Which files of a folder in diffusers' layout a merge reads, told from their names alone: configs, the tokenizer, and for each
 * component the one set of weights that is taken when there are several.
 * Source: diffusers utils/constants.py, utils/hub_utils.py (`_add_variant`), pipelines/pipeline_loading_utils.py (shard indexes).
 */
import type { Component } from './names.ts';

type Extension = 'safetensors' | 'bin';
const EXTENSIONS: readonly Extension[] = ['safetensors', 'bin'];

type Stems = Readonly<Record<Extension, string>>;
const DIFFUSERS_STEMS: Stems = { safetensors: 'diffusion_pytorch_model', bin: 'diffusion_pytorch_model' };
const TRANSFORMERS_STEMS: Stems = { safetensors: 'model', bin: 'pytorch_model' };

/** The folder of each component in a pipeline's folder, and the stems of its weight files. */
export const PIPELINE_LAYOUT: Readonly<Record<Component, { readonly folder: string; readonly stems: Stems }>> = {
  unet: { folder: 'unet', stems: DIFFUSERS_STEMS },
  text_encoder: { folder: 'text_encoder', stems: TRANSFORMERS_STEMS },
  vae_decoder: { folder: 'vae', stems: DIFFUSERS_STEMS },
  vae_encoder: { folder: 'vae', stems: DIFFUSERS_STEMS }, // both halves lie in one file
};

/** Best first. The plain name is full precision and, where a model has both, the averaged (EMA) weights. */
export const VARIANTS = ['', '.fp32', '.fp16', '.bf16', '.non_ema'] as const;

const CONFIGS = [
  'model_index.json',
  'unet/config.json',
  'text_encoder/config.json',
  'vae/config.json',
  'scheduler/scheduler_config.json',
  'tokenizer/tokenizer_config.json',
  'tokenizer/special_tokens_map.json',
  'lcm-merge.lock.json', // a base that was merged before says so
];
/** Either these, or transformers 5's one file, which says the same in 2 MB. */
const TOKENIZER = ['tokenizer/vocab.json', 'tokenizer/merges.txt'];
const WHOLE_TOKENIZER = 'tokenizer/tokenizer.json';

/** Weight files and indexes of shards of `component` inside its folder, best first. */
export function weightFileNames(component: Component): string[] {
  return namesOf(PIPELINE_LAYOUT[component].stems);
}

function namesOf(stems: Stems): string[] {
  return EXTENSIONS.flatMap((extension) =>
    VARIANTS.flatMap((variant) => [
      `${stems[extension]}${variant}.${extension}`,
      `${stems[extension]}.${extension}.index${variant}.json`,
      ...(variant === '' ? [] : [`${stems[extension]}.${extension}${variant}.index.json`]), // diffusers before 0.31
    ]),
  );
}

/** Whether a weight file's name is that of an index, which names the shards. */
export function isShardIndex(name: string): boolean {
  return /\.index(\.\w+)?\.json$/.test(name);
}

/** What is read of a pipeline's folder that holds `names` (paths relative to it); empty when it is none. */
export function pipelineFiles(names: ReadonlySet<string>, components: readonly Component[]): string[] {
  const weights = components.flatMap((component) => {
    const { folder } = PIPELINE_LAYOUT[component];
    return best(
      names,
      weightFileNames(component).map((name) => `${folder}/${name}`),
    );
  });
  return weights.length === 0 ? [] : [...configFiles(names), ...weights];
}

/** Configs and tokenizer of a pipeline's folder. */
export function configFiles(names: ReadonlySet<string>): string[] {
  const tokenizer = TOKENIZER.every((name) => names.has(name)) ? TOKENIZER : [...TOKENIZER, WHOLE_TOKENIZER];
  return [...CONFIGS, ...tokenizer].filter((name) => names.has(name));
}

/** One component for itself: from its place in a pipeline's folder, or from a folder of its own. */
export function componentFiles(names: ReadonlySet<string>, component: Component): string[] {
  const { folder, stems } = PIPELINE_LAYOUT[component];
  const inside = modelFiles(names, stems, `${folder}/`);
  return inside.length > 0 ? inside : modelFiles(names, stems, '');
}

/** Weight files of a MotionAdapter's folder, best first. It is a file of 1 GB, which nobody cuts into shards. */
export const MOTION_ADAPTER_WEIGHTS: readonly string[] = namesOf(DIFFUSERS_STEMS).filter((name) => !isShardIndex(name));

/** A MotionAdapter's folder. */
export function motionAdapterFiles(names: ReadonlySet<string>): string[] {
  return withConfig(names, MOTION_ADAPTER_WEIGHTS, '');
}

function modelFiles(names: ReadonlySet<string>, stems: Stems, folder: string): string[] {
  return withConfig(
    names,
    namesOf(stems).map((name) => folder + name),
    folder,
  );
}

/** The best of some weight files, and the config beside it. */
function withConfig(names: ReadonlySet<string>, candidates: readonly string[], folder: string): string[] {
  const weights = best(names, candidates);
  return weights.length === 0 ? [] : [`${folder}config.json`, ...weights].filter((name) => names.has(name));
}

function best(names: ReadonlySet<string>, candidates: readonly string[]): string[] {
  return candidates.filter((name) => names.has(name)).slice(0, 1);
}

/**
 * Which files of a folder in diffusers' layout a merge reads, told from the names alone: configs, the tokenizer, and for each
 * component the one set of weights that diffusers would take (src/diffusers/utils/constants.py, loading_utils.py): safetensors before
 * torch's .bin, the plain variant before .fp16 before .non_ema, one file before shards with an index.
 */

const VARIANTS = ['', '.fp16', '.non_ema'] as const;

/** Folder of each component, and what its weights are called. */
const COMPONENTS = {
  unet: ['diffusion_pytorch_model'],
  text_encoder: ['model', 'pytorch_model'],
  vae: ['diffusion_pytorch_model'],
} as const;

export type DiffusersComponent = keyof typeof COMPONENTS;

const CONFIGS = [
  'model_index.json',
  'unet/config.json',
  'text_encoder/config.json',
  'vae/config.json',
  'scheduler/scheduler_config.json',
  'tokenizer/tokenizer_config.json',
  'tokenizer/special_tokens_map.json',
];
/** Either these, or transformers 5's one file, which says the same in 2 MB. */
const TOKENIZER = ['tokenizer/vocab.json', 'tokenizer/merges.txt'];
const WHOLE_TOKENIZER = 'tokenizer/tokenizer.json';

/** Configs and tokenizer among `names`, which are paths relative to the folder. */
export function configFiles(names: ReadonlySet<string>): string[] {
  const tokenizer = TOKENIZER.every((name) => names.has(name)) ? TOKENIZER : [...TOKENIZER, WHOLE_TOKENIZER];
  return [...CONFIGS, ...tokenizer].filter((name) => names.has(name));
}

/** The file with a component's weights, or the index of its shards; undefined when there is none. */
export function weightFile(names: ReadonlySet<string>, component: DiffusersComponent): string | undefined {
  return candidates(COMPONENTS[component], `${component}/`).find((name) => names.has(name));
}

/** The same for a folder that is one model: an AnimateDiff MotionAdapter. */
export function modelWeightFile(names: ReadonlySet<string>): string | undefined {
  return candidates(['diffusion_pytorch_model'], '').find((name) => names.has(name));
}

export function isShardIndex(name: string): boolean {
  return /\.index(\.\w+)?\.json$/.test(name);
}

function candidates(stems: readonly string[], folder: string): string[] {
  return ['safetensors', 'bin'].flatMap((format) =>
    VARIANTS.flatMap((variant) =>
      stems.flatMap((stem) => [
        `${folder}${stem}${variant}.${format}`,
        `${folder}${stem}.${format}.index${variant}.json`,
      ]),
    ),
  );
}

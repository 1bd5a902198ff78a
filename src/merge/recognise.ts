/**
 * What a weight file is, told from the names and shapes in it: a table of telltale names, first match wins, and the figures that
 * matter for each kind. Nothing is refused here; what can be merged is the plan's business.
 * Reference: formats.md §1a–§1c (names of checkpoints, motion modules and the LoRA family).
 */
import { toFloat64 } from '../formats/dtype.ts';
import { readTensor, type TensorEntry, type TensorFile } from '../formats/tensor-file.ts';
import { unfitBase } from './unfit-bases.ts';

type Fact = string | number | boolean | readonly (string | number)[] | Readonly<Record<string, number>>;

export type Facts = Readonly<Record<string, Fact>>;

export interface Recognition {
  readonly kind: string;
  readonly title: string;
  readonly facts: Facts;
}

interface Kind {
  readonly kind: string;
  readonly title: string;
  /** Each of these is found among the names of the tensors … */
  readonly needs: readonly RegExp[];
  /** … and this neither there nor among the keys of the metadata. */
  readonly lacks?: RegExp;
  /** What the shapes must say besides. */
  readonly where?: (file: TensorFile) => boolean;
  readonly facts?: (file: TensorFile) => Facts | Promise<Facts>;
}

const MOTION_MODULE = /^(?:module\.)?(.*?)(\w+)\.motion_modules\.(\d+)\./;

const KINDS: readonly Kind[] = [
  // what is built upon motion modules, and holds more than them (AnimateDiff-Evolved motion_module_ad.py, adapter_*.py)
  {
    kind: 'cameractrl',
    title: 'CameraCtrl: a camera encoder and what it adds to temporal attention',
    needs: [/\.qkv_merge\.|^(pose_encoder|attention_processor)_state_dict\./],
  },
  { kind: 'motionctrl', title: 'MotionCtrl: camera or object control', needs: [/\.cc_projection\./] },
  {
    kind: 'animatelcm-i2v',
    title: 'AnimateLCM-I2V: a motion module with an image encoder',
    needs: [/^(module\.)?img_encoder\./],
  },
  {
    kind: 'fancyvideo',
    title: 'FancyVideo: a motion module with embeddings of motion and frame rate',
    needs: [/^(module\.)?((fps|motion)_embedding\.|FancyVideo$)/],
  },
  {
    kind: 'hotshot-xl',
    title: 'HotshotXL: temporal attention for SDXL',
    needs: [/\.temporal_attentions\.\d+\.|\.pos_encoder\.positional_encoding$/],
  },
  {
    kind: 'hellomeme',
    title: 'HelloMeme: reference and motion modules of its own',
    needs: [/^(module\.)?(reference_modules_(down|mid|up)|motion_(down|up))\./],
  },
  {
    kind: 'controlnet',
    title: 'SparseCtrl: a ControlNet with motion modules',
    needs: [/\.motion_modules\.\d+\./, /^(module\.)?controlnet_\w+\./],
  },
  {
    kind: 'svd-unet',
    title: 'UNet of Stable Video Diffusion (AnimateLCM-SVD is one)',
    needs: [/\.(temporal_res_block|temporal_transformer_blocks|time_stack)\./],
  },
  {
    kind: 'motion-lora',
    title: 'motion LoRA',
    needs: [/[._]motion_modules[._].*(lora[._](down|up)|lora_[AB])\b/],
    facts: adapterFacts,
  },
  {
    kind: 'pia',
    title: 'PIA: a motion module with a UNet input of 9 channels',
    needs: [/\.motion_modules\.\d+\./, /^(module\.)?conv_in\.weight$/],
    where: ({ tensors }) => shapesOf(tensors, /^(module\.)?conv_in\.weight$/).some(([, channels]) => channels === 9),
    facts: motionFacts,
  },
  {
    kind: 'sdxl-motion-module',
    title: 'motion module for SDXL',
    needs: [/down_blocks\.2\.motion_modules\.\d+\./],
    lacks: /down_blocks\.3\.motion_modules\./,
    where: ({ tensors }) => motionWidths(tensors).join() === '320,640,1280',
    facts: motionFacts,
  },
  {
    kind: 'motion-unet',
    title: 'UNetMotionModel (diffusers): a UNet with its motion modules',
    needs: [/\.motion_modules\.\d+\./, /\.resnets\.0\.conv1\.weight$/],
    facts: motionFacts,
  },
  {
    kind: 'motion-module',
    title: 'motion module (AnimateDiff layout)',
    needs: [/\.motion_modules\.\d+\.temporal_transformer\./],
    facts: motionFacts,
  },
  {
    kind: 'motion-adapter',
    title: 'motion module (diffusers MotionAdapter)',
    needs: [/\.motion_modules\.\d+\./],
    facts: motionFacts,
  },
  { kind: 'sdxl-checkpoint', title: 'SDXL single-file checkpoint', needs: [/^conditioner\.embedders\./] },
  {
    kind: 'ldm-checkpoint',
    title: 'LDM single-file checkpoint',
    needs: [/^model\.diffusion_model\.input_blocks\./],
    facts: checkpointFacts,
  },
  { kind: 'ldm-unet', title: 'UNet (LDM names)', needs: [/^input_blocks\.0\.0\.weight$/], facts: ldmUNetFacts },
  { kind: 'controlnet', title: 'ControlNet', needs: [/^(control_model\.|controlnet_cond_embedding\.)/] },
  { kind: 'dora', title: 'DoRA', needs: [/\.(dora_scale|lora_magnitude_vector)(\.|$)/], facts: adapterFacts },
  { kind: 'loha', title: 'LoHa (LyCORIS)', needs: [/\.hada_w1_a$/], facts: adapterFacts },
  { kind: 'lokr', title: 'LoKr (LyCORIS)', needs: [/\.lokr_w[12](_a)?$/], facts: adapterFacts },
  { kind: 'glora', title: 'GLoRA (LyCORIS)', needs: [/\.a1\.weight$/, /\.b1\.weight$/], facts: adapterFacts },
  { kind: 'oft', title: 'OFT', needs: [/\.oft_(blocks|diag)$/], facts: adapterFacts },
  { kind: 'ia3', title: 'IA3', needs: [/\.on_input$/], facts: adapterFacts },
  { kind: 'tucker-lora', title: 'LoRA with Tucker cores (LoCon)', needs: [/\.lora_mid\.weight$/], facts: adapterFacts },
  // a LoCon on the UNet alone changes the same modules, but its trainer signs the metadata
  {
    kind: 'lcm-lora',
    title: 'LCM LoRA (kohya names)',
    needs: [/^lora_unet_.*_time_emb_proj\.lora_down\.weight$/],
    lacks: /^(lora_te|ss_)/,
    facts: adapterFacts,
  },
  {
    kind: 'kohya-lora',
    title: 'LoRA (kohya names)',
    needs: [/^(lora|lycoris)_.*\.lora_down\.weight$/],
    facts: adapterFacts,
  },
  { kind: 'peft-lora', title: 'LoRA (PEFT names)', needs: [/\.lora_A(\.[^.]+)?\.weight$/], facts: adapterFacts },
  {
    kind: 'diffusers-lora',
    title: 'LoRA (diffusers attention processors, as in AnimateDiff’s v3_sd15_adapter)',
    needs: [/\.processor\.to_\w+_lora\.(down|up)\.weight$/],
    facts: adapterFacts,
  },
  {
    kind: 'diffusers-lora',
    title: 'LoRA (diffusers names)',
    needs: [/[._]lora(_linear_layer)?\.down\.weight$/],
    facts: adapterFacts,
  },
  {
    kind: 'full-difference',
    title: 'full difference (LyCORIS)',
    needs: [/^(lora|lycoris)_.*\.diff$/],
    facts: adapterFacts,
  },
  {
    kind: 'unet',
    title: 'UNet (diffusers)',
    needs: [/^down_blocks\.0\.resnets\.0\.conv1\.weight$/, /^conv_in\.weight$/],
    facts: unetFacts,
  },
  { kind: 'vae', title: 'VAE (diffusers)', needs: [/^decoder\.(mid_block|up_blocks)\./], facts: vaeFacts },
  { kind: 'ldm-vae', title: 'VAE (LDM names)', needs: [/^(first_stage_model\.|vae\.)?decoder\.up\.0\.block\./] },
  {
    kind: 'clip-text',
    title: 'CLIP text encoder (transformers)',
    needs: [/^(text_model\.)?embeddings\.token_embedding\.weight$/],
    facts: clipFacts,
  },
  { kind: 'textual-inversion', title: 'textual inversion', needs: [/^(emb_params|string_to_param|clip_[lg])$/] },
];

/** Names, shapes and the alpha scalars are read, no weights. */
export async function recognise(file: TensorFile): Promise<Recognition> {
  const names = [...file.tensors.keys()];
  const allNames = [...names, ...Object.keys(file.metadata)];
  const found = KINDS.find(
    ({ needs, lacks, where }) =>
      needs.every((pattern) => names.some((name) => pattern.test(name))) &&
      !allNames.some((name) => lacks?.test(name)) &&
      (where?.(file) ?? true),
  );
  if (!found) return { kind: 'unknown', title: 'tensors of no kind that lcm-merge knows', facts: {} };
  return { kind: found.kind, title: found.title, facts: (await found.facts?.(file)) ?? {} };
}

// ---------------------------------------------------------------------------------------------------- adapters

/** What may follow the name of a module in an adapter file. */
const PART =
  /[._](lora_(?:down|up|mid)\.weight|lora_[AB](?:\.[^.]+)?\.(?:weight|bias)|lora(?:_linear_layer)?\.(?:down|up)\.weight|lora_magnitude_vector.*|alpha|dora_scale|diff(?:_b)?|hada_\w+|lokr_\w+|oft_\w+|rescale|on_input|[ab][12]\.weight|[wb]_norm|weight)$/;

/** The parts whose first dimension is the rank. */
const RANKED =
  /^(lora_down\.weight|lora_A(\.[^.]+)?\.weight|lora(_linear_layer)?\.down\.weight|hada_w1_b|lokr_w[12]_b)$/;

const TEXT_ENCODER = /^(lora|lycoris)_te|text_encoder|text_model/;

async function adapterFacts(file: TensorFile): Promise<Facts> {
  const modules = new Map<string, Map<string, TensorEntry>>();
  for (const entry of file.tensors.values()) {
    const part = PART.exec(entry.name);
    if (!part) continue;
    const module = entry.name.slice(0, part.index);
    modules.set(module, (modules.get(module) ?? new Map<string, TensorEntry>()).set(part[1] as string, entry));
  }
  const ranks: number[] = [];
  const alphas: (number | 'none')[] = [];
  const factors: number[] = [];
  for (const parts of modules.values()) {
    const rank = [...parts].find(([part]) => RANKED.test(part))?.[1].shape[0];
    const alpha = await readAlpha(file, parts.get('alpha'));
    if (rank !== undefined) ranks.push(rank);
    alphas.push(alpha ?? 'none');
    if (rank !== undefined) factors.push((alpha ?? rank) / rank);
  }
  const text = [...modules.keys()].filter((name) => TEXT_ENCODER.test(name)).length;
  return {
    modules: modules.size,
    'modules by component': { unet: modules.size - text, text_encoder: text },
    rank: distinct(ranks),
    alpha: distinct(alphas),
    'alpha/rank': distinct(factors),
  };
}

/** A scalar of any type; the first element where a file has more. */
async function readAlpha(file: TensorFile, entry: TensorEntry | undefined): Promise<number | undefined> {
  return entry && entry.byteLength <= 8 ? toFloat64(await readTensor(file, entry), entry.dtype)[0] : undefined;
}

// ---------------------------------------------------------------------------------------------------- models

function motionFacts({ tensors }: TensorFile): Facts {
  const modules = new Set<string>();
  let rows: number | undefined;
  for (const { name, shape } of tensors.values()) {
    const [prefix] = MOTION_MODULE.exec(name) ?? [];
    if (prefix === undefined) continue;
    modules.add(prefix);
    if (/\.pos_(encoder|embed)\.pe$/.test(name)) rows ??= shape.at(-2);
  }
  return {
    modules: modules.size,
    'middle block': [...modules].some((name) => name.includes('mid_block.')),
    widths: motionWidths(tensors),
    'positional encoding': rows === undefined ? 'none in the file (AnimateLCM: 64 rows)' : `${rows} rows`,
  };
}

/** A UNet of another family says so here; nothing is said of one that may be SD1.5's. */
function unfitFacts(file: TensorFile): Facts {
  const unfit = unfitBase(file);
  return unfit ? { 'no base for SD1.5': `${unfit.what}: ${unfit.because}` } : {};
}

const motionWidths = (tensors: TensorFile['tensors']): number[] =>
  distinct(
    shapesOf(tensors, /\.motion_modules\.\d+\.(temporal_transformer\.)?proj_in\.weight$/).map(([out]) => out ?? 0),
  );

function unetFacts(file: TensorFile): Facts {
  const { tensors } = file;
  return {
    widths: distinct(shapesOf(tensors, /^down_blocks\.\d+\.resnets\.0\.conv1\.weight$/).map(([out]) => out ?? 0)),
    'cross-attention width': distinct(shapesOf(tensors, /\.attn2\.to_k\.weight$/).map(([, width]) => width ?? 0)),
    'input channels': shapesOf(tensors, /^conv_in\.weight$/)[0]?.[1] ?? 0,
    ...unfitFacts(file),
  };
}

function vaeFacts({ tensors }: TensorFile): Facts {
  return {
    encoder: shapesOf(tensors, /^encoder\./).length > 0,
    'latent channels': shapesOf(tensors, /^decoder\.conv_in\.weight$/)[0]?.[1] ?? 0,
    widths: distinct(
      shapesOf(tensors, /^decoder\.up_blocks\.\d+\.resnets\.0\.conv1\.weight$/).map(([out]) => out ?? 0),
    ),
  };
}

function clipFacts({ tensors }: TensorFile): Facts {
  const [vocabulary = 0, width = 0] = shapesOf(tensors, /token_embedding\.weight$/)[0] ?? [];
  const layers = shapesOf(tensors, /encoder\.layers\.\d+\.self_attn\.q_proj\.weight$/).length;
  return { layers, width, vocabulary, 'longest prompt': shapesOf(tensors, /position_embedding\.weight$/)[0]?.[0] ?? 0 };
}

function ldmUNetFacts(file: TensorFile): Facts {
  const { tensors } = file;
  return {
    'input channels': shapesOf(tensors, /^(model\.diffusion_model\.)?input_blocks\.0\.0\.weight$/)[0]?.[1] ?? 0,
    'cross-attention width': distinct(shapesOf(tensors, /\.attn2\.to_k\.weight$/).map(([, width]) => width ?? 0)),
    ...unfitFacts(file),
  };
}

function checkpointFacts(file: TensorFile): Facts {
  const { tensors } = file;
  return {
    ...ldmUNetFacts(file),
    vae: shapesOf(tensors, /^(first_stage_model|vae)\./).length > 0,
    'text encoder': shapesOf(tensors, /^cond_stage_model\./).length > 0,
    'EMA weights': shapesOf(tensors, /^model_ema\./).length > 0,
  };
}

function shapesOf(tensors: TensorFile['tensors'], pattern: RegExp): (readonly number[])[] {
  return [...tensors.values()].filter(({ name }) => pattern.test(name)).map(({ shape }) => shape);
}

function distinct<T extends string | number>(values: readonly T[]): T[] {
  return [...new Set(values)].sort((a, b) => (a === b ? 0 : a < b ? -1 : 1));
}

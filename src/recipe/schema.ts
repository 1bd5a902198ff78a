/**
 * What a recipe may say: one zod schema that is at once the validator, the reference (every key describes itself) and the
 * source of recipes/recipe.schema.json; and `Recipe`, the same with all defaults filled in and all paths absolute. The sum
 * it describes is AnimateLCM's eq. 2, w' = w0 + α·τ_personalized + β·τ_image + γ·τ_video (arXiv 2402.00769).
 */

import { z } from 'zod';
import type { BlockWeights } from '../architecture/block-map.ts';
import {
  BETA_SCHEDULES,
  type BetaSchedule,
  SAMPLER_KINDS,
  type SamplerKind,
  TIMESTEP_SPACINGS,
  type TimestepSpacing,
} from '../architecture/sampler-config.ts';
import { isReference } from '../hub/reference.ts';
import { parseTarget } from '../hub/target.ts';
import { isOciReference, parseOciReference } from '../oci/reference.ts';
import { blockWeights } from './block-weights.ts';
import { byteSize } from './byte-size.ts';
import type { StatedLicense } from './licenses.ts';
import { PROFILES, type Profile } from './profile.ts';

/** AnimateLCM was trained on 16 frames, and its positional encoding ends at 64; more than this is a typing error. */
export const MAX_FRAMES = 1024;
/** Pixels; far beyond what SD1.5 draws well, and small enough that no size in bytes overflows. */
export const MAX_SIDE = 16384;
/** Of a whole clip: 16 frames of the largest side. Its latents alone are 1 GiB, and every step needs many times that. */
export const MAX_CLIP_PIXELS = 16 * MAX_SIDE ** 2;
/** Of graphs that one package holds; each is a file of some MB. */
const MAX_SHAPES = 16;
/** Of the text states: 64 chunks of a text encoder; every step computes keys and values of all of them. */
const MAX_PROMPT_TOKENS = 64 * 77;
/** 7.5 is usual; beyond this the sum is nothing but the difference of two noise predictions. */
export const MAX_GUIDANCE = 1000;
/** The training timesteps of SD1.5: of sampling steps, and of those that LCM was distilled on. */
const MAX_STEPS = 1000;
const MAX_NAME_LENGTH = 128;
const MAX_LINK_LENGTH = 2048;

/** How a LoRA file's own alpha counts: α/r (kohya, diffusers), not at all (AnimateDiff's scripts), α/√r (rank-stabilised). */
const SCALE_CONVENTIONS = ['alpha/rank', 'raw', 'rslora'] as const;
export type ScaleConvention = (typeof SCALE_CONVENTIONS)[number];

/** The graphs that a package can hold over the same weights; `portable` is always among them. */
/** Where graphs can run, as onnxruntime-node calls it; not every platform has all of them. */
export const DEVICE_NAMES = ['cpu', 'webgpu', 'cuda', 'dml', 'coreml'] as const;

export const TARGET_NAMES = ['portable', 'cpu', 'cuda', 'webgpu'] as const;
export type TargetName = (typeof TARGET_NAMES)[number];

const path = () =>
  z
    .string()
    .min(1)
    .regex(/^[^\0]*$/, { error: 'must not contain a NUL character' });

const licenseName = (what: string) =>
  z
    .string()
    .min(1)
    .max(MAX_NAME_LENGTH)
    .regex(/^\P{Cc}*$/u, { error: 'must not contain a control character' })
    .describe(what);

const license = (of: string) =>
  z
    .union([
      licenseName(
        'An identifier of SPDX or of the Hub, such as creativeml-openrail-m, openrail++, apache-2.0, cc-by-nc-4.0.',
      ),
      z.strictObject({
        name: licenseName('What it is called.'),
        link: z
          .url({ protocol: /^https?$/, error: 'must be an http or https address' })
          .max(MAX_LINK_LENGTH)
          .exactOptional()
          .describe('Where it can be read.'),
      }),
    ])
    .exactOptional()
    .describe(
      `The licence of ${of}, for the model card. Left out, what the Hub says of the repository, else what the file says of itself.`,
    );

/** How every merged file is held to account. */
const accounting = {
  allow_unmatched: z
    .array(z.string().min(1))
    .default([])
    .describe(
      'Globs on tensor names of this file that may stay unused; any other tensor that matches nothing is an error.',
    ),
  expect: z
    .strictObject({ modules: z.int().min(0).describe('The number of modules that this file must change.') })
    .exactOptional()
    .describe('What the file must contain; anything else is an error.'),
};

const scale = z
  .enum(SCALE_CONVENTIONS)
  .default('alpha/rank')
  .describe(
    "How the file's own alpha counts: alpha/rank (kohya, diffusers, ComfyUI), raw (ignored, as AnimateDiff and AnimateLCM do), rslora (alpha/√rank).",
  );

const base = z
  .union([
    path().describe('The base model: a diffusers folder or an LDM single file.'),
    z.strictObject({
      model: path().describe('A diffusers folder or an LDM single file (.safetensors, .ckpt).'),
      config: path()
        .exactOptional()
        .describe(
          'A diffusers folder that supplies configs and tokenizer; without it a folder brings its own, and a single file is stock SD1.5.',
        ),
      vae: path()
        .exactOptional()
        .describe(
          'A file (diffusers or LDM names, a VAE alone or a whole checkpoint) or folder whose VAE replaces that of the model.',
        ),
      text_encoder: path().exactOptional().describe('A file or folder whose text encoder replaces that of the model.'),
      license: license('the model'),
      vae_license: license('the vae that replaces its own'),
      text_encoder_license: license('the text encoder that replaces its own'),
    }),
  ])
  .describe('w0: the SD1.5 base model. A plain string is the same as { model: … }.');

const personalized = z
  .strictObject({
    lora: path()
      .exactOptional()
      .describe(
        'An adapter file of any usual kind: LoRA, LoCon, LoHa, LoKr, DoRA, GLoRA, IA3, OFT, BOFT or full difference, with the names of kohya, LyCORIS, diffusers or PEFT.',
      ),
    checkpoint: path()
      .exactOptional()
      .describe(
        'In place of lora: a whole fine-tuned SD1.5 model, a file or diffusers folder, of which the difference to the base is merged.',
      ),
    alpha: z.number().describe('α: its strength in the UNet.'),
    scale,
    text_encoder: z.number().exactOptional().describe('Its strength in the text encoder; alpha when left out.'),
    blocks: blockWeights({ textEncoder: true }),
    license: license('this source'),
    ...accounting,
  })
  .check(({ value, issues }) => {
    const given = [value.lora, value.checkpoint].filter((file) => file !== undefined).length;
    if (given === 1) return;
    issues.push(
      given === 0
        ? {
            code: 'custom',
            path: [],
            message: 'has neither a lora nor a checkpoint; it needs one of them',
            input: value,
          }
        : {
            code: 'custom',
            path: ['checkpoint'],
            message: 'stands beside lora: a source has one of them',
            input: value.checkpoint,
          },
    );
  })
  .describe('One personalized style or subject.');

const lcm = z
  .strictObject({
    lora: path().describe('The LCM LoRA file.'),
    beta: z.number().default(1).describe('β: its strength.'),
    scale,
    blocks: blockWeights({ textEncoder: false }),
    license: license('this source'),
    ...accounting,
  })
  .describe('The image LCM LoRA that makes few steps enough.');

const motionLora = z
  .strictObject({
    lora: path().describe(
      "A motion LoRA: one on the temporal attention, in AnimateDiff's, diffusers', PEFT's or kohya's names.",
    ),
    alpha: z.number().describe('Its strength.'),
    scale,
    blocks: blockWeights({ textEncoder: false }),
    license: license('this source'),
    ...accounting,
  })
  .describe('A LoRA on the motion module.');

const rows = z.int().min(1).max(MAX_FRAMES);

const positions = z
  .union([
    rows.describe('The same as { to: N }; fewer rows than the file has are cut off.'),
    z
      .strictObject({
        from: rows.exactOptional().describe("How many of the file's rows are stretched; all of them when left out."),
        to: rows.describe('How many rows they become.'),
      })
      .check(({ value: { from = 1, to }, issues }) => {
        if (from <= to) return;
        const message = `(${to}) must not be less than motion.positions.from (${from}): rows are stretched, not pressed together`;
        issues.push({ code: 'custom', path: ['to'], message, input: to });
      }),
  ])
  .exactOptional()
  .describe(
    'Rows of the positional encoding, which are the most frames that the model can make. Left out, as many as the file has, 64 ' +
      'where it stores none. More than that are interpolated between them, linearly: a longer clip over the same encodings.',
  );

const motion = z
  .strictObject({
    module: path().describe(
      'The motion module: an AnimateDiff or AnimateLCM file, or a diffusers MotionAdapter folder.',
    ),
    base: path()
      .exactOptional()
      .describe(
        'A second motion module, from which γ leads to the first: w = base + γ·(module − base) for every weight. Without it γ is as mode says.',
      ),
    gamma: z.number().default(1).describe('γ: its strength. 0 gives frames that know nothing of each other.'),
    mode: z
      .enum(['residual', 'weights'])
      .default('residual')
      .describe(
        "What γ multiplies: each module's residual (exact and linear), or every motion weight (eq. 2 read literally).",
      ),
    norm: z
      .enum(['per-frame', 'pooled'])
      .default('per-frame')
      .describe(
        "Group normalisation before temporal attention: per frame (AnimateLCM's own code) or pooled over frames (diffusers).",
      ),
    positions,
    loras: z.array(motionLora).default([]).describe('Motion LoRAs, summed in this order.'),
    blocks: blockWeights({ textEncoder: false }),
    license: license('the module'),
    base_license: license('the second module'),
    ...accounting,
  })
  .check(({ value, issues }) => {
    if (value.base === undefined || value.mode !== 'weights') return;
    const message =
      'must not be "weights" beside motion.base: γ then multiplies the difference of the two modules, weight by weight';
    issues.push({ code: 'custom', path: ['mode'], message, input: value.mode });
  })
  .describe('The video part.');

const sampler = z
  .strictObject({
    kind: z
      .enum(SAMPLER_KINDS)
      .default('lcm')
      .describe(
        'The sampler: lcm (with an LCM LoRA, few steps), ddim, dpmpp_2m (DPM-Solver++ 2M), dpmpp_2m_karras (the same with the σ of Karras et al.), euler.',
      ),
    steps: z.int().min(1).max(MAX_STEPS).default(4).describe('Evaluations of the UNet.'),
    guidance: z
      .number()
      .min(0)
      .max(MAX_GUIDANCE)
      .default(1)
      .describe('Classifier-free guidance; above 1 the negative prompt counts and each step costs twice as much.'),
    beta_schedule: z
      .enum(BETA_SCHEDULES)
      .default('linear')
      .describe("The noise schedule under diffusers' name. Motion modules want linear, whatever the base says."),
    original_steps: z
      .int()
      .min(1)
      .max(MAX_STEPS)
      .default(50)
      .describe(
        'Steps of the schedule that lcm picks its own from; at least `steps`. With another kind, what `run --sampler lcm` picks from.',
      ),
    timestep_spacing: z
      .enum(TIMESTEP_SPACINGS)
      .default('leading')
      .describe(
        "How the steps are spread over the training timesteps, under diffusers' name. lcm and dpmpp_2m_karras have their own way; with them it is what `run --sampler` of another kind takes.",
      ),
  })
  .check(({ value, issues }) => {
    if (value.kind !== 'lcm' || value.steps <= value.original_steps) return;
    const message = `(${value.steps}) must not be greater than sampler.original_steps (${value.original_steps}), from which the steps are picked`;
    issues.push({ code: 'custom', path: ['steps'], message, input: value.steps });
  })
  .prefault({})
  .describe('How the model is sampled.');

const side = (what: string) =>
  z.int().min(8).max(MAX_SIDE).multipleOf(8).describe(`${what} in pixels, a multiple of 8.`);

const lengths = {
  frames: z.int().min(1).max(MAX_FRAMES).describe('Frames of a clip.'),
  width: side('Width'),
  height: side('Height'),
};

const output = z
  .strictObject({
    frames: lengths.frames.default(16),
    width: lengths.width.default(512),
    height: lengths.height.default(512),
    dtype: z.enum(['fp16', 'fp32']).default('fp16').describe('The number format of the weights and the arithmetic.'),
    vae_dtype: z
      .enum(['fp16', 'fp32'])
      .exactOptional()
      .describe('The same for the VAE; dtype when left out. fp32 where a VAE leaves the range of fp16.'),
    weights: z
      .boolean()
      .default(false)
      .describe(
        'Write the merged UNet and text encoder as safetensors in diffusers layout, too (weights/), for users of PyTorch.',
      ),
    vae_encoder: z
      .boolean()
      .default(false)
      .describe('Write the VAE encoder, too (vae_encoder/), which makes latents of pictures.'),
    max_shard_bytes: byteSize()
      .exactOptional()
      .describe(
        'The most bytes of a file of weights, as a number or with a unit (1800MB, 2GB; kB, MB and GB are powers of 1000, KiB, MiB and GiB of 1024). ' +
          'Left out, the weights of a graph are one file; with it as many as it takes, named as transformers.js wants them: model.onnx_data, ' +
          'model.onnx_data_1 … A browser takes files below 2 GiB.',
      ),
    targets: z
      .array(z.enum(TARGET_NAMES))
      .min(1)
      .default(['portable', 'cpu'])
      .describe(
        'The graphs to write, all over the same weights: portable runs anywhere and is always written; cpu, cuda and webgpu are faster on their device.',
      ),
    shapes: z
      .union([z.enum(['static', 'dynamic']), z.array(z.strictObject(lengths)).min(1).max(MAX_SHAPES)])
      .default('static')
      .describe(
        'static: frames, width and height are fixed in the graph. dynamic: they are symbolic, and these are only the defaults. ' +
          'A list of { frames, width, height }: one small graph for each over the same weights; the first is the default.',
      ),
    prompt: z
      .strictObject({
        tokens: z
          .union([z.int().min(1).max(MAX_PROMPT_TOKENS), z.enum(['dynamic'])])
          .exactOptional()
          .describe(
            'Length of the text states that the UNet takes: 77 for each chunk of 75 tokens (77, 154, 231 …), or dynamic for any number of chunks. ' +
              'Left out, one chunk; what a prompt has beyond the last is dropped with a warning.',
          ),
        per_frame: z
          .boolean()
          .default(false)
          .describe(
            'true: text states for every frame, so that the prompt may change from frame to frame (run --prompt-travel). ' +
              'false: one prompt for all frames, whose keys and values are computed once.',
          ),
      })
      .prefault({})
      .describe("What the UNet's graphs take of a prompt."),
  })
  .check(({ value, issues }) => {
    const clips: [ClipShape, (string | number)[]][] = [[value, ['frames']]];
    if (typeof value.shapes !== 'string') {
      for (const [i, shape] of value.shapes.entries()) if (i > 0) clips.push([shape, ['shapes', i, 'frames']]);
    }
    for (const [{ frames, width, height }, path] of clips) {
      const pixels = frames * width * height;
      if (pixels <= MAX_CLIP_PIXELS) continue;
      const message = `makes, with width and height, a clip of ${pixels} pixels; ${MAX_CLIP_PIXELS} at most can be sampled`;
      issues.push({ code: 'custom', path, message, input: frames });
    }
  })
  .prefault({})
  .describe('What is written.');

const verify = z
  .strictObject({
    prompt: z.string().default('a photo').describe('The prompt of the clip that the result is judged by.'),
    negative: z.string().default('').describe('Its negative prompt.'),
    prompt_weights: z
      .boolean()
      .default(false)
      .describe(
        'Read (word:1.2), (word) and [word] in both as weights, as AUTOMATIC1111 does; otherwise brackets are text, as in diffusers.',
      ),
    seed: z.int().min(0).default(0).describe('Its seed; means the same as torch.manual_seed on the CPU.'),
    device: z
      .enum(['auto', ...DEVICE_NAMES])
      .default('auto')
      .describe('Where it runs; auto measures what there is and takes the fastest.'),
    profile: z
      .enum(PROFILES)
      .default('standard')
      .describe('How thorough the checks are: quick for daily work, standard, or full before a release.'),
    budgets: z
      .strictObject({
        denoise_ms: z
          .number()
          .min(1)
          .exactOptional()
          .describe('Milliseconds for all sampling steps together, VAE excluded.'),
        step_ms: z.number().min(1).exactOptional().describe('Milliseconds for a step: the median of warm ones.'),
        decode_ms: z.number().min(1).exactOptional().describe('Milliseconds for decoding all frames.'),
        peak_bytes: byteSize()
          .exactOptional()
          .describe('The most memory of the process that samples, as a number or with a unit (6GB).'),
      })
      .prefault({})
      .describe('Limits that verification fails beyond.'),
    reference: path()
      .exactOptional()
      .describe(
        'A run that this one must equal: the fingerprint.json of another verification, or a safetensors file with its final latents as `latents` ' +
          '(and, where it has them, latents.init, encoder_hidden_states, noise_pred.0, latents.0 … and frames), as models/tiny/reference.safetensors.',
      ),
  })
  .prefault({})
  .describe('How the result is proved.');

/** Why it is no place to publish to, as a sentence. */
function faultOfPlace(to: string): string | undefined {
  const reference = isReference(to) ? parseTarget(to) : isOciReference(to) ? parseOciReference(to) : undefined;
  if (reference) return 'fault' in reference ? reference.fault : undefined;
  return /^\w+:\/\//.test(to) ? 'A folder, hf://owner/name or oci://registry/name:tag is one' : undefined;
}

const publish = z
  .strictObject({
    to: path()
      .check(({ value, issues }) => {
        const fault = faultOfPlace(value);
        if (fault === undefined) return;
        issues.push({
          code: 'custom',
          message: `is no place to publish to. ${fault.replace(/\.$/, '')}`,
          input: value,
        });
      })
      .describe(
        'A folder, a repository on the Hugging Face Hub (hf://owner/name, @branch) or a registry (oci://registry/name:tag).',
      ),
    private: z
      .boolean()
      .exactOptional()
      .describe(
        'Of a repository that is made on the Hub: who may see it. Default: what its owner has set for new ones.',
      ),
    pull_request: z.boolean().exactOptional().describe('On the Hub: offer the package as a pull request.'),
  })
  .check(({ value, issues }) => {
    if (isReference(value.to)) return;
    for (const key of ['private', 'pull_request'] as const)
      if (value[key] !== undefined)
        issues.push({
          code: 'custom',
          path: [key],
          message: 'is only for the Hub (hf://owner/name)',
          input: value[key],
        });
  })
  .describe('Where the package goes once it has passed; without this key it stays where it was baked.');

/** A recipe as written. Its input type is the file, its output type has the defaults that depend on nothing else. */
export const recipeSchema = z
  .strictObject({
    name: z
      .string()
      .min(1)
      .max(MAX_NAME_LENGTH)
      .regex(/^(?!\.)[^/\\\p{Cc}]*$/u, {
        error: 'must not begin with a dot, nor contain a slash, a backslash or a control character: it names files',
      })
      .describe('What the result is called.'),
    base,
    personalized: z.array(personalized).default([]).describe('Personalized LoRAs (α), summed in this order.'),
    lcm: lcm.exactOptional(),
    motion,
    sampler,
    output,
    verify,
    publish: publish.exactOptional(),
  })
  .meta({ title: 'lcm-merge recipe' })
  .describe(
    'A base model, what is merged into it and with which strength, and how the result is proved. Paths are relative to this file; an input may also be hf://owner/repo[/path][@revision].',
  );

/** A recipe as read and validated, before paths are resolved. */
export type RecipeDocument = z.output<typeof recipeSchema>;

/** Globs and expectations that the tensors of one source file are held to. */
interface Accounted {
  readonly allow_unmatched: readonly string[];
  readonly expect?: { readonly modules: number };
}

export interface PersonalizedSource extends Accounted {
  /** Either an adapter … */
  readonly lora?: string;
  /** … or a whole model. */
  readonly checkpoint?: string;
  /** Strength in the UNet. */
  readonly alpha: number;
  readonly scale: ScaleConvention;
  /** Strength in the text encoder. */
  readonly text_encoder: number;
  readonly blocks: BlockWeights;
  readonly license?: StatedLicense;
}

export interface LcmSource extends Accounted {
  readonly lora: string;
  readonly beta: number;
  readonly scale: ScaleConvention;
  readonly blocks: BlockWeights;
  readonly license?: StatedLicense;
}

export interface MotionLoraSource extends Accounted {
  readonly lora: string;
  readonly alpha: number;
  readonly scale: ScaleConvention;
  readonly blocks: BlockWeights;
  readonly license?: StatedLicense;
}

export interface MotionSource extends Accounted {
  /** A file, or a diffusers folder. */
  readonly module: string;
  /** The same; w = base + γ·(module − base). */
  readonly base?: string;
  readonly gamma: number;
  readonly mode: 'residual' | 'weights';
  readonly norm: 'per-frame' | 'pooled';
  /** Rows of the positional encoding, as written: so many, or so many made of the first `from`. */
  readonly positions?: number | { readonly from?: number; readonly to: number };
  readonly loras: readonly MotionLoraSource[];
  readonly blocks: BlockWeights;
  readonly license?: StatedLicense;
  readonly base_license?: StatedLicense;
}

/** Where an input comes from that the recipe names by a reference to the Hub. */
export interface Origin {
  /** As the recipe writes it. */
  readonly reference: string;
  /** The commit that its revision is. */
  readonly commit: string;
  /** What the repository's card says at that commit. */
  readonly license?: StatedLicense;
  /** The local copy: what the input's field holds instead of the reference. */
  readonly local: string;
  /** By their path in the repository. */
  readonly files: Readonly<Record<string, FetchedFile>>;
}

export interface FetchedFile {
  readonly local: string;
  readonly sha256: string;
  readonly bytes: number;
}

/** Frames, and pixels of width and height. */
export interface ClipShape {
  readonly frames: number;
  readonly width: number;
  readonly height: number;
}

/** A recipe with every default filled in and every path absolute. */
export interface Recipe {
  /** Absolute path of the recipe file. */
  readonly file: string;
  /** Its text, as read. */
  readonly text: string;
  readonly name: string;
  readonly base: {
    readonly model: string;
    readonly config?: string;
    readonly vae?: string;
    readonly text_encoder?: string;
    readonly license?: StatedLicense;
    readonly vae_license?: StatedLicense;
    readonly text_encoder_license?: StatedLicense;
  };
  readonly personalized: readonly PersonalizedSource[];
  readonly lcm?: LcmSource;
  readonly motion: MotionSource;
  readonly sampler: {
    readonly kind: SamplerKind;
    readonly steps: number;
    readonly guidance: number;
    readonly beta_schedule: BetaSchedule;
    readonly original_steps: number;
    readonly timestep_spacing: TimestepSpacing;
  };
  readonly output: ClipShape & {
    readonly dtype: 'fp16' | 'fp32';
    /** Of the VAE; `dtype` when left out. */
    readonly vae_dtype?: 'fp16' | 'fp32';
    readonly weights: boolean;
    readonly vae_encoder: boolean;
    /** Of one file of weights. */
    readonly max_shard_bytes?: number;
    /** `portable` first, each once. */
    readonly targets: readonly TargetName[];
    /** A list has the clip above first. */
    readonly shapes: 'static' | 'dynamic' | readonly ClipShape[];
    readonly prompt: {
      /** Of the text states, a multiple of the text encoder's length; one such length when left out. */
      readonly tokens?: number | 'dynamic';
      /** Text states of every frame? */
      readonly per_frame: boolean;
    };
  };
  readonly verify: {
    readonly prompt: string;
    readonly negative: string;
    readonly prompt_weights: boolean;
    readonly seed: number;
    readonly device: 'auto' | (typeof DEVICE_NAMES)[number];
    readonly profile: Profile;
    readonly budgets: {
      readonly denoise_ms?: number;
      readonly step_ms?: number;
      readonly decode_ms?: number;
      readonly peak_bytes?: number;
    };
    /** A fingerprint, or a file of tensors. */
    readonly reference?: string;
  };
  /** `to`: an absolute path, or a reference to the Hub or a registry. */
  readonly publish?: { readonly to: string; readonly private?: boolean; readonly pull_request?: boolean };
  /** Inputs that were fetched from the Hub, by the name of their field (`personalized[0].lora`). */
  readonly origins?: Readonly<Record<string, Origin>>;
}

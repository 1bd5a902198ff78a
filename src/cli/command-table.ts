/**
 * What can be said on the command line: every verb with its operands and options. Parser, help and completions are all made
 * from this one table, so that none of them can know something that the others do not.
 */
import { SAMPLER_KINDS, TIMESTEP_SPACINGS } from '../architecture/sampler-config.ts';
import { PROFILES } from '../recipe/profile.ts';
import { FUSE_METHODS, WINDOW_SCHEDULES } from '../runtime/context-windows.ts';
import type { Device } from '../runtime/device.ts';
import { NOISE_TYPES } from '../runtime/initial-noise.ts';

export interface OptionSpec {
  readonly type: 'string' | 'boolean' | 'number' | 'integer';
  readonly short?: string;
  /** What help calls the value. */
  readonly placeholder?: string;
  readonly choices?: readonly string[];
  /** Limits of a number, both included. */
  readonly min?: number;
  readonly max?: number;
  readonly default?: string | number;
  readonly required?: true;
  /** It may be given several times; all its values are taken. */
  readonly many?: true;
  /** The value is a path, and of what. */
  readonly completes?: 'file' | 'folder';
  /** Where the value comes from when it is left out and no constant says it. */
  readonly otherwise?: string;
  /** What the bare option means, for one whose value may be left out; a value is then given with `=` only. */
  readonly bare?: string;
  readonly description: string;
}

export interface OperandSpec {
  readonly description: string;
  readonly choices?: readonly string[];
  readonly completes?: 'file' | 'folder';
  /** One or more; the last operand only. */
  readonly many?: true;
}

export interface CommandSpec {
  readonly summary: string;
  readonly details?: string;
  /** In the order in which they are given; all are required. */
  readonly operands: Readonly<Record<string, OperandSpec>>;
  readonly options: Readonly<Record<string, OptionSpec>>;
  readonly examples: readonly string[];
}

/** Numbers that are passed on exactly; no seed needs to be larger. */
const MAX_SEED = Number.MAX_SAFE_INTEGER;

const RECIPE = { description: 'the recipe, a YAML file', completes: 'file' } as const;
const PACKAGE = {
  description: 'a folder that lcm-merge baked, or any of the same layout',
  completes: 'folder',
} as const;
/** For the verbs that leave it as it is. */
const ANY_PACKAGE = {
  description: `${PACKAGE.description}; or hf://owner/name@revision, oci://registry/name:tag`,
  completes: 'folder',
} as const;

/** The limits of recipes, said here once more because help must not wait for the schema to load; a test holds them equal. */
const [MAX_SIDE, MAX_GUIDANCE] = [16384, 1000];

/** Said here once more because help must not wait for onnxruntime to load. */
const DEVICE_CHOICES = ['auto', 'cpu', 'webgpu', 'cuda', 'dml', 'coreml'] as const satisfies readonly (
  | Device
  | 'auto'
)[];

const DEVICE = {
  type: 'string',
  placeholder: 'D',
  choices: DEVICE_CHOICES,
  description: 'where the graphs run (dml: Windows, coreml: macOS); auto measures what there is and takes the fastest',
} as const;

const ALLOW_FALLBACK = {
  type: 'boolean',
  description:
    'take graphs of which the device leaves parts to the CPU; what they are is said and stands in the report',
} as const;

const PROFILE = {
  type: 'string',
  placeholder: 'P',
  choices: PROFILES,
  description: 'how thorough the checks are',
} as const;

const PACKAGE_OUT = {
  type: 'string',
  short: 'o',
  placeholder: 'DIR',
  completes: 'folder',
  otherwise: 'out/ and the name of the recipe',
  description: 'the folder that becomes the package; an older package there is replaced',
} as const;

const NEGATIVE = {
  type: 'string',
  placeholder: 'N',
  otherwise: "the recipe's",
  description: 'what not to show; counts only with a guidance above 1',
} as const;

const SEED = { type: 'integer', placeholder: 'S', min: 0, max: MAX_SEED, otherwise: "the recipe's" } as const;

/** For the verbs that sample. */
const PREVIEW = {
  preview: {
    type: 'boolean',
    description:
      'show what each sampling step comes to: on a terminal with colours as a picture, in --json=stream as WebP',
  },
} as const;

/** For the verbs that take references, as inputs of a recipe or as packages. */
const HUB = {
  offline: {
    type: 'boolean',
    description: 'use no network: take what references name from the cache; LCM_MERGE_OFFLINE=1 says the same',
  },
} as const;

const LOCK = {
  type: 'string',
  placeholder: 'FILE',
  completes: 'file',
  otherwise: 'the lock of an older package at DIR',
  description: 'a lock (or a package): hf:// inputs are taken at its commits and must have its hashes',
} as const;

const PRIVATE_KEY = {
  type: 'string',
  placeholder: 'KEY.pem',
  completes: 'file',
} as const;

const QUIET = {
  quiet: { type: 'boolean', short: 'q', description: 'write nothing but warnings and errors to stderr' },
  'no-color': { type: 'boolean', description: 'no colours; NO_COLOR in the environment says the same' },
  help: { type: 'boolean', short: 'h', description: 'show this help' },
} as const;

const COMMON = {
  json: {
    type: 'string',
    choices: ['object', 'stream'],
    bare: 'object',
    description: 'write one JSON object to stdout; =stream writes every event as a line of JSON, the result last',
  },
  ...QUIET,
} as const;

export const COMMANDS = {
  make: {
    summary: 'bake, verify and, if the recipe says so, publish: the whole job',
    details: 'The word make may be left out. A package that fails verification is kept beside DIR as DIR.failed.',
    operands: { recipe: RECIPE },
    options: {
      out: PACKAGE_OUT,
      device: { ...DEVICE, otherwise: 'what the recipe says' },
      'allow-fallback': ALLOW_FALLBACK,
      profile: { ...PROFILE, otherwise: 'what the recipe says' },
      'dry-run': { type: 'boolean', description: 'show the plan and write nothing' },
      lock: LOCK,
      ...PREVIEW,
      ...HUB,
      ...COMMON,
    },
    examples: ['lcm-merge recipes/tiny.yaml', 'lcm-merge recipes/tiny.yaml -o out/ink --device cpu --preview'],
  },
  init: {
    summary: 'write the recipe that the files of a folder make',
    details:
      'Looks at every file of weights and every diffusers folder (headers only), tells which can be base, LoRA, LCM LoRA and motion module, and takes those that were made for each other. Comments in the recipe say why, and what else was found.',
    operands: {
      folder: { description: 'where the files are; the folders in it are looked at as well', completes: 'folder' },
    },
    options: {
      out: {
        type: 'string',
        short: 'o',
        placeholder: 'FILE',
        completes: 'file',
        otherwise: 'the name of the folder and .yaml',
        description: 'the recipe to write; no file is written over',
      },
      'dry-run': { type: 'boolean', description: 'print the recipe and write nothing' },
      ...COMMON,
    },
    examples: ['lcm-merge init models/tiny', 'lcm-merge init ~/models -o recipes/mine.yaml --dry-run'],
  },
  plan: {
    summary: 'show what would be merged, by which rule and how large it gets',
    details:
      'Reads the headers of the files only; with --effects, the weights that are changed as well. Inputs on the Hub (hf://) are fetched into the cache first.',
    operands: { recipe: RECIPE },
    options: {
      effects: { type: 'boolean', description: 'measure how much each source changes each block' },
      lock: { ...LOCK, otherwise: 'the lock of an older package at out/ and the name of the recipe' },
      ...HUB,
      ...COMMON,
    },
    examples: [
      'lcm-merge plan recipes/tiny.yaml --effects',
      'lcm-merge plan recipes/tiny.yaml --json | jq .components.unet.rules',
    ],
  },
  bake: {
    summary: 'merge the weights and write the package, without verifying it',
    operands: { recipe: RECIPE },
    options: {
      out: PACKAGE_OUT,
      'dry-run': { type: 'boolean', description: 'show the plan and write nothing' },
      lock: LOCK,
      ...HUB,
      ...COMMON,
    },
    examples: ['lcm-merge bake recipes/tiny.yaml', 'lcm-merge bake recipes/tiny.yaml -o out/ink --json=stream'],
  },
  run: {
    summary: 'sample a clip with a package',
    details:
      'Writes frame-0000.png, frame-0001.png … and frames.webp, an animation. Sizes that the graph fixes need not be given; other ones are refused. More frames than the graph takes are made in overlapping windows.',
    operands: { package: ANY_PACKAGE },
    options: {
      out: {
        type: 'string',
        short: 'o',
        placeholder: 'DIR',
        completes: 'folder',
        default: 'out/frames',
        description: 'the folder for the frames; frames of an earlier run there are replaced',
      },
      prompt: { type: 'string', placeholder: 'P', otherwise: "the recipe's", description: 'what to show' },
      negative: NEGATIVE,
      'prompt-travel': {
        type: 'string',
        placeholder: 'P',
        description:
          'a prompt that changes on the way, in place of --prompt: "0: a red circle, 8: a blue square" (frame: prompt); wants a package baked with output.prompt.per_frame',
      },
      'prompt-weights': {
        type: 'string',
        choices: ['on', 'off'],
        bare: 'on',
        otherwise: "the recipe's",
        description:
          'read (word:1.2), (word) for 1.1 and [word] for 1/1.1 in prompts as weights; off: brackets are text',
      },
      seed: { ...SEED, description: 'means the same as in PyTorch on the CPU' },
      steps: {
        type: 'integer',
        placeholder: 'K',
        min: 1,
        max: 1000,
        otherwise: "the recipe's",
        description: 'sampling steps',
      },
      frames: {
        type: 'integer',
        placeholder: 'F',
        min: 1,
        otherwise: "the graph's",
        description: 'frames of the clip; more than a window has are made in overlapping windows',
      },
      context: {
        type: 'integer',
        placeholder: 'F',
        min: 1,
        otherwise: "the graph's frames, or its positions",
        description: 'frames of a window',
      },
      overlap: {
        type: 'integer',
        placeholder: 'F',
        min: 0,
        otherwise: 'a quarter of the window',
        description: 'frames that two windows share',
      },
      schedule: {
        type: 'string',
        placeholder: 'NAME',
        choices: WINDOW_SCHEDULES,
        otherwise: 'static',
        description: 'where windows lie: static, elsewhere in every step (uniform), or so that the clip loops (looped)',
      },
      fuse: {
        type: 'string',
        placeholder: 'NAME',
        choices: FUSE_METHODS,
        otherwise: 'pyramid',
        description: 'how noise predictions of overlapping windows are weighted',
      },
      noise: {
        type: 'string',
        placeholder: 'NAME',
        choices: NOISE_TYPES,
        otherwise: 'random',
        description: "what later windows start from: noise of their own, or the first window's shuffled (freenoise)",
      },
      width: {
        type: 'integer',
        placeholder: 'W',
        min: 8,
        max: MAX_SIDE,
        otherwise: "the graph's",
        description: 'in pixels, a multiple of 8',
      },
      height: {
        type: 'integer',
        placeholder: 'H',
        min: 8,
        max: MAX_SIDE,
        otherwise: "the graph's",
        description: 'in pixels, a multiple of 8',
      },
      guidance: {
        type: 'number',
        placeholder: 'G',
        min: 0,
        max: MAX_GUIDANCE,
        otherwise: "the recipe's",
        description: 'classifier-free guidance; above 1 a step costs twice as much',
      },
      sampler: {
        type: 'string',
        placeholder: 'NAME',
        choices: SAMPLER_KINDS,
        otherwise: "the package's",
        description: "the sampler; another than the package's takes the same noise schedule and spacing of timesteps",
      },
      'timestep-spacing': {
        type: 'string',
        placeholder: 'NAME',
        choices: TIMESTEP_SPACINGS,
        otherwise: "the package's",
        description: 'where the timesteps of every sampler but lcm lie; trailing begins with pure noise',
      },
      device: { ...DEVICE, default: 'auto' },
      'allow-fallback': ALLOW_FALLBACK,
      fps: {
        type: 'number',
        placeholder: 'N',
        min: 0.1,
        max: 1000,
        default: 8,
        description: 'frames per second of the animation',
      },
      'save-latents': {
        type: 'string',
        placeholder: 'FILE',
        completes: 'file',
        description:
          'also write the final latents, tensor `latents` float32 [1, 4, frames, height/8, width/8], as safetensors',
      },
      ...PREVIEW,
      ...HUB,
      ...COMMON,
    },
    examples: [
      'lcm-merge run out/tiny --prompt "a blue square" --preview',
      'lcm-merge run out/tiny --seed 7 --steps 8 -o out/blue --save-latents out/blue.safetensors',
    ],
  },
  verify: {
    summary: 'run a package and check what comes out',
    details:
      'Writes verification/ into the package: report.json, report.html, the clip and its fingerprint, which later verifications are compared with. A package that is signed is left as it is; signature, hashes and fingerprint are then held to what it brings, and nothing of it runs before the first two have held. So is a package on the Hub or in a registry, of which nothing is kept but what --json says.',
    operands: { package: ANY_PACKAGE },
    options: {
      'public-key': {
        type: 'string',
        placeholder: 'KEY.pem',
        completes: 'file',
        description: 'the key that the package must be signed with (P-256, P-384 or P-521)',
      },
      signature: {
        type: 'string',
        placeholder: 'FILE',
        completes: 'file',
        otherwise: 'model.sig in the package',
        description: 'where its signature is',
      },
      recipe: {
        type: 'string',
        placeholder: 'RECIPE',
        completes: 'file',
        description: 'read the source files again and recompute tensors from them',
      },
      device: { ...DEVICE, otherwise: 'what the recipe said' },
      'allow-fallback': ALLOW_FALLBACK,
      profile: { ...PROFILE, otherwise: 'what the recipe said' },
      ...PREVIEW,
      ...HUB,
      ...COMMON,
    },
    examples: [
      'lcm-merge verify out/tiny --recipe recipes/tiny.yaml --device cpu',
      'lcm-merge verify oci://ghcr.io/you/tiny:v1 --public-key release.pub.pem',
    ],
  },
  reproduce: {
    summary: 'make a package once more from its lock and compare every byte',
    details:
      'The lock keeps the recipe, the commits of inputs on the Hub and the SHA-256 of every input; where files of a machine were merged, --sources finds them, or --recipe says where they are. What is made anew is removed again unless -o names a place for it.',
    operands: { package: ANY_PACKAGE },
    options: {
      sources: {
        type: 'string',
        placeholder: 'FOLDER',
        completes: 'folder',
        many: true,
        description:
          'where to look for inputs that were files of a machine, by their SHA-256; may be given several times',
      },
      recipe: {
        type: 'string',
        placeholder: 'RECIPE',
        completes: 'file',
        otherwise: 'the recipe in the lock',
        description: 'the recipe that it was baked from, whose paths lead to such inputs',
      },
      out: {
        type: 'string',
        short: 'o',
        placeholder: 'DIR',
        completes: 'folder',
        description: 'keep what is made anew there; an older package there is replaced',
      },
      ...HUB,
      ...COMMON,
    },
    examples: [
      'lcm-merge reproduce out/tiny --sources models/tiny',
      'lcm-merge reproduce hf://you/tiny@v1 -o out/again --json',
    ],
  },
  diff: {
    summary: 'say what differs between two packages: knobs, sources, weights, timings',
    details:
      'Knobs and sources are those of the locks; of the weights it tells, block by block, how many tensors differ, how far (‖B−A‖ against ‖A‖) and which number changed most; then graphs, files, and what the two verifications found. Writes nothing. The exit code is 0 whether or not they differ, unless --exit-code is given.',
    operands: {
      a: { ...ANY_PACKAGE, description: `what was there before: ${ANY_PACKAGE.description}` },
      b: { ...ANY_PACKAGE, description: 'what there is now: another folder or reference' },
    },
    options: {
      'exit-code': {
        type: 'boolean',
        description:
          'end with exit code 1 if any file differs, as git diff does; verification and signature do not count',
      },
      ...HUB,
      ...COMMON,
    },
    examples: [
      'lcm-merge diff out/tiny out/strong',
      'lcm-merge diff oci://ghcr.io/you/tiny:v1 out/tiny --json | jq .knobs',
    ],
  },
  sign: {
    summary: 'sign a package that has passed verification',
    details:
      'Writes model.sig into the package, an OpenSSF Model Signing v1.0 bundle about every other file of it, which model_signing verifies as well. Whatever is changed after that makes it worthless; verify leaves a signed package as it is.',
    operands: { package: PACKAGE },
    options: {
      key: {
        ...PRIVATE_KEY,
        required: true,
        description:
          'the private key (P-256, P-384 or P-521), readable by you alone; the passphrase of an encrypted one is in LCM_MERGE_KEY_PASSPHRASE',
      },
      out: {
        type: 'string',
        short: 'o',
        placeholder: 'FILE',
        completes: 'file',
        otherwise: 'model.sig in the package',
        description: 'write the signature there and leave the package as it is',
      },
      ...COMMON,
    },
    examples: [
      'lcm-merge sign out/tiny --key release.pem',
      'lcm-merge sign out/tiny --key release.pem -o tiny.sig --json',
    ],
  },
  publish: {
    summary: 'put a package that has passed verification in its place: a folder, the Hugging Face Hub or a registry',
    operands: { package: PACKAGE },
    options: {
      to: {
        type: 'string',
        placeholder: 'PLACE',
        completes: 'folder',
        required: true,
        description:
          'the folder that becomes the published package, or hf://owner/name (@branch), or oci://registry/name:tag; an older package there is replaced',
      },
      sign: {
        ...PRIVATE_KEY,
        description:
          'sign what is published with this private key, as lcm-merge sign does; the package itself is left as it is',
      },
      private: {
        type: 'boolean',
        description: 'on the Hub, where the repository is not there yet: make it one that others do not see',
      },
      'pull-request': {
        type: 'boolean',
        description: 'on the Hub: offer the package as a pull request instead of committing it',
      },
      message: {
        type: 'string',
        placeholder: 'TEXT',
        otherwise: 'what is published, and by what',
        description: 'on the Hub: the message of the commit, its first line the title',
      },
      'dry-run': {
        type: 'boolean',
        description: 'show what would be sent and replaced, or all that is in the way, and write nothing',
      },
      ...COMMON,
    },
    examples: [
      'lcm-merge publish out/tiny --to /srv/models/tiny --dry-run',
      'lcm-merge publish out/tiny --to hf://you/tiny --private --sign release.pem',
    ],
  },
  pull: {
    summary: 'fetch a package from the Hub or a registry',
    details:
      'Byte for byte as it was published, each file checked by its hash; what is in the cache already is not fetched again. Run lcm-merge verify on it before you trust it.',
    operands: {
      reference: {
        description: 'hf://owner/name, with @revision behind it, or oci://registry/name, with :tag or @sha256:…',
      },
    },
    options: {
      out: {
        type: 'string',
        short: 'o',
        placeholder: 'DIR',
        completes: 'folder',
        required: true,
        description: 'the folder that becomes the package; an older package there is replaced',
      },
      ...HUB,
      ...COMMON,
    },
    examples: [
      'lcm-merge pull oci://ghcr.io/you/tiny:v1 -o out/tiny',
      'lcm-merge pull hf://you/tiny@main -o out/tiny --json',
    ],
  },
  compare: {
    summary: 'sample packages side by side: time, distance, consistency',
    details:
      'Same prompts, same seeds. With --grid it makes the comparison of the AnimateLCM paper: LCM on each PACKAGE, DDIM and DPM++ with guidance on the teacher, at 1, 2, 4 and 8 steps, against the teacher at 50. Writes comparison.json, comparison.md, sheet.svg and a clip of each row.',
    operands: { packages: { ...ANY_PACKAGE, many: true } },
    options: {
      out: {
        type: 'string',
        short: 'o',
        placeholder: 'DIR',
        completes: 'folder',
        default: 'out/comparison',
        description: 'the folder for the results; those of an earlier comparison there are replaced',
      },
      grid: { type: 'boolean', description: 'LCM, DDIM and DPM++ at 1, 2, 4 and 8 steps, and the teacher at 50' },
      teacher: {
        type: 'string',
        placeholder: 'PACKAGE',
        completes: 'folder',
        otherwise: 'the first PACKAGE',
        description: 'what the others are measured against: with --grid the slow model (its own motion module, no LCM)',
      },
      prompt: { type: 'string', placeholder: 'P', otherwise: "the recipe's", description: 'what to show' },
      prompts: {
        type: 'string',
        placeholder: 'FILE',
        completes: 'file',
        description: 'a text file with a prompt on each line, instead of --prompt',
      },
      negative: NEGATIVE,
      seed: { ...SEED, description: 'the first seed' },
      seeds: {
        type: 'integer',
        placeholder: 'N',
        min: 1,
        max: 1000,
        default: 1,
        description: 'how many seeds, each with every prompt',
      },
      guidance: {
        type: 'number',
        placeholder: 'G',
        min: 0,
        max: MAX_GUIDANCE,
        otherwise: "the recipe's where that is above 1, else 7.5",
        description: 'classifier-free guidance of DDIM and DPM++ in the grid',
      },
      clip: {
        type: 'string',
        placeholder: 'DIR',
        completes: 'folder',
        description:
          'a CLIP as ONNX (text_model.onnx, vision_model.onnx, tokenizer): adds CLIPSIM and CLIP consistency',
      },
      'video-features': {
        type: 'string',
        placeholder: 'FILE',
        completes: 'file',
        description: 'a video network as ONNX (I3D …): adds FVD; takes several clips, see --prompts and --seeds',
      },
      device: { ...DEVICE, default: 'auto' },
      ...HUB,
      ...COMMON,
    },
    examples: [
      'lcm-merge compare out/a out/b --prompt "a blue square"',
      'lcm-merge compare out/tiny --teacher out/tiny-teacher --grid --seeds 4',
    ],
  },
  sweep: {
    summary: 'sample a recipe at a grid of strengths, small, to choose by eye',
    details:
      'KNOB is a number of the recipe and its values: lcm.beta=0.7,1,1.3, personalized[0].blocks.IN08=0..1:3 (three from 0 to 1), or short: alpha, beta, gamma, guidance, steps, seed. Left out: three values of the first two strengths. Only what a knob changes is merged again. Writes sheet.svg, which moves, and sweep.json.',
    operands: { recipe: RECIPE },
    options: {
      out: {
        type: 'string',
        short: 'o',
        placeholder: 'DIR',
        completes: 'folder',
        default: 'out/sweep',
        description: 'the folder for the results; those of an earlier sweep there are replaced',
      },
      x: { type: 'string', placeholder: 'KNOB', description: 'what changes from left to right' },
      y: { type: 'string', placeholder: 'KNOB', description: 'what changes from top to bottom' },
      pick: {
        type: 'string',
        placeholder: 'X[,Y]',
        description: 'sample nothing: write these values of the knobs into the recipe, whose comments and order stay',
      },
      frames: {
        type: 'integer',
        placeholder: 'F',
        min: 1,
        otherwise: "8, or the recipe's if those are fewer",
        description: 'frames of each clip',
      },
      width: {
        type: 'integer',
        placeholder: 'W',
        min: 8,
        max: MAX_SIDE,
        otherwise: "128, or the recipe's if that is less",
        description: 'in pixels, a multiple of 8',
      },
      height: {
        type: 'integer',
        placeholder: 'H',
        min: 8,
        max: MAX_SIDE,
        otherwise: "128, or the recipe's if that is less",
        description: 'in pixels, a multiple of 8',
      },
      prompt: { type: 'string', placeholder: 'P', otherwise: "the recipe's", description: 'what to show' },
      negative: NEGATIVE,
      seed: { ...SEED, description: 'the same for every clip' },
      device: { ...DEVICE, otherwise: 'what the recipe says' },
      lock: { ...LOCK, otherwise: 'the lock of an older package at out/ and the name of the recipe' },
      ...HUB,
      ...COMMON,
    },
    examples: [
      'lcm-merge sweep recipes/tiny.yaml --x alpha=0.4,0.7,1 --y beta=0.7,1,1.3',
      'lcm-merge sweep recipes/tiny.yaml --x alpha --y beta --pick 0.7,1',
    ],
  },
  inspect: {
    summary: 'say what a weight file, a graph or a package is',
    operands: {
      file: {
        description:
          'a safetensors or PyTorch file, a model.onnx, a package (also hf:// or oci://), or a folder of weight files',
        completes: 'file',
      },
    },
    details:
      'Of a graph it shows what a run costs: operations, memory traffic, activations. A graph with symbolic lengths is looked at for the clip of the recipe, and for another one if that is given.',
    options: {
      frames: {
        type: 'integer',
        placeholder: 'F',
        min: 1,
        otherwise: "the recipe's",
        description: 'frames of the clip',
      },
      width: {
        type: 'integer',
        placeholder: 'W',
        min: 8,
        max: MAX_SIDE,
        otherwise: "the recipe's",
        description: 'in pixels, a multiple of 8',
      },
      height: {
        type: 'integer',
        placeholder: 'H',
        min: 8,
        max: MAX_SIDE,
        otherwise: "the recipe's",
        description: 'in pixels, a multiple of 8',
      },
      ...HUB,
      ...COMMON,
    },
    examples: ['lcm-merge inspect models/tiny/lcm.safetensors', 'lcm-merge inspect out/tiny --frames 32 --json'],
  },
  doctor: {
    summary: 'try every device and show what this machine has',
    operands: {},
    options: COMMON,
    examples: ['lcm-merge doctor', 'lcm-merge doctor --json | jq .devices'],
  },
  schema: {
    summary: 'print the JSON schema of recipes, for editors',
    operands: {},
    options: QUIET,
    examples: ['lcm-merge schema > recipe.schema.json', 'lcm-merge schema | jq .properties.sampler'],
  },
  completion: {
    summary: 'print the completion script of a shell',
    operands: { shell: { description: 'bash, zsh or fish', choices: ['bash', 'zsh', 'fish'] } },
    options: QUIET,
    examples: [
      'source <(lcm-merge completion bash)',
      'lcm-merge completion fish > ~/.config/fish/completions/lcm-merge.fish',
    ],
  },
} as const satisfies Record<string, CommandSpec>;

export type Verb = keyof typeof COMMANDS;

export const VERBS = Object.keys(COMMANDS) as readonly Verb[];

/** The table without its literal types, for code that treats all rows alike. */
export const SPECS: Readonly<Record<Verb, CommandSpec>> = COMMANDS;

type Given<Option> = Option extends { readonly type: 'number' | 'integer' }
  ? number
  : Option extends { readonly choices: readonly (infer Choice)[] }
    ? Choice
    : string;

type Operand<Spec> = Spec extends { readonly many: true } ? readonly string[] : Given<Spec>;

type Value<Option> = Option extends { readonly type: 'boolean' }
  ? boolean
  : Option extends { readonly many: true }
    ? readonly string[]
    : Given<Option> | (Option extends { readonly default: unknown } | { readonly required: true } ? never : undefined);

/** Operands and options of a verb by name, as its command gets them. */
export type Arguments<V extends Verb> = {
  readonly [Name in keyof (typeof COMMANDS)[V]['operands']]: Operand<(typeof COMMANDS)[V]['operands'][Name]>;
} & { readonly [Name in keyof (typeof COMMANDS)[V]['options']]: Value<(typeof COMMANDS)[V]['options'][Name]> };

/** `{ verb, args }` for each verb. */
export type Invocation = { [V in Verb]: { readonly verb: V; readonly args: Arguments<V> } }[Verb];

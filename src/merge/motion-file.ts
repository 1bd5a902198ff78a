/**
 * The file behind `motion.module` and `motion.base`: found in a diffusers folder if one is named, recognised, and refused
 * by name where it is one of the many things that are built upon motion modules.
 * Source of the telltales: AnimateDiff-Evolved motion_module_ad.py; reference: formats.md §1b.
 */
import { access, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { MOTION_ADAPTER_WEIGHTS } from '../architecture/diffusers-folder.ts';
import { type MotionConfig, motionMismatch, readMotionConfig } from '../architecture/motion-config.ts';
import type { UNetConfig } from '../architecture/unet-config.ts';
import { InputMissingError, MergeError } from '../errors.ts';
import type { TensorFile } from '../formats/tensor-file.ts';
import { type MotionLayout, motionLayout } from './motion.ts';
import type { PlanFiles } from './plan-files.ts';
import { recognise } from './recognise.ts';

/** A motion module, opened. */
export interface MotionFile {
  /** The key under `motion` that names it. */
  readonly key: 'module' | 'base';
  readonly file: TensorFile;
  readonly layout: MotionLayout;
  /** Rows of its positional encoding: those that are stored, else what config.json says, else unknown. */
  readonly rows: number | undefined;
  /** Does it hold a whole UNet, as AnimateDiff's trainer saves it? */
  readonly wholeUnet: boolean;
  readonly config?: { readonly path: string; readonly content: MotionConfig };
}

/** @throws MergeError saying what the file is instead; InputMissingError naming the files that were looked for. */
export async function openMotionFile(files: PlanFiles, key: MotionFile['key'], path: string): Promise<MotionFile> {
  const isFolder = (await stat(path)).isDirectory();
  const configPath = join(path, 'config.json');
  const config = isFolder ? { path: configPath, content: await readMotionConfig(configPath) } : undefined;
  const file = await files.open(isFolder ? await weightFile(path) : path);
  const { kind, title } = await recognise(file);
  if (!MOTION_KINDS.has(kind)) throw refusal(file, key, kind, title);
  const layout = motionLayout(file);
  return {
    key,
    file,
    layout,
    rows: layout.stored ?? config?.content.motion_max_seq_length,
    wholeUnet: kind === 'motion-unet',
    ...(config && { config }),
  };
}

async function weightFile(folder: string): Promise<string> {
  for (const name of MOTION_ADAPTER_WEIGHTS) {
    const path = join(folder, name);
    const there = await access(path).then(
      () => true,
      () => false,
    );
    if (there) return path;
  }
  throw new InputMissingError(`${folder} holds no weights: none of ${MOTION_ADAPTER_WEIGHTS.join(', ')} is there.`, {
    file: folder,
  });
}

/**
 * Does config.json speak of the weights beside it, and of a UNet like the base's? Nothing to ask of a single file.
 * @throws MergeError naming the field and both values.
 */
export function checkMotionConfig({ config, layout }: MotionFile, unet: UNetConfig): void {
  if (!config) return;
  const { path, content } = config;
  const refuse = (reason: string): never => {
    throw new MergeError(
      `${path}: ${reason}. The motion module was made for another model, or its files are mixed up.`,
      {
        file: path,
      },
    );
  };
  const mismatch = motionMismatch(content, unet);
  if (mismatch) refuse(mismatch);
  const { use_motion_mid_block: mid, motion_max_seq_length: rows } = content;
  if (mid !== layout.mid)
    refuse(
      `use_motion_mid_block is ${mid}, but the weights have ${layout.mid ? 'a' : 'no'} module for the middle block`,
    );
  if (layout.stored !== undefined && layout.stored !== rows)
    refuse(`motion_max_seq_length is ${rows}, but the stored positional encodings have ${layout.stored} rows`);
}

// ---------------------------------------------------------------------------------------------------- refusals

/** What `recognise` calls the files that motion modules are taken from. */
const MOTION_KINDS: ReadonlySet<string> = new Set(['motion-module', 'motion-adapter', 'motion-unet']);

const [WITHOUT_INPUT, ELSEWHERE] = [
  'The graph has no input for that',
  'The base is SD1.5; use a motion module that was trained for it',
];

/** What to do about each kind that is no motion module. */
export const NO_MOTION_MODULE: Readonly<Record<string, string>> = {
  pia: `It wants a first frame beside the noise. ${WITHOUT_INPUT}`,
  'animatelcm-i2v': `It wants a first frame. ${WITHOUT_INPUT}; use AnimateLCM_sd15_t2v.ckpt`,
  fancyvideo: `It wants a first frame, its motion and a frame rate. ${WITHOUT_INPUT}`,
  hellomeme: `It wants a reference image and poses. ${WITHOUT_INPUT}`,
  cameractrl: `It wants the poses of a camera. ${WITHOUT_INPUT}`,
  motionctrl: `It wants paths of camera and objects. ${WITHOUT_INPUT}`,
  controlnet: `It wants an image to follow. ${WITHOUT_INPUT}`,
  'hotshot-xl': ELSEWHERE,
  'sdxl-motion-module': ELSEWHERE,
  'svd-unet': 'It is a model of its own and has no motion modules to take out',
  'motion-lora': 'List it under motion.loras',
  'lcm-lora': 'Name it under lcm',
  'ldm-checkpoint': 'Name it as the base',
  'ldm-unet': 'Name it as the base',
  unet: 'Name its folder as the base',
};

/** Everything else that changes a spatial weight. */
const LORA_KINDS = /lora|dora|loha|lokr|glora|oft|ia3|full-difference/;

function refusal(file: TensorFile, key: MotionFile['key'], kind: string, title: string): MergeError {
  const { name: path } = file.source;
  const advice = NO_MOTION_MODULE[kind] ?? (LORA_KINDS.test(kind) ? 'List it under personalized' : undefined);
  const found =
    kind === 'unknown'
      ? `none of the ${file.tensors.size} tensors of ${basename(path)} is named …motion_modules.N…`
      : `this is something else: ${title}`;
  return new MergeError(
    `${path}: motion.${key} wants a motion module such as AnimateLCM_sd15_t2v.ckpt or mm_sd_v15_v2.ckpt, and ${found}.` +
      `${advice === undefined ? '' : ` ${advice}.`} Nothing was merged.`,
    { file: path },
  );
}

/**
 * A package as the runtime sees it: any folder of the layout, also one that this tool did not bake. What the graph fixes is
 * read off the graph; scheduler, tokenizer and VAE scale come from the configs beside it.
 */
import { access, readdir, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { z } from 'zod';
import { readConfig } from '../architecture/config-file.ts';
import { readSavedScheduler, type SavedScheduler } from '../architecture/sampler-config.ts';
import { readVaeConfig } from '../architecture/vae-config.ts';
import { FormatError, InputMissingError } from '../errors.ts';
import { type GraphFileName, parseGraphFileName } from '../export/graph-file-name.ts';
import type { Lock } from '../export/lock.ts';
import { type ModelInfo, readModelInfo } from '../onnx/model-info.ts';
import type { TargetName } from '../recipe/schema.ts';
import { readLock } from './lock-file.ts';
import type { Tokenizer } from './tokenizer.ts';
import { loadTokenizer } from './tokenizer-folder.ts';

/** A length that the graph fixes, or undefined where it leaves it open. */
type Length = number | undefined;

/** The parts of a package that a clip is made with. */
export type ModelName = 'unet' | 'text_encoder' | 'vae_decoder';
/** All parts; not every package has an encoder. */
export type PartName = ModelName | 'vae_encoder';
type Parts<Entry> = Readonly<Record<ModelName, Entry> & Partial<Record<PartName, Entry>>>;

export interface GraphFile extends GraphFileName {
  readonly path: string;
}

export interface VideoPackage {
  readonly folder: string;
  /** The portable graphs of the default shape. */
  readonly models: Parts<string>;
  /** All graphs, those included. */
  readonly graphs: Parts<readonly GraphFile[]>;
  readonly graph: { readonly batch: Length; readonly frames: Length; readonly height: Length; readonly width: Length };
  readonly info: ModelInfo;
  readonly scheduler: SavedScheduler;
  readonly tokenizer: Tokenizer;
  readonly scaling_factor: number;
  /** Most frames that the positional encoding allows, where the config says it. */
  readonly max_frames: Length;
  /** Undefined for packages of other tools. */
  readonly lock: Lock | undefined;
}

const unetSchema = z.looseObject({ motion_max_seq_length: z.number().int().positive().optional() });

/** @throws InputMissingError when a part is not there, FormatError when it is not what the layout says. */
export async function openPackage(folder: string): Promise<VideoPackage> {
  if (
    !(await stat(folder).then(
      (s) => s.isDirectory(),
      () => false,
    ))
  ) {
    throw new InputMissingError(`The package ${folder} is not there, or is no folder.`, { file: folder });
  }
  const models = {
    unet: join(folder, 'unet', 'model.onnx'),
    text_encoder: join(folder, 'text_encoder', 'model.onnx'),
    vae_decoder: join(folder, 'vae_decoder', 'model.onnx'),
  };
  for (const path of Object.values(models)) {
    if (!(await exists(path)))
      throw new InputMissingError(`${path} is missing: ${folder} is not a whole package.`, { file: path });
  }
  const graphs = {
    unet: await graphFiles(join(folder, 'unet')),
    text_encoder: await graphFiles(join(folder, 'text_encoder')),
    vae_decoder: await graphFiles(join(folder, 'vae_decoder')),
  };
  const encoder = join(folder, 'vae_encoder', 'model.onnx');
  const hasEncoder = await exists(encoder);
  const info = await readModelInfo(models.unet);
  const sample = info.inputs.find((input) => input.name === 'sample');
  if (sample?.shape.length !== 5 || sample.shape[1] !== 4) {
    throw new FormatError(
      `${models.unet} is not a video UNet: its input sample should be [B, 4, F, h, w], it is ${sample ? `[${sample.shape}]` : 'missing'}.`,
      { file: models.unet },
    );
  }
  const [batch, , frames, height, width] = sample.shape.map((dim) => (typeof dim === 'number' ? dim : undefined));
  const vae = await readVaeConfig(join(folder, 'vae_decoder', 'config.json'));
  const schedulerFile = join(folder, 'scheduler', 'scheduler_config.json');
  return {
    folder,
    models: { ...models, ...(hasEncoder && { vae_encoder: encoder }) },
    graphs: { ...graphs, ...(hasEncoder && { vae_encoder: await graphFiles(join(folder, 'vae_encoder')) }) },
    graph: { batch, frames, height, width },
    info,
    scheduler: readSavedScheduler(await readConfig(schedulerFile, z.unknown(), (raw) => raw), schedulerFile),
    tokenizer: await loadTokenizer(join(folder, 'tokenizer')),
    scaling_factor: vae.scaling_factor,
    max_frames: await readConfig(join(folder, 'unet', 'config.json'), unetSchema, (raw) => raw.motion_max_seq_length),
    lock: await readLock(folder),
  };
}

/**
 * The graph made for a target, else the portable one; of the size that is asked for (empty: the default's). Undefined where there
 * is none of that size.
 */
export function graphFor(
  files: readonly GraphFile[],
  wanted: TargetName,
  size: readonly number[] = [],
): GraphFile | undefined {
  const fitting = files.filter((file) => file.size.join() === size.join());
  return fitting.find(({ target }) => target === wanted) ?? fitting.find(({ target }) => target === 'portable');
}

/** What the UNet's weights are stored in. */
export function weightType({ info }: Pick<VideoPackage, 'info'>): 'float16' | 'float32' {
  return info.initializers.some(({ type }) => type === 'FLOAT16') ? 'float16' : 'float32';
}

/** A file's path inside the package, with forward slashes on every system. */
export function pathInPackage(folder: string, path: string): string {
  return relative(folder, path).split(sep).join('/');
}

async function graphFiles(folder: string): Promise<GraphFile[]> {
  return (await readdir(folder)).sort().flatMap((name) => {
    const parsed = parseGraphFileName(name);
    return parsed ? [{ ...parsed, path: join(folder, name) }] : [];
  });
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

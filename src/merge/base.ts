/** The base of a recipe: which file or folder each component, each config and the tokenizer come from. */
import { dirname, join } from 'node:path';
import type { Component } from '../architecture/names.ts';
import { STOCK_FOLDER } from '../architecture/stock.ts';
import { kindOf } from '../recipe/input-files.ts';
import type { Recipe } from '../recipe/schema.ts';
import type { ComponentWeights } from './checkpoint.ts';
import type { Role } from './plan-files.ts';
import { type FoundWeights, requireWeights } from './weight-files.ts';

/** Paths of the files that say what the base is, beside its weights. */
export interface BaseConfigs extends Readonly<Record<Component, string>> {
  readonly scheduler: string;
  /** A folder. */
  readonly tokenizer: string;
}

export interface BaseFiles {
  readonly weights: ComponentWeights;
  readonly configs: BaseConfigs;
}

/**
 * Finds the files. A single file is stock SD1.5 unless the recipe names a folder of configs; a VAE or text encoder of its own folder
 * brings its own config.json.
 * @throws InputMissingError saying what was looked for.
 */
export async function findBase({ base, output }: Recipe): Promise<BaseFiles> {
  const isFolder = (await kindOf(base.model)) === 'folder';
  const configs = base.config ?? (isFolder ? base.model : STOCK_FOLDER);
  const own = (path: string | undefined, component: Component): Promise<FoundWeights> =>
    path === undefined ? requireWeights(base.model, component) : requireWeights(path, component, { alone: true });
  const vae = await own(base.vae, 'vae_decoder'); // holds both halves
  const weights = {
    unet: await own(undefined, 'unet'),
    text_encoder: await own(base.text_encoder, 'text_encoder'),
    vae_decoder: vae,
    ...(output.vae_encoder && { vae_encoder: vae }),
  };
  const configOf = async (folder: string, override: string | undefined, found: FoundWeights) => {
    const beside = found.folder !== undefined && join(found.folder, 'config.json');
    return override !== undefined && beside && (await kindOf(beside)) === 'file'
      ? beside
      : join(configs, folder, 'config.json');
  };
  const vaeConfig = await configOf('vae', base.vae, vae);
  return {
    weights,
    configs: {
      unet: join(configs, 'unet', 'config.json'),
      text_encoder: await configOf('text_encoder', base.text_encoder, weights.text_encoder),
      vae_decoder: vaeConfig,
      vae_encoder: vaeConfig,
      scheduler: join(configs, 'scheduler', 'scheduler_config.json'),
      tokenizer: join(configs, 'tokenizer'),
    },
  };
}

/** A single file that several components are taken from is the base; others are named for what they give, both halves of a VAE as one. */
export function baseRole(components: readonly Component[]): Role {
  const [only] = components;
  if (components.length === 1 && only) return `base.${only}`;
  return components.every((component) => component === 'vae_decoder' || component === 'vae_encoder')
    ? 'base.vae'
    : 'base';
}

/** Where lcm-merge leaves its lock: beside the weights of a file, or in the folder that holds those of a component. */
export function lockFolders({ weights }: BaseFiles): string[] {
  const folders = Object.values(weights).flatMap(({ folder }) =>
    folder === undefined ? [] : [dirname(folder), folder],
  );
  return [...new Set(folders)];
}

/** Which files of a repository are fetched for an input that is a folder, and what to offer when it cannot be one. */
import { posix } from 'node:path';
import { z } from 'zod';
import { componentFiles, configFiles, motionAdapterFiles, pipelineFiles } from '../architecture/diffusers-folder.ts';
import type { Component } from '../architecture/names.ts';
import { FormatError } from '../errors.ts';
import { readSmallFile } from '../formats/byte-source.ts';
import { jsonIn } from '../formats/json.ts';
import type { RemoteFile } from '../hub/download.ts';
import { quote } from '../text/quote.ts';
import { wrongPath } from '../text/safe-path.ts';
import type { KeyPath } from './located-yaml.ts';
import type { Recipe } from './schema.ts';

/** An index of shards has a line for each tensor of a component. */
const MAX_INDEX_BYTES = 16 << 20;
const shardIndex = z.looseObject({ weight_map: z.record(z.string(), z.string()) });

/** What a repository offers to those who named it as a whole where one file is needed. */
export function weightsIn(files: readonly RemoteFile[]): string {
  const weights = files.map(({ path }) => path).filter((path) => /\.(safetensors|ckpt|pt|pth|bin)$/i.test(path));
  if (weights.length === 0) return ' It holds no weight files.';
  const shown = weights.slice(0, 5).map((path) => quote(path, 200));
  return ` Its weight files: ${shown.join(', ')}${weights.length > shown.length ? ` and ${weights.length - shown.length} more` : ''}. Put the path of one behind the repository.`;
}

/** What is read beside a file: PEFT keeps the alphas of an adapter_model.safetensors in another file (merge/adapters/settings.ts). */
export function filesBeside(path: string): string[] {
  return /^adapter_model\./.test(posix.basename(path)) ? [posix.join(posix.dirname(path), 'adapter_config.json')] : [];
}

/** What is read of a folder that holds `names`, by the field of the recipe that names it. */
export function filesOfFolder(key: KeyPath, names: ReadonlySet<string>, { base }: Recipe): string[] {
  const [section, field] = [key[0], key.at(-1)];
  if (section === 'motion') return motionAdapterFiles(names);
  if (field === 'config') return configFiles(names);
  if (field === 'vae') return componentFiles(names, 'vae_decoder');
  if (field === 'checkpoint') return pipelineFiles(names, ['unet', 'text_encoder']);
  if (field === 'text_encoder') return componentFiles(names, 'text_encoder');
  // what the recipe takes from elsewhere is not needed from the base
  const isOverridden = (component: Component) => {
    const override = OVERRIDES[component];
    return section === 'base' && override !== undefined && base[override] !== undefined;
  };
  return pipelineFiles(
    names,
    ALL.filter((component) => !isOverridden(component)),
  );
}

/** One for each folder; that of the decoder holds the encoder, too. */
const ALL: readonly Component[] = ['unet', 'text_encoder', 'vae_decoder'];
const OVERRIDES: Readonly<Partial<Record<Component, 'text_encoder' | 'vae'>>> = {
  text_encoder: 'text_encoder',
  vae_decoder: 'vae',
};

/** The shards that an index names; they must be listed beside it. @throws FormatError */
export async function readShards(
  blob: string,
  path: string,
  name: string,
  listed: ReadonlyMap<string, RemoteFile>,
): Promise<RemoteFile[]> {
  const bytes = await readSmallFile(blob, MAX_INDEX_BYTES);
  const parsed = shardIndex.safeParse(jsonIn(bytes));
  if (!parsed.success)
    throw new FormatError(`${path} should be an index of shards, and has no weight_map from tensors to files.`);
  const shards = [...new Set(Object.values(parsed.data.weight_map))].sort();
  return shards.map((shard) => {
    const beside = posix.join(posix.dirname(name), shard);
    const file = shard.includes('/') || wrongPath(shard) !== undefined ? undefined : listed.get(beside);
    if (!file) throw new FormatError(`${path} names the shard ${quote(shard, 200)}, which does not stand beside it.`);
    return file;
  });
}

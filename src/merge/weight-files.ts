/**
 * Where the weights of a component lie: in a single file, or in a folder as diffusers and transformers lay it out, whole or in
 * shards, under the name of a variant or not (architecture/diffusers-folder.ts).
 */
import { readdir } from 'node:fs/promises';
import { dirname, join, posix, win32 } from 'node:path';
import { z } from 'zod';
import { describeIssues, parseJsonText } from '../architecture/config-file.ts';
import { isShardIndex, PIPELINE_LAYOUT, VARIANTS, weightFileNames } from '../architecture/diffusers-folder.ts';
import type { Component } from '../architecture/names.ts';
import { FormatError, InputMissingError } from '../errors.ts';
import { ioError, readSmallFile } from '../formats/byte-source.ts';
import { kindOf } from '../recipe/input-files.ts';

/** SD1.5's 1,131 tensors make an index of 120 KB. */
const MAX_INDEX_BYTES = 8 << 20;
/** The UNet in fp32 makes one shard of 3.4 GB, or seven of half a GB; each is a file held open. */
const MAX_SHARDS = 64;

const shardIndex = z.looseObject({ weight_map: z.record(z.string(), z.string()) });

export interface FoundWeights {
  /** One file, or all shards in the order of their names. */
  readonly paths: readonly string[];
  /** What errors call the whole: the file, or the index of the shards. */
  readonly name: string;
  /** Where a config.json may lie beside it; none beside a single file. */
  readonly folder?: string;
}

/**
 * The weight files of `component` in `path`: a file or a pipeline's folder or, where it is named for this component `alone`, the
 * component's own folder. Undefined when a folder holds none.
 * @throws FormatError for an index that is damaged or names files elsewhere, InputMissingError for a missing shard.
 */
export async function findWeights(
  path: string,
  component: Component,
  { alone = false }: { alone?: boolean } = {},
): Promise<FoundWeights | undefined> {
  if ((await kindOf(path)) !== 'folder') return { paths: [path], name: path };
  for (const folder of [join(path, PIPELINE_LAYOUT[component].folder), ...(alone ? [path] : [])]) {
    const there = new Set(await listing(folder));
    const name = weightFileNames(component).find((candidate) => there.has(candidate));
    if (name === undefined) continue;
    const file = join(folder, name);
    return { name: file, folder, paths: isShardIndex(name) ? await shards(file, there) : [file] };
  }
  return undefined;
}

/** @throws InputMissingError that says what was looked for in the folder `path`. */
export async function requireWeights(
  path: string,
  component: Component,
  { alone = false }: { alone?: boolean } = {},
): Promise<FoundWeights> {
  const found = await findWeights(path, component, { alone });
  if (found) return found;
  const { folder, stems } = PIPELINE_LAYOUT[component];
  const at = alone ? path : join(path, folder);
  throw new InputMissingError(
    `${at} holds no weights: looked for ${stems.safetensors}.safetensors and ${stems.bin}.bin, their variants ` +
      `(${VARIANTS.slice(1)
        .map((variant) => variant.slice(1))
        .join(', ')}) and shards (${stems.safetensors}.safetensors.index.json).`,
    { file: at },
  );
}

async function listing(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return [];
    throw ioError('scandir', folder, error);
  });
}

/**
 * The files that an index names. A name must be one of the files in the index's own folder: an index comes with the download and
 * could point anywhere. Links are followed as everywhere, for a Hugging Face cache consists of them.
 */
async function shards(index: string, there: ReadonlySet<string>): Promise<string[]> {
  const parsed = shardIndex.safeParse(parseJsonText(await readSmallFile(index, MAX_INDEX_BYTES), index), {
    reportInput: true,
  });
  const refuse = (reason: string): never => {
    throw new FormatError(`${index} ${reason}.`, { file: index });
  };
  if (!parsed.success) return refuse(`is no index of shards: ${describeIssues(parsed.error.issues)}`);
  const names = [...new Set(Object.values(parsed.data.weight_map))].sort();
  if (names.length === 0 || names.length > MAX_SHARDS)
    refuse(`names ${names.length} shards; a model of this kind has 1 to ${MAX_SHARDS}`);
  for (const name of names) {
    if (!/^[^\0]+\.(safetensors|bin)$/.test(name) || posix.basename(name) !== name || win32.basename(name) !== name)
      refuse(
        `names ${JSON.stringify(name.slice(0, 200))} as a shard; a shard is a .safetensors or .bin file beside its index`,
      );
    if (!there.has(name)) {
      throw new InputMissingError(`${index} names the shard ${name}, which is not beside it. Download all shards.`, {
        file: join(dirname(index), name),
      });
    }
  }
  return names.map((name) => join(dirname(index), name));
}

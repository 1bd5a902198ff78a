/** Configurations as small as SD1.5's structure allows, and numbers to feed their graphs with. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readClipTextConfig } from '../../src/architecture/clip-config.ts';
import { readUNetConfig } from '../../src/architecture/unet-config.ts';
import { unetStructure } from '../../src/architecture/unet-structure.ts';
import { readVaeConfig } from '../../src/architecture/vae-config.ts';
import type { Dim, Graph } from '../../src/onnx/graph.ts';
import { createGenerator } from '../../src/runtime/noise.ts';
import { CONFIGS } from './family.ts';
import type { Numbers } from './sessions.ts';
import { temporaryFolder } from './temporary.ts';

/** A config as its reader makes it of a file. */
async function read<T>(reader: (file: string) => Promise<T>, config: object): Promise<T> {
  const path = join(await temporaryFolder(), 'config.json');
  await writeFile(path, JSON.stringify(config));
  return reader(path);
}

const unet = async (changes: object) =>
  unetStructure(await read(readUNetConfig, { ...CONFIGS.unet, ...changes }), { mid: true });

/** By what is unusual about them. */
export const UNETS = {
  'heads of 8 and 12': await unet({ block_out_channels: [16, 24], cross_attention_dim: 24 }),
  'odd heads': await unet({ block_out_channels: [12, 20], cross_attention_dim: 16, use_linear_projection: true }),
} as const;

export const SMALL_MODELS = {
  text_encoder: await read(readClipTextConfig, { ...CONFIGS.text_encoder, num_hidden_layers: 2, hidden_size: 16 }),
  vae: await read(readVaeConfig, { ...CONFIGS.vae, block_out_channels: [8, 16, 16, 24] }),
} as const;

/** Random numbers for the inputs of a graph; `lengths` are what its symbolic dimensions stand for. */
export function feedsFor(graph: Graph, lengths: Readonly<Record<string, number>>): Record<string, Numbers> {
  const generator = createGenerator(1);
  const known: Readonly<Record<string, number>> = { images: 2, ...lengths };
  const length = (dim: Dim) => (typeof dim === 'number' ? dim : (known[dim] as number));
  return Object.fromEntries(
    graph.inputs.map(({ name, type, shape }) => {
      const dims = shape.map(length);
      const count = dims.reduce((n, dim) => n * dim, 1);
      const data = NUMBERS[name]?.(count) ?? Array.from(generator.randn(count));
      return [name, { type: type as Numbers['type'], shape: dims, data }];
    }),
  );
}

/** Inputs that are not noise. */
const NUMBERS: Readonly<Record<string, (count: number) => number[]>> = {
  timestep: () => [499],
  input_ids: (count) => Array.from({ length: count }, (_, i) => (i * 37) % CONFIGS.text_encoder.vocab_size),
};

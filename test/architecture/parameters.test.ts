import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { readClipTextConfig } from '../../src/architecture/clip-config.ts';
import {
  clipTextParameters,
  type ModelParameter,
  unetParameters,
  vaeDecoderParameters,
  vaeEncoderParameters,
} from '../../src/architecture/parameters.ts';
import { readUNetConfig } from '../../src/architecture/unet-config.ts';
import { unetStructure } from '../../src/architecture/unet-structure.ts';
import { readVaeConfig } from '../../src/architecture/vae-config.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

/** Made by `python test/oracle/parameters.py`. */
interface Described {
  readonly tensors: number;
  readonly elements: number;
  readonly lines: string;
}
interface Golden {
  readonly unet: readonly {
    readonly name: string;
    readonly base: object;
    readonly motion: { readonly motion_max_seq_length: number; readonly use_motion_mid_block: boolean };
    readonly parameters: Described;
  }[];
  readonly text_encoder: readonly { readonly name: string; readonly config: object; readonly parameters: Described }[];
  readonly vae_decoder: readonly { readonly name: string; readonly config: object; readonly parameters: Described }[];
  readonly vae_encoder: readonly { readonly name: string; readonly config: object; readonly parameters: Described }[];
}

const golden = JSON.parse(await readFile('test/golden/parameters.json', 'utf8')) as Golden;

async function configFile(config: object): Promise<string> {
  const path = join(await temporaryFolder(), 'config.json');
  await writeFile(path, JSON.stringify(config));
  return path;
}

const elements = (parameters: readonly ModelParameter[]) =>
  parameters.reduce((sum, { shape }) => sum + shape.reduce((n, dim) => n * dim, 1), 0);

/** Compares names and shapes with those of a state dict, and the totals. */
function expectStateDict(parameters: readonly ModelParameter[], { tensors, elements: count, lines }: Described): void {
  const expected = inflateSync(Buffer.from(lines, 'base64')).toString().split('\n').sort();
  expect(expected).toHaveLength(tensors);
  expect(parameters.map(({ name, shape }) => `${name} ${shape}`).sort()).toEqual(expected);
  expect(elements(parameters)).toBe(count);
}

async function unetOf({ base, motion }: Golden['unet'][number]): Promise<ModelParameter[]> {
  const config = await readUNetConfig(await configFile(base));
  return unetParameters(unetStructure(config, { mid: motion.use_motion_mid_block }), motion.motion_max_seq_length);
}

describe('parameter tables', () => {
  it.each(golden.unet)('are the state dict of UNetMotionModel: $name', async (entry) => {
    expectStateDict(await unetOf(entry), entry.parameters);
  });

  it.each(golden.text_encoder)('are the state dict of CLIPTextModel: $name', async ({ config, parameters }) => {
    expectStateDict(clipTextParameters(await readClipTextConfig(await configFile(config))), parameters);
  });

  it.each(golden.vae_decoder)(
    'are the state dict of AutoencoderKL’s decoder: $name',
    async ({ config, parameters }) => {
      expectStateDict(vaeDecoderParameters(await readVaeConfig(await configFile(config))), parameters);
    },
  );

  it.each(golden.vae_encoder)(
    'are the state dict of AutoencoderKL’s encoder: $name',
    async ({ config, parameters }) => {
      const read = await readVaeConfig(await configFile(config), { encoder: true });
      expectStateDict(vaeEncoderParameters(read), parameters);
    },
  );

  it('count what is published of SD1.5 and AnimateLCM', async () => {
    const all = await unetOf(golden.unet[0] as Golden['unet'][number]);
    const [encodings, weights] = [true, false].map((wanted) =>
      all.filter(({ kind }) => (kind === 'positional-encoding') === wanted),
    );
    const [motion, spatial] = [true, false].map((wanted) =>
      (weights as ModelParameter[]).filter((p) => p.motion === wanted),
    );
    expect([spatial?.length, motion?.length, encodings?.length]).toEqual([686, 546, 21]);
    expect(elements(spatial as ModelParameter[])).toBe(859_520_964);
    expect(elements(motion as ModelParameter[])).toBe(453_209_280);
    expect(elements(weights as ModelParameter[])).toBe(1_312_730_244);
  });

  it('call Linear weights linear and convolutions conv, and nothing else', async () => {
    for (const entry of golden.unet) {
      for (const { name, kind, shape } of await unetOf(entry)) {
        const byRank = name.endsWith('.pe')
          ? 'positional-encoding'
          : ({ 1: 'vector', 2: 'linear', 4: 'conv' } as const)[shape.length];
        expect(kind, name).toBe(byRank);
      }
    }
  });
});

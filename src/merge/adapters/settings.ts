/**
 * What a LoRA file says of its alphas apart from its tensors: the LoraConfig that diffusers writes into the header's metadata
 * (`lora_adapter_metadata`), or PEFT's adapter_config.json beside `adapter_model.safetensors`. Sources: diffusers
 * loaders/lora_base.py, PEFT config.py.
 */
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import type { AdaptedModule } from '../../architecture/module-names.ts';
import { FormatError, InputMissingError } from '../../errors.ts';
import { readSmallFile } from '../../formats/byte-source.ts';
import type { TensorFile } from '../../formats/tensor-file.ts';

export interface AdapterSettings {
  /** The alpha that a module has where the file stores none beside it. */
  alpha(module: AdaptedModule): number | undefined;
  /** Does the file ask for alpha/√rank? */
  rankStabilised(module: AdaptedModule): boolean;
}

/** The part of PEFT's LoraConfig (LoHaConfig, LoKrConfig: `alpha`) that decides a scale. */
const config = z.looseObject({
  lora_alpha: z.number().nullish(),
  alpha: z.number().nullish(),
  alpha_pattern: z.record(z.string(), z.number()).nullish(),
  use_rslora: z.boolean().nullish(),
});
type Config = z.output<typeof config>;

const METADATA = 'lora_adapter_metadata';

/** adapter_config.json is a page of JSON. */
const MAX_CONFIG_BYTES = 1 << 20;

/** @throws FormatError when the settings are there and cannot be understood */
export async function adapterSettings(file: TensorFile): Promise<AdapterSettings> {
  const found = await settingsText(file);
  const json = found && parse(found.text, found.where);
  const configs = {
    unet: json && configOf(json, 'unet', found.where),
    text_encoder: json && configOf(json, 'text_encoder', found.where),
  };
  return {
    alpha({ component, path }) {
      const { lora_alpha, alpha, alpha_pattern } = configs[component] ?? {};
      // PEFT takes the patterns for regular expressions that match from a dot to the end; what is written are module paths
      const own = Object.entries(alpha_pattern ?? {}).find(([pattern]) => {
        const name = pattern.replace(/^\^/, '').replace(/\$$/, '').replaceAll('\\.', '.');
        return path === name || path.endsWith(`.${name}`);
      });
      return own?.[1] ?? lora_alpha ?? alpha ?? undefined;
    },
    rankStabilised: ({ component }) => configs[component]?.use_rslora === true,
  };
}

async function settingsText({ source, metadata }: TensorFile): Promise<{ text: string; where: string } | undefined> {
  const inHeader = metadata[METADATA];
  if (inHeader !== undefined) return { text: inHeader, where: `${source.name}: the metadata ${METADATA}` };
  if (!/^adapter_model\./.test(basename(source.name))) return undefined;
  const where = join(dirname(source.name), 'adapter_config.json');
  const bytes = await readSmallFile(where, MAX_CONFIG_BYTES).catch((error: unknown) => {
    if (error instanceof InputMissingError) return undefined;
    throw error;
  });
  return bytes && { text: new TextDecoder().decode(bytes), where };
}

function parse(text: string, where: string): Readonly<Record<string, unknown>> {
  const json = ((): unknown => {
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new FormatError(`${where} is not valid JSON: ${(error as Error).message}.`, {}, { cause: error });
    }
  })();
  if (typeof json === 'object' && json !== null && !Array.isArray(json)) return { ...json };
  throw new FormatError(`${where} is not a JSON object; expected a LoraConfig.`);
}

/** The settings of one component: those under its prefix (`unet.lora_alpha`), or all where no name has one. */
function configOf(json: Readonly<Record<string, unknown>>, component: string, where: string): Config | undefined {
  const prefixed = Object.keys(json).some((key) => /^(unet|text_encoder)\./.test(key));
  const own = prefixed
    ? Object.entries(json).flatMap(([key, value]) =>
        key.startsWith(`${component}.`) ? [[key.slice(component.length + 1), value] as const] : [],
      )
    : Object.entries(json);
  const parsed = config.safeParse(Object.fromEntries(own));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new FormatError(`${where}: ${issue?.path.join('.')} is not what a LoraConfig has there (${issue?.message}).`);
}

/**
 * Every name under which a file of weights may hold a parameter of the base: diffusers' own and its older ones, and those of LDM
 * single files with the prefix of each part. Which of them a file uses shows in the file; nothing has to be detected first.
 * Reference: formats.md §1a.
 */
import { ldmUNetName, ldmVaeName } from './ldm-names.ts';
import { baseNames, type Component } from './names.ts';
import type { UNetStructure } from './unet-structure.ts';
import type { VaeConfig } from './vae-config.ts';

/** What the names depend on beside the parameter. */
export interface NamedModels {
  readonly unet: Pick<UNetStructure, 'config' | 'up'>;
  readonly vae: Pick<VaeConfig, 'block_out_channels'>;
}

/** What the names of a component begin with in a single file; the empty prefix is that of a file which holds it alone. */
const LDM_PREFIXES: Readonly<Record<Component, readonly string[]>> = {
  unet: ['model.diffusion_model.', ''],
  text_encoder: ['cond_stage_model.transformer.'],
  vae_decoder: ['first_stage_model.', 'vae.', ''],
  vae_encoder: ['first_stage_model.', 'vae.', ''],
};

/** Names that are a component's own in a single file, whatever follows; the two halves of the VAE share theirs. */
export const PART_PREFIXES: Readonly<Record<Component, RegExp>> = {
  unet: /^model\.diffusion_model\./,
  text_encoder: /^cond_stage_model\./,
  vae_decoder: /^(first_stage_model|vae)\./,
  vae_encoder: /^(first_stage_model|vae)\./,
};

/** The names of a parameter that is no motion module's, in a fixed order: each place stands for one layout. */
export function fileNames(component: Component, name: string, models: NamedModels): readonly string[] {
  const own = baseNames(component, name);
  return [
    ...own,
    ...LDM_PREFIXES[component].flatMap((prefix) => ldmNames(component, name, models).map((n) => prefix + n)),
  ];
}

function ldmNames(component: Component, name: string, { unet, vae }: NamedModels): readonly string[] {
  switch (component) {
    case 'unet':
      return [ldmUNetName(name, unet)];
    case 'text_encoder':
      return baseNames(component, name); // transformers' module tree, in old files without `text_model.`
    case 'vae_decoder':
    case 'vae_encoder':
      return [ldmVaeName(name, vae)];
  }
}

/**
 * What other tools call the parameters of the three models. Every map goes from our (diffusers, transformers) name to the
 * file's: kohya's flattening of '.' to '_' cannot be undone, so it is generated and looked up, never parsed.
 * Sources: formats.md §1a (old VAE and text-encoder names), §1b (motion modules), §1c (kohya).
 */
import type { ModelParameter } from './parameters.ts';

export type Component = 'unet' | 'text_encoder' | 'vae_decoder';

/** Pairs of a piece of our name and what stands in its place, all replaced in order. */
type Renaming = readonly (readonly [string, string])[];

const rename = (name: string, table: Renaming) => table.reduce((n, [ours, theirs]) => n.replace(ours, theirs), name);

/** AutoencoderKL's attention before diffusers 0.17. */
const OLD_VAE_ATTENTION: Renaming = [
  ['.to_q.', '.query.'],
  ['.to_k.', '.key.'],
  ['.to_v.', '.value.'],
  ['.to_out.0.', '.proj_attn.'],
];

/** diffusers' MotionAdapter → AnimateDiff's and AnimateLCM's own module tree. */
const ANIMATEDIFF: Renaming = [
  ['.transformer_blocks.0.norm1.', '.transformer_blocks.0.norms.0.'],
  ['.transformer_blocks.0.norm2.', '.transformer_blocks.0.norms.1.'],
  ['.transformer_blocks.0.norm3.', '.transformer_blocks.0.ff_norm.'],
  ['.attn1.', '.attention_blocks.0.'],
  ['.attn2.', '.attention_blocks.1.'],
];

export function animateDiffName(name: string): string {
  return rename(name, ANIMATEDIFF).replace(/(\.motion_modules\.\d+)\./, '$1.temporal_transformer.');
}

/** The names under which a base model's file may hold a parameter, the usual one first. */
export function baseNames(component: Component, name: string): readonly string[] {
  switch (component) {
    case 'unet':
      return [name];
    case 'text_encoder':
      // transformers 5 saves the text model without its old prefix
      return [name, name.replace(/^text_model\./, '')];
    case 'vae_decoder':
      return name.includes('.attentions.') ? [name, rename(name, OLD_VAE_ATTENTION)] : [name];
  }
}

/** Prefixes of kohya's LoRA keys, by component. */
const KOHYA_PREFIXES = { unet: ['lora_unet_'], text_encoder: ['lora_te_', 'lora_te1_'] } as const;

export interface LoraTarget {
  readonly component: 'unet' | 'text_encoder';
  readonly parameter: ModelParameter;
}

/**
 * kohya key prefix (`lora_unet_down_blocks_0_…`) → the weight it changes, for every Linear and convolution.
 * @throws RangeError should two modules ever flatten to the same key.
 */
export function kohyaTargets(
  component: 'unet' | 'text_encoder',
  parameters: readonly ModelParameter[],
): Map<string, LoraTarget> {
  const targets = new Map<string, LoraTarget>();
  for (const parameter of parameters) {
    if ((parameter.kind !== 'linear' && parameter.kind !== 'conv') || parameter.motion) continue;
    for (const name of baseNames(component, parameter.name)) {
      const module = name.replace(/\.weight$/, '').replaceAll('.', '_');
      for (const prefix of KOHYA_PREFIXES[component]) {
        const key = prefix + module;
        if (targets.has(key)) throw new RangeError(`Two modules flatten to the LoRA key ${key}.`);
        targets.set(key, { component, parameter });
      }
    }
  }
  return targets;
}

/**
 * What other tools call the parameters of the models. Every map goes from our (diffusers, transformers) name to the file's.
 * Sources: formats.md §1a (old VAE and text-encoder names), §1b (motion modules). Adapters: module-names.ts.
 */
/** Every graph that a package can hold, in the order in which they are written. */
export const COMPONENTS = ['unet', 'text_encoder', 'vae_decoder', 'vae_encoder'] as const;
export type Component = (typeof COMPONENTS)[number];

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
    case 'vae_encoder':
      return name.includes('.attentions.') ? [name, rename(name, OLD_VAE_ATTENTION)] : [name];
  }
}

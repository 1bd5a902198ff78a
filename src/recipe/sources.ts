/** The sources of weights that a recipe names, each by the field that names it, and which of them a file of a plan or a lock belongs to. */
import type { StatedLicense } from './licenses.ts';
import { type KeyPath, keyName } from './located-yaml.ts';
import type { Recipe } from './schema.ts';

export interface SourceField {
  /** `base.model`, `personalized[0].lora` … */
  readonly field: string;
  /** What the recipe says of its licence. */
  readonly stated: StatedLicense | undefined;
}

type Sources = Pick<Recipe, 'base' | 'personalized' | 'lcm' | 'motion'>;

/** In the order of the recipe. */
export function sourceFields({ base, personalized, lcm, motion }: Sources): readonly SourceField[] {
  const at = (key: KeyPath, stated: StatedLicense | undefined): SourceField => ({ field: keyName(key), stated });
  return [
    at(['base', 'model'], base.license),
    ...(base.vae === undefined ? [] : [at(['base', 'vae'], base.vae_license)]),
    ...(base.text_encoder === undefined ? [] : [at(['base', 'text_encoder'], base.text_encoder_license)]),
    ...personalized.map(({ lora, license }, i) =>
      at(['personalized', i, lora === undefined ? 'checkpoint' : 'lora'], license),
    ),
    ...(lcm ? [at(['lcm', 'lora'], lcm.license)] : []),
    at(['motion', 'module'], motion.license),
    ...(motion.base === undefined ? [] : [at(['motion', 'base'], motion.base_license)]),
    ...motion.loras.map(({ license }, i) => at(['motion', 'loras', i, 'lora'], license)),
  ];
}

/** The field that names the source of a file with this role; parts of a base that nothing replaces are the model's. */
export function fieldOfRole(role: string, recipe: Sources): string {
  if (/^base\.vae/.test(role) && recipe.base.vae !== undefined) return 'base.vae';
  if (role === 'base.text_encoder' && recipe.base.text_encoder !== undefined) return 'base.text_encoder';
  if (/^base($|\.)/.test(role)) return 'base.model';
  if (role === 'motion') return 'motion.module';
  if (role === 'motion.base') return role;
  const [, at] = /^personalized\[(\d+)\]$/.exec(role) ?? [];
  if (at !== undefined) return `${role}.${recipe.personalized[Number(at)]?.lora === undefined ? 'checkpoint' : 'lora'}`;
  return `${role}.lora`;
}

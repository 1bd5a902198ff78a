/**
 * Motion LoRAs: adapters of the motion modules' own layers, in the names of AnimateDiff
 * (`….attention_blocks.0.processor.to_q_lora.down.weight`), diffusers and PEFT (`unet.….attn1.to_q.lora_A.weight`) or kohya.
 * Sources: AnimateDiff utils/convert_lora_safetensor_to_diffusers.py, AnimateDiff-Evolved model_injection.py, diffusers
 * scripts/convert_animatediff_motion_lora_to_diffusers.py; reference: formats.md §1b.
 */
import { motionModuleNames } from '../architecture/module-names.ts';
import type { ModelParameter } from '../architecture/parameters.ts';
import type { Recipe } from '../recipe/schema.ts';
import type { Accounting } from './account.ts';
import type { AdapterHost, AdapterSource } from './plan-adapters.ts';

/** The recipe's motion LoRAs, in the order in which they are summed. */
export function motionLoraSources({ motion }: Recipe): AdapterSource[] {
  return motion.loras.map(({ lora, alpha, scale, blocks, allow_unmatched, expect }, i) => ({
    kind: 'adapter',
    role: `motion.loras[${i}]`,
    key: ['motion', 'loras', i],
    path: lora,
    strength: { unet: alpha, text_encoder: alpha },
    scale,
    blocks,
    allow_unmatched,
    modules: expect?.modules,
  }));
}

/** Files for AnimateDiff v2 have a part for the middle block, where v1 and v3 have no motion module; all loaders leave it out. */
const MIDDLE = /(^|[._])mid_block[._]motion_modules[._]/;

/** What motion LoRAs change. `parameters` are those of the motion modules. */
export function motionHost(parameters: readonly ModelParameter[], { mid }: { readonly mid: boolean }): AdapterHost {
  return {
    names: motionModuleNames(parameters),
    elsewhere: (tensor) =>
      tensor.includes('motion_modules')
        ? undefined
        : 'it changes the images, not the motion; what it is part of belongs under personalized',
    foreign: (kind, title) => `a LoRA on motion modules, and ${whatItIs(kind, title)}`,
    ignored: (tensor) => (!mid && MIDDLE.test(tensor) ? 'no-middle-block' : undefined),
  };
}

/** Most often it is a LoRA on the images, AnimateDiff's v3_sd15_adapter.ckpt above all. */
function whatItIs(kind: string, title: string): string {
  if (kind === 'motion-lora') return 'none of the modules of this one is in the motion module of the recipe.';
  if (kind === 'lcm-lora') return `this one changes the images: ${title}. Name it under lcm.`;
  if (/lora|dora|loha|lokr|glora|oft|ia3|full-difference/.test(kind))
    return `this one changes the images, not the motion: ${title}. List it under personalized.`;
  return `this is something else: ${title}.`;
}

/** Says what was left out for want of a middle block. */
export function warnOfMiddle({ role, path }: AdapterSource, { ignored }: Accounting): string[] {
  const count = ignored['no-middle-block'] ?? 0;
  return count === 0
    ? []
    : [
        `${role} (${path}) has ${count} tensors for the middle block, where the motion module has no part: they were left out.`,
      ];
}

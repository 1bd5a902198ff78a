/** The adapter kinds that can be merged, and the telltale suffixes of those that cannot. */
import type { Adapter } from './adapter.ts';
import { lora } from './lora.ts';

export const ADAPTERS: readonly Adapter[] = [lora];

/** Kinds that this version knows by sight and refuses, so that nobody takes a part of them for the whole. */
export const REFUSED_KINDS: Readonly<Record<string, string>> = {
  dora_scale: 'DoRA',
  'lora_mid.weight': 'LoCon with a Tucker core',
  hada_w1_a: 'LoHa',
  lokr_w1: 'LoKr',
  lokr_w1_a: 'LoKr',
  lokr_w2: 'LoKr',
  oft_blocks: 'OFT',
  on_input: 'IA3',
  'a1.weight': 'GLoRA',
  diff: 'full difference',
  w_norm: 'norm difference',
  diff_b: 'full difference',
  'lora_A.weight': 'PEFT LoRA',
  'lora_B.weight': 'PEFT LoRA',
  'lora_A.default.weight': 'PEFT LoRA',
  'lora_B.default.weight': 'PEFT LoRA',
  'lora.down.weight': 'diffusers LoRA',
  'lora.up.weight': 'diffusers LoRA',
};

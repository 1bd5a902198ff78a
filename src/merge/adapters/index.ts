/** The adapter kinds that are merged, in the order in which they take their parts from a module. */
import type { Adapter, Arithmetic, Term } from './adapter.ts';
import { boft } from './boft.ts';
import { difference } from './difference.ts';
import { dora } from './dora.ts';
import { full } from './full.ts';
import { glora } from './glora.ts';
import { ia3 } from './ia3.ts';
import { loha } from './loha.ts';
import { lokr } from './lokr.ts';
import { lora } from './lora.ts';
import { oft } from './oft.ts';

/** DoRA stands last: it decomposes what another kind has made of the module. */
export const ADAPTERS: readonly Pick<Adapter, 'kind' | 'parts' | 'plan'>[] = [
  lora,
  loha,
  lokr,
  glora,
  ia3,
  oft,
  boft,
  full,
  dora,
];

const KINDS = [lora, loha, lokr, glora, ia3, oft, boft, full, dora, difference];

/** What the terms of a kind do to a weight. */
export const ARITHMETIC = Object.fromEntries(KINDS.map(({ kind, arithmetic }) => [kind, arithmetic])) as unknown as {
  readonly [Kind in Term['kind']]: Arithmetic<Term>;
};

/** Parts that are known by sight and refused, so that nobody takes the rest of their module for the whole. */
export const REFUSED_PARTS: readonly (readonly [RegExp, string])[] = [
  [/\.oft_(R|r)(\.|$)/, "PEFT's OFT, whose parametrisation changed between its versions; merge it with PEFT"],
  [/\.boft_[RsP](\.|$)/, "PEFT's BOFT; merge it with PEFT"],
  [/\.ia3_l(\.|$)/, "PEFT's IA3, whose axis only its config tells; merge it with PEFT"],
  [/\.oft_diag$/, "kohya's diagonal OFT, which is no rotation of weights"],
  [/\.(set_weight|reshape_weight)$/, 'a weight of another shape (ComfyUI), which would change the architecture'],
  [/\.vera_lambda_[bd](\.|$)/, 'VeRA'],
];

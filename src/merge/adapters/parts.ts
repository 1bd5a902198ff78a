/**
 * How the tensors of an adapter file are named: the module, then which part of it. Tools write one part in several ways; here each has
 * one name. Sources: sd-scripts networks/lora.py, LyCORIS modules/*.py (weight_list), PEFT utils/save_and_load.py, diffusers
 * loaders/lora_conversion_utils.py and utils/state_dict_utils.py.
 */

/** PEFT puts the adapter's name ("default") between the part and `.weight`, or behind a bare parameter, unless it saved the file itself. */
const ADAPTER = String.raw`(?:\.(?!weight$|bias$)[^.]+)?`;

/** The end of a tensor's name → the part. The module is what stands before. */
const PARTS: readonly (readonly [RegExp, (found: RegExpExecArray) => string])[] = [
  [/\.lora_(down|up|mid)\.weight$/, ([, which]) => which as string],
  [new RegExp(String.raw`\.lora_([AB])${ADAPTER}\.weight$`), ([, which]) => (which === 'A' ? 'down' : 'up')],
  [new RegExp(String.raw`\.lora_B${ADAPTER}\.bias$`), () => 'up_bias'],
  [/\.lora(?:_linear_layer)?\.(down|up)\.weight$/, ([, which]) => which as string],
  // the projection is part of the module's name: `….processor.to_q_lora`
  [/(?<=\.to_(?:[qkv]|out)_lora)\.(down|up)\.weight$/, ([, which]) => which as string],
  [new RegExp(String.raw`\.lora_magnitude_vector${ADAPTER}(?:\.weight)?$`), () => 'magnitude'],
  [/\.(alpha|dora_scale|diff|diff_b|w_norm|b_norm|rescale|on_input|oft_blocks)$/, ([, part]) => part as string],
  [
    new RegExp(String.raw`\.(hada_w[12]_[ab]|hada_t[12]|lokr_w[12](?:_[ab])?|lokr_t2)${ADAPTER}$`),
    ([, part]) => part as string,
  ],
  [/\.([ab][12]|bm)\.weight$/, ([, part]) => part as string],
  [/\.(weight)$/, () => 'weight'],
];

export interface PartName {
  readonly module: string;
  readonly part: string;
}

/** Undefined where the name ends like no part of any adapter. */
export function partName(tensor: string): PartName | undefined {
  for (const [pattern, part] of PARTS) {
    const found = pattern.exec(tensor);
    if (found) return { module: tensor.slice(0, found.index), part: part(found) };
  }
  return undefined;
}

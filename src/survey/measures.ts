/**
 * The widths by which files of one family know each other, told from names and shapes whatever the container's naming: whether a
 * LoRA or a motion module was made for a base shows here before anything is planned. Reference: formats.md §1a–§1c.
 */
import type { TensorFile } from '../formats/tensor-file.ts';

export interface Measures {
  /** Channels of the UNet's blocks that the file speaks of, ascending. */
  readonly widths: readonly number[];
  /** Width of the text states: what cross attention takes and the text encoder gives. One in a sound file. */
  readonly context: readonly number[];
}

/** What holds the side of a LoRA that takes the module's input, in every naming. */
const DOWN =
  '.*(lora_down\\.weight|lora_A(\\.[^.]+)?\\.weight|lora(_linear_layer)?\\.down\\.weight|hada_w1_b|\\.diff)$';

interface Measure {
  readonly of: keyof Measures;
  readonly name: RegExp;
  /** Which dimension of the shape says it. */
  readonly dimension: 0 | -1 | 1;
}

const MEASURES: readonly Measure[] = [
  { of: 'widths', name: /^down_blocks\.\d+\.resnets\.0\.conv1\.weight$/, dimension: 0 },
  { of: 'widths', name: /(^|\.)input_blocks\.\d+\.0\.in_layers\.2\.weight$/, dimension: 0 },
  { of: 'widths', name: /\.motion_modules\.\d+\.(temporal_transformer\.)?proj_in\.weight$/, dimension: 0 },
  { of: 'widths', name: new RegExp(`[._](attn1|attention_blocks[._]\\d+)[._]${DOWN}`), dimension: -1 },
  { of: 'context', name: /\.attn2\.to_k\.weight$/, dimension: 1 },
  { of: 'context', name: new RegExp(`[._]attn2[._](processor\\.)?to_k${DOWN}`), dimension: -1 },
  { of: 'context', name: new RegExp(`[._]self_attn[._]q_proj${DOWN}`), dimension: -1 },
];

export function measuresOf({ tensors }: Pick<TensorFile, 'tensors'>): Measures {
  const found = { widths: new Set<number>(), context: new Set<number>() };
  for (const { name, shape } of tensors.values()) {
    const measure = MEASURES.find((row) => row.name.test(name));
    const value = measure && shape.at(measure.dimension);
    if (measure && value !== undefined) found[measure.of].add(value);
  }
  const ascending = (values: ReadonlySet<number>) => [...values].sort((a, b) => a - b);
  return { widths: ascending(found.widths), context: ascending(found.context) };
}

/**
 * Why a file was not made for a base, as the end of a sentence; undefined where nothing speaks against it. `whole`: it has a part in
 * every block, as motion modules do.
 */
export function misfit(base: Measures, other: Measures, { whole = false } = {}): string | undefined {
  const foreign = other.context.find((width) => !base.context.includes(width));
  if (foreign !== undefined) return `its text states are ${foreign} wide, the base's ${base.context.join(', ')}`;
  const strange = other.widths.some((width) => !base.widths.includes(width));
  const missing = whole && base.widths.some((width) => !other.widths.includes(width));
  return strange || missing
    ? `its blocks are ${other.widths.join(', ')} wide, the base's ${base.widths.join(', ')}`
    : undefined;
}

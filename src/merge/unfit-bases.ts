/**
 * Models that look like an SD1.5 base and are none, told from the names, shapes and metadata of a file that holds a UNet: a table of
 * telltales, each with the reason why AnimateLCM cannot be merged into it.
 * Reference: formats.md §1a; the prediction type is sd-scripts' ModelSpec field (library/sai_model_spec.py).
 */
import type { TensorEntry, TensorFile } from '../formats/tensor-file.ts';

interface Unfit {
  readonly what: string;
  readonly because: string;
  readonly is: (file: Pick<TensorFile, 'tensors' | 'metadata'>) => boolean;
}

/** Any tensor of which this is the name, and the shape too where one is asked for. */
const has =
  (name: RegExp, shape: (shape: readonly number[]) => boolean = () => true): Unfit['is'] =>
  ({ tensors }) =>
    some(tensors.values(), (entry) => name.test(entry.name) && shape(entry.shape));

const CONV_IN = /^(model\.diffusion_model\.input_blocks\.0\.0|input_blocks\.0\.0|conv_in)\.weight$/;

/** As in `modelspec.prediction_type` and in scheduler configs. */
const EPSILON = 'epsilon';

const UNFIT: readonly Unfit[] = [
  {
    what: 'an SDXL model',
    because: 'its UNet has other blocks and two text encoders',
    is: has(/^conditioner\.embedders\.|^add_embedding\.|^(model\.diffusion_model\.)?label_emb\./),
  },
  {
    what: 'an SD2 model',
    because: 'its UNet reads an OpenCLIP text encoder of width 1024',
    is: (file) =>
      has(/^cond_stage_model\.model\./)(file) || has(/\.attn2\.to_k\.weight$/, ([, width]) => width === 1024)(file),
  },
  {
    what: 'an inpainting model',
    because: 'its UNet has 9 input channels, for it takes a mask and a masked image as well',
    is: has(CONV_IN, ([, channels]) => channels === 9),
  },
  {
    what: 'an InstructPix2Pix model',
    because: 'its UNet has 8 input channels, for it takes an image as well',
    is: has(CONV_IN, ([, channels]) => channels === 8),
  },
  {
    what: 'a full LCM',
    because:
      'its UNet is distilled and takes the guidance as an embedding (time_embedding.cond_proj). Take the model it was made from and an LCM LoRA',
    is: has(/(^|\.)time_embedding\.cond_proj\.weight$/),
  },
  {
    what: 'a model that predicts v',
    because: 'LCM LoRAs and AnimateLCM are made for bases that predict epsilon without zero terminal SNR',
    is: (file) => (file.metadata['modelspec.prediction_type'] ?? EPSILON) !== EPSILON || has(/^(v_pred|ztsnr)$/)(file),
  },
];

/** What the file holds instead of an SD1.5 base; undefined when nothing speaks against it. */
export function unfitBase(file: Pick<TensorFile, 'tensors' | 'metadata'>): Pick<Unfit, 'what' | 'because'> | undefined {
  return UNFIT.find(({ is }) => is(file));
}

function some(entries: Iterable<TensorEntry>, test: (entry: TensorEntry) => boolean): boolean {
  for (const entry of entries) if (test(entry)) return true;
  return false;
}

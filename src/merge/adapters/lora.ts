/**
 * LoRA as kohya writes it (Linear, 1×1 and 3×3 convolution, text encoder): ΔW = strength · factor · up·down.
 * Source: sd-scripts networks/lora.py and merge_lora.py; reference: formats.md §1c, merge-tools.md §8.
 */
import { MergeError } from '../../errors.ts';
import type { ScaleConvention } from '../../recipe/schema.ts';
import { assertFloat } from '../weight-type.ts';
import type { Adapter } from './adapter.ts';

/** How a file's alpha and rank count; a file without alpha means alpha = rank. */
const FACTOR: Record<ScaleConvention, (alpha: number, rank: number) => number> = {
  'alpha/rank': (alpha, rank) => alpha / rank,
  raw: () => 1,
  rslora: (alpha, rank) => alpha / Math.sqrt(rank),
};

const [DOWN, UP, ALPHA] = ['lora_down.weight', 'lora_up.weight', 'alpha'];

export const lora: Adapter = {
  kind: 'lora',
  required: [DOWN, UP],
  optional: [ALPHA],
  async term(module, { of, file, strength, convention, scalar }) {
    const [down, up, alphaEntry] = [module.parts.get(DOWN), module.parts.get(UP), module.parts.get(ALPHA)];
    if (!down || !up) throw new RangeError(`${module.prefix} is not a LoRA module.`);
    const { name, shape } = module.target.parameter;
    const rank = down.shape[0] ?? 0;
    const columns = elements(shape.slice(1));
    const fits =
      down.shape.length >= 2 &&
      rank > 0 &&
      up.shape[0] === shape[0] &&
      elements(up.shape) === (shape[0] as number) * rank &&
      elements(down.shape) === rank * columns;
    if (!fits) {
      throw new MergeError(
        `${module.path}: the LoRA module ${module.prefix} does not fit ${name}: up [${up.shape}] × down [${down.shape}] cannot make ` +
          `[${shape}]. It was made for a model of another width; use a LoRA for this base.`,
        { file: module.path, tensor: down.name },
      );
    }
    assertFloat(module.path, down);
    assertFloat(module.path, up);
    const alpha = alphaEntry ? await scalar(alphaEntry) : null;
    return {
      kind: 'lora',
      of,
      operands: { up: { file, tensor: up.name }, down: { file, tensor: down.name } },
      rank,
      alpha,
      scale: strength * FACTOR[convention](alpha ?? rank, rank),
    };
  },
};

function elements(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

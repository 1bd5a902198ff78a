/**
 * What an adapter kind is: the tensor suffixes that make one module of it, and how such a module becomes a term that is
 * added to a weight. To add a kind: one file beside this one and one row in `ADAPTERS`.
 */
import type { LoraTarget } from '../../architecture/names.ts';
import type { TensorEntry } from '../../formats/tensor-file.ts';
import type { ScaleConvention } from '../../recipe/schema.ts';
import type { Role, TensorRef } from '../plan-files.ts';

/** `weight += scale · up·down`, the product reshaped to the weight: `[out, r]·[r, in·kh·kw]`. */
export interface LowRankTerm {
  readonly kind: 'lora';
  /** Which source of the recipe asks for it. */
  readonly of: Role;
  readonly operands: Readonly<Record<'up' | 'down', TensorRef>>;
  readonly rank: number;
  /** The file's own alpha, or null where it has none (then it counts as the rank). */
  readonly alpha: number | null;
  /** Everything that multiplies up·down: strength, block weight, alpha convention. */
  readonly scale: number;
}

export type Term = LowRankTerm;

/** One module of an adapter file: its tensors by suffix. */
export interface AdapterModule {
  readonly prefix: string;
  readonly parts: ReadonlyMap<string, TensorEntry>;
  readonly target: LoraTarget;
  readonly path: string;
}

export interface Adapter {
  readonly kind: Term['kind'];
  readonly required: readonly string[];
  readonly optional: readonly string[];
  /**
   * Checks the module's shapes against its target and makes the term.
   * @throws MergeError naming tensor and shapes.
   */
  term(
    module: AdapterModule,
    options: {
      readonly of: Role;
      /** Index of the module's file. */
      readonly file: number;
      readonly strength: number;
      readonly convention: ScaleConvention;
      /** Reads a scalar tensor (alpha). */
      readonly scalar: (entry: TensorEntry) => Promise<number>;
    },
  ): Promise<Term>;
}

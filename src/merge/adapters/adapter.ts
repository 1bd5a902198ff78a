/**
 * What an adapter kind is. Planning: it takes the tensors that it understands from a module of an adapter file, checks their
 * shapes and makes terms of them. Baking: it adds to a graph what its terms do to the running weight. To add a kind: one file
 * beside this one, its term in `Term`, one row in `ADAPTERS`, and its formula in float64 in verify/float64.ts.
 */
import type { AdaptedModule } from '../../architecture/module-names.ts';
import type { ModelParameter } from '../../architecture/parameters.ts';
import type { TensorEntry } from '../../formats/tensor-file.ts';
import type { Dim, Scope, Value } from '../../onnx/graph.ts';
import type { ScaleConvention } from '../../recipe/schema.ts';
import type { Role, TensorRef } from '../plan-files.ts';
import type { BoftTerm } from './boft.ts';
import type { DifferenceTerm } from './difference.ts';
import type { DoraTerm } from './dora.ts';
import type { FullTerm } from './full.ts';
import type { GloraTerm } from './glora.ts';
import type { Ia3Term } from './ia3.ts';
import type { LohaTerm } from './loha.ts';
import type { LokrTerm } from './lokr.ts';
import type { LowRankTerm } from './lora.ts';
import type { OftTerm } from './oft.ts';

/** Kinds whose change does not depend on the weight: W + scale · Δ. */
export type AdditiveTerm = LowRankTerm | LohaTerm | LokrTerm | FullTerm | DifferenceTerm;

/** One step of a merge. Terms are applied in recipe order; those that are not additive see the weight as it is by then. */
export type Term = AdditiveTerm | Ia3Term | GloraTerm | OftTerm | BoftTerm | DoraTerm;

/** What every term has. */
export interface TermOf<Kind extends string, Operand extends string> {
  readonly kind: Kind;
  /** Which source of the recipe asks for it. */
  readonly of: Role;
  /** Where each matrix of the formula lies. `alpha` is no matrix, but is where the file's own alpha was read. */
  readonly operands: Readonly<Partial<Record<Operand | 'alpha', TensorRef>>>;
  /** Multiplies the change that it makes: strength × block weight, and the alpha convention where the kind has an alpha. */
  readonly scale: number;
}

/** A rank and the alpha that is held against it; null where the file has none (it then counts as the rank). */
export interface Ranked {
  readonly rank: number;
  readonly alpha: number | null;
  /** The recipe's; a file that declares itself rank-stabilised makes `rslora` of `alpha/rank`. */
  readonly convention: ScaleConvention;
}

// ---------------------------------------------------------------------------------------------------- planning

/** One module of an adapter file, from which the kinds take what they understand. */
export interface OpenModule {
  /** Its name in the file. */
  readonly name: string;
  readonly path: string;
  readonly target: AdaptedModule;
  has(...parts: readonly string[]): boolean;
  peek(part: string): TensorEntry | undefined;
  /** The tensor of a part, now accounted for; undefined where the module has none or it was taken. */
  take(part: string): TensorEntry | undefined;
}

export interface PlanOptions {
  readonly of: Role;
  /** Index of the module's file. */
  readonly file: number;
  /** Strength × block weight for a parameter. */
  readonly strength: (parameter: ModelParameter) => number;
  /**
   * How a module of this rank is scaled by its own alpha: the tensor of the file, else what the file's metadata says, else the
   * rank; read by the recipe's convention.
   */
  readonly ranked: (
    module: OpenModule,
    rank: number,
    alpha: TensorEntry | undefined,
  ) => Promise<Ranked & { readonly factor: number }>;
  /** Reads a tensor of one element. */
  readonly scalar: (entry: TensorEntry) => Promise<number>;
}

export interface TargetedTerm {
  readonly parameter: ModelParameter;
  readonly term: Term;
}

export interface Adapter<T extends Term = Term> {
  readonly kind: T['kind'];
  /** Names of the parts that it understands, for explanations. */
  readonly parts: readonly string[];
  /**
   * Takes its parts from the module; none, if the module is of another kind. `earlier` are the terms that kinds further up in
   * the table have made of this module.
   * @throws MergeError naming tensor and shapes that do not fit
   */
  plan(module: OpenModule, options: PlanOptions, earlier: readonly TargetedTerm[]): Promise<readonly TargetedTerm[]>;
  readonly arithmetic: Arithmetic<T>;
}

// ---------------------------------------------------------------------------------------------------- arithmetic

/** Where a term's nodes are added. Weights are `[rows, columns]`: `[out, in·kh·kw]`, or `[n, 1]` for a vector. */
export interface Fragment {
  readonly s: Scope;
  readonly rows: Dim;
  readonly columns: Dim;
  /** Of the parameter, as in PyTorch. */
  readonly shape: readonly number[];
  /** Of the weight, the operands and the scale. */
  readonly type: 'float32' | 'float64';
  /** Of an operand, as in its file; undefined where the term has none of this name. */
  shapeOf(operand: string): readonly number[] | undefined;
  /** An operand in `type`, in another shape of as many elements. */
  operand(name: string, shape: readonly Dim[]): Value;
}

export type Arithmetic<T extends Term> = {
  /**
   * Operands of which each row of the weight needs only its own, as their first axis has it. Undefined where rows depend on
   * each other, so that no part of a weight can be merged alone.
   */
  readonly rows: (term: T) => readonly string[] | undefined;
} & (Additive<T> | WeightDependent<T>);

interface Additive<T extends Term> {
  /** `scale · Δ` as `[rows, columns]`; `scale` is of shape [1]. */
  readonly delta: (f: Fragment, term: T, scale: Value) => Value;
  /** `weight + scale · Δ` where that is cheaper than a sum. */
  readonly add?: (f: Fragment, term: T, scale: Value, weight: Value) => Value | undefined;
  /** May rows and columns stay symbolic, so that one graph serves weights of every shape? */
  readonly anyShape?: (term: T) => boolean;
}

interface WeightDependent<T extends Term> {
  /** The new weight, computed in float64; `scale` is of shape [1]. `deltaOf` gives the change of a term within this one. */
  readonly apply: (f: Fragment, term: T, scale: Value, weight: Value, deltaOf: (inner: AdditiveTerm) => Value) => Value;
}

/**
 * What differs between devices, as one table per target: where an image has its channels, which type is computed in, and the
 * kernels that the layers (../layers.ts) are made of. The models are written once; parameters keep their names and places, so
 * all graphs of a package share its weight files.
 */

import { parameter, rootScope, type Scope, type Value } from '../../onnx/graph.ts';
import * as op from '../../onnx/ops.ts';
import type { TargetName } from '../../recipe/schema.ts';

export type FloatType = 'float16' | 'float32';

export interface Target {
  readonly name: TargetName;
  readonly images: 'NCHW' | 'NHWC';
  /** The type of activations over weights that are stored in `stored`. */
  readonly compute: (stored: FloatType) => FloatType;
  /** Of the input `timestep`: a device without 64-bit integers takes it as a number. */
  readonly timestep: 'int64' | 'float32';
  /** Do resnets take the time embedding in as one row for all images, or one for each? */
  readonly timeRows: 'one' | 'per-image';
  /** Kernel 1 or 3; `weight` is OIHW whatever the layout of images. */
  conv2d(s: LayerScope, x: Value, weight: Value, bias: Value | undefined, options: ConvOptions): Value;
  /** `gamma` and `beta` are as stored. */
  groupNorm(s: LayerScope, x: Stream, gamma: Value, beta: Value, options: GroupNormOptions): Value;
  /** On the last axis. */
  layerNorm(s: LayerScope, x: Stream, gamma: Value, beta: Value, options: { readonly epsilon: number }): Value;
  /**
   * Are the tokens of a motion module `[B·H·W, F, C]`, every pixel a sequence, or do they stay as the images have them,
   * `[B, F, H·W, C]`?
   */
  readonly motionTokens: 'sequences' | 'in-place';
  /** softmax(q·kᵀ / √d)·v of `[B, S, C]`, `[B, T, C]`, `[B, T, C]`. */
  attention(s: LayerScope, q: Value, k: Value, v: Value, options: AttentionOptions): Value;
  /** x·weight + bias, cut in halves on the last axis: value · gelu(gate). */
  geglu(s: LayerScope, x: Value, weight: Value, bias: Value): Value;
  /** What a residual stands for. */
  sum(s: LayerScope, residual: Residual): Value;
}

export interface ConvOptions {
  readonly stride: 1 | 2;
  /** Before and behind each axis; equal but for the VAE encoder's way down, which pads behind alone. */
  readonly pad: readonly [before: number, behind: number];
}

export interface GroupNormOptions {
  readonly groups: number;
  readonly epsilon: number;
  /** SiLU of the result. */
  readonly silu: boolean;
}

export interface AttentionOptions {
  readonly heads: number;
  /** Position i looks at positions up to i. */
  readonly causal?: boolean;
  /** The sequence is the pixels of an image: scores of the square of that must not all be in memory at once. */
  readonly pixels?: boolean;
  /** Queries, keys and values are `[B, F, H·W, C]`: the frames of a pixel are the sequence. Asked only of targets with tokens in place. */
  readonly frames?: boolean;
}

/** A place in a model's graph (onnx/graph.ts), made for a target. */
export interface LayerScope extends Scope {
  readonly target: Target;
  /** The type in which parameters lie in the weight file; `type` is that of activations. */
  readonly stored: FloatType;
  in(...steps: readonly (string | number)[]): LayerScope;
}

export function layerScope(graph: Scope['graph'], target: Target, stored: FloatType, path = ''): LayerScope {
  const plain = rootScope(graph, target.compute(stored), path);
  return { ...plain, target, stored, in: (...steps) => layerScope(graph, target, stored, plain.in(...steps).path) };
}

/** A parameter as it lies in the weight file. */
export function storedParameter(s: LayerScope, leaf: string, shape: readonly number[], layout?: 'transposed'): Value {
  return parameter({ ...s, type: s.stored }, leaf, shape, layout);
}

/** A parameter in the type that is computed in; where that is another one, devices convert it once, when they load. */
export function weight(s: LayerScope, leaf: string, shape: readonly number[], layout?: 'transposed'): Value {
  return op.Cast(s, storedParameter(s, leaf, shape, layout), { to: s.type });
}

// ---------------------------------------------------------------------------------------------------- residual sums

/**
 * `branch + bias + skip`, not added up yet: a normalisation that follows can do it in the same pass on some devices. Whoever
 * needs the sum first makes it, the others find it here.
 */
export interface Residual {
  readonly branch: Value;
  readonly bias: Value | undefined;
  /** Of the branch's shape, or broadcast to it; none where a bias alone waits. */
  readonly skip: Value | undefined;
  /** Does anything but the next normalisation need the sum? */
  readonly kept: boolean;
  sum: Value | undefined;
}

/** What a module hands to the next one. */
export type Stream = Value | Residual;

export function isResidual(x: Stream): x is Residual {
  return 'branch' in x;
}

export function shapeOf(x: Stream): Value['shape'] {
  return isResidual(x) ? x.branch.shape : x.shape;
}

/** The sum itself. */
export function settle(s: LayerScope, x: Stream): Value {
  if (!isResidual(x)) return x;
  x.sum ??= s.target.sum(s, x);
  return x.sum;
}

/** The sum with Add, which every device has. */
export function addUp(s: Scope, { branch, bias, skip }: Residual): Value {
  const biased = bias ? op.Add(s, branch, bias) : branch;
  return skip ? op.Add(s, skip, biased) : biased;
}

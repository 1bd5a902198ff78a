/**
 * Text states as a UNet's graph takes them: how long, and whether once for all frames, `[B, T, D]`, or for every frame, `[B·F, T, D]`, the
 * frames of the first prompt first, as diffusers' `repeat_interleave` lays them out. Needs nothing of Node.
 */
import { times } from '../../onnx/graph.ts';
import type { TensorInfo } from '../../onnx/model-info.ts';
import type { Tensor } from '../denoise.ts';
import type { HostTensor } from '../host.ts';
import { joined } from '../rows.ts';

type Inputs = readonly Pick<TensorInfo, 'name' | 'shape'>[];

export interface StatesForm {
  /** T, or undefined where the graph leaves it open. */
  readonly tokens: number | undefined;
  readonly perFrame: boolean;
}

/** Read off the shapes: a first axis of B·F, as a number or as the name that products have, is one for every frame. */
export function statesForm(inputs: Inputs): StatesForm {
  const shapeOf = (name: string) => inputs.find((input) => input.name === name)?.shape ?? [];
  const [batch = 1, , frames = 1] = shapeOf('sample');
  const [rows, tokens] = shapeOf('encoder_hidden_states');
  return {
    tokens: typeof tokens === 'number' ? tokens : undefined,
    perFrame: rows !== batch && rows === times(batch, frames),
  };
}

/**
 * The input `encoder_hidden_states` for a batch of prompts, whose states are `[T, D]` or, of every frame, `[F, T, D]`.
 * @throws RangeError for states of every frame where the graph takes them once for all; preparePrompts refuses such prompts.
 */
export function statesInput(inputs: Inputs, states: readonly Tensor[], frames: number): HostTensor {
  const { perFrame } = statesForm(inputs);
  if (!perFrame && states.some(({ dims }) => dims.length > 2))
    throw new RangeError('The graph takes text states once for all frames, but states of every frame were given.');
  const rows = states.flatMap(({ dims, data }) => (perFrame && dims.length === 2 ? Array(frames).fill(data) : [data]));
  const dims = (states[0] as Tensor).dims.slice(-2);
  return {
    type: 'float32',
    dims: [perFrame ? states.length * frames : states.length, ...dims],
    data: joined(Float32Array, rows),
  };
}

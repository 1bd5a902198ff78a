/**
 * From prompts to text states: chunks through the text encoder, weights, interpolation between keyframes. All prompts of a run, the
 * negative one too, get the same number of chunks. Needs nothing of Node. docs/prompts.md says what each of these means.
 */
import { UsageError } from '../../errors.ts';
import type { TensorInfo } from '../../onnx/model-info.ts';
import { quote } from '../../text/quote.ts';
import type { LoadedGraph, Tensor } from '../denoise.ts';
import { joined, runRows } from '../rows.ts';
import type { Tokenizer } from '../tokenizer.ts';
import { chunkCapacity, chunkPrompt, emptyChunk, type PromptChunk } from './chunks.ts';
import { statesForm } from './states.ts';
import { interpolateStates, keyframesOf, type Prompt } from './travel.ts';
import { applyWeights } from './weights.ts';

export interface PromptOptions {
  /** Of the whole clip. */
  readonly frames: number;
  /** Read brackets as weights? */
  readonly weighted: boolean;
}

/** Prompts that fit a graph. */
export interface PreparedPrompts {
  /** Keyframes of each prompt, one where it does not change, with as many chunks as the graph takes. */
  readonly prompts: readonly (readonly { readonly frame: number; readonly chunks: readonly PromptChunk[] }[])[];
  readonly frames: number;
  /** Sentences: what had no room. */
  readonly warnings: readonly string[];
}

/** Characters of a prompt, and of what is left out of it, that a warning quotes. */
const [QUOTED, QUOTED_REST] = [40, 400];

/**
 * Cuts prompts into chunks for a UNet's graph with these `inputs`: as many as it fixes, else as the longest prompt needs.
 * @throws UsageError for a prompt that changes on a graph which takes one for all frames, for a keyframe outside the clip or
 * a weight out of range.
 */
export function preparePrompts(
  { tokenizer }: { readonly tokenizer: Tokenizer },
  inputs: readonly Pick<TensorInfo, 'name' | 'shape'>[],
  prompts: readonly Prompt[],
  { frames, weighted }: PromptOptions,
): PreparedPrompts {
  const { tokens, perFrame } = statesForm(inputs);
  const most = tokens === undefined ? Number.POSITIVE_INFINITY : tokens / tokenizer.maxLength;
  const chunked = prompts.map((prompt) =>
    keyframesOf(prompt, frames).map(({ frame, prompt: text }) => ({
      frame,
      text,
      ...chunkPrompt(tokenizer, text, { weighted, most }),
    })),
  );
  if (!perFrame && chunked.some((keyframes) => keyframes.length > 1)) {
    throw new UsageError(
      "The prompt changes from frame to frame, but the UNet's graph takes one prompt for all frames. " +
        'Bake with output.prompt.per_frame: true for a graph that takes text states of every frame.',
    );
  }
  const all = chunked.flat();
  const room = most * chunkCapacity(tokenizer);
  const count = tokens === undefined ? Math.max(...all.map(({ chunks }) => chunks.length)) : most;
  const filled = (chunks: readonly PromptChunk[]) =>
    Array.from({ length: count }, (_, i) => chunks[i] ?? emptyChunk(tokenizer));
  return {
    prompts: chunked.map((keyframes) => keyframes.map(({ frame, chunks }) => ({ frame, chunks: filled(chunks) }))),
    frames,
    warnings: all
      .filter(({ tokens: had }) => had > room)
      .map(({ text, tokens: had, dropped }) => {
        const wanted = Math.ceil(had / chunkCapacity(tokenizer)) * tokenizer.maxLength;
        return (
          `The prompt ${quote(text, QUOTED)} has ${had} tokens, and the UNet's graph takes ${room}: ${quote(dropped, QUOTED_REST)} is left out. ` +
          `Bake with output.prompt.tokens: ${wanted}, or dynamic, for a graph that takes all of it.`
        );
      }),
  };
}

/** States of each prompt: `[T, D]`, or `[F, T, D]` where it changes from frame to frame. */
export async function encodePrompts(textEncoder: LoadedGraph, { prompts, frames }: PreparedPrompts): Promise<Tensor[]> {
  const keyframes = prompts.flat();
  const rows = new Map(keyframes.flatMap(({ chunks }) => chunks.map(({ ids }) => [ids.join(), ids] as const)));
  const { outputs } = await runRows(textEncoder, [...rows.values()], (batch) => ({
    input_ids: { type: 'int64', dims: [batch.length, batch[0]?.length ?? 0], data: joined(BigInt64Array, batch) },
  }));
  const encoded = outputs('last_hidden_state');
  const states = new Map([...rows.keys()].map((key, i) => [key, encoded[i] as Tensor]));
  const statesOf = ({ ids, weights }: PromptChunk) => {
    const plain = states.get(ids.join()) as Tensor;
    return weights ? applyWeights(plain, weights) : plain;
  };
  return prompts.map((prompt) => {
    const keyed = prompt.map(({ frame, chunks }) => ({ frame, states: alongTokens(chunks.map(statesOf)) }));
    const [only] = keyed;
    return only && keyed.length === 1 ? only.states : interpolateStates(keyed, frames);
  });
}

/** `[77, D]` of each chunk to `[T, D]`. */
function alongTokens(chunks: readonly Tensor[]): Tensor {
  const [, width = 0] = chunks[0]?.dims ?? [];
  const tokens = chunks.reduce((sum, { dims }) => sum + (dims[0] ?? 0), 0);
  return {
    dims: [tokens, width],
    data: joined(
      Float32Array,
      chunks.map(({ data }) => data),
    ),
  };
}

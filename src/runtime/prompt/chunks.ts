/**
 * A prompt of any length as the text encoder takes it: chunks of 75 tokens, each between bos and eos and padded to 77, to be encoded
 * one by one. The same as in diffusers' lpw pipelines, compel (BRUTAL) and, but for its search for commas, AUTOMATIC1111. Needs nothing of Node.
 */
import type { Tokenizer } from '../tokenizer.ts';
import { parseWeights } from './weights.ts';

export interface PromptChunk {
  /** `[77]` */
  readonly ids: BigInt64Array;
  /** Of each token, `[77]`: 1 for bos, eos and padding. Left out where all are 1. */
  readonly weights?: readonly number[];
}

export interface ChunkedPrompt {
  /** At least one. */
  readonly chunks: readonly PromptChunk[];
  /** All that the prompt has, bos and eos not counted. */
  readonly tokens: number;
  /** What stands beyond the most chunks, in the tokenizer's words. */
  readonly dropped: string;
}

/**
 * The whole text is tokenized at once and cut after every 75th token, also within a word. With `weighted` its brackets are read, and
 * each part that has a weight of its own is tokenized by itself.
 */
export function chunkPrompt(
  tokenizer: Tokenizer,
  text: string,
  { weighted, most }: { readonly weighted: boolean; readonly most: number },
): ChunkedPrompt {
  const capacity = chunkCapacity(tokenizer);
  const parts = weighted ? parseWeights(text) : [{ text, weight: 1 }];
  const tokens = parts.flatMap(({ text: part, weight }) =>
    tokenizer
      .encode(part)
      .slice(1, -1)
      .map((id) => ({ id, weight })),
  );
  const count = Math.min(most, Math.max(1, Math.ceil(tokens.length / capacity)));
  const chunks = Array.from({ length: count }, (_, i): PromptChunk => {
    const own = tokens.slice(i * capacity, (i + 1) * capacity);
    const ids = tokenizer.padded(own.map(({ id }) => id));
    if (own.every(({ weight }) => weight === 1)) return { ids };
    return { ids, weights: Array.from(ids, (_, at) => own[at - 1]?.weight ?? 1) };
  });
  const dropped = tokenizer.decode(tokens.slice(count * capacity).map(({ id }) => id));
  return { chunks, tokens: tokens.length, dropped };
}

/** What shorter prompts are filled up with: the chunk of the empty prompt. */
export function emptyChunk(tokenizer: Tokenizer): PromptChunk {
  return { ids: tokenizer.padded([]) };
}

/** Tokens of a prompt that one chunk holds. */
export function chunkCapacity({ maxLength }: Tokenizer): number {
  return maxLength - 2;
}

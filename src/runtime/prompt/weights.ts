/**
 * Attention weights in a prompt: `(word:1.2)`, `(word)` for 1.1, `[word]` for 1/1.1, nested at will, `\(` for the character itself.
 * Source of truth: AUTOMATIC1111's stable-diffusion-webui, whose syntax and numbers the prompts in circulation are written for:
 * modules/prompt_parser.py (syntax) and modules/sd_hijack_clip.py (what a weight does). Needs nothing of Node.
 */
import { UsageError } from '../../errors.ts';
import { quote } from '../../text/quote.ts';
import type { Tensor } from '../denoise.ts';

/** A part of a prompt whose tokens all weigh the same. */
export interface WeightedText {
  readonly text: string;
  readonly weight: number;
}

const BRACKETS = { '(': 1.1, '[': 1 / 1.1 } as const;
const CLOSING: Readonly<Record<string, keyof typeof BRACKETS>> = { ')': '(', ']': '[' };

/** Far beyond what still gives pictures (2 or so), and within what text states of fp16 graphs stand (docs/precision.md). */
const MAX_WEIGHT = 100;

/** A character that is meant, the end of a bracket with its weight, a bracket, or text. */
const PIECE = /\\(?<meant>[()[\]\\]?)|:\s*(?<weight>[+-]?(?:\d+\.?\d*|\.\d+))\s*\)|[()[\]]|[^\\()[\]:]+|:/g;

/**
 * The parts of a prompt in their order; neighbours of one weight are one part, since only that is tokenized as it would be
 * without brackets. A bracket that nothing closes reaches to the end; one that closes nothing is text.
 * @throws UsageError for a weight that no text encoder's states can take.
 */
export function parseWeights(prompt: string): WeightedText[] {
  const parts: { text: string; weight: number }[] = [];
  const open: { [Bracket in keyof typeof BRACKETS]: number[] } = { '(': [], '[': [] };
  const close = (bracket: keyof typeof BRACKETS, factor: number = BRACKETS[bracket]): boolean => {
    const from = open[bracket].pop();
    if (from === undefined) return false;
    for (const part of parts.slice(from)) part.weight *= factor;
    return true;
  };
  for (const { 0: piece, groups } of prompt.matchAll(PIECE)) {
    const { meant, weight } = groups as { meant?: string; weight?: string };
    if (meant !== undefined) parts.push({ text: meant, weight: 1 });
    else if (piece === '(' || piece === '[') open[piece].push(parts.length);
    else {
      const closed = weight === undefined ? CLOSING[piece] && close(CLOSING[piece]) : close('(', Number(weight));
      if (!closed) parts.push({ text: piece, weight: 1 });
    }
  }
  for (const bracket of ['(', '['] as const) while (close(bracket));
  const heavy = parts.find(({ weight }) => !(Math.abs(weight) <= MAX_WEIGHT));
  if (heavy) {
    throw new UsageError(
      `${quote(heavy.text)} in the prompt has the weight ${heavy.weight}; the largest is ${MAX_WEIGHT}. Usual weights lie between 0.5 and 1.5.`,
    );
  }
  const merged: { text: string; weight: number }[] = [];
  for (const part of parts) {
    const last = merged.at(-1);
    if (last?.weight === part.weight) last.text += part.text;
    else merged.push({ ...part });
  }
  return merged;
}

/**
 * The states of one chunk, `[tokens, D]`, each token's times its weight, and all of them scaled so that their mean is what it was:
 * so the prompt as a whole keeps its strength, and of several weights only the ratios count.
 */
export function applyWeights({ dims, data }: Tensor, weights: readonly number[]): Tensor {
  const width = data.length / weights.length;
  const weighted = data.map((x, i) => x * (weights[Math.floor(i / width)] as number));
  const scale = mean(data) / mean(weighted);
  if (!Number.isFinite(scale)) {
    throw new UsageError('The weights of the prompt leave nothing of it: the mean of its text states becomes 0.');
  }
  return { dims, data: weighted.map((x) => x * scale) };
}

function mean(values: Float32Array): number {
  return values.reduce((sum, x) => sum + x, 0) / values.length;
}

/** The block weights of a source as bars, one for each block: what each comes to, and how to change one in the recipe's own spelling. */
import { isBlockName } from '../architecture/block-map.ts';
import { BLOCK_NAMES, TEXT_ENCODER_BLOCK } from '../architecture/block-names.ts';
import { BLOCK_VECTORS, namedWeights } from '../architecture/block-vectors.ts';
import type { Edit, Json } from '../recipe/edit.ts';
import type { KeyPath } from '../recipe/located-yaml.ts';

export interface Bar {
  readonly block: string;
  readonly weight: number;
  /** Does the block have a number of its own, rather than that of its group, or 1? */
  readonly isOwn: boolean;
}

export interface Bars {
  readonly bars: readonly Bar[];
  /** Keys that are paths or patterns, which bars cannot show. */
  readonly others: number;
}

type Weights = Readonly<Record<string, Json>>;

/** Undefined where `blocks` is nothing that block weights can be. IN00 … OUT11, then BASE where the source has a text encoder. */
export function barsOf(blocks: Json | undefined, path: KeyPath): Bars | undefined {
  const named = namesOf(blocks ?? {});
  if (!named) return undefined;
  const names = hasTextEncoder(path) ? [...BLOCK_NAMES, TEXT_ENCODER_BLOCK] : BLOCK_NAMES;
  return {
    bars: names.map((block) => {
      const own = named[block];
      return { block, weight: typeof own === 'number' ? own : inherited(named, block), isOwn: typeof own === 'number' };
    }),
    others: Object.keys(named).filter((key) => !isBlockName(key)).length,
  };
}

/** Undefined where the list that the recipe has does not speak of the block. What a block has anyhow is not written. */
export function setBar(blocks: Json | undefined, path: KeyPath, block: string, weight: number): Edit | undefined {
  if (isList(blocks)) {
    const index = BLOCK_VECTORS.get(blocks.length)?.indexOf(block) ?? -1;
    return index < 0 ? undefined : { path: [...path, index], value: weight };
  }
  const named = (blocks ?? {}) as Weights;
  return { path: [...path, block], value: weight === inherited(named, block) ? undefined : weight };
}

/** What it has without a number of its own. */
function inherited(named: Weights, block: string): number {
  const group = named[block.replace(/\d+$/, '')];
  return block !== TEXT_ENCODER_BLOCK && typeof group === 'number' ? group : 1;
}

const HEIGHTS = '▁▂▃▄▅▆▇█';

/** One character: its height, or a sign where it is beyond 0 … 1. */
export function glyphOf(weight: number): string {
  if (weight < 0) return '−';
  return weight > 1 ? '+' : (HEIGHTS[Math.round(weight * (HEIGHTS.length - 1))] as string);
}

function namesOf(blocks: Json): Weights | undefined {
  if (isList(blocks)) return BLOCK_VECTORS.has(blocks.length) ? namedWeights(blocks as readonly number[]) : undefined;
  return typeof blocks === 'object' && blocks !== null ? (blocks as Weights) : undefined;
}

const isList = (value: Json | undefined): value is readonly Json[] => Array.isArray(value);

/** Only personalized sources change the text encoder. */
const hasTextEncoder = ([head]: KeyPath): boolean => head === 'personalized';

/** What was merged and how strongly, what each source did to the weights, and which files those were. */
import { parseReference } from '../../hub/reference.ts';
import type { Role } from '../../merge/plan-files.ts';
import type { Recipe } from '../../recipe/schema.ts';
import { markdownLink, markdownTable, markdownText } from '../../text/markdown.ts';
import { formatBytes, threeFigures } from '../../text/quantity.ts';
import type { Lock, LockedInput } from '../lock.ts';

type Blocks = Recipe['motion']['blocks'];

export function strengthsSection({ recipe, effects }: Lock): string {
  const { base, personalized, lcm, motion } = recipe;
  const changed = (role: Role): string => {
    const share = effects?.sources[role];
    return share === undefined ? '–' : `${threeFigures(100 * share)} %`;
  };
  const rows = [
    ['w₀', 'base', base.model, '1', '', changed('base')],
    ...personalized.map((source, i) => [
      `α${personalized.length > 1 ? sub(i + 1) : ''}`,
      'personalized',
      source.lora ?? source.checkpoint ?? '',
      `${source.alpha}${source.text_encoder === source.alpha ? '' : `, text encoder ${source.text_encoder}`}`,
      notesOf({ scale: source.lora === undefined ? 'whole model' : source.scale, blocks: source.blocks }),
      changed(`personalized[${i}]`),
    ]),
    ...(lcm ? [['β', 'image LCM', lcm.lora, String(lcm.beta), notesOf(lcm), changed('lcm')]] : []),
    [
      'γ',
      'motion module',
      motion.module,
      String(motion.gamma),
      notesOf({
        scale: `${motion.base === undefined ? motion.mode : `from ${motion.base}`}, GroupNorm ${motion.norm}`,
        blocks: motion.blocks,
      }),
      changed('motion'),
    ],
    ...motion.loras.map((source, i) => [
      `γ${sub(i + 1)}`,
      'motion LoRA',
      source.lora,
      String(source.alpha),
      notesOf(source),
      changed(`motion.loras[${i}]`),
    ]),
  ];
  const measured = effects
    ? `\n\nThe last column is ‖Δ‖/‖W‖ over the weights that a source changes, measured on ${threeFigures(100 * effects.sampled)} % of them. Rounding to the format of the weights left ${threeFigures(100 * effects.unchanged)} % of these as they were.`
    : '';
  return `## Strengths\n\n${markdownTable(
    ['', 'part', 'source', 'strength', 'how', 'changes its weights by'],
    rows.map((row) => row.map(markdownText)),
  )}${measured}`;
}

const sub = (n: number): string => [...String(n)].map((digit) => '₀₁₂₃₄₅₆₇₈₉'[Number(digit)]).join('');

/** How the file's own alpha counts, and the weights of blocks that are not 1. */
function notesOf({ scale, blocks }: { readonly scale: string; readonly blocks: Blocks }): string {
  const named = Array.isArray(blocks)
    ? [`blocks [${blocks.join(', ')}]`]
    : Object.entries(blocks).map(([block, weight]) => `${block} ${weight}`);
  return [scale, ...named].join(', ');
}

export function sourcesSection({ inputs, origins = {} }: Lock): string {
  const rows = inputs.map((input) => [
    markdownText(input.role),
    fileOf(input, origins),
    `\`${input.sha256.slice(0, 12)}\``,
    formatBytes(input.bytes),
  ]);
  return `## Sources\n\n${markdownTable(['role', 'file', 'SHA-256', 'size'], rows)}\n\nThe lock has the whole SHA-256 of each.`;
}

/** A link to the file at its commit, where it came from the Hub. */
function fileOf({ file, origin = '' }: LockedInput, origins: NonNullable<Lock['origins']>): string {
  const { reference = '', commit = '' } = origins[origin] ?? {};
  const parsed = parseReference(reference);
  if ('fault' in parsed) return markdownText(file);
  const path = file.split('/').map(encodeURIComponent).join('/');
  const address = `https://huggingface.co/${parsed.repo}/blob/${commit}/${path}`;
  return `${markdownLink(`${parsed.repo}/${file}`, address)} at ${markdownText(commit.slice(0, 12))}`;
}

/** `blocks:` of a source: a list in one of the usual lengths, or keys that name blocks, paths of modules and patterns of parameter names. */
import { z } from 'zod';
import { type BlockWeights, PATH_ROOTS } from '../architecture/block-map.ts';
import { BLOCK_GROUPS, BLOCK_NAMES, TEXT_ENCODER_BLOCK } from '../architecture/block-names.ts';
import { BLOCK_VECTORS } from '../architecture/block-vectors.ts';

/** The longest parameter name of the family has 84 characters. */
const MAX_KEY_LENGTH = 200;

const LENGTHS = new Intl.ListFormat('en-GB', { type: 'disjunction' }).format([...BLOCK_VECTORS.keys()].map(String));

const list = z.array(z.number()).check(({ value, issues }) => {
  if (BLOCK_VECTORS.has(value.length)) return;
  const message = `must have ${LENGTHS} numbers, but it has ${value.length}; which blocks each length names is in docs/formats.md`;
  issues.push({ code: 'custom', message, input: value });
});

/** A path such as `up_blocks.2.attentions.0`, or anything with a wildcard in it. */
const pathOrPattern = z
  .string()
  .max(MAX_KEY_LENGTH)
  .regex(new RegExp(`^((${PATH_ROOTS.join('|')})(\\.\\w+)*|[\\w.]*[*?][\\w.*?]*)$`))
  .meta({ examples: [...PATH_ROOTS] });

/** `textEncoder`: may the source change the text encoder, which BASE stands for? */
export function blockWeights({ textEncoder }: { readonly textEncoder: boolean }) {
  const names = [...BLOCK_NAMES, ...BLOCK_GROUPS, ...(textEncoder ? [TEXT_ENCODER_BLOCK] : [])];
  const mapping = z.record(z.union([z.enum(names), pathOrPattern]), z.number());
  return (z.union([mapping, list]) as z.ZodType<BlockWeights>)
    .default({})
    .describe(
      'Strength per block, multiplied with the strength of the whole. A list of ' +
        `${LENGTHS} numbers, or a mapping whose keys are blocks (IN00 to IN11, M00, OUT00 to OUT11${textEncoder ? ', BASE for the text encoder' : ''}), groups ` +
        '(IN, M, OUT), paths of modules (up_blocks.2.attentions.0; down, mid and up for short) or patterns of parameter names ("*.attn2.*"). ' +
        "What speaks of more of a parameter's path beats the rest: a pattern beats a path, a longer path a shorter one, a block its group. " +
        'What no key describes keeps 1.',
    );
}

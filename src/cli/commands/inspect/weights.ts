/** What a file of weights is: kind, tensors and what its names tell; read from the header alone. */
import { openTensorFile } from '../../../formats/tensor-file.ts';
import { type Facts, recognise } from '../../../merge/recognise.ts';
import { formatBytes, formatNumber } from '../../../text/quantity.ts';
import { quote } from '../../../text/quote.ts';
import type { Found } from './found.ts';

export async function inspectWeights(path: string): Promise<Found> {
  await using file = await openTensorFile(path);
  const { kind, title, facts } = await recognise(file);
  const dtypes: Record<string, { tensors: number; bytes: number }> = {};
  for (const { dtype, byteLength } of file.tensors.values()) {
    const sum = (dtypes[dtype] ??= { tensors: 0, bytes: 0 });
    sum.tensors += 1;
    sum.bytes += byteLength;
  }
  const { size } = file.source;
  const metadata = Object.entries(file.metadata);
  return {
    value: {
      file: path,
      kind,
      title,
      container: file.kind,
      bytes: size,
      tensors: file.tensors.size,
      dtypes,
      facts,
      metadata: file.metadata,
      ignored_globals: file.ignoredGlobals ?? [],
    },
    title: `${path}: ${title}`,
    rows: [
      ['container', `${file.kind}, ${formatBytes(size)}`],
      [
        'tensors',
        `${file.tensors.size}: ${Object.entries(dtypes)
          .map(([dtype, sum]) => `${sum.tensors} ${dtype} (${formatBytes(sum.bytes)})`)
          .join(', ')}`,
      ],
      ...factRows(facts),
      ...metadata.map(([key, value]) => ['metadata', `${bare(key)} = ${bare(value)}`] as const),
      ...(file.ignoredGlobals?.length ? [['left alone', `objects of ${file.ignoredGlobals.join(', ')}`] as const] : []),
    ],
  };
}

/** Training metadata can be megabytes; so much of it is shown. */
const bare = (text: string) => quote(text, 120).slice(1, -1);

function factRows(facts: Facts): (readonly [string, string])[] {
  const show = (value: string | number) => (typeof value === 'number' ? formatNumber(value) : value);
  return Object.entries(facts).map(([name, fact]) => {
    if (typeof fact === 'boolean') return [name, fact ? 'yes' : 'no'];
    if (typeof fact !== 'object') return [name, show(fact)];
    if (Array.isArray(fact)) return [name, fact.map(show).join(', ') || '–'];
    return [
      name,
      Object.entries(fact)
        .map(([key, value]) => `${value} ${key}`)
        .join(', '),
    ];
  });
}

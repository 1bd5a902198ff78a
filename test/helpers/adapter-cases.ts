/** Golden adapters: small files of every kind, what they are for, and how to plan and load them. */
import { readFile } from 'node:fs/promises';
import { moduleNames } from '../../src/architecture/module-names.ts';
import type { ModelParameter } from '../../src/architecture/parameters.ts';
import { openTensorFile, readTensor, type TensorFile } from '../../src/formats/tensor-file.ts';
import type { Term } from '../../src/merge/adapters/adapter.ts';
import type { LoadedTerm, Numbers } from '../../src/merge/gemm.ts';
import { type AdapterSource, planAdapter, spatialHost } from '../../src/merge/plan-adapters.ts';
import type { TensorRef } from '../../src/merge/plan-files.ts';

/** Made by `python test/oracle/adapters.py`: every kind, merged by its library and by a float64 formula that agree. */
export interface AdapterCase {
  readonly name: string;
  readonly about: string;
  readonly component: 'unet' | 'text_encoder';
  readonly parameters: Readonly<Record<string, 'linear' | 'conv1x1' | 'conv3x3' | 'norm' | 'bias'>>;
  readonly files: readonly {
    readonly at: string;
    readonly strength: number;
    readonly scale: AdapterSource['scale'];
    readonly metadata: Readonly<Record<string, string>>;
    readonly modules: number;
  }[];
}

export const { cases } = JSON.parse(await readFile('test/golden/adapters.json', 'utf8')) as {
  cases: readonly AdapterCase[];
};
export const golden = await openTensorFile('test/golden/adapters.safetensors');
/** The part of the golden file under `prefix`, as a file of its own. */
export function fileAt(prefix: string, metadata: Readonly<Record<string, string>> = {}): TensorFile {
  const entries = [...golden.tensors.values()].filter(({ name }) => name.startsWith(prefix));
  return {
    ...golden,
    source: { ...golden.source, name: prefix, read: golden.source.read },
    metadata,
    tensors: new Map(
      entries.map((entry) => {
        const name = entry.name.slice(prefix.length);
        return [name, { ...entry, name }];
      }),
    ),
  };
}

export async function numbers(file: TensorFile, name: string): Promise<Numbers> {
  const entry = file.tensors.get(name);
  if (!entry) throw new RangeError(`${file.source.name} has no ${name}.`);
  return { bytes: await readTensor(file, entry), dtype: entry.dtype, shape: entry.shape };
}

/** SD1.5's blocks, as far as LDM's names depend on them. */
const structure = {
  config: { layers_per_block: 2 },
  up: [false, true, true, true].map((attention) => ({ attention })),
} as unknown as Parameters<typeof moduleNames>[1];

/** The terms of every file of a case by parameter, in the order in which they are applied. */
export async function planCase(
  { name, component, parameters, files }: AdapterCase,
  alter: (file: TensorFile) => TensorFile = (file) => file,
) {
  const base = fileAt(`${name}/base/`);
  const table = Object.entries(parameters).map(
    ([parameter, kind]): ModelParameter => ({
      name: parameter,
      kind: kind === 'linear' ? 'linear' : kind.startsWith('conv') ? 'conv' : 'vector',
      shape: base.tensors.get(parameter)?.shape ?? [],
      motion: false,
    }),
  );
  const names = moduleNames({ unet: [], text_encoder: [], [component]: table }, structure);
  const opened: TensorFile[] = [];
  const matched: (readonly [found: number, expected: number])[] = [];
  const terms = new Map<string, Term[]>(table.map((parameter) => [parameter.name, []]));
  for (const { at, strength, scale, metadata, modules } of files) {
    const file = alter(fileAt(`${name}/${at}/`, metadata));
    const source: AdapterSource = {
      kind: 'adapter',
      role: `personalized[${opened.length}]`,
      key: ['personalized', opened.length],
      path: at,
      strength: { unet: strength, text_encoder: strength },
      scale,
      blocks: {},
      allow_unmatched: [],
      modules: undefined,
    };
    const files = { open: async () => file, add: () => opened.push(file) - 1, settle: () => undefined };
    const planned = await planAdapter(files, source, spatialHost(names));
    matched.push([planned.modules, modules]);
    for (const { parameter, term } of planned.terms) terms.get(parameter.name)?.push(term);
  }
  return { base, table, opened, terms, matched };
}

export async function load(files: readonly TensorFile[], term: Term): Promise<LoadedTerm> {
  const { alpha: _, ...refs } = term.operands as Readonly<Record<string, TensorRef>>;
  const entries = Object.entries(refs).map(
    async ([operand, { file, tensor }]) => [operand, await numbers(files[file] as TensorFile, tensor)] as const,
  );
  const inner = term.kind === 'dora' ? await load(files, term.delta) : undefined;
  return { term, operands: Object.fromEntries(await Promise.all(entries)), ...(inner && { inner }) };
}

import { readFile } from 'node:fs/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { moduleNames } from '../../src/architecture/module-names.ts';
import type { ModelParameter } from '../../src/architecture/parameters.ts';
import { toFloat64 } from '../../src/formats/dtype.ts';
import { openTensorFile, readTensor, type TensorFile } from '../../src/formats/tensor-file.ts';
import type { Term } from '../../src/merge/adapters/adapter.ts';
import { createMerger, type LoadedTerm, type Numbers } from '../../src/merge/gemm.ts';
import { type AdapterSource, planAdapter, spatialHost } from '../../src/merge/plan-adapters.ts';
import type { TensorRef } from '../../src/merge/plan-files.ts';
import { sliceRows } from '../../src/merge/rows.ts';
import { applyExactly, type Elements, type ExactTerm } from '../../src/verify/float64.ts';
import { float16Steps } from '../helpers/numbers.ts';

/** Made by `python test/oracle/adapters.py`: every kind, merged by its library and by a float64 formula that agree. */
interface Case {
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

const { cases } = JSON.parse(await readFile('test/golden/adapters.json', 'utf8')) as { cases: readonly Case[] };
const golden = await openTensorFile('test/golden/adapters.safetensors');
const single = await createMerger('float32');
const half = await createMerger('float16');
afterAll(async () => {
  await golden[Symbol.asyncDispose]();
  await single[Symbol.asyncDispose]();
  await half[Symbol.asyncDispose]();
});

/** The part of the golden file under `prefix`, as a file of its own. */
function fileAt(prefix: string, metadata: Readonly<Record<string, string>> = {}): TensorFile {
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

async function numbers(file: TensorFile, name: string): Promise<Numbers> {
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
async function planCase({ name, component, parameters, files }: Case) {
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
  const terms = new Map<string, Term[]>(table.map((parameter) => [parameter.name, []]));
  for (const { at, strength, scale, metadata, modules } of files) {
    const file = fileAt(`${name}/${at}/`, metadata);
    const source: AdapterSource = {
      role: `personalized[${opened.length}]`,
      key: ['personalized', opened.length],
      path: at,
      strength: { unet: strength, text_encoder: strength },
      scale,
      blocks: {},
      allow_unmatched: [],
      modules: undefined,
    };
    const planned = await planAdapter(file, opened.push(file) - 1, source, spatialHost(names));
    expect(planned.modules).toBe(modules);
    for (const { parameter, term } of planned.terms) terms.get(parameter.name)?.push(term);
  }
  return { base, table, opened, terms };
}

async function load(files: readonly TensorFile[], term: Term): Promise<LoadedTerm> {
  const { alpha: _, ...refs } = term.operands as Readonly<Record<string, TensorRef>>;
  const entries = Object.entries(refs).map(
    async ([operand, { file, tensor }]) => [operand, await numbers(files[file] as TensorFile, tensor)] as const,
  );
  const inner = term.kind === 'dora' ? await load(files, term.delta) : undefined;
  return { term, operands: Object.fromEntries(await Promise.all(entries)), ...(inner && { inner }) };
}

function exactTerm({ term, operands, inner }: LoadedTerm): ExactTerm {
  return {
    term,
    scale: term.scale,
    operands: Object.fromEntries(
      Object.entries(operands).map(([name, { bytes, dtype, shape }]) => [
        name,
        { values: toFloat64(bytes, dtype), shape },
      ]),
    ),
    ...(inner && { inner: exactTerm(inner) }),
  };
}

const values32 = (bytes: Uint8Array) => new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
const values16 = (bytes: Uint8Array) => new Float16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);

describe.each(cases.map((entry) => [entry.name, entry] as const))('%s', (_, entry) => {
  it(`is merged as its library does: ${entry.about}`, async () => {
    const { base, table, opened, terms } = await planCase(entry);
    for (const { name, shape } of table) {
      const wanted = await numbers(fileAt(`${entry.name}/expected/`), name);
      const expected = toFloat64(wanted.bytes, wanted.dtype);
      const largest = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
      const weight = await numbers(base, name);
      const loaded = await Promise.all((terms.get(name) ?? []).map((term) => load(opened, term)));
      const merge = { weight, shape, gain: 1, terms: loaded, transposed: false };

      const exact32 = values32((await single.merge(merge)).slice());
      for (const [i, x] of exact32.entries())
        expect(Math.abs(x - (expected[i] as number)), `${name}[${i}]`).toBeLessThan(3e-6 * largest);
      const exact16 = values16(await half.merge(merge));
      for (const [i, x] of exact16.entries())
        expect(float16Steps(x, expected[i] as number), `${name}[${i}]`).toBeLessThanOrEqual(1);

      // rows that are merged alone are the same rows
      const rows = shape[0] as number;
      const part = sliceRows(merge, 1, rows - 1);
      if (part) {
        const columns = expected.length / rows;
        expect(values32(await single.merge(part))).toEqual(exact32.slice(columns, (rows - 1) * columns));
      }
    }
  });

  it('is what the gate computes in float64', async () => {
    const { base, table, opened, terms } = await planCase(entry);
    for (const { name, shape } of table) {
      const wanted = await numbers(fileAt(`${entry.name}/expected/`), name);
      const expected = toFloat64(wanted.bytes, wanted.dtype);
      const largest = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
      const { bytes, dtype } = await numbers(base, name);
      const weight = toFloat64(bytes, dtype);
      const columns = weight.length / (shape[0] as number);
      let exact: Elements = (row, column) => weight[row * columns + column] as number;
      for (const term of terms.get(name) ?? []) exact = applyExactly(exact, shape, exactTerm(await load(opened, term)));
      for (const [i, x] of expected.entries()) {
        const found = exact(Math.floor(i / columns), i % columns);
        expect(Math.abs(found - x), `${name}[${i}]`).toBeLessThan(3e-7 * largest);
      }
    }
  });
});

/**
 * Samples tensors of every rule and computes them again in float64, element by element, straight from the source files and the
 * recipe: not through the merge's GEMMs, and with strengths worked out anew from alpha, rank and recipe.
 */
import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { blockWeight } from '../../architecture/block-map.ts';
import type { Component } from '../../architecture/names.ts';
import { toFloat64 } from '../../formats/dtype.ts';
import { openTensorFile, readTensor, type TensorFile } from '../../formats/tensor-file.ts';
import type { Term } from '../../merge/adapters/adapter.ts';
import { motionGain } from '../../merge/motion.ts';
import type { Plan, PlannedTensor } from '../../merge/plan.ts';
import type { Role, TensorRef } from '../../merge/plan-files.ts';
import { type InitializerInfo, readModelInfo } from '../../onnx/model-info.ts';
import type { Recipe } from '../../recipe/schema.ts';
import { externalFaults } from '../../runtime/graph-contract.ts';
import { type Check, failed, passed } from '../check.ts';
import { applyExactly, type Elements, type ExactOperand, type ExactTerm } from '../float64.ts';

const [TENSORS_PER_RULE, ELEMENTS_PER_TENSOR] = [4, 61];

/** fp32 results may differ from float64 by the rounding of a few operations, relative to the sizes that were added. */
const FP32_TOLERANCE = 2 ** -20;

export const recompute: Check = {
  id: 'recompute',
  proves: 'sampled tensors of every rule equal a float64 recomputation from the source files, within 1 fp16 ulp',
  cost: 'reading the sampled tensors',
  from: 'quick',
  applies: ({ plan }) => plan !== undefined,
  async run({ pkg, plan, signal }) {
    if (!plan) throw new RangeError('recompute needs the plan.');
    await using stack = new AsyncDisposableStack();
    const files: TensorFile[] = [];
    for (const { path } of plan.files) files.push(stack.use(await openTensorFile(path)));
    let [tensors, elements, worst] = [0, 0, 0];
    for (const component of plan.components) {
      const path = pkg.models[component];
      if (path === undefined) return failed(`The package has no ${component}, which the plan has.`);
      const info = await readModelInfo(path);
      const [fault] = await externalFaults(path, info);
      if (fault) return failed(`${path}: ${fault}.`);
      const places = new Map(info.initializers.map((initializer) => [initializer.name, initializer]));
      for (const tensor of sampleOfEveryRule(plan, plan.tensors[component])) {
        signal?.throwIfAborted();
        const place = places.get(tensor.name);
        if (!place) return failed(`${component} has no ${tensor.name}.`);
        const distance = await worstDistance(path, place, plan, files, tensor);
        if (!(distance.ulps <= 1)) {
          return failed(
            `${tensor.name} is ${distance.found} at element ${distance.element} of [${tensor.shape}]; float64 gives ${distance.expected} (${distance.ulps} ulp off).`,
            { ulps: distance.ulps },
          );
        }
        worst = Math.max(worst, distance.ulps);
        tensors += 1;
        elements += ELEMENTS_PER_TENSOR;
      }
    }
    return passed(`${elements} elements of ${tensors} tensors agree with float64 within ${worst} ulp.`, {
      tensors,
      elements,
      ulps: worst,
    });
  },
};

/** Tensors whose origin, terms and kind are alike follow one rule; some of each are taken, spread over the model. */
function sampleOfEveryRule(plan: Plan, tensors: readonly PlannedTensor[]): PlannedTensor[] {
  const rules = Map.groupBy(
    tensors.filter((tensor) => tensor.source !== null),
    ({ name, source, terms, kind, shape }) => {
      const role = plan.files[source?.file ?? -1]?.role;
      const takesGamma = role === 'motion' && motionGain({ gamma: 2, mode: plan.recipe.motion.mode }, name) === 2;
      return [
        role,
        takesGamma,
        kind,
        shape.length,
        shape[2] ?? 0,
        ...terms.map((term) => `${term.kind} of ${term.of}`),
      ].join();
    },
  );
  return [...rules.values()].flatMap((group) => {
    const step = Math.max(1, Math.floor(group.length / TENSORS_PER_RULE));
    return group.filter((_, i) => i % step === 0).slice(0, TENSORS_PER_RULE);
  });
}

async function worstDistance(
  path: string,
  place: InitializerInfo,
  plan: Plan,
  files: readonly TensorFile[],
  tensor: PlannedTensor,
) {
  const read = async ({ file, tensor: name }: TensorRef) => {
    const entry = files[file]?.tensors.get(name);
    if (!entry) throw new RangeError(`${name} is not in ${plan.files[file]?.path}.`);
    const values = toFloat64(await readTensor(files[file] as TensorFile, entry), entry.dtype);
    return { values, shape: entry.shape };
  };
  const source = tensor.source as TensorRef;
  const weight = await read(source);
  const rows = tensor.shape[0] as number;
  const columns = weight.values.length / rows;
  const load = async (term: Term, inside?: Term): Promise<ExactTerm> => {
    const { alpha: _, ...matrices } = term.operands as Readonly<Record<string, TensorRef>>;
    const entries = Object.entries(matrices).map(async ([name, ref]) => [name, await read(ref)] as const);
    return {
      term,
      scale: await expectedScale(plan, tensor, term, read, inside),
      operands: Object.fromEntries(await Promise.all(entries)),
      ...(term.kind === 'dora' && { inner: await load(term.delta, term) }),
    };
  };
  let exact: Elements = (row, column) => weight.values[row * columns + column] as number;
  let sizes: Elements = (row, column) => Math.abs(exact(row, column));
  for (const term of tensor.terms) {
    const [below, smaller, loaded] = [exact, sizes, await load(term)];
    if (loaded.scale === 0) continue; // a source that is turned off takes no part
    const above = applyExactly(below, tensor.shape, loaded);
    exact = above;
    sizes = (row, column) => smaller(row, column) + Math.abs(above(row, column) - below(row, column));
  }
  const gain = plan.files[source.file]?.role === 'motion' ? motionGain(strengthOfMotion(plan, tensor), tensor.name) : 1;
  const baked = await readBaked(path, place);
  let worst = { ulps: 0, element: 0, found: 0, expected: 0 };
  for (let n = 0; n < Math.min(ELEMENTS_PER_TENSOR, rows * columns); n += 1) {
    const element = Math.floor((n * (rows * columns - 1)) / Math.max(1, ELEMENTS_PER_TENSOR - 1)) % (rows * columns);
    const [row, column] = [Math.floor(element / columns), element % columns];
    const expected = gain * exact(row, column);
    const size = Math.abs(gain) * sizes(row, column);
    const found = baked(tensor.kind === 'linear' ? column * rows + row : element);
    const ulps =
      place.type === 'FLOAT16'
        ? ulpDistance(found, expected)
        : Math.abs(found - expected) / (size * FP32_TOLERANCE + 1e-30);
    if (!(ulps <= worst.ulps)) worst = { ulps, element, found, expected };
  }
  return worst;
}

function strengthOfMotion({ recipe }: Plan, tensor: PlannedTensor) {
  const { gamma, mode, blocks } = recipe.motion;
  return { mode, gamma: gamma * blockWeight(blocks, tensor.component, tensor.name) };
}

/** How a file's alpha and rank count. */
const FACTOR = {
  'alpha/rank': (alpha: number, rank: number) => alpha / rank,
  raw: () => 1,
  rslora: (alpha: number, rank: number) => alpha / Math.sqrt(rank),
} as const;

/** The operand whose first length is the rank, by kind. */
const RANKED_BY: Readonly<Partial<Record<Term['kind'], readonly string[]>>> = {
  lora: ['down'],
  loha: ['w1_b'],
  lokr: ['w1_b', 'w2_b'],
  glora: ['a2'],
};

/**
 * The scale of a term, from the recipe and the file's own alpha and rank. `around` is the DoRA that decomposes it and has the
 * strength in its place.
 */
async function expectedScale(
  plan: Plan,
  tensor: PlannedTensor,
  term: Term,
  read: (ref: TensorRef) => Promise<ExactOperand>,
  around: Term | undefined,
): Promise<number> {
  const { whole, blocks, scale } = sourceOf(plan.recipe, term.of, tensor.component);
  const strength = around ? 1 : whole * blockWeight(blocks, tensor.component, tensor.name);
  const ranked = 'rank' in term ? term : 'ranked' in term ? term.ranked : undefined;
  if (!ranked) return strength;
  const refs = term.operands as Readonly<Record<string, TensorRef>>;
  const measured = RANKED_BY[term.kind]?.find((name) => refs[name]);
  const rank = measured ? ((await read(refs[measured] as TensorRef)).shape[0] as number) : ranked.rank;
  const alpha = refs['alpha'] ? ((await read(refs['alpha'])).values[0] as number) : (ranked.alpha ?? rank);
  // a file may declare itself rank-stabilised where the recipe leaves the convention to it
  const convention = scale === 'alpha/rank' ? ranked.convention : scale;
  return strength * FACTOR[convention](alpha, rank);
}

/** What the recipe says of the source that asked for a term. */
function sourceOf(recipe: Recipe, role: Role, component: Component) {
  const index = Number(/\d+/.exec(role)?.[0]);
  // what a module has over the one that it starts from is no adapter, and has no alpha of its own
  if (role === 'motion') return { whole: recipe.motion.gamma, blocks: recipe.motion.blocks, scale: 'raw' as const };
  const lora = role.startsWith('motion.loras') ? recipe.motion.loras[index] : undefined;
  if (lora) return { whole: lora.alpha, blocks: lora.blocks, scale: lora.scale };
  const source = role === 'lcm' ? recipe.lcm : recipe.personalized[index];
  if (!source) throw new RangeError(`The recipe has no source ${role}.`);
  const whole = 'beta' in source ? source.beta : component === 'text_encoder' ? source.text_encoder : source.alpha;
  return { whole, blocks: source.blocks, scale: source.scale };
}

/** Reads the initializer and gives access to its elements as they lie in the file. */
async function readBaked(
  path: string,
  { external, type, name }: InitializerInfo,
): Promise<(element: number) => number> {
  if (!external) throw new RangeError(`${name} is not external data.`);
  await using file = await open(join(dirname(path), external.location));
  const data = new Uint8Array(external.length);
  await file.read(data, 0, data.length, external.offset);
  const values = type === 'FLOAT16' ? new Float16Array(data.buffer) : new Float32Array(data.buffer);
  return (element) => values[element] as number;
}

/** Steps between `found`, an fp16 number, and `exact` rounded to fp16. */
export function ulpDistance(found: number, exact: number): number {
  const ordered = (value: number) => {
    const bits = new Uint16Array(Float16Array.of(value).buffer)[0] as number;
    return bits & 0x8000 ? -(bits & 0x7fff) : bits;
  };
  return Number.isFinite(found) && Number.isFinite(exact)
    ? Math.abs(ordered(found) - ordered(exact))
    : Number.POSITIVE_INFINITY;
}

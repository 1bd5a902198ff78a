/**
 * Computes elements of the merged weights again in float64, straight from the source files and the recipe, and compares them with
 * what was baked. A wrong rule, strength or layout shows in nearly every element of a tensor, so a few of each are enough.
 */
import { FormatError } from '../../errors.ts';
import { openTensorFile, type TensorFile } from '../../formats/tensor-file.ts';
import { motionGain } from '../../merge/motion.ts';
import type { Plan, PlannedTensor } from '../../merge/plan.ts';
import type { Profile } from '../../recipe/profile.ts';
import { openBakedWeights, type StoredWeight } from '../baked-weights.ts';
import { type Check, failed, passed } from '../check.ts';
import { type ExactElement, exactElements } from '../exact-weight.ts';
import { ulpDistance } from '../rounding.ts';
import { sampledElements } from '../sampled-elements.ts';

/** How many tensors of a rule, and elements of a tensor. */
const EXTENT: Readonly<Record<Profile, { readonly tensors: number; readonly elements: number }>> = {
  quick: { tensors: 4, elements: 16 },
  standard: { tensors: Number.POSITIVE_INFINITY, elements: 16 },
  full: { tensors: Number.POSITIVE_INFINITY, elements: 64 },
};

/** fp32 results may differ from float64 by the rounding of a few operations, relative to the sizes that were added. */
const FP32_TOLERANCE = 2 ** -20;

/**
 * An fp16 element is off by one step where float32 sums end on the other side of a tie, which one in a thousand does. A change
 * that is about as large as a step puts half of them off.
 */
const SHARE_OFF_BY_ONE = 1 / 4;

export const recompute: Check = {
  id: 'recompute',
  proves:
    'elements of every tensor (in the profile quick: of some tensors of every rule) equal a float64 recomputation from the source files, within 1 fp16 ulp, and nearly all of them exactly',
  cost: 'reading those elements, and the adapters',
  from: 'quick',
  applies: ({ plan }) => plan !== undefined,
  async run({ pkg, plan, files: digests, profile, signal }) {
    if (!plan) throw new RangeError('recompute needs the plan.');
    await using stack = new AsyncDisposableStack();
    const files: TensorFile[] = [];
    for (const { path } of plan.files) files.push(stack.use(await openTensorFile(path)));
    const extent = EXTENT[profile];
    // other bytes in the package, other elements: which ones are looked at cannot be known before
    const seed = Object.values(digests)
      .map(({ sha256 }) => sha256)
      .join();
    let [tensors, elements, worst] = [0, 0, 0];
    try {
      const baked = stack.use(await openBakedWeights(pkg, plan));
      for (const tensor of plan.components.flatMap((component) => ofEveryRule(plan, component, extent.tensors))) {
        signal?.throwIfAborted();
        const copies = baked.copiesOf(tensor);
        const length = tensor.shape.reduce((n, dim) => n * dim, 1);
        const indices = sampledElements(`${seed} ${tensor.name}`, length, extent.elements);
        const exact = await exactElements(plan, files, tensor, indices);
        for (const copy of copies) {
          const { fault, ulps } = await compare(copy, tensor, indices, exact);
          if (fault !== undefined) return failed(fault, { ulps });
          worst = Math.max(worst, ulps);
          elements += indices.length;
        }
        tensors += 1;
      }
    } catch (error) {
      if (error instanceof FormatError) return failed(error.message);
      throw error;
    }
    return passed(`${elements} elements of ${tensors} tensors agree with float64 within ${worst} ulp.`, {
      tensors,
      elements,
      ulps: worst,
    });
  },
};

/** Tensors whose origin, terms and kind are alike follow one rule; at most so many of each, spread over the model. */
function ofEveryRule(plan: Plan, component: keyof Plan['tensors'], most: number): readonly PlannedTensor[] {
  const all = plan.tensors[component];
  if (most === Number.POSITIVE_INFINITY) return all;
  const rules = Map.groupBy(all, ({ name, source, terms, kind, shape }) => {
    const role = source && plan.files[source.file]?.role;
    const takesGamma = role === 'motion' && motionGain({ gamma: 2, mode: plan.recipe.motion.mode }, name) === 2;
    const changes = terms.map((term) => `${term.kind} of ${term.of}`);
    return [role, takesGamma, kind, shape.length, shape[2] ?? 0, ...changes].join();
  });
  return [...rules.values()].flatMap((group) => {
    const step = Math.max(1, Math.floor(group.length / most));
    return group.filter((_, i) => i % step === 0).slice(0, most);
  });
}

async function compare(
  stored: StoredWeight,
  { name, shape }: PlannedTensor,
  indices: readonly number[],
  exact: readonly ExactElement[],
): Promise<{ readonly fault?: string; readonly ulps: number }> {
  const found = await stored.elements(indices);
  const off = exact.map((wanted, i) => distance(stored, found[i] as number, wanted));
  const ulps = Math.max(...off.map((n) => (Number.isNaN(n) ? Number.POSITIVE_INFINITY : n)));
  const at = off.indexOf(ulps);
  const example = `${name} is ${found[at]} at element ${indices[at]} of [${shape}]; float64 gives ${exact[at]?.value}`;
  if (!(ulps <= 1)) return { fault: `${example} (${ulps} ulp off, in ${stored.path}).`, ulps };
  const many = off.filter((n) => n > 0).length;
  if (stored.dtype !== 'F16' || many <= Math.max(2, off.length * SHARE_OFF_BY_ONE)) return { ulps };
  const fault = `${many} of ${off.length} elements of ${name} are off by 1 ulp, as rounding alone makes of few: ${example} (in ${stored.path}).`;
  return { fault, ulps };
}

/** In ulps; for fp32 in multiples of what rounding may do. */
function distance({ dtype }: StoredWeight, found: number, { value, size, slack }: ExactElement): number {
  if (Math.abs(found - value) <= slack) return 0;
  return dtype === 'F16' ? ulpDistance(found, value) : Math.abs(found - value) / (size * FP32_TOLERANCE + 1e-30);
}

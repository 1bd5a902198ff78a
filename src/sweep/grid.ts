/** The tiles of a grid: the recipe of each, at a small clip, and its plan; in the order in which most of what was merged is of use again. */
import { UsageError } from '../errors.ts';
import type { Setting } from '../events.ts';
import { type Plan, type PlannedTensor, plan as planRecipe } from '../merge/plan.ts';
import { planSampler } from '../merge/plan-sampler.ts';
import { describeClip, smallClip } from '../recipe/clip-shapes.ts';
import { withKnob } from '../recipe/knobs.ts';
import { keyName } from '../recipe/located-yaml.ts';
import { describeIssues } from '../recipe/problems.ts';
import { type ClipShape, type Recipe, recipeSchema, type TargetName } from '../recipe/schema.ts';
import { type Axis, clipLabels, type Knob, labelAxes, MAX_TILES } from './axis.ts';

export interface PlannedTile {
  /** Row by row, from the top left. */
  readonly index: number;
  readonly column: number;
  readonly row: number;
  /** `α 0.4  β 1` */
  readonly label: string;
  readonly settings: readonly Setting[];
  readonly plan: Plan;
}

export interface Grid {
  readonly x: Axis;
  readonly y?: Axis | undefined;
  readonly clip: ClipShape;
  /** In the order in which they are to be made. */
  readonly tiles: readonly [PlannedTile, ...PlannedTile[]];
}

export interface GridOptions {
  /** From left to right. */
  readonly x: Knob;
  /** From top to bottom. */
  readonly y?: Knob | undefined;
  /** What is not said is small, and no larger than the recipe's. */
  readonly clip?: Partial<ClipShape> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Plans every tile; `target` is that of the device that is to run them.
 * @throws UsageError for knobs that are none, values that the recipe does not let pass, and too many tiles; what planning throws
 */
export async function planGrid(recipe: Recipe, target: TargetName, options: GridOptions): Promise<Grid> {
  const { x, y, signal } = options;
  refuseWhatIsNoGrid(x, y);
  const clip = { ...smallClip(recipe.output), ...options.clip };
  const [across, down] = labelAxes(recipe, x, y);
  const labels = clipLabels(across, down);
  const knownPlan = plansByWeights();
  const tiles: PlannedTile[] = [];
  for (const [row, second] of (down?.values ?? [undefined]).entries()) {
    for (const [column, first] of across.values.entries()) {
      signal?.throwIfAborted();
      const settings = [
        { path: across.path, value: first },
        ...(down && second !== undefined ? [{ path: down.path, value: second }] : []),
      ];
      const turned = inTurn(settings).reduce((turning, { path, value }) => withKnob(turning, path, value), recipe);
      const label = labels[tiles.length] as string;
      const planned = await knownPlan(atLowSize(turned, clip, target));
      tiles.push({ index: tiles.length, column, row, label, settings, plan: planned });
    }
  }
  return { x: across, ...(down && { y: down }), clip, tiles: inOrder(tiles) };
}

/** A strength of the text encoder that is turned for itself does not follow alpha, whichever is named first. */
function inTurn(settings: readonly Setting[]): readonly Setting[] {
  const isOwn = ({ path }: Setting) => Number(path.at(-1) === 'text_encoder');
  return settings.toSorted((a, b) => isOwn(a) - isOwn(b));
}

function refuseWhatIsNoGrid(x: Knob, y: Knob | undefined): void {
  const count = x.values.length * (y?.values.length ?? 1);
  if (count === 0) throw new UsageError('An axis of the grid has no values. Give each one at least.');
  if (count > MAX_TILES) {
    throw new UsageError(
      `The grid has ${count} clips (${x.values.length} × ${y?.values.length ?? 1}); ${MAX_TILES} at most are made. Give fewer values.`,
    );
  }
  if (y && keyName(x.path) === keyName(y.path))
    throw new UsageError(`Both axes are ${keyName(x.path)}. Turn two different knobs, or one alone.`);
}

/** As small as it can be: one clip, the graphs that run, and no more of the weights than they read. */
function atLowSize(recipe: Recipe, clip: ClipShape, target: TargetName): Recipe {
  const { max_shard_bytes: _, ...output } = recipe.output;
  const targets: TargetName[] = target === 'portable' ? ['portable'] : ['portable', target];
  const small = { ...output, ...clip, targets, shapes: 'static', vae_encoder: false, weights: false } as const;
  const parsed = recipeSchema.shape.output.safeParse(small, { reportInput: true });
  if (parsed.success) return { ...recipe, output: small };
  const sentences = describeIssues(parsed.error.issues, recipeSchema.shape.output).map(({ sentence }) => sentence);
  throw new UsageError(`No clip can be ${describeClip(clip)}: ${sentences.join(' ')}`);
}

/** Recipes that differ in how they are sampled share the plan of their weights. */
function plansByWeights(): (recipe: Recipe) => Promise<Plan> {
  const known = new Map<string, Plan>();
  return async (recipe) => {
    const { personalized, lcm, motion } = recipe;
    const key = JSON.stringify([personalized, lcm, motion]);
    const same = known.get(key);
    if (same) return { ...same, recipe, sampler: await planSampler(recipe, same.configs.scheduler) };
    const planned = await planRecipe(recipe);
    known.set(key, planned);
    return planned;
  };
}

/** The knob that changes more is turned less often: what it alone changes stays, and where the other changes no weights, a loaded graph too. */
function inOrder(tiles: readonly PlannedTile[]): Grid['tiles'] {
  const first = tiles[0] as PlannedTile;
  const right = tiles.find(({ column, row }) => column === 1 && row === 0);
  const below = tiles.find(({ column, row }) => column === 0 && row === 1);
  const [ofX, ofY] = [right, below].map((other) => (other ? changeBetween(first.plan, other.plan) : 0)) as [
    number,
    number,
  ];
  const order = ofX > ofY ? tiles.toSorted((a, b) => a.column - b.column || a.row - b.row) : tiles;
  return order as unknown as Grid['tiles'];
}

/** Elements of weights that differ; and one, where guidance asks for another graph (graphs.ts of export). */
function changeBetween(a: Plan, b: Plan): number {
  const made = ({ source, terms, gain }: PlannedTensor) => JSON.stringify([source, terms, gain]);
  const elements = ({ shape }: PlannedTensor) => shape.reduce((n, dim) => n * dim, 1);
  const isGuided = ({ recipe }: Plan) => recipe.sampler.guidance > 1;
  return a.components.reduce(
    (sum, component) => {
      const others = b.tensors[component];
      const changed = a.tensors[component].filter((tensor, i) => made(tensor) !== made(others[i] as PlannedTensor));
      return sum + changed.reduce((n, tensor) => n + elements(tensor), 0);
    },
    isGuided(a) === isGuided(b) ? 0 : 1,
  );
}

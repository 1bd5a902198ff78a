/**
 * What the figures of the gate's check `effect` are for recipes whose strengths act and for some whose do not: the table in docs/effects.md,
 * from which its limits were taken.
 *
 *     node bench/effect.ts [recipe.yaml …]
 *
 * Recipes that are named are measured after those over models/tiny: families of untrained weights, as test/oracle/family.py makes them.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { drain } from '../src/events.ts';
import { bake } from '../src/export/package.ts';
import { plan } from '../src/merge/plan.ts';
import { loadRecipe } from '../src/recipe/load.ts';
import type { Recipe } from '../src/recipe/schema.ts';
import { openPackage } from '../src/runtime/package-folder.ts';
import { relativeRms } from '../src/runtime/relative-rms.ts';
import { openSmallModel, type SmallModelOptions } from '../src/verify/ablation.ts';
import { MOTION_STEPS, SOURCE_STEPS, sourcesOf } from '../src/verify/checks/effect.ts';
import { detail, deviation, incoherence } from '../src/verify/clip-figures.ts';
import { smallGraphs } from '../src/verify/small-graphs.ts';

/** The clips of each case. */
const CLIPS = [0, 1].flatMap((seed) =>
  ['a red circle', 'an orange square', 'a purple triangle'].map((prompt) => ({ prompt, seed })),
);

/** Strengths over models/tiny, and files in other places than theirs. */
const CASES: readonly {
  readonly alpha: number;
  readonly beta: number;
  readonly gamma: number;
  readonly lcm?: string;
  readonly module?: string;
}[] = [
  { alpha: 0.8, beta: 1, gamma: 1 },
  { alpha: 0.1, beta: 0.3, gamma: 0.1 },
  { alpha: 0.4, beta: 0.6, gamma: 0.3 },
  { alpha: 1, beta: 1.2, gamma: 0.6 },
  { alpha: 0, beta: 1, gamma: 1, module: 'models/tiny/animatediff.ckpt' },
  { alpha: 0.8, beta: 1, gamma: 1, lcm: 'models/tiny/ink.safetensors' },
  { alpha: 0.8, beta: -1, gamma: -1 },
];

const ranges = (values: readonly number[]) => {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) => (sorted[Math.round(share * (sorted.length - 1))] as number).toPrecision(3);
  return sorted.length === 0 ? '—' : `${at(0)} · ${at(0.5)} · ${at(1)}`;
};

async function measure(name: string, recipe: Recipe): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'lcm-merge-effect-'));
  try {
    const planned = await plan(recipe);
    await drain(bake(planned, { into: folder }));
    const pkg = await openPackage(folder);
    if (!pkg.lock) throw new RangeError('A package that was just baked has no lock.');
    const graphs = await smallGraphs(pkg, pkg.lock, 'cpu');
    const options: SmallModelOptions = { graphs, device: 'cpu', scratch: join(folder, 'scratch') };
    const sample = async (without: SmallModelOptions['without'], steps: number, motion = 1) => {
      await using model = await openSmallModel(pkg, { ...options, without });
      const made: Float32Array[] = [];
      for (const clip of CLIPS) made.push(await model.sample({ ...clip, steps, motion }));
      return made;
    };
    const { shape } = graphs;
    const compare = (a: Float32Array[], b: Float32Array[], of: (x: Float32Array, y: Float32Array) => number) =>
      ranges(a.map((x, i) => of(x, b[i] as Float32Array)));
    const whole = await sample(undefined, SOURCE_STEPS);
    const [moving, still] = [await sample(undefined, MOTION_STEPS), await sample(undefined, MOTION_STEPS, 0)];
    const cells = [
      `${Math.max(...whole.map(deviation)).toPrecision(2)}`,
      compare(moving, still, relativeRms),
      compare(moving, still, (x, y) => incoherence(x, shape) / incoherence(y, shape)),
    ];
    const changes: string[] = [];
    let finer = '—';
    for (const role of sourcesOf(planned)) {
      const without = await sample({ plan: planned, role }, SOURCE_STEPS);
      changes.push(`${role} ${compare(whole, without, relativeRms)}`);
      if (role === 'lcm') finer = compare(whole, without, (x, y) => detail(x, shape) / detail(y, shape));
    }
    console.log(`| ${[name, ...cells, finer, changes.join('; ')].join(' | ')} |`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

console.log(`Least · median · largest of ${CLIPS.length} clips.\n`);
console.log('| recipe | deviation | γ: change | γ: ratio | β: ratio | change by source |');
console.log('|---|---|---|---|---|---|');
const tiny = await loadRecipe('recipes/tiny.yaml');
for (const { alpha, beta, gamma, lcm, module } of CASES) {
  const recipe: Recipe = {
    ...tiny,
    personalized: alpha === 0 ? [] : tiny.personalized.map((source) => ({ ...source, alpha, text_encoder: alpha })),
    ...(tiny.lcm && {
      lcm: { lora: lcm ?? tiny.lcm.lora, beta, scale: 'alpha/rank', blocks: {}, allow_unmatched: [] },
    }),
    motion: { ...tiny.motion, gamma, module: module ?? tiny.motion.module },
  };
  const name = [`α ${alpha}, β ${beta}, γ ${gamma}`, lcm && 'a style LoRA as `lcm`', module && 'animatediff.ckpt'];
  await measure(name.filter(Boolean).join(', '), recipe);
}
for (const path of process.argv.slice(2)) await measure(path, await loadRecipe(path));

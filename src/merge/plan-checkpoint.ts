/**
 * A whole fine-tuned model as a personalized source: τ = w − w₀ for every parameter of the UNet and the text encoder, w₀ being the
 * base's. At α = 1 the result is the fine-tuned model itself ("Ours-R" of AnimateLCM).
 */
import { blockWeight } from '../architecture/block-map.ts';
import type { AdaptedComponent } from '../architecture/module-names.ts';
import { type FoundTensors, type ModelTables, planCheckpoint } from './checkpoint.ts';
import type { AdapterSource, PlannedSource } from './plan-adapters.ts';
import type { PlanFiles } from './plan-files.ts';

const COMPONENTS: readonly AdaptedComponent[] = ['unet', 'text_encoder'];

/** `base` holds w₀. @throws what planCheckpoint throws */
export async function planWholeModel(
  files: PlanFiles,
  { role, path, strength, blocks, allow_unmatched }: AdapterSource,
  tables: ModelTables,
  base: FoundTensors,
): Promise<PlannedSource> {
  const found = await planCheckpoint(files, path, tables, { role, allow: allow_unmatched });
  const terms = COMPONENTS.flatMap((component) =>
    tables.parameters[component].flatMap((parameter) => {
      const key = `${component}/${parameter.name}`;
      const [weight, origin] = [found.get(key), base.get(key)];
      if (!weight || !origin) return [];
      const scale = strength[component] * blockWeight(blocks, component, parameter.name);
      return [{ parameter, term: { kind: 'difference', of: role, operands: { weight, origin }, scale } as const }];
    }),
  );
  const modules = new Map(
    COMPONENTS.map((component) => [component, new Set(modulesOf(tables, component, found))] as const),
  );
  for (const [component, names] of modules) {
    const holders = new Set([...found].flatMap(([key, { file }]) => (key.startsWith(`${component}/`) ? [file] : [])));
    const [first] = holders;
    if (first !== undefined) files.describe(first, { modules: { [component]: names.size } });
  }
  const counts = [...modules.values()].map(({ size }) => size);
  return {
    terms,
    modules: counts.reduce((sum, n) => sum + n, 0),
    warnings: terms.every(({ term }) => term.scale === 0)
      ? [`${role} (${path}) has strength 0 everywhere: it changes nothing.`]
      : [],
  };
}

/** Paths of the layers that the checkpoint has. */
function modulesOf({ parameters }: ModelTables, component: AdaptedComponent, found: FoundTensors): string[] {
  return parameters[component].flatMap(({ name }) =>
    found.has(`${component}/${name}`) ? [name.replace(/\.(weight|bias)$/, '')] : [],
  );
}

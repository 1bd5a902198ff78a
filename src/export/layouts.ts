/** What each component's graphs and weight files will be, worked out before a byte is written. */
import { recipeMistake } from '../recipe/place.ts';
import { COMPONENT_EXPORTS, type ComponentExport, type GraphExport, type GraphPlan, graphsOf } from './graphs.ts';
import { layOutWeights, MAX_WEIGHT_FILES, type WeightLayout } from './weight-file.ts';

export interface ComponentLayout extends Pick<ComponentExport, 'component' | 'folder' | 'config'> {
  readonly graphs: readonly [GraphExport, ...GraphExport[]];
  /** Of the weights that all of the graphs use, whatever order or selection of them each asks for. */
  readonly layout: WeightLayout;
}

/** @throws MergeError at the recipe's line when output.max_shard_bytes makes more files than can be loaded. */
export function layOutComponents(plan: GraphPlan): readonly ComponentLayout[] {
  const { max_shard_bytes } = plan.recipe.output;
  return COMPONENT_EXPORTS.filter(({ component }) => plan.components.includes(component)).map((row) => {
    const { component, folder, config } = row;
    const graphs = graphsOf(plan, row);
    const layout = layOutWeights(graphs[0].make(), max_shard_bytes);
    if (layout.files.length > MAX_WEIGHT_FILES) {
      throw recipeMistake(
        plan.recipe,
        ['output', 'max_shard_bytes'],
        `output.max_shard_bytes (${max_shard_bytes}) would cut the ${layout.bytes} bytes of ${folder} into ${layout.files.length} files; transformers.js loads ${MAX_WEIGHT_FILES} at most. Ask for larger ones.`,
      );
    }
    return { component, folder, config, graphs, layout };
  });
}

/** What each component's graphs and weight file will be, worked out before a byte is written. */
import type { Plan } from '../merge/plan.ts';
import { COMPONENT_EXPORTS, type ComponentExport, type GraphExport, graphsOf } from './graphs.ts';
import { layOutWeights, type WeightLayout } from './weight-file.ts';

export interface ComponentLayout extends Pick<ComponentExport, 'component' | 'folder' | 'config'> {
  readonly graphs: readonly [GraphExport, ...GraphExport[]];
  /** Of the weights that all of the graphs use. */
  readonly layout: WeightLayout;
}

export function layOutComponents(plan: Plan): readonly ComponentLayout[] {
  return COMPONENT_EXPORTS.filter(({ component }) => plan.components.includes(component)).map((row) => {
    const { component, folder, config } = row;
    const graphs = graphsOf(plan, row);
    return { component, folder, config, graphs, layout: layOutWeights(graphs[0].graph) };
  });
}

/** What each component's graph and weight file will be, worked out before a byte is written. */
import type { Plan } from '../merge/plan.ts';
import type { Graph } from '../onnx/graph.ts';
import { COMPONENT_EXPORTS, type ComponentExport } from './graphs.ts';
import { layOutWeights, type WeightLayout } from './weight-file.ts';

export interface ComponentLayout extends Pick<ComponentExport, 'component' | 'folder' | 'config'> {
  readonly graph: Graph;
  readonly layout: WeightLayout;
}

export function layOutComponents(plan: Plan): readonly ComponentLayout[] {
  return COMPONENT_EXPORTS.map(({ component, folder, config, graph: make }) => {
    const graph = make(plan);
    return { component, folder, config, graph, layout: layOutWeights(graph) };
  });
}

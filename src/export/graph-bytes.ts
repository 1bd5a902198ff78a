/** The bytes of one graph of a package, as a bake writes them and the gate expects them. */
import { serializeModel } from '../onnx/proto.ts';
import { VERSION } from '../version.ts';
import type { GraphExport, GraphPlan } from './graphs.ts';
import type { ComponentLayout } from './layouts.ts';
import { placesOf } from './weight-file.ts';

/** `graph` is one of the component's. @throws RangeError when it asks for a weight that its files do not have */
export function graphBytes(
  { recipe }: GraphPlan,
  { component, layout }: Pick<ComponentLayout, 'component' | 'layout'>,
  { make }: GraphExport,
): Uint8Array {
  const graph = make();
  const metadata = {
    'lcm-merge.name': recipe.name,
    ...(component === 'unet' && { 'lcm-merge.motion_norm': recipe.motion.norm }),
  };
  return serializeModel(graph, { external: placesOf(graph, layout), metadata, producerVersion: VERSION });
}

/** A session with what running it needs to know of its graph: its batch, its inputs, and how much work a run is. */
import { VAE_SCALE } from '../architecture/vae-scale.ts';
import { graphCost } from '../onnx/graph-cost.ts';
import type { ModelInfo } from '../onnx/model-info.ts';
import type { LatentShape } from './clip-shape.ts';
import type { LoadedGraph } from './denoise.ts';
import { lengthsFor } from './graph-lengths.ts';
import type { HostedSession } from './host.ts';

/** Prompts that are evaluated together at most. */
const PROMPTS = 2;

/** `shape` is the clip's, by which the watchdog knows how long a run may take. */
export function loadedGraph(info: ModelInfo, session: HostedSession, shape: LatentShape): LoadedGraph {
  const batch = info.inputs[0]?.shape[0];
  const flops = workOf(info, shape);
  return {
    session: { run: (feeds) => session.run(feeds, flops) },
    batch: typeof batch === 'number' ? batch : undefined,
    inputs: info.inputs,
  };
}

/** Operations of a run for this clip; undefined where the graph does not tell. */
function workOf(info: ModelInfo, [, , frames, h, w]: LatentShape): number | undefined {
  const clip = { batch: PROMPTS, frames, height: h * VAE_SCALE, width: w * VAE_SCALE };
  const { total, unsized_nodes } = graphCost(info, lengthsFor(info.inputs, clip));
  return unsized_nodes > 0 ? undefined : total.matrix_flops + total.other_flops;
}

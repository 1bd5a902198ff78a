/**
 * How close a run came to what its device can do at best: a step cannot take less time than its products at the device's matrix
 * rate, nor less than its weights, inputs and outputs at its copy rate. docs/cost-model.md.
 */
import { FormatError } from '../errors.ts';
import type { FloatType } from '../export/targets/target.ts';
import { graphCost, traffic } from '../onnx/graph-cost.ts';
import { type ModelInfo, readModelInfo } from '../onnx/model-info.ts';
import { lengthsFor } from '../runtime/graph-lengths.ts';
import { startHost } from '../runtime/host.ts';
import { pathInPackage, type VideoPackage } from '../runtime/package-folder.ts';
import type { Video } from '../runtime/pipeline.ts';
import { type DeviceRates, measureRates } from '../runtime/rates.ts';
import { median } from '../runtime/statistics.ts';

export interface RunLimit {
  /** The UNet's graph that ran, by its path in the package. */
  readonly graph: string;
  /** How often it runs in a step: twice where guidance meets a graph for one prompt. */
  readonly runs_per_step: number;
  /** Of convolutions, matrix products and attention; a multiplication and an addition count 2. */
  readonly flops_per_step: number;
  readonly other_flops_per_step: number;
  /** Read and written if every node goes to memory and back. */
  readonly traffic_bytes_per_step: number;
  /** Weights, inputs and outputs. */
  readonly least_bytes_per_step: number;
  readonly peak_activation_bytes: number;
  /** FLOP/s and bytes/s, measured after the run. */
  readonly rates: DeviceRates;
  /** Median of the steps. */
  readonly step_ms: number;
  readonly products_ms: number;
  readonly memory_ms: number;
  /** The larger of the two. */
  readonly limit_ms: number;
  readonly achieved_flops_per_second: number;
  /** limit_ms / step_ms. */
  readonly share: number;
}

/**
 * @throws FormatError when the graph does not tell the shapes of its values (graphs of other tools), RuntimeFailure when the
 * device cannot be measured.
 */
export async function measureLimit(
  pkg: VideoPackage,
  video: Video,
  { guidance, signal }: { readonly guidance: number; readonly signal?: AbortSignal | undefined },
): Promise<RunLimit> {
  const path = video.graphs.unet;
  const info = path === pkg.models.unet ? pkg.info : await readModelInfo(path);
  await using host = startHost(signal);
  const rates = await measureRates(host, video.device, computedTypes(info));
  return runLimit(info, pathInPackage(pkg.folder, path), { video, guidance, rates });
}

/** Apart from the measurement. @throws FormatError as above */
export function runLimit(
  info: ModelInfo,
  graph: string,
  { video, guidance, rates }: { readonly video: Video; readonly guidance: number; readonly rates: DeviceRates },
): RunLimit {
  const prompts = guidance > 1 ? 2 : 1;
  const fixed = info.inputs.find(({ name }) => name === 'sample')?.shape[0];
  const runs_per_step = typeof fixed === 'number' ? Math.ceil(prompts / fixed) : 1;
  const { count: frames, width, height } = video.frames;
  const cost = graphCost(
    info,
    lengthsFor(info.inputs, { batch: prompts, frames, width, height, tokens: video.tokens }),
  );
  if (cost.unsized_nodes > 0 || Object.keys(cost.unknown_operators).length > 0) {
    const missing = [
      ...(cost.unsized_nodes > 0 ? [`it does not tell the shapes of ${cost.unsized_nodes} nodes`] : []),
      ...Object.entries(cost.unknown_operators).map(([operator, n]) => `${n} × ${operator} has no formula`),
    ].join(', ');
    throw new FormatError(`The work of ${graph} cannot be worked out: ${missing}.`, { file: graph });
  }
  const flops_per_step = cost.total.matrix_flops * runs_per_step;
  const least_bytes_per_step = cost.least_bytes * runs_per_step;
  const step_ms = median(video.timing.step_ms);
  // a device may compute fp16 graphs in float32 where that is faster, as CPUs do
  const products_ms = (flops_per_step / Math.max(...Object.values(rates.matrix))) * 1000;
  const memory_ms = (least_bytes_per_step / rates.copy) * 1000;
  const limit_ms = Math.max(products_ms, memory_ms);
  return {
    graph,
    runs_per_step,
    flops_per_step,
    other_flops_per_step: cost.total.other_flops * runs_per_step,
    traffic_bytes_per_step: traffic(cost.total) * runs_per_step,
    least_bytes_per_step,
    peak_activation_bytes: cost.peak_activations.bytes,
    rates,
    step_ms,
    products_ms,
    memory_ms,
    limit_ms,
    achieved_flops_per_second: flops_per_step / (step_ms / 1000),
    share: limit_ms / step_ms,
  };
}

/** What the graph's products may be computed in. */
function computedTypes({ initializers }: ModelInfo): readonly FloatType[] {
  return initializers.some(({ type }) => type === 'FLOAT16') ? ['float32', 'float16'] : ['float32'];
}

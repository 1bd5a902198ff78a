/**
 * What ran is held against the CPU: prompt, first step and first frame of the run are computed once more with the portable
 * graphs on the CPU, from the run's own inputs. A driver that computes wrongly, or a graph that is not the model, shows here.
 */
import { readModelInfo } from '../../onnx/model-info.ts';
import { decode, predictNoise } from '../../runtime/denoise.ts';
import { framesFromDecoder } from '../../runtime/frames.ts';
import { type InferenceHost, startHost } from '../../runtime/host.ts';
import { loadedGraph } from '../../runtime/loaded-graph.ts';
import { graphFor, type ModelName, pathInPackage, type VideoPackage } from '../../runtime/package-folder.ts';
import type { Video } from '../../runtime/pipeline.ts';
import { encodePrompts, preparePrompts } from '../../runtime/prompt/encode.ts';
import { relativeRms } from '../../runtime/relative-rms.ts';
import { type Check, type CheckContext, failed, passed, type RunRequest } from '../check.ts';
import { differenceLimit } from '../difference-limits.ts';

/** In levels of 0…255, root mean square: half a level is what rounding to bytes can make of an arbitrarily small difference. */
const ROUNDING = 0.5;

export const agreement: Check = {
  id: 'agreement',
  proves:
    'the graphs that ran gave, for the prompt, the first step and the first frame, what the portable graphs give on the CPU for the same inputs',
  cost: 'a prompt, a step and a frame on the CPU',
  from: 'standard',
  applies: ({ pkg, video }) => !(video instanceof Error) && comparable(pkg, video).length > 0,
  async run({ pkg, video, request, signal }) {
    if (video instanceof Error) throw video;
    await using host = startHost(signal);
    const figures: Record<string, number> = {};
    const faults: string[] = [];
    const models = comparable(pkg, video);
    for (const model of models) {
      const { difference, limit } = await COMPARISONS[model]({ host, pkg, video, request });
      figures[model] = difference;
      if (!(difference <= limit))
        faults.push(
          `${pathInPackage(pkg.folder, video.graphs[model])} on ${video.device} differs by ${difference.toExponential(1)} (limit ${limit.toPrecision(2)}) from the portable graph on the CPU`,
        );
    }
    if (faults.length > 0) return failed(`${faults.join('; ')}.`, figures);
    const largest = Math.max(...Object.values(figures));
    return passed(
      `${models.join(', ')} on ${video.device} and the portable graphs on the CPU agree to ${largest.toExponential(1)}.`,
      figures,
    );
  },
};

/** What ran and is not itself the portable graph on the CPU. */
export function comparable(pkg: VideoPackage, video: Video): readonly ModelName[] {
  return (['text_encoder', 'unet', 'vae_decoder'] as const).filter(
    (model) => video.device !== 'cpu' || video.graphs[model] !== portable(pkg, video, model),
  );
}

/** The portable graph of the size that ran. */
function portable(pkg: VideoPackage, video: Video, model: ModelName): string {
  const ran = pkg.graphs[model].find(({ path }) => path === video.graphs[model]);
  return graphFor(pkg.graphs[model], 'portable', ran?.size ?? [])?.path ?? pkg.models[model];
}

interface Subject extends Pick<CheckContext, 'pkg'> {
  readonly host: InferenceHost;
  readonly video: Video;
  readonly request: RunRequest;
}

interface Comparison {
  readonly difference: number;
  readonly limit: number;
}

/** Inputs are those of the run, so that a difference is one of the graph that shows it. */
const COMPARISONS: Readonly<Record<ModelName, (subject: Subject) => Promise<Comparison>>> = {
  async text_encoder(subject) {
    const { pkg, video, request } = subject;
    await using graph = await onCpu(subject, 'text_encoder');
    const { states } = video.first;
    const prompts = [request.negative, request.prompt].slice(-states.length);
    const options = { frames: video.shape[2], weighted: request.promptWeights ?? false };
    const wanted = await encodePrompts(graph, preparePrompts(pkg, pkg.info.inputs, prompts, options));
    return largest(
      states.map(({ data }) => data),
      wanted.map(({ data }) => data),
      graph.limit,
    );
  },
  async unet(subject) {
    const { first, shape } = subject.video;
    await using graph = await onCpu(subject, 'unet');
    const { noise } = await predictNoise(graph, { ...first, latents: first.given, shape });
    return largest(first.noise, noise, graph.limit);
  },
  async vae_decoder(subject) {
    const { pkg, video } = subject;
    await using graph = await onCpu(subject, 'vae_decoder');
    const { latents, shape, frames } = video;
    const [, channels, count, h, w] = shape;
    const area = h * w;
    const still = Float32Array.from(
      { length: channels * area },
      (_, i) => latents[Math.floor(i / area) * count * area + (i % area)] as number,
    );
    const pixels = await decode(pkg, graph, still, [1, channels, 1, h, w]);
    const { data } = framesFromDecoder(pixels, [1, 3, frames.height, frames.width]);
    return {
      difference: relativeRms(frames.data.subarray(0, data.length), data),
      limit: graph.limit + ROUNDING / Math.max(1, rootMeanSquare(data)),
    };
  },
};

async function onCpu({ host, pkg, video }: Subject, model: ModelName) {
  const path = portable(pkg, video, model);
  const info = await readModelInfo(path);
  const session = await host.load(path, 'cpu');
  return {
    ...loadedGraph(info, session, video.shape),
    limit: differenceLimit(info, video.device),
    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  };
}

function largest(found: readonly Float32Array[], wanted: readonly Float32Array[], limit: number): Comparison {
  return { difference: Math.max(...found.map((values, i) => relativeRms(values, wanted[i] as Float32Array))), limit };
}

function rootMeanSquare(values: Uint8Array): number {
  return Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
}

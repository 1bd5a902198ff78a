/**
 * A package's UNet and text encoder at a clip of a few small frames, over the package's own weights: what it costs to ask a
 * model something does not depend on the clip that it was made for then. Graphs are made of the configs in the package.
 */
import { VAE_SCALE } from '../architecture/vae-scale.ts';
import { FormatError } from '../errors.ts';
import { clipTextGraph } from '../export/clip-text.ts';
import type { Lock } from '../export/lock.ts';
import { TARGETS } from '../export/targets/index.ts';
import { unetMotionGraph } from '../export/unet-motion.ts';
import { addInput, createGraph, type Graph, parameterBytes, rootScope } from '../onnx/graph.ts';
import { type ModelInfo, readModelInfo } from '../onnx/model-info.ts';
import * as op from '../onnx/ops.ts';
import type { ExternalLocation } from '../onnx/proto.ts';
import { smallClip } from '../recipe/clip-shapes.ts';
import type { TargetName } from '../recipe/schema.ts';
import { type VideoPackage, weightType } from '../runtime/package-folder.ts';
import { ownGraphs } from './own-graphs.ts';

export const SMALL_PARTS = ['unet', 'text_encoder'] as const;
export type SmallPart = (typeof SMALL_PARTS)[number];

export interface SmallGraph {
  readonly graph: Graph;
  /** Where the package keeps each parameter: file names are beside its own graph. */
  readonly places: ReadonlyMap<string, ExternalLocation>;
}

export interface SmallGraphs {
  readonly parts: Readonly<Record<SmallPart, SmallGraph>>;
  /** Of the latents, `[1, 4, F, h, w]`. */
  readonly shape: readonly [1, 4, frames: number, height: number, width: number];
}

/** @throws FormatError when the package's weights are not those that its configs speak of. */
export async function smallGraphs(pkg: VideoPackage, lock: Lock, targetName: TargetName): Promise<SmallGraphs> {
  const { recipe, motion, unet: structure, text_encoder } = await ownGraphs(pkg, lock);
  const target = TARGETS[targetName];
  const clip = smallClip(recipe.output);
  const textInfo = await readModelInfo(pkg.models.text_encoder);
  const [height, width] = [clip.height / VAE_SCALE, clip.width / VAE_SCALE];
  const unet = unetMotionGraph(structure, {
    target,
    type: weightType(pkg),
    batch: 1,
    frames: clip.frames,
    height,
    width,
    tokens: pkg.tokenizer.maxLength,
    motionNorm: recipe.motion.norm,
    positions: motion.positions,
  });
  const text = clipTextGraph(text_encoder, { target, type: weightType({ info: textInfo }), batch: 1 });
  return {
    parts: {
      unet: { graph: withMotionGain(unet), places: placesIn(pkg.models.unet, pkg.info, unet) },
      text_encoder: { graph: text, places: placesIn(pkg.models.text_encoder, textInfo, text) },
    },
    shape: [1, 4, clip.frames, height, width],
  };
}

/** What a motion module adds to its input passes through here last (diffusers: out = proj_out(h) + residual). */
const MOTION_OUTPUT = /\.motion_modules\.\d+\.proj_out\.(weight|bias)$/;

/** Its name among the UNet's inputs; float32 []. */
export const MOTION_GAIN = 'motion_gain';

/** Multiplies what the motion modules add by an input of its own: at 1 it is the package's UNet, at 0 frames don't know of each other. */
function withMotionGain(graph: Graph): Graph {
  const prelude = createGraph(graph.name);
  const s = rootScope(prelude, 'float32', MOTION_GAIN);
  const gain = addInput(prelude, MOTION_GAIN, 'float32', []);
  const gained = new Map<string, string>();
  for (const parameter of graph.parameters.values()) {
    if (!MOTION_OUTPUT.test(parameter.name)) continue;
    gained.set(parameter.name, op.Mul(s, parameter, op.Cast(s, gain, { to: parameter.type })).name);
  }
  const rest = graph.nodes.map((node) => ({ ...node, inputs: node.inputs.map((name) => gained.get(name) ?? name) }));
  return {
    ...graph,
    inputs: [...graph.inputs, gain],
    nodes: [...prelude.nodes, ...rest],
    values: new Map([...prelude.values, ...graph.values]),
  };
}

/** Where the model at `path` has the parameters of `graph`. */
function placesIn(path: string, { initializers }: ModelInfo, graph: Graph): ReadonlyMap<string, ExternalLocation> {
  const known = new Map(initializers.map(({ name, external }) => [name, external]));
  return new Map(
    [...graph.parameters.values()].map((parameter) => {
      const place = known.get(parameter.name);
      const bytes = parameterBytes(parameter);
      if (place?.length !== bytes) {
        throw new FormatError(
          `${path} has ${place ? `${place.length} bytes` : 'no place'} for ${parameter.name}, which takes ${bytes} by the config beside it.`,
          { file: path, tensor: parameter.name },
        );
      }
      return [parameter.name, place];
    }),
  );
}

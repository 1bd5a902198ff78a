/**
 * The graphs of a package, made from a plan: one row per component says folder, graph and config; each component has a graph
 * for every target and shape that the recipe asks for, all over one set of weights. The plan says which components are wanted.
 */
import type { Component } from '../architecture/names.ts';
import { VAE_SCALE } from '../architecture/vae-scale.ts';
import type { Plan } from '../merge/plan.ts';
import type { Dim, Graph } from '../onnx/graph.ts';
import { clipShapes } from '../recipe/clip-shapes.ts';
import { dtypeOf } from '../recipe/number-format.ts';
import type { ClipShape, Recipe } from '../recipe/schema.ts';
import { clipTextGraph } from './clip-text.ts';
import { unetConfigJson } from './configs.ts';
import { graphFileName } from './graph-file-name.ts';
import { TARGETS } from './targets/index.ts';
import type { FloatType, Target } from './targets/target.ts';
import { unetMotionGraph } from './unet-motion.ts';
import { vaeDecoderGraph, vaeEncoderGraph } from './vae.ts';

/** What graphs are made of: a plan has it, and a package says it of itself (verify/own-graphs.ts). */
export interface GraphPlan extends Pick<Plan, 'components' | 'unet' | 'text_encoder' | 'vae'> {
  readonly recipe: Pick<Recipe, 'name' | 'output' | 'file' | 'text'> & {
    readonly motion: Pick<Recipe['motion'], 'norm'>;
    readonly sampler: Pick<Recipe['sampler'], 'guidance'>;
  };
  readonly motion: Pick<Plan['motion'], 'positions'>;
}

export interface ComponentExport {
  readonly component: Component;
  readonly folder: string;
  readonly graph: (plan: GraphPlan, target: Target, lengths: Lengths) => Graph;
  /** The lengths that tell graphs of different clips apart; none where all clips share one. */
  readonly size: (shape: ClipShape) => readonly number[];
  /** An object to write, or the base's config.json to copy. */
  readonly config: (plan: Plan) => object | string;
}

/** B, F, h, w. */
interface Lengths {
  readonly batch: Dim;
  readonly frames: Dim;
  readonly height: Dim;
  readonly width: Dim;
}

/** Frames decoded or encoded at a time are the caller's choice, whatever the recipe fixes. */
const IMAGES = 'images';

export const COMPONENT_EXPORTS: readonly ComponentExport[] = [
  {
    component: 'unet',
    folder: 'unet',
    graph: (plan, target, lengths) =>
      unetMotionGraph(plan.unet, {
        ...lengths,
        target,
        type: elementType(plan, 'unet'),
        tokens: tokensOf(plan),
        promptPerFrame: plan.recipe.output.prompt.per_frame,
        motionNorm: plan.recipe.motion.norm,
        positions: plan.motion.positions,
      }),
    size: ({ frames, width, height }) => [frames, width, height],
    config: unetConfigJson,
  },
  {
    component: 'text_encoder',
    folder: 'text_encoder',
    graph: (plan, target, { batch }) =>
      clipTextGraph(plan.text_encoder, { target, type: elementType(plan, 'text_encoder'), batch }),
    size: () => [],
    config: (plan) => plan.configs.text_encoder,
  },
  {
    component: 'vae_decoder',
    folder: 'vae_decoder',
    graph: (plan, target, { height, width }) =>
      vaeDecoderGraph(plan.vae, { target, type: elementType(plan, 'vae_decoder'), images: IMAGES, height, width }),
    size: ({ width, height }) => [width, height],
    config: (plan) => plan.configs.vae_decoder,
  },
  {
    component: 'vae_encoder',
    folder: 'vae_encoder',
    graph: (plan, target, lengths) => {
      const [height, width] = [pixels(lengths.height), pixels(lengths.width)];
      return vaeEncoderGraph(plan.vae, {
        target,
        type: elementType(plan, 'vae_encoder'),
        images: IMAGES,
        height,
        width,
      });
    },
    size: ({ width, height }) => [width, height],
    config: (plan) => plan.configs.vae_encoder,
  },
];

/** Of the text states: one chunk of the text encoder where the recipe says nothing. */
function tokensOf({ recipe, text_encoder }: GraphPlan): Dim {
  const { tokens = text_encoder.max_position_embeddings } = recipe.output.prompt;
  return tokens === 'dynamic' ? 'tokens' : tokens;
}

/** A symbol belongs to one graph: the encoder's stands for pixels. */
const pixels = (latents: Dim): Dim => (typeof latents === 'number' ? latents * VAE_SCALE : latents);

function elementType({ recipe }: GraphPlan, component: Component): FloatType {
  return dtypeOf(recipe, component) === 'fp16' ? 'float16' : 'float32';
}

/** A graph, and its file's name in the component's folder. */
export interface GraphExport {
  readonly file: string;
  /** Makes it: a plan needs one of a component, a bake one at a time. */
  readonly make: () => Graph;
}

/** The graphs of a component; the first is portable and of the default shape. */
export function graphsOf(plan: GraphPlan, { graph, size }: ComponentExport): readonly [GraphExport, ...GraphExport[]] {
  const [first, ...others] = clipShapes(plan.recipe.output);
  const known = new Set([size(first).join()]);
  const more = others.filter((shape) => {
    const key = size(shape).join();
    return !known.has(key) && known.add(key);
  });
  const exports = plan.recipe.output.targets.flatMap((name) =>
    [first, ...more].map((shape) => ({
      file: graphFileName({ target: name, size: shape === first ? [] : size(shape) }),
      make: () => graph(plan, TARGETS[name], lengthsOf(plan, shape)),
    })),
  );
  return exports as [GraphExport, ...GraphExport[]];
}

/** Guidance above 1 evaluates both prompts in one batch of 2. */
function lengthsOf({ recipe: { output, sampler } }: GraphPlan, { frames, width, height }: ClipShape): Lengths {
  return output.shapes === 'dynamic'
    ? { batch: 'batch', frames: 'frames', height: 'height', width: 'width' }
    : { batch: sampler.guidance > 1 ? 2 : 1, frames, height: height / VAE_SCALE, width: width / VAE_SCALE };
}

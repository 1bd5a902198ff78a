/** The graphs of a package, made from a plan: one row per component says folder, graph and config. */
import type { Component } from '../architecture/names.ts';
import type { Plan } from '../merge/plan.ts';
import type { Dim, Graph } from '../onnx/graph.ts';
import { clipTextGraph } from './clip-text.ts';
import { unetConfigJson } from './configs.ts';
import { unetMotionGraph } from './unet-motion.ts';
import { vaeDecoderGraph } from './vae.ts';

export interface ComponentExport {
  readonly component: Component;
  readonly folder: string;
  readonly graph: (plan: Plan) => Graph;
  /** An object to write, or the base's config.json to copy. */
  readonly config: (plan: Plan) => object | string;
}

/** Pixels per latent along each side: 2 per doubling of SD1.5's VAE. */
export const VAE_SCALE = 8;

/** Frames decoded at a time are the caller's choice, whatever the recipe fixes. */
const IMAGES = 'images';

export const COMPONENT_EXPORTS: readonly ComponentExport[] = [
  {
    component: 'unet',
    folder: 'unet',
    graph: (plan) =>
      unetMotionGraph(plan.unet, {
        ...dimensions(plan),
        type: elementType(plan),
        tokens: plan.text_encoder.max_position_embeddings,
        motionNorm: plan.recipe.motion.norm,
        positions: plan.motion.positions,
      }),
    config: unetConfigJson,
  },
  {
    component: 'text_encoder',
    folder: 'text_encoder',
    graph: (plan) => clipTextGraph(plan.text_encoder, { type: elementType(plan), batch: dimensions(plan).batch }),
    config: (plan) => plan.configs.text_encoder,
  },
  {
    component: 'vae_decoder',
    folder: 'vae_decoder',
    graph: (plan) => {
      const { height, width } = dimensions(plan);
      return vaeDecoderGraph(plan.vae, { type: elementType(plan), images: IMAGES, height, width });
    },
    config: (plan) => plan.configs.vae_decoder,
  },
];

function elementType(plan: Plan): 'float16' | 'float32' {
  return plan.recipe.output.dtype === 'fp16' ? 'float16' : 'float32';
}

/** B, F, h, w as the recipe's output says. Guidance above 1 evaluates both prompts in one batch of 2. */
function dimensions({ recipe: { output, sampler } }: Plan): { batch: Dim; frames: Dim; height: Dim; width: Dim } {
  return output.shapes === 'dynamic'
    ? { batch: 'batch', frames: 'frames', height: 'height', width: 'width' }
    : {
        batch: sampler.guidance > 1 ? 2 : 1,
        frames: output.frames,
        height: output.height / VAE_SCALE,
        width: output.width / VAE_SCALE,
      };
}

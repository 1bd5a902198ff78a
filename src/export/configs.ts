/** The config files of a package, as diffusers, transformers and optimum look for them. */
import { schedulerClass } from '../architecture/sampler-config.ts';
import type { Plan } from '../merge/plan.ts';

/** Fields and defaults are those of this diffusers release. */
const DIFFUSERS_VERSION = '0.42.1';

export function unetConfigJson(plan: Plan) {
  const { config } = plan.unet;
  const type = (name: string, cross: boolean) => `${cross ? 'CrossAttn' : ''}${name}Motion`;
  return {
    _class_name: 'UNetMotionModel',
    _diffusers_version: DIFFUSERS_VERSION,
    sample_size: config.sample_size,
    in_channels: config.in_channels,
    out_channels: config.out_channels,
    down_block_types: config.cross_attention.map((cross) => type('DownBlock', cross)),
    up_block_types: config.cross_attention.toReversed().map((cross) => type('UpBlock', cross)),
    block_out_channels: config.block_out_channels,
    layers_per_block: config.layers_per_block,
    downsample_padding: 1,
    mid_block_scale_factor: 1,
    act_fn: 'silu',
    norm_num_groups: config.norm_num_groups,
    norm_eps: config.norm_eps,
    cross_attention_dim: config.cross_attention_dim,
    use_linear_projection: config.use_linear_projection,
    num_attention_heads: oneOrAll(config.num_attention_heads),
    motion_num_attention_heads: oneOrAll(config.num_attention_heads),
    motion_max_seq_length: plan.motion.positions,
    use_motion_mid_block: plan.motion.mid,
    time_cond_proj_dim: null, // optimum asks for it by name
  };
}

/**
 * A component's config.json with what transformers.js (models/session.js) must know to load the graph beside it: in how many files its
 * weights lie, and that no ending is to be put behind the graph's name, for which its word is fp32.
 */
export function withWeightFiles(config: object, files: number): object {
  const known: Readonly<Record<string, unknown>> = { ...config };
  const own = known['transformers.js_config'];
  return {
    ...config,
    'transformers.js_config': {
      ...(typeof own === 'object' ? own : {}),
      dtype: 'fp32',
      use_external_data_format: { 'model.onnx': files },
    },
  };
}

function oneOrAll(values: readonly number[]): number | readonly number[] {
  return values.every((value) => value === values[0]) ? (values[0] as number) : values;
}

/** Which library loads what; in the order of the names, as diffusers writes it. */
export function modelIndexJson({ components, sampler }: Pick<Plan, 'components' | 'sampler'>) {
  const parts = {
    scheduler: ['diffusers', schedulerClass(sampler.kind)],
    tokenizer: ['transformers', 'CLIPTokenizer'],
    ...Object.fromEntries(components.map((component) => [component, ['diffusers', 'OnnxRuntimeModel']])),
  };
  return {
    _class_name: 'AnimateDiffPipeline',
    _diffusers_version: DIFFUSERS_VERSION,
    ...Object.fromEntries(Object.entries(parts).sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}

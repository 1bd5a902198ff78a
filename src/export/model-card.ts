/** The package's README.md: what was merged, how to run it; metadata in the header as the Hugging Face Hub reads it. */
import { basename } from 'node:path';
import { schedulerClass } from '../architecture/sampler-config.ts';
import type { Plan } from '../merge/plan.ts';
import { mapInputs } from '../recipe/input-files.ts';
import { keyName } from '../recipe/located-yaml.ts';
import { VERSION } from '../version.ts';

export function modelCard(plan: Plan): string {
  const { origins = {} } = plan.recipe;
  const recipe = mapInputs(plan.recipe, (path, key) => origins[keyName(key)]?.reference ?? basename(path));
  const { output, sampler, verify } = recipe;
  const rows = [
    ['base', recipe.base.model, 'w₀'],
    ...recipe.personalized.map((p) => [
      'personalized',
      p.lora ?? p.checkpoint ?? '',
      `α = ${p.alpha} (text encoder ${p.text_encoder}), ${p.lora === undefined ? 'whole model' : p.scale}`,
    ]),
    ...(recipe.lcm ? [['image LCM', recipe.lcm.lora, `β = ${recipe.lcm.beta}, ${recipe.lcm.scale}`]] : []),
    [
      'motion',
      recipe.motion.module,
      `γ = ${recipe.motion.gamma} (${recipe.motion.base === undefined ? recipe.motion.mode : `from ${recipe.motion.base}`}), GroupNorm ${recipe.motion.norm}`,
    ],
    ...recipe.motion.loras.map((source) => ['motion LoRA', source.lora, `α = ${source.alpha}, ${source.scale}`]),
  ];
  return `---
library_name: onnx
pipeline_tag: text-to-video
tags: [onnx, animatediff, animatelcm, lcm, text-to-video, lcm-merge]
---

# ${recipe.name}

A text-to-video model in ONNX: ${output.frames} frames of ${output.width}×${output.height} in ${sampler.steps} ${sampler.kind === 'lcm' ? 'LCM steps' : `steps of ${schedulerClass(sampler.kind)}`}, ${output.dtype}${output.vae_dtype === undefined ? '' : ` (VAE ${output.vae_dtype})`}.
Merged by lcm-merge ${VERSION} as w' = w₀ + α·τ_personalized + β·τ_image + γ·τ_video (AnimateLCM, arXiv 2402.00769).

| part | file | strength |
|---|---|---|
${rows.map((row) => `| ${row.join(' | ')} |`).join('\n')}

\`lcm-merge.lock.json\` lists every input with its SHA-256 and every rule with its counts; \`verification/report.html\` says what was checked.

## Run

\`\`\`sh
lcm-merge run . --prompt "${verify.prompt.replaceAll(/["\\`$]/g, '\\$&')}" --seed ${verify.seed} --steps ${sampler.steps} -o out
\`\`\`

\`unet/model.onnx\` takes \`sample\` float32 [B, 4, F, h, w], \`timestep\` int64 [] and \`encoder_hidden_states\` float32 [${textStates(plan)}]
and gives the noise prediction \`out_sample\`. Sample it with diffusers' ${schedulerClass(sampler.kind)} and \`scheduler/scheduler_config.json\`; divide the
latents by ${plan.vae.scaling_factor} before \`vae_decoder/model.onnx\`.
`;
}

/** Shape of the text states. */
function textStates({ recipe: { output }, text_encoder, unet }: Plan): string {
  const { tokens = text_encoder.max_position_embeddings, per_frame } = output.prompt;
  return [per_frame ? 'B·F' : 'B', tokens === 'dynamic' ? 'T' : tokens, unet.config.cross_attention_dim].join(', ');
}

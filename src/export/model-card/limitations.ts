/** What this package cannot do, what was not looked at, and what is to be kept in mind; only what holds for it. */

import { clipShapes, describeClip } from '../../recipe/clip-shapes.ts';
import { sumLicenses } from '../../recipe/licenses.ts';
import { sourceFields } from '../../recipe/sources.ts';
import { markdownText } from '../../text/markdown.ts';
import { formatBytes } from '../../text/quantity.ts';
import type { Lock } from '../lock.ts';
import type { CardReport } from './card-report.ts';
import { BROWSER_FILE_BYTES, largestFile } from './largest-file.ts';

/** Markdown, a sentence or two each. */
export function limitations(lock: Lock, report: CardReport | undefined): string[] {
  return [...ofShapes(lock), ...ofPrompts(lock), ...ofDevices(lock), ...ofProof(lock, report), ...ofUse(lock)];
}

function ofShapes({ recipe: { output }, motion }: Lock): string[] {
  const rows = `Its positions end at ${motion.positions} frames; a longer clip is made of overlapping windows (\`lcm-merge run --frames\`).`;
  if (output.shapes === 'dynamic')
    return [
      `Frames, width and height are free (multiples of 8 pixels), but only ${describeClip(output)} were looked at. ${rows}`,
    ];
  const sizes = clipShapes(output).map(describeClip).join(', ');
  return [`The graphs take ${sizes}, and nothing else. ${rows}`];
}

function ofPrompts({ recipe: { output, sampler } }: Lock): string[] {
  const { tokens, per_frame } = output.prompt;
  const length =
    tokens === 'dynamic'
      ? 'A prompt may have any length: it is encoded in chunks, as many as it needs.'
      : `A prompt fills ${tokens === undefined ? 'one chunk of the text encoder' : `chunks of the text encoder, ${tokens} tokens together`}; what is beyond is dropped, of which \`lcm-merge run\` warns.`;
  return [
    `${length}${per_frame ? ' Every frame has text states of its own.' : ''}`,
    ...(sampler.guidance > 1
      ? [`It was made for guidance ${sampler.guidance}: every step computes prompt and negative prompt.`]
      : ['It samples without classifier-free guidance: a negative prompt has no effect.']),
    `Made to be sampled in ${sampler.steps} steps of ${sampler.kind}; other samplers and numbers of steps were not looked at.`,
  ];
}

function ofDevices({ recipe: { output }, outputs }: Lock): string[] {
  const others = (['cpu', 'cuda', 'webgpu'] as const).filter((target) => !output.targets.includes(target));
  const [file, bytes] = largestFile(outputs);
  return [
    ...(output.dtype === 'fp16'
      ? [
          `Weights ${output.vae_dtype === 'fp32' ? 'of UNet and text encoder ' : ''}are 16-bit: values were rounded once, and other devices sum in another order.`,
        ]
      : []),
    ...(others.length > 0
      ? [`It has no graphs made for ${others.join(', ')}; there the portable ones run, which is slower.`]
      : []),
    ...(bytes >= BROWSER_FILE_BYTES
      ? [
          `\`${markdownText(file)}\` (${formatBytes(bytes)}) is larger than a browser can hold; a bake with \`output.max_shard_bytes\` parts it.`,
        ]
      : []),
    'A seed means the noise of `torch.randn` on the CPU. Other generators make other clips of it, and other devices and runtimes differ in the last digits.',
  ];
}

function ofProof({ recipe }: Lock, report: CardReport | undefined): string[] {
  if (!report) return ['Nothing of it was verified yet.'];
  return [
    `Judged was one clip, of one prompt and seed. That others are as good was not looked at; how good a clip is, checks cannot say.`,
    ...(report.profile === 'full'
      ? []
      : [
          `It went through the profile ${markdownText(report.profile)} of the gate, not through every check that there is.`,
        ]),
    ...(recipe.output.vae_encoder ? [] : ['It makes clips of text, not of pictures: there is no VAE encoder in it.']),
  ];
}

function ofUse({ recipe, licenses = {} }: Lock): string[] {
  const { unknown, unread, demands, conflicts } = sumLicenses(sourceFields(recipe), licenses);
  const hasDuties = unknown.length + unread.length + demands.length + conflicts.length > 0;
  return [
    ...(hasDuties ? ['The licences of the sources hold for it, too: see [Licence](#licence).'] : []),
    'It draws what its sources were trained on, their prejudices included. No filter of what it shows is in the package. Do not use it to deceive, to harm, or to show people as they did not agree to be shown.',
  ];
}

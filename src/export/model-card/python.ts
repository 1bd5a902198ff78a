/** The program in Python that a card shows: prompt to clip with onnxruntime and the package's own scheduler of diffusers. */
import { codeString } from '../../text/code-words.ts';
import type { Lock } from '../lock.ts';

/** Lines that only some packages need are left out of the others. */
export function pythonSnippet({ recipe: { output, sampler, verify } }: Lock): string {
  const { tokens, per_frame } = output.prompt;
  const guided = sampler.guidance > 1;
  const prompts = guided ? [verify.negative, verify.prompt] : [verify.prompt];
  const states =
    typeof tokens === 'number'
      ? [
          `chunks = ${tokens} // tokenizer.model_max_length  # of the text states; those beyond the prompt are empty`,
          'states = torch.cat([encode(prompts)] + [encode([""] * len(prompts))] * (chunks - 1), 1)',
        ]
      : ['states = encode(prompts)'];
  const lines = [
    '# pip install onnxruntime numpy pillow torch transformers diffusers==0.42.1',
    'import json',
    'from pathlib import Path',
    '',
    'import diffusers',
    'import onnxruntime',
    'import torch',
    'from PIL import Image',
    'from transformers import CLIPTokenizer',
    '',
    'package = Path(".")',
    `frames, width, height, steps, seed = ${output.frames}, ${output.width}, ${output.height}, ${sampler.steps}, ${verify.seed}`,
    '',
    'def graph(part):',
    '    session = onnxruntime.InferenceSession(package / part / "model.onnx", providers=["CPUExecutionProvider"])',
    '    return lambda **inputs: torch.from_numpy(session.run(None, {name: value.numpy() for name, value in inputs.items()})[0])',
    '',
    'text_encoder, unet, vae_decoder = graph("text_encoder"), graph("unet"), graph("vae_decoder")',
    'tokenizer = CLIPTokenizer.from_pretrained(package / "tokenizer")',
    'config = json.loads((package / "scheduler/scheduler_config.json").read_text())',
    'scheduler = getattr(diffusers, config["_class_name"]).from_config(config)',
    'scaling = json.loads((package / "vae_decoder/config.json").read_text())["scaling_factor"]',
    '',
    'def encode(prompts):',
    '    ids = tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt").input_ids',
    '    return text_encoder(input_ids=ids)',
    '',
    `prompts = [${prompts.map(codeString).join(', ')}]${guided ? '  # negative, positive' : ''}`,
    ...states,
    ...(per_frame ? ['states = states.repeat_interleave(frames, 0)  # of every frame its own'] : []),
    'generator = torch.Generator().manual_seed(seed)',
    'scheduler.set_timesteps(steps)',
    'latents = torch.randn(1, 4, frames, height // 8, width // 8, generator=generator) * scheduler.init_noise_sigma',
    'for t in scheduler.timesteps:',
    '    sample = scheduler.scale_model_input(latents, t)',
    ...(guided
      ? [
          '    noise = unet(sample=torch.cat([sample, sample]), timestep=t.long(), encoder_hidden_states=states)',
          `    noise = noise[:1] + ${sampler.guidance} * (noise[1:] - noise[:1])`,
        ]
      : ['    noise = unet(sample=sample, timestep=t.long(), encoder_hidden_states=states)']),
    `    latents = scheduler.step(noise, t, latents, generator=generator).prev_sample`,
    '',
    'clip = torch.cat([vae_decoder(latent_sample=latents[:, :, i] / scaling) for i in range(frames)])',
    'pictures = ((clip / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1) * 255).round().byte().numpy()',
    'images = [Image.fromarray(picture) for picture in pictures]',
    'images[0].save("clip.webp", save_all=True, append_images=images[1:], duration=125, loop=0, lossless=True)',
  ];
  return `${lines.join('\n')}\n`;
}

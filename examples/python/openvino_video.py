"""From a prompt to moving frames with OpenVINO, which reads the ONNX graphs as they are; diffusers has the sampler, transformers the tokenizer.

    python examples/python/openvino_video.py out/tiny --prompt "a blue square" --seed 3 -o square.gif

Needs openvino, torch, diffusers and transformers (requirements.txt).
"""
import argparse
import json
from pathlib import Path

import diffusers
import openvino
import torch
from diffusers import AutoencoderKL
from diffusers.utils import export_to_gif
from diffusers.video_processor import VideoProcessor
from transformers import CLIPTokenizer

# float32 arithmetic; left out, OpenVINO takes bfloat16 where the processor is faster in it, and the picture drifts
PRECISION = {"INFERENCE_PRECISION_HINT": "f32"}


class Video:
    """A package, compiled for an OpenVINO device."""

    def __init__(self, package: Path, device="CPU", options=PRECISION):
        core = openvino.Core()
        self.graphs = {name: core.compile_model(core.read_model(package / name / "model.onnx"), device, options) for name in ("text_encoder", "unet", "vae_decoder")}
        config = json.loads((package / "scheduler/scheduler_config.json").read_text())
        self.scheduler = getattr(diffusers, config["_class_name"]).from_config(config)  # the sampler that the package was baked for
        self.tokenizer = CLIPTokenizer.from_pretrained(package / "tokenizer")
        self.scaling_factor = AutoencoderKL.load_config(package / "vae_decoder")["scaling_factor"]

    def run(self, graph: str, **inputs: torch.Tensor) -> torch.Tensor:
        """The graph's output; copied, because OpenVINO writes the next one over it."""
        return torch.from_numpy(self.graphs[graph]({name: value.numpy() for name, value in inputs.items()})[0].copy())

    def rows(self, graph: str, count: int, **inputs: torch.Tensor) -> torch.Tensor:
        """The output for `count` rows of inputs with a batch axis, as many at a time as the graph takes; the last ones are filled up by repetition."""
        batch = self.graphs[graph].output(0).partial_shape[0]
        size = count if batch.is_dynamic else batch.get_length()
        parts = []
        for at in range(0, count, size):
            chosen = [min(i, count - 1) for i in range(at, at + size)]
            parts.append(self.run(graph, **{name: value[chosen] if value.ndim else value for name, value in inputs.items()}))
        return torch.cat(parts)[:count]

    def sample(self, prompt: str, seed=0, steps=4, size=(16, 512, 512), negative="", guidance=1.0) -> torch.Tensor:
        """Latents, float32 [1, 4, F, h, w]; `size` (frames, width, height) counts where the graph leaves it open."""
        prompts = [negative, prompt] if guidance > 1 else [prompt]
        tokens = self.tokenizer(prompts, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
        states = self.rows("text_encoder", len(prompts), input_ids=tokens.input_ids)
        frames, width, height = size
        fixed = list(self.graphs["unet"].input("sample").partial_shape)[1:]
        shape = [1] + [asked if have.is_dynamic else have.get_length() for have, asked in zip(fixed, (4, frames, height // 8, width // 8))]
        generator = torch.Generator().manual_seed(seed)
        self.scheduler.set_timesteps(steps)
        latents = torch.randn(shape, generator=generator) * self.scheduler.init_noise_sigma
        for t in self.scheduler.timesteps:
            scaled = self.scheduler.scale_model_input(latents, t).expand(len(prompts), -1, -1, -1, -1)
            noise = self.rows("unet", len(prompts), sample=scaled, timestep=t.long(), encoder_hidden_states=states)
            if guidance > 1:
                noise = noise[:1] + guidance * (noise[1:] - noise[:1])
            latents = self.scheduler.step(noise, t, latents, generator=generator).prev_sample
        return latents

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Pixels of one clip, float32 [F, 3, H, W] in -1 … 1."""
        return self.run("vae_decoder", latent_sample=(latents[0] / self.scaling_factor).transpose(0, 1).contiguous())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("--prompt", default="a red circle")
    parser.add_argument("--negative", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--size", type=int, nargs=3, default=(16, 512, 512), metavar=("F", "W", "H"), help="frames and pixels, where the graph leaves them open")
    parser.add_argument("--device", default="CPU", help="CPU, GPU, NPU, AUTO")
    parser.add_argument("-o", "--out", type=Path, default=Path("frames.gif"))
    options = parser.parse_args()
    video = Video(options.package, options.device)
    pixels = video.decode(video.sample(options.prompt, options.seed, options.steps, options.size, options.negative, options.guidance))
    pictures = VideoProcessor().postprocess(pixels, output_type="pil")
    export_to_gif(pictures, str(options.out), fps=8)
    print(f"{options.out}: {len(pictures)} frames of {pictures[0].width}x{pictures[0].height}, prompt {options.prompt!r}, seed {options.seed}, {options.steps} steps")


if __name__ == "__main__":
    main()

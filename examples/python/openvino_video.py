"""From a prompt to moving frames with OpenVINO, which reads the ONNX graphs as they are; diffusers has the sampler, transformers the tokenizer.

    python examples/python/openvino_video.py out/tiny --prompt "a blue square" --seed 3 -o square.gif

Needs openvino, torch, diffusers and transformers (requirements.txt).
"""
import argparse
from pathlib import Path

import openvino
import torch
from diffusers import AutoencoderKL, LCMScheduler
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
        self.scheduler = LCMScheduler.from_pretrained(package / "scheduler")
        self.tokenizer = CLIPTokenizer.from_pretrained(package / "tokenizer")
        self.scaling_factor = AutoencoderKL.load_config(package / "vae_decoder")["scaling_factor"]

    def run(self, graph: str, **inputs: torch.Tensor) -> torch.Tensor:
        """The graph's output; copied, because OpenVINO writes the next one over it."""
        return torch.from_numpy(self.graphs[graph]({name: value.numpy() for name, value in inputs.items()})[0].copy())

    def sample(self, prompt: str, seed=0, steps=4, size=(16, 512, 512)) -> torch.Tensor:
        """Latents, float32 [1, 4, F, h, w]; `size` (frames, width, height) counts where the graph leaves it open."""
        tokens = self.tokenizer(prompt, padding="max_length", truncation=True, return_tensors="pt")
        states = self.run("text_encoder", input_ids=tokens.input_ids)
        frames, width, height = size
        fixed = self.graphs["unet"].input("sample").partial_shape
        shape = [asked if have.is_dynamic else have.get_length() for have, asked in zip(fixed, (1, 4, frames, height // 8, width // 8))]
        generator = torch.Generator().manual_seed(seed)
        latents = torch.randn(shape, generator=generator)
        self.scheduler.set_timesteps(steps)
        for t in self.scheduler.timesteps:
            noise = self.run("unet", sample=latents, timestep=t, encoder_hidden_states=states)
            latents = self.scheduler.step(noise, t, latents, generator=generator).prev_sample
        return latents

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Pixels of one clip, float32 [F, 3, H, W] in -1 … 1."""
        return self.run("vae_decoder", latent_sample=(latents[0] / self.scaling_factor).transpose(0, 1).contiguous())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("--prompt", default="a red circle")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--size", type=int, nargs=3, default=(16, 512, 512), metavar=("F", "W", "H"), help="frames and pixels, where the graph leaves them open")
    parser.add_argument("--device", default="CPU", help="CPU, GPU, NPU, AUTO")
    parser.add_argument("-o", "--out", type=Path, default=Path("frames.gif"))
    options = parser.parse_args()
    video = Video(options.package, options.device)
    pixels = video.decode(video.sample(options.prompt, options.seed, options.steps, options.size))
    pictures = VideoProcessor().postprocess(pixels, output_type="pil")
    export_to_gif(pictures, str(options.out), fps=8)
    print(f"{options.out}: {len(pictures)} frames of {pictures[0].width}x{pictures[0].height}, prompt {options.prompt!r}, seed {options.seed}, {options.steps} steps")


if __name__ == "__main__":
    main()

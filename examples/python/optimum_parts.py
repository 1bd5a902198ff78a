"""optimum's ONNX Runtime classes open a package as it is; their text encoder, UNet, VAE and scheduler then run in diffusers' AnimateDiffPipeline.

    python examples/python/optimum_parts.py out/tiny --prompt "a blue square" --seed 3 -o square.gif

optimum has no class for video. ORTLatentConsistencyModelPipeline has the same parts, so it loads them; only the pipeline around them is diffusers'.
(Not ORTStableDiffusionPipeline: on CUDA that one lets the UNet write over its input, which LCM's sampler still needs.)
Needs optimum-onnx, which asks for transformers 4: an environment of its own (requirements-optimum.txt).
"""
import argparse
from pathlib import Path

import torch
from diffusers import AnimateDiffPipeline
from diffusers.utils import export_to_gif
from optimum.onnxruntime import ORTLatentConsistencyModelPipeline


class OncePerPrompt:
    """ORTUnet where diffusers repeats the text states for every frame: the graph wants them once per prompt."""

    def __init__(self, unet):
        self.unet, self.config, self.dtype = unet, unet.config, unet.dtype

    def __call__(self, sample, timestep, encoder_hidden_states, **rest):
        return self.unet(sample, timestep, encoder_hidden_states[:: sample.shape[2]], **rest)


def open_pipeline(package: Path) -> AnimateDiffPipeline:
    parts = ORTLatentConsistencyModelPipeline.from_pretrained(package)
    return AnimateDiffPipeline(
        vae=parts.vae, text_encoder=parts.text_encoder, tokenizer=parts.tokenizer, unet=OncePerPrompt(parts.unet), motion_adapter=None, scheduler=parts.scheduler)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("--prompt", default="a red circle")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--size", type=int, nargs=3, default=(16, 512, 512), metavar=("F", "W", "H"), help="frames and pixels, where the graph leaves them open")
    parser.add_argument("-o", "--out", type=Path, default=Path("frames.gif"))
    options = parser.parse_args()
    pipeline = open_pipeline(options.package)
    frames, width, height = options.size
    fixed = pipeline.unet.unet.session.get_inputs()[0].shape[2:]
    frames, height, width = (unit * size if isinstance(size, int) else asked for unit, size, asked in zip((1, 8, 8), fixed, (frames, height, width)))
    result = pipeline(
        options.prompt, num_frames=frames, width=width, height=height, num_inference_steps=options.steps, guidance_scale=1.0,
        generator=torch.Generator().manual_seed(options.seed))
    export_to_gif(result.frames[0], str(options.out), fps=8)
    print(f"{options.out}: {len(result.frames[0])} frames of {width}x{height}, prompt {options.prompt!r}, seed {options.seed}, {options.steps} steps")


if __name__ == "__main__":
    main()

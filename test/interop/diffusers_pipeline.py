"""examples/python/diffusers_pipeline.py against the same pipeline with PyTorch's models.

    python test/interop/diffusers_pipeline.py CASE

needs: requirements.txt
"""
import sys

import numpy as np
import torch
from figures import Case, figure, finish, pixels, relative_rms

sys.path.insert(0, __file__.rsplit("/test/", 1)[0] + "/examples/python")
from diffusers_pipeline import open_pipeline  # noqa: E402


def main():
    case = Case(sys.argv[1])
    prompt, seed, steps = case.arguments
    frames, width, height = case.size
    pipeline = open_pipeline(case.package)
    pipeline.set_progress_bar_config(disable=True)

    def sample(**options):
        generator = torch.Generator().manual_seed(seed)
        return pipeline(prompt, num_frames=frames, width=width, height=height, num_inference_steps=steps, generator=generator, **options).frames

    figure("latents", relative_rms(sample(guidance_scale=1.0, output_type="latent"), case.reference["latents"]), case.limits["latents"])
    guided = sample(guidance_scale=case.about["guidance"], negative_prompt=case.about["negative"], output_type="latent")
    # guidance amplifies the rounding of two predictions
    figure("latents with guidance", relative_rms(guided, case.reference["guided"]), 2 * case.limits["latents"])
    got = (sample(guidance_scale=1.0, output_type="np")[0] * 255).round().astype(np.uint8)
    pixels("frames", got, case.reference["frames"], case.limits)
    finish()


if __name__ == "__main__":
    main()

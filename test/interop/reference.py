"""What PyTorch makes of a package's merged weights: diffusers' AnimateDiffPipeline with UNetMotionModel, CLIPTextModel and AutoencoderKL, in float32.

    python test/interop/reference.py CASE

CASE is a folder of test/interop/run.ts: case.json says what to sample, `weights` leads to safetensors that were baked with output.weights. Writes
reference.npz (latents, guided latents, text states, frames, a picture and its VAE encoding) and frames.bin (the frames alone, uint8 [F, H, W, 3]).

needs: requirements.txt and pyyaml
"""
import json
import sys
import types
from pathlib import Path

import numpy as np
import torch
from diffusers import AnimateDiffPipeline, AutoencoderKL, LCMScheduler, UNetMotionModel
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from transformers import CLIPTextModel, CLIPTokenizer

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "test/oracle"))
from reference_models import _per_frame_forward  # noqa: E402


def open_pipeline(case: dict) -> AnimateDiffPipeline:
    """Models from the weights folder and the base; the sampler from what the recipe says, not from the package."""
    weights, base = REPOSITORY / case["weights"], REPOSITORY / "models/tiny/base"
    unet = UNetMotionModel.from_pretrained(weights / "unet", torch_dtype=torch.float32)
    if case["norm"] == "per-frame":  # as AnimateDiff and AnimateLCM compute it; diffusers pools over frames
        for module in unet.modules():
            if isinstance(module, AnimateDiffTransformer3D):
                module.forward = types.MethodType(_per_frame_forward, module)
    noise = json.loads((base / "scheduler/scheduler_config.json").read_text())
    scheduler = LCMScheduler(beta_start=noise["beta_start"], beta_end=noise["beta_end"], beta_schedule="linear", original_inference_steps=50, clip_sample=False)
    return AnimateDiffPipeline(
        vae=AutoencoderKL.from_pretrained(base / "vae", torch_dtype=torch.float32), text_encoder=CLIPTextModel.from_pretrained(weights / "text_encoder", dtype=torch.float32),
        tokenizer=CLIPTokenizer.from_pretrained(base / "tokenizer"), unet=unet, motion_adapter=None, scheduler=scheduler)


def main():
    folder = Path(sys.argv[1])
    case = json.loads((folder / "case.json").read_text())
    pipeline = open_pipeline(case)
    pipeline.set_progress_bar_config(disable=True)
    shape = {"num_frames": case["frames"], "width": case["width"], "height": case["height"]}

    def sample(**options):
        return pipeline(case["prompt"], num_inference_steps=case["steps"], generator=torch.Generator().manual_seed(case["seed"]), **shape, **options).frames

    latents = sample(guidance_scale=1.0, output_type="latent")
    frames = (sample(guidance_scale=1.0, output_type="np")[0] * 255).round().astype(np.uint8)
    guided = sample(guidance_scale=case["guidance"], negative_prompt=case["negative"], output_type="latent")
    with torch.no_grad():
        ids = pipeline.tokenizer(case["prompt"], padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
        states = pipeline.text_encoder(ids)[0]
        picture = torch.from_numpy(frames[:2]).permute(0, 3, 1, 2) / 127.5 - 1
        # float64: on flat pictures normalisation amplifies rounding, and PyTorch's own float32 was seen off by 1.4e-5
        moments = pipeline.vae.double().encode(picture.double()).latent_dist.parameters
    np.savez(folder / "reference.npz", latents=latents, guided=guided, ids=ids, states=states, frames=frames, picture=picture, moments=moments)
    (folder / "frames.bin").write_bytes(frames.tobytes())
    print(f"PyTorch {torch.__version__}: {len(frames)} frames of {case['width']}x{case['height']}, {case['steps']} steps, GroupNorm {case['norm']}")


if __name__ == "__main__":
    main()

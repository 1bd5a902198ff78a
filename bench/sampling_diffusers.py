"""The diffusers side of bench/sampling.ts: the same merged UNet and LCM steps in PyTorch, float32, no gradients.

Reads a line, answers with a line of JSON. At start: versions, threads, the machine's matrix rate and the UNet's work.
`run`: samples once, milliseconds. `latents`: those of the last run.

    node bench/sampling.ts --python python        # starts it

needs: torch==2.13.0 diffusers==0.42.1 transformers safetensors pyyaml
"""
import argparse
import json
import os
import sys
import time
from pathlib import Path

import diffusers
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[1] / "test/oracle"))
from merge_reference import MergeReference  # noqa: E402
from reference_models import scheduler_of, noise_prediction, unet_motion_model  # noqa: E402

MATRIX = 2048  # large enough to reach the rate of large products, small enough to stay in any machine's memory
TOKENS = 77


def matrix_rate():
    """Best of twenty float32 matrix products, in FLOP/s."""
    a, b = torch.randn(MATRIX, MATRIX), torch.randn(MATRIX, MATRIX)
    best = float("inf")
    for _ in range(20):
        started = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - started)
    return 2 * MATRIX**3 / best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(os.cpu_count())
    torch.set_grad_enabled(False)

    reference = MergeReference.load(options.recipe)
    output, steps = reference.recipe["output"], reference.recipe["sampler"]["steps"]
    model = unet_motion_model(reference, reference.rounded("unet", torch.float32), output["frames"])
    shape = (1, 4, output["frames"], output["height"] // 8, output["width"] // 8)
    # standard normal numbers of a seed, which lcm-merge draws alike
    width = reference.configs["unet"]["cross_attention_dim"]
    states = torch.randn(1, TOKENS, width, generator=torch.Generator().manual_seed(1))

    def sample():
        generator, scheduler = torch.Generator().manual_seed(0), scheduler_of(reference)
        latents = torch.randn(shape, generator=generator)
        scheduler.set_timesteps(steps)
        for timestep in scheduler.timesteps:
            noise = noise_prediction(model, latents, timestep, states)
            latents = scheduler.step(noise, timestep, latents, generator=generator).prev_sample
        return latents

    # plain products and sums, because the counter does not know every fused attention kernel
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        noise_prediction(model, torch.zeros(shape), torch.tensor(499), states)
    about = {
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "threads": torch.get_num_threads(),
        "matrix_rate": matrix_rate(),
        "flops_per_step": counter.get_total_flops(),
    }
    print(json.dumps(about), flush=True)

    latents = None
    for line in sys.stdin:
        if line.strip() == "run":
            started = time.perf_counter()
            latents = sample()
            print(json.dumps({"milliseconds": (time.perf_counter() - started) * 1000}), flush=True)
        else:
            print(json.dumps({"latents": latents.flatten().tolist()}), flush=True)


if __name__ == "__main__":
    main()

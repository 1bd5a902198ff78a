"""Writes test/golden/sampler-runs.safetensors: final latents of the merged tiny family in diffusers, with every sampler.

Run as `python test/oracle/sampler_runs.py` (a minute or two; needs what reference_models.py needs). The package that is held against them is made of the
same recipe in fp32. compare_package.py --latents does the same for any package, recipe and length.
"""
import json

import torch
from safetensors.torch import save_file

import reference_models as models
from golden_graphs import GOLDEN, RECIPE, TINY
from merge_reference import MergeReference

GUIDED = {"prompt": "a red circle", "negative": "a blue square", "guidance": 4.0}
RUNS = {
    "ddim": {"sampler": "ddim", "steps": 25, "seed": 1, **GUIDED},
    "dpmpp_2m": {"sampler": "dpmpp_2m", "steps": 8, "seed": 2, **GUIDED},
    "dpmpp_2m_karras": {"sampler": "dpmpp_2m_karras", "steps": 8, "seed": 3, **GUIDED},
    "euler": {"sampler": "euler", "steps": 8, "seed": 4, **GUIDED},
    "lcm": {"sampler": "lcm", "steps": 6, "seed": 5, "prompt": "an orange square", "negative": "", "guidance": 1.0},
}
FRAMES = 2


def main():
    reference = MergeReference(RECIPE | {"sampler": {"original_steps": 100}}, TINY)
    unet = models.unet_motion_model(reference, reference.rounded("unet", torch.float32))
    text = models.clip_text_model(reference, reference.rounded("text_encoder", torch.float32))
    tokenizer, latents, cases = models.load_tokenizer(reference), {}, {}

    def sampled(run):
        arguments = {key: value for key, value in run.items() if key != "sampler"}
        return models.trajectory(unet, text, tokenizer, models.scheduler_of(reference, run["sampler"]), frames=FRAMES, **arguments)

    for name, run in RUNS.items():
        latents[name] = sampled(run)
    # Last, because it changes the models: how far PyTorch itself is off in float32, from models in float64 (the sampler stays float32).
    unet, text = unet.double(), text.double()
    for name, run in RUNS.items():
        cases[name] = run | {"frames": FRAMES, "float32_relative_rms": models.relative_rms(latents[name], sampled(run))}
        print(name, f"standard deviation {latents[name].std():.3f}, PyTorch in float32 is off by {cases[name]['float32_relative_rms']:.1e}", flush=True)
    path = GOLDEN / "sampler-runs.safetensors"
    save_file(latents, path, metadata={"command": "python test/oracle/sampler_runs.py", "cases": json.dumps(cases)})
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()

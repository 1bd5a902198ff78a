"""Writes test/golden/lcm.json: timesteps, alphas_cumprod, steps and saved configs of diffusers' LCMScheduler.

Run as `python test/oracle/lcm.py` (needs torch==2.13.0 diffusers==0.42.1 safetensors). The last bit of alphas_cumprod depends on
whether torch's kernels fuse multiply and add: the golden file comes from a machine with AVX2 (AVX-512 gives the same bits).
"""

import base64
import json
from pathlib import Path

import torch
from diffusers import LCMScheduler
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[2]
SCHEDULES = [("linear", 0.012), ("scaled_linear", 0.012), ("linear", 0.014)]


def b64(tensor):
    return base64.b64encode(tensor.to(torch.float32).contiguous().numpy().astype("<f4").tobytes()).decode()


def timesteps():
    wanted = {(1000, o, n) for o in (50, 100, 200) for n in range(1, 9)}
    wanted |= {(1000, 50, n) for n in range(1, 51)}
    wanted |= {(t, o, n) for t, o in ((1000, 30), (1000, 7), (1000, 333), (999, 100), (500, 64), (1000, 1), (2, 2)) for n in (1, 2, 3, 5, 6, 7, 29) if n <= o}
    wanted |= {(1000, 1000, n) for n in (1, 3, 7, 11, 13, 49)}
    # Where int(i * (len / n)), as numpy.linspace rounds, is not i * len // n.
    wanted |= {(1000, 200, 194), (1000, 30, 22), (1000, 30, 26), (1000, 45, 39), (1000, 52, 46)}
    rows = []
    for train, original, steps in sorted(wanted):
        for schedule in ("linear", "scaled_linear"):
            scheduler = LCMScheduler(num_train_timesteps=train, beta_schedule=schedule, original_inference_steps=original)
            scheduler.set_timesteps(steps)
            row = [train, original, scheduler.timesteps.tolist()]
            if row not in rows[-1:]:
                rows.append(row)
    return rows


def chain(steps, length=24, **config):
    """A whole sampling on random model outputs: noise is the generator's, in the order in which step draws it."""
    scheduler = LCMScheduler(**config)
    scheduler.set_timesteps(steps)
    random = torch.Generator().manual_seed(1000 + steps)
    sample = torch.randn(length, generator=random)
    out = {"config": config, "steps": steps, "seed": 77, "sample": b64(sample), "results": []}
    generator = torch.Generator().manual_seed(77)
    for t in scheduler.timesteps:
        model_output = torch.randn(length, generator=random)
        result = scheduler.step(model_output, t, sample, generator=generator)
        sample = result.prev_sample
        out["results"].append({"modelOutput": b64(model_output), "prevSample": b64(sample), "denoised": b64(result.denoised)})
    return out


def reference(keep=64):
    """The first values of the tiny family's reference run (seed 0, 4 steps, linear): noise, latents and predictions."""
    tensors = load_file(ROOT / "models/tiny/reference.safetensors")
    first = lambda name: b64(tensors[name].flatten()[:keep])  # noqa: E731
    return {
        "count": tensors["latents.init"].numel(),
        "init": first("latents.init"),
        "results": [{"modelOutput": first(f"noise_pred.{i}"), "prevSample": first(f"latents.{i}")} for i in range(4)],
    }


def main():
    chains = [
        chain(steps, beta_schedule=schedule, beta_end=end, original_inference_steps=original)
        for schedule, end in SCHEDULES for steps, original in ((1, 50), (4, 50), (8, 100))
    ]  # fmt: skip
    chains += [chain(3, prediction_type=kind) for kind in ("sample", "v_prediction")]
    chains += [chain(2, timestep_scaling=1.3, num_train_timesteps=500), chain(4, original_inference_steps=1000)]
    configs = [{}, {"beta_schedule": "linear", "original_inference_steps": 100, "prediction_type": "v_prediction", "num_train_timesteps": 500}]
    saved = [[c, {**json.loads(LCMScheduler(**c).to_json_string()), "_diffusers_version": "0.42.1"}] for c in configs]
    golden = {
        "command": "python test/oracle/lcm.py",
        "timesteps": timesteps(),
        "alphasCumprod": [
            {"beta_schedule": s, "beta_start": 0.00085, "beta_end": e, "num_train_timesteps": n,
             "values": b64(LCMScheduler(beta_schedule=s, beta_end=e, num_train_timesteps=n).alphas_cumprod)}
            for n in (1000, 37) for s, e in SCHEDULES
        ],
        "chains": chains,
        "reference": reference(),
        "configs": saved,
    }  # fmt: skip
    path = ROOT / "test/golden/lcm.json"
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()

"""Writes test/golden/samplers.json: timesteps, closed-loop trajectories and saved configs of diffusers' DDIM, DPM-Solver++ 2M, Euler and LCM schedulers.

Run as `python test/oracle/samplers.py` (needs torch==2.13.0 diffusers==0.42.1, on a machine with AVX2 as for lcm.py). Trajectories go through
`toy_model`, which is not linear, so that an error of one step is carried on by all that follow; its operations are exact in float32 everywhere.
"""

import base64
import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler, LCMScheduler

ROOT = Path(__file__).resolve().parents[2]
KINDS = {
    "lcm": (LCMScheduler, {}),
    "ddim": (DDIMScheduler, {}),
    "dpmpp_2m": (DPMSolverMultistepScheduler, {"use_karras_sigmas": False}),
    "dpmpp_2m_karras": (DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
    "euler": (EulerDiscreteScheduler, {}),
}
SPACINGS = ("leading", "linspace", "trailing")
NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "linear", "clip_sample": False}
LENGTH = 16
MOST_STEPS = 200
STEPS = (1, 2, 4, 8, 25, 50)


def scheduler_of(kind, **config):
    cls, karras = KINDS[kind]
    return cls.from_config({**NOISE, **config}, **karras)


def b64(tensor):
    return base64.b64encode(tensor.to(torch.float32).contiguous().numpy().astype("<f4").tobytes()).decode()


def whole_timesteps(kind, steps, **config):
    """None where they are not what a model can be asked: fractions, outside of the training, or twice the same noise."""
    scheduler = scheduler_of(kind, **config)
    trained = scheduler.config.num_train_timesteps
    scheduler.set_timesteps(steps)
    t = scheduler.timesteps.double()
    if (t != t.round()).any() or (t < 0).any() or (t >= trained).any():
        return None
    if len(t) > 1 and t[0] == t[1] or kind != "dpmpp_2m_karras" and len(set(t.tolist())) < len(t):
        return None
    return [int(v) for v in t]


def timesteps():
    """Usual settings in full, and a digest over every number of steps from 1 to MOST_STEPS."""
    shown, digests = [], []
    settings = [{}, {"steps_offset": 1}, {"beta_schedule": "scaled_linear", "steps_offset": 1}, {"num_train_timesteps": 97, "steps_offset": 3}]
    for kind in list(KINDS)[1:]:
        for spacing in SPACINGS:
            for n in (1, 2, 4, 8, 25, 30, 50):
                shown.append([kind, {"timestep_spacing": spacing, "steps_offset": 1}, n, whole_timesteps(kind, n, timestep_spacing=spacing, steps_offset=1)])
            for setting in settings if kind != "dpmpp_2m_karras" or spacing == "leading" else []:  # whose timesteps are the same with each
                config = {"timestep_spacing": spacing, **setting}
                every = [whole_timesteps(kind, n, **config) for n in range(1, min(MOST_STEPS, config.get("num_train_timesteps", 1000)) + 1)]
                text = json.dumps(every, separators=(",", ":"))
                digests.append([kind, config, sum(row is None for row in every), hashlib.sha256(text.encode()).hexdigest()])
    return shown, digests


def toy_model(x, t):
    """Bounded, not linear, and each value depends on its neighbour."""
    v = x + torch.roll(x, 1) * 0.25
    return v / torch.sqrt(v * v + 1.0) * torch.tensor(0.5 + t / 2048, dtype=torch.float32)


def trajectory(kind, steps, **config):
    """Latents after every step; LCM's noise comes from the generator of the initial noise."""
    scheduler = scheduler_of(kind, **config)
    scheduler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(steps)
    x = torch.randn(LENGTH, generator=generator) * scheduler.init_noise_sigma
    out = {"kind": kind, "config": config, "steps": steps, "init": b64(x), "latents": []}
    for t in scheduler.timesteps:
        m = toy_model(scheduler.scale_model_input(x, t), float(t))
        kwargs = {"generator": generator} if kind == "lcm" else {}
        x = scheduler.step(m, t, x, **kwargs).prev_sample
        assert x.isfinite().all(), (kind, steps, config)
        out["latents"].append(b64(x))
    return out


def trajectories():
    rows = []
    for kind in list(KINDS)[1:]:
        rows += [trajectory(kind, n, timestep_spacing="leading", steps_offset=1, set_alpha_to_one=False) for n in STEPS]
        rows += [trajectory(kind, n, timestep_spacing="trailing", beta_schedule="scaled_linear") for n in (1, 4, 25)]
        rows += [trajectory(kind, 8, timestep_spacing="leading", prediction_type=p, beta_schedule=s) for p, s in (("v_prediction", "linear"), ("sample", "scaled_linear"))]
        if kind != "euler":
            rows += [trajectory(kind, n, timestep_spacing="linspace") for n in (4, 25)]
    rows += [trajectory("euler", 4, timestep_spacing="linspace")]
    rows += [trajectory("ddim", 15, timestep_spacing="trailing", num_train_timesteps=500)]
    rows += [trajectory("lcm", n, original_inference_steps=o) for n, o in ((1, 50), (2, 100), (4, 50), (6, 100), (8, 200))]
    return rows


def saved(scheduler):
    """What save_config writes, read back; the infinite default as null."""
    with tempfile.TemporaryDirectory() as folder:
        scheduler.save_config(folder)
        config = json.loads((Path(folder) / "scheduler_config.json").read_text())
        again = type(scheduler).from_pretrained(folder)
        assert json.loads(again.to_json_string()) == config
    assert config.get("lambda_min_clipped", -np.inf) == -np.inf
    config.pop("lambda_min_clipped", None)
    return config


READ = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "prediction_type", "timestep_spacing", "steps_offset", "set_alpha_to_one", "original_inference_steps", "timestep_scaling")  # fmt: skip


def configs():
    """Of each class: its fields with their defaults. Of each base and recipe: the config that a package gets, and what each other class makes of it."""
    defaults = {cls.__name__: saved(cls()) for cls, _ in KINDS.values()}
    tiny = json.loads((ROOT / "models/tiny/base/scheduler/scheduler_config.json").read_text())
    sd15 = {**json.loads((ROOT / "assets/sd15/scheduler/scheduler_config.json").read_text()), "clip_sample": False}
    recipe = {"beta_schedule": "linear", "timestep_spacing": "trailing"}
    packages = []
    for base in (tiny, sd15):
        as_lcm = {**LCMScheduler.from_config(base, original_inference_steps=100, **recipe).config}
        for kind, (cls, karras) in KINDS.items():
            package = cls.from_config(as_lcm, **karras)
            other = {}
            for name, (x, k) in KINDS.items():
                config = x.from_config(package.config, **k).config
                assert not config.get("clip_sample"), (kind, name)
                known = x._get_init_keys(x)
                other[name] = {field: config[field] for field in READ if field in known}
            packages.append({"base": base, "kind": kind, "saved": saved(package), "as": other})
    return {"defaults": defaults, "packages": packages}


def main():
    shown, digests = timesteps()
    golden = {"command": "python test/oracle/samplers.py", "timesteps": shown, "timestepDigests": digests, "trajectories": trajectories(), **configs()}
    path = ROOT / "test/golden/samplers.json"
    path.write_text(json.dumps(golden) + "\n")
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()

"""Golden numbers of models/tiny, from PyTorch, diffusers and transformers: what the merged graphs compute, and the merged values themselves.

Writes test/golden/graphs.safetensors (outputs of UNetMotionModel, text encoder, VAE decoder and encoder in float32 on weights rounded to fp16, and whole
LCM trajectories) and test/golden/merge.safetensors (sampled merged values in float64). Inputs are not stored: each is torch.randn of its shape with a CPU
generator of the seed in the metadata. The header entry `cases`, a JSON string, says for every tensor what it is;
paths in its recipes start at models/tiny. The models are first held against
models/tiny/reference.safetensors, which other code made.

    python test/oracle/golden_graphs.py

needs: torch==2.13.0 diffusers==0.42.1 transformers safetensors pyyaml
"""
import copy
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

import reference_models as models
from merge_reference import MergeReference

GOLDEN = Path(__file__).parents[1] / "golden"
TINY = Path(__file__).parents[2] / "models/tiny"
RECIPE = {
    "base": "base",
    "personalized": [{"lora": "ink.safetensors", "alpha": 0.8}],
    "lcm": {"lora": "lcm.safetensors", "beta": 1, "expect": {"modules": 278}},
    "motion": {"module": "animatelcm.ckpt", "gamma": 1, "mode": "residual", "norm": "per-frame"},
    "sampler": {"beta_schedule": "linear", "original_steps": 50},
}
SEED_SAMPLE, SEED_STATES, SEED_LATENT, SEED_PICTURE = 11, 12, 13, 14
PICTURES = ((2, 3, 64, 64), (1, 3, 48, 80), (1, 3, 52, 71))  # the last does not halve evenly
SHAPES = ((1, 8, 8, 8), (1, 16, 8, 8), (2, 8, 8, 8), (1, 8, 16, 8))  # B, F, h, w
TIMESTEPS = (999, 259)
PROMPTS = ("a red circle", "", "an orange square moving right, masterpiece, best quality, in the style of ink and paper")
TOKEN_STRIDE, PIXEL_STRIDE = 4, 3
TRAJECTORIES = (
    {"prompt": "a red circle", "seed": 0, "steps": 4},
    {"prompt": "a blue square", "seed": 7, "steps": 2},
    {"prompt": "a red circle", "seed": 3, "steps": 8, "beta_schedule": "scaled_linear", "original_inference_steps": 100},
    {"prompt": "a red circle", "negative": "blurry", "seed": 0, "steps": 4, "guidance": 2.0},
)
# The merges that merge.safetensors samples: changes to RECIPE, by section.
MERGES = {
    "alpha/rank, residual": {"personalized": {"text_encoder": 0.6}, "lcm": {"beta": 0.9}, "motion": {"gamma": 0.5}},
    "alpha/rank, weights": {"motion": {"gamma": 0.5, "mode": "weights"}},
    "raw": {"personalized": {"scale": "raw"}, "lcm": {"scale": "raw", "beta": 0.125}, "motion": {"gamma": 0.5}},
    "rslora": {"personalized": {"scale": "rslora", "alpha": -0.3}, "lcm": {"scale": "rslora"}, "motion": {"gamma": 1.25}},
    "blocks": {"personalized": {"blocks": {"IN08": 0.5, "OUT": 0, "OUT05": 1.5, "M": 0.25, "BASE": 0.75}}, "lcm": {"blocks": {"IN": 0.5, "IN03": 2, "OUT11": 0}}, "motion": {"gamma": 0.5, "blocks": {"IN": 0.8, "M00": 0}}},
}
TENSORS_PER_KIND, ELEMENTS = 8, 32


def noise(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def write(name, tensors, cases):
    path = GOLDEN / name
    save_file(tensors, path, metadata={"command": "python test/oracle/golden_graphs.py", "cases": json.dumps(cases)})
    print(f"{path.name}: {len(tensors)} tensors, {path.stat().st_size} bytes")


def check_against_stored(unet, text, vae, tokenizer, reference):
    stored = load_file(TINY / "reference.safetensors")
    latents = models.trajectory(unet, text, tokenizer, models.scheduler_of(reference), prompt="a red circle")
    frames = vae.decode(latents[0].permute(1, 0, 2, 3) / vae.config.scaling_factor).sample
    for name, ours in (("encoder_hidden_states", text(models.token_ids(tokenizer, ["a red circle"]))[0]), ("latents", latents), ("frames", frames)):
        error = models.relative_rms(ours, stored[name])
        print(f"reference.safetensors {name:22} relative RMS {error:.1e}")
        assert error < 1e-5, "the oracle disagrees with models/tiny/reference.safetensors"


def write_graphs():
    reference = MergeReference(RECIPE | {"output": {"vae_encoder": True}}, TINY)
    weights = reference.rounded("unet", torch.float16)
    unets = {norm: models.unet_motion_model(reference, weights, norm=norm) for norm in ("per-frame", "pooled")}
    text = models.clip_text_model(reference, reference.rounded("text_encoder", torch.float16))
    vae = models.vae_half(reference, "vae_decoder", reference.rounded("vae_decoder", torch.float16))
    encoder = models.vae_half(reference, "vae_encoder", reference.rounded("vae_encoder", torch.float16))
    tokenizer = models.load_tokenizer(reference)
    check_against_stored(unets["per-frame"], text, vae, tokenizer, reference)
    tensors, cases = {}, {}

    def put(name, tensor, **case):
        tensors[name], cases[name] = tensor.contiguous().clone(), case

    for norm, unet in unets.items():
        for batch, frames, height, width in SHAPES:
            sample_shape, states_shape = (batch, 4, frames, height, width), (batch, 77, 64)
            for t in TIMESTEPS:
                out = models.noise_prediction(unet, noise(SEED_SAMPLE, *sample_shape), t, noise(SEED_STATES, *states_shape))
                put(f"unet.{norm}.b{batch}f{frames}h{height}w{width}.t{t}", out, kind="unet", norm=norm, timestep=t,
                    sample={"seed": SEED_SAMPLE, "shape": sample_shape}, encoder_hidden_states={"seed": SEED_STATES, "shape": states_shape})
    ids = models.token_ids(tokenizer, list(PROMPTS))
    for i, (prompt, states) in enumerate(zip(PROMPTS, text(ids)[0])):
        put(f"text_encoder.{i}", states[::TOKEN_STRIDE], kind="text_encoder", prompt=prompt, input_ids=ids[i].tolist(), token_stride=TOKEN_STRIDE)
    latent_shape = (2, 4, 8, 8)
    pixels = vae.decode(noise(SEED_LATENT, *latent_shape)).sample
    put("vae_decoder.0", pixels.flatten()[::PIXEL_STRIDE], kind="vae_decoder", latent_sample={"seed": SEED_LATENT, "shape": latent_shape},
        shape=pixels.shape, flat_stride=PIXEL_STRIDE)
    for i, shape in enumerate(PICTURES):
        moments = encoder.encode(noise(SEED_PICTURE, *shape)).latent_dist.parameters
        put(f"vae_encoder.{i}", moments, kind="vae_encoder", sample={"seed": SEED_PICTURE, "shape": shape}, shape=moments.shape)
    for i, case in enumerate(TRAJECTORIES):
        settings = {k: case[k] for k in ("beta_schedule", "original_inference_steps") if k in case}
        arguments = {k: v for k, v in case.items() if k not in settings}
        scheduler = models.scheduler_of(reference, **settings)
        latents = models.trajectory(unets["per-frame"], text, tokenizer, scheduler, **arguments)
        defaults = {"negative": "", "guidance": 1.0, "beta_schedule": "linear", "original_inference_steps": 50}
        put(f"trajectory.{i}", latents, kind="trajectory", norm="per-frame", **(defaults | case))
    # Last, because it changes the models: what diffusers itself loses in float16 (models in float16, sampler in float32).
    unet, text = unets["per-frame"].half(), text.half()
    for name, case in cases.items():
        if case["kind"] == "unet" and case["norm"] == "per-frame":
            sample, states = (noise(case[k]["seed"], *case[k]["shape"]).half() for k in ("sample", "encoder_hidden_states"))
            case["float16_relative_rms"] = models.relative_rms(models.noise_prediction(unet, sample, case["timestep"], states), tensors[name])
    latents = models.trajectory(unet, text, tokenizer, models.scheduler_of(reference), **TRAJECTORIES[0])
    cases["trajectory.0"]["float16_relative_rms"] = models.relative_rms(latents, tensors["trajectory.0"])
    losses = [case["float16_relative_rms"] for case in cases.values() if "float16_relative_rms" in case]
    print(f"diffusers in float16: one prediction {min(losses[:-1]):.1e} to {max(losses[:-1]):.1e}, 4-step trajectory {losses[-1]:.1e}")
    write("graphs.safetensors", tensors, cases)


def with_changes(changes):
    recipe = copy.deepcopy(RECIPE)
    for section, entries in changes.items():
        (recipe[section][0] if section == "personalized" else recipe[section]).update(entries)
    return recipe


def kind_of(component, name, rules):
    if ".motion_modules." in name:
        return f"motion {'.'.join(name.split('.')[-2:])}" if ".proj_out." in name else "motion other"
    return f"{component} {' + '.join(rules)}"


def write_merge():
    """`indices` holds flat indices into each sampled tensor in PyTorch's layout, `values.<merge>` the float64 values there, in one order."""
    plain = MergeReference(RECIPE, TINY)
    kinds = {}
    for component in ("unet", "text_encoder", "vae_decoder"):
        for name in plain.names(component):
            kinds.setdefault(kind_of(component, name, plain.tensor(component, name).rules), []).append((component, name))
    generator, samples, indices = torch.Generator().manual_seed(1), [], []
    for kind, members in kinds.items():
        for i in torch.linspace(0, len(members) - 1, min(TENSORS_PER_KIND, len(members))).long().tolist():
            component, name = members[i]
            size = plain.tensor(component, name).value.numel()
            picked = torch.randperm(size, generator=generator)[:ELEMENTS].sort().values
            samples.append({"component": component, "name": name, "kind": kind, "shape": plain.tensor(component, name).value.shape,
                            "start": sum(map(len, indices)), "count": len(picked)})
            indices.append(picked)
    tensors = {"indices": torch.cat(indices).int()}
    for merge, changes in MERGES.items():
        reference = MergeReference(with_changes(changes), TINY)
        tensors[f"values.{merge}"] = torch.cat([reference.tensor(s["component"], s["name"]).value.flatten()[i] for s, i in zip(samples, indices)])
    write("merge.safetensors", tensors, {"samples": samples, "recipes": {merge: with_changes(changes) for merge, changes in MERGES.items()}})


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    write_graphs()
    write_merge()

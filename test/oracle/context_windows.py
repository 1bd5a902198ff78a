"""Golden values of long videos: AnimateDiff-Evolved's windows, diffusers' FreeNoise weights and noise, PyTorch's permutations, and whole clips in windows.

Writes test/golden/context-windows.json and test/golden/context-windows.safetensors (latents of models/tiny, weights rounded to fp16, computed in
float32 by UNetMotionModel window by window, averaged in float64). CONTEXT is animatediff/context.py of Kosinkadink/ComfyUI-AnimateDiff-Evolved
(d8d163cd90b1111f6227495e3467633676fbb346), which needs nothing of ComfyUI for what is asked of it here.

    python test/oracle/context_windows.py CONTEXT

needs: torch==2.13.0 diffusers==0.42.1 transformers safetensors pyyaml
"""
import importlib.util
import json
import sys
import types
from pathlib import Path

import torch
from diffusers.models.attention import FreeNoiseTransformerBlock
from diffusers.pipelines.free_noise_utils import AnimateDiffFreeNoiseMixin
from safetensors.torch import save_file

import reference_models as models
from golden_graphs import GOLDEN, RECIPE, TINY
from merge_reference import MergeReference

COMMAND = "python test/oracle/context_windows.py CONTEXT"
SCHEDULES = {"static": "standard_static", "uniform": "standard_uniform", "looped": "looped_uniform"}
LENGTHS = ((16, 4), (16, 0), (16, 8), (16, 15), (8, 3), (5, 2), (2, 1), (1, 0))  # window, overlap
FRAMES, STEPS = (17, 20, 24, 31, 32, 33, 40, 41, 64), 8
SCHEMES = ("flat", "pyramid", "delayed_reverse_sawtooth")
# diffusers gives an odd window of delayed_reverse_sawtooth one weight too many; its comment names those of 5.
WEIGHTS = tuple((scheme, n) for scheme in SCHEMES for n in (2, 4, 5, 8, 16, 17) if scheme != "delayed_reverse_sawtooth" or n % 2 == 0)
NOISE = ((24, 16, 4), (40, 16, 8), (41, 16, 0), (20, 16, 15), (64, 8, 3))  # frames, window, overlap
CLIPS = (
    {"frames": 24, "context": 16, "overlap": 4, "schedule": "static", "fuse": "pyramid", "noise": "random", "seed": 0, "steps": 4, "guidance": 1.0},
    {"frames": 24, "context": 16, "overlap": 8, "schedule": "uniform", "fuse": "flat", "noise": "freenoise", "seed": 5, "steps": 4, "guidance": 2.0},
    {"frames": 20, "context": 8, "overlap": 2, "schedule": "looped", "fuse": "delayed_reverse_sawtooth", "noise": "random", "seed": 2, "steps": 3, "guidance": 1.0},
)
PROMPT = "a red circle"


def load_context(path):
    """The module without ComfyUI: what it imports of it is used by other functions than those called here."""
    package = types.ModuleType("evolved")
    package.__path__ = []
    sys.modules["evolved"] = package
    stubs = {
        "torchvision": (), "comfy": (), "comfy.samplers": (), "comfy.model_base": ("BaseModel",), "comfy.model_patcher": ("ModelPatcher",),
        "evolved.context_extras": ("ContextExtrasGroup",), "evolved.utils_model": ("BIGMAX_TENSOR",), "evolved.utils_motion": ("get_sorted_list_via_attr",),
    }
    for name, members in stubs.items():
        if name == "torchvision" and importlib.util.find_spec(name):
            continue
        module = types.ModuleType(name)
        for member in members:
            setattr(module, member, type(member, (), {}))
        sys.modules[name] = module
    spec = importlib.util.spec_from_file_location("evolved.context", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def windows_of(context, schedule, frames, length, overlap, step):
    options = context.ContextOptions(length, 1, overlap, SCHEDULES[schedule], closed_loop=True)
    options.step = step
    return [[int(i) for i in window] for window in context.get_context_windows(frames, options)]


def weights_of(scheme, n):
    return [float(w) for w in FreeNoiseTransformerBlock._get_frame_weights(None, n, scheme)]


def free_noise(frames, length, overlap, generator, height, width):
    pipeline = types.SimpleNamespace(
        _free_noise_context_length=length, _free_noise_context_stride=length - overlap, _free_noise_noise_type="shuffle_context", vae_scale_factor=8)
    return AnimateDiffFreeNoiseMixin._prepare_latents_free_noise(pipeline, 1, 4, frames, 8 * height, 8 * width, torch.float32, "cpu", generator)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def write_json(context):
    windows = [
        {"schedule": schedule, "frames": frames, "length": length, "overlap": overlap, "step": step,
         "starts": [w[0] for w in windows_of(context, schedule, frames, length, overlap, step)]}
        for schedule in SCHEDULES for length, overlap in LENGTHS for frames in FRAMES for step in (range(STEPS) if schedule != "static" else (0, 3))
    ]
    for case in windows:  # a window is its first frame and those that follow, round the clip
        found = windows_of(context, case["schedule"], case["frames"], case["length"], case["overlap"], case["step"])
        assert found == [[(start + i) % case["frames"] for i in range(case["length"])] for start in case["starts"]]
    grouped = {}
    for case in windows:
        grouped.setdefault(f"{case['schedule']} {case['frames']} {case['length']} {case['overlap']}", {})[case["step"]] = case["starts"]
    noise = [{"frames": f, "length": n, "overlap": o, "seed": 3, "shape": [1, 4, f, 1, 2], "values": free_noise(f, n, o, seeded(3), 1, 2).flatten().tolist()} for f, n, o in NOISE]
    generator, permutations = seeded(9), []
    for count in (1, 2, 7, 12, 100, 700):  # among draws of the same generator
        permutations.append({"randn": torch.randn(count % 13, generator=generator).tolist(), "randperm": torch.randperm(count, generator=generator).tolist()})
    path = GOLDEN / "context-windows.json"
    document = {"command": COMMAND, "windows": grouped, "weights": {f"{scheme} {n}": weights_of(scheme, n) for scheme, n in WEIGHTS}, "noise": noise, "permutations": permutations}
    path.write_text(json.dumps(document, separators=(",", ":")) + "\n")
    print(path.name, path.stat().st_size)


def predict(unet, x, t, states, windows, weights):
    """x [1, 4, F, h, w], states [B, 77, D] -> [B, 4, F, h, w]"""
    total, weight = torch.zeros(len(states), *x.shape[1:], dtype=torch.float64), torch.zeros(x.shape[2], dtype=torch.float64)
    for window in windows:
        part = models.noise_prediction(unet, x[:, :, window].expand(len(states), -1, -1, -1, -1), t, states)
        for i, frame in enumerate(window):
            total[:, :, frame] += weights[i] * part[:, :, i].double()
            weight[frame] += weights[i]
    return (total / weight[:, None, None]).float()


def clip(context, unet, states, scheduler, *, frames, context_length, overlap, schedule, fuse, noise, seed, steps, guidance):
    generator = seeded(seed)
    x = free_noise(frames, context_length, overlap, generator, 8, 8) if noise == "freenoise" else torch.randn(1, 4, frames, 8, 8, generator=generator)
    scheduler.set_timesteps(steps)
    for step, t in enumerate(scheduler.timesteps):
        prediction = predict(unet, x, t, states, windows_of(context, schedule, frames, context_length, overlap, step), weights_of(fuse, context_length))
        if guidance > 1:
            prediction = prediction[:1] + guidance * (prediction[1:] - prediction[:1])
        x = scheduler.step(prediction, t, x, generator=generator).prev_sample
    return x


def write_clips(context):
    reference = MergeReference(RECIPE, TINY)
    unet = models.unet_motion_model(reference, reference.rounded("unet", torch.float16))
    text = models.clip_text_model(reference, reference.rounded("text_encoder", torch.float16))
    tokenizer, tensors, cases = models.load_tokenizer(reference), {}, {}
    for i, case in enumerate(CLIPS):
        states = text(models.token_ids(tokenizer, ["", PROMPT] if case["guidance"] > 1 else [PROMPT]))[0]
        settings = {("context_length" if key == "context" else key): value for key, value in case.items()}
        tensors[f"clip.{i}"] = clip(context, unet, states, models.scheduler_of(reference, "lcm"), **settings).contiguous()
        cases[f"clip.{i}"] = {"prompt": PROMPT} | case
    path = GOLDEN / "context-windows.safetensors"
    save_file(tensors, path, metadata={"command": COMMAND, "cases": json.dumps(cases)})
    print(path.name, path.stat().st_size)


if __name__ == "__main__":
    context = load_context(sys.argv[1])
    write_json(context)
    write_clips(context)

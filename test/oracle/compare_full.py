"""Holds a package of SD1.5's true size against diffusers: UNet, text encoder and VAE one by one, then a whole LCM trajectory, in little memory.

    node bench/full-size.ts out/full                                        # random weights, recipes of several sizes
    node src/cli.ts bake out/full/4x128.yaml -o out/full/p-4x128
    python test/oracle/compare_full.py out/full/p-4x128 out/full/4x128.yaml
    python test/oracle/compare_full.py PACKAGE RECIPE --weights OTHER       # a package without weights/: the same weights in diffusers' layout

Three processes, one after the other, so that never more than one model is in memory: diffusers computes in float32 on the package's own weights (weights/, which
`output.weights: true` writes, and the base's VAE rounded to the package's type) and saves what it got; onnxruntime for Python answers the same questions with the
package's graphs; `lcm-merge run` samples with its own runtime. One line per comparison; exit status 1 if one of single evaluations is off by more than the limit.
Trajectories are for information: 1/sqrt(alpha) at the first step multiplies every error of the noise. --reference FILE keeps what diffusers computed, and uses it if it is there.

needs: torch==2.13.0 diffusers==0.42.1 transformers safetensors onnxruntime numpy pyyaml
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path

import numpy

LIMIT = {"fp16": 5e-3, "fp32": 1e-4}  # relative RMS
PARAMETERS = {"unet": 1_312_730_244, "text_encoder": 123_060_480}  # without positional encodings, which are computed, and ids
TIMESTEPS = (999, 759, 499, 259, 19)
PROMPT, SEED, STEPS = "a red circle", 0, 4
DECODED = 2  # images that go through the VAE
CLI = Path(__file__).parents[2] / "src/cli.ts"


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def read_recipe(path: Path) -> dict:
    import yaml
    return yaml.safe_load(path.read_text())


def randn(seed: int, *shape: int) -> numpy.ndarray:
    import torch
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).numpy()


def questions(recipe: dict, timesteps) -> dict[str, numpy.ndarray]:
    """What both sides are asked. The first token is the start, the rest are words and, from the tenth on, the end, as a prompt is filled up."""
    frames, height, width = (recipe["output"][k] for k in ("frames", "height", "width"))
    ids = numpy.random.default_rng(4).integers(0, 49406, (1, 77))
    ids[:, 0], ids[:, 10:] = 49406, 49407
    return {
        "sample": randn(1, 1, 4, frames, height // 8, width // 8), "states": randn(2, 1, 77, 768), "timesteps": numpy.array(timesteps, numpy.int64), "ids": ids,
        "latents": randn(3, DECODED, 4, height // 8, width // 8), "images": numpy.tanh(randn(5, DECODED, 3, height, width)),
    }


# ---- phase 1: diffusers


def counted(model) -> int:
    return sum(p.numel() for p in model.parameters())


def diffusers_phase(options) -> None:
    import torch
    from diffusers import AutoencoderKL, LCMScheduler, UNetMotionModel
    from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
    from transformers import CLIPTextModel, CLIPTokenizer

    import reference_models as models

    recipe, weights = read_recipe(options.recipe), (options.weights or options.package) / "weights"
    asked = questions(recipe, options.timesteps)
    tensors = {name: torch.from_numpy(value) for name, value in asked.items()}
    answers, scheduler = {}, LCMScheduler.from_pretrained(options.package / "scheduler")
    tokenizer = CLIPTokenizer.from_pretrained(options.package / "tokenizer")

    vae = AutoencoderKL.from_pretrained(options.recipe.parent / recipe["base"] / "vae", torch_dtype=torch.float16)
    vae = vae.float() if recipe["output"].get("dtype", "fp16") == "fp16" else AutoencoderKL.from_pretrained(options.recipe.parent / recipe["base"] / "vae")
    answers["vae_decoder"] = vae.decode(tensors["latents"]).sample.numpy()
    answers["vae_encoder"] = vae.encode(tensors["images"]).latent_dist.parameters.numpy()
    del vae
    text = CLIPTextModel.from_pretrained(weights / "text_encoder", dtype=torch.float32).eval()
    answers["parameters.text_encoder"] = numpy.array(counted(text))
    answers["text_encoder"] = text(tensors["ids"])[0].numpy()
    answers["prompt_states"] = text(models.token_ids(tokenizer, [PROMPT]))[0].numpy()
    del text
    unet = UNetMotionModel.from_pretrained(weights / "unet", torch_dtype=torch.float32).eval()
    answers["parameters.unet"] = numpy.array(counted(unet))
    if recipe["motion"].get("norm", "per-frame") == "per-frame":
        for module in unet.modules():
            if isinstance(module, AnimateDiffTransformer3D):
                module.forward = types.MethodType(models._per_frame_forward, module)
    for t in options.timesteps:
        started = time.perf_counter()
        answers[f"unet.{t}"] = models.noise_prediction(unet, tensors["sample"], t, tensors["states"]).numpy()
        log(f"diffusers: t = {t}, {time.perf_counter() - started:.1f} s")

    def predict(dtype):
        states = torch.from_numpy(answers["prompt_states"]).to(dtype)
        return lambda x, t: models.noise_prediction(unet, torch.from_numpy(x).to(dtype), t, states).float().numpy()

    if not options.no_trajectory:
        answers["trajectory"] = trajectory(scheduler, predict(torch.float32), tensors["sample"].shape)
        log("diffusers: trajectory")
    if options.half:
        unet = unet.half()
        t = options.timesteps[0]
        answers[f"half.unet.{t}"] = models.noise_prediction(unet, tensors["sample"].half(), t, tensors["states"].half()).float().numpy()
        if not options.no_trajectory:
            answers["half.trajectory"] = trajectory(scheduler, predict(torch.float16), tensors["sample"].shape)
    numpy.savez(options.reference, **asked, **answers, peak=numpy.array(peak()))


def trajectory(scheduler, predict, shape) -> numpy.ndarray:
    """LCM steps without guidance in float32, noise of one generator, as reference_models.trajectory: final latents."""
    import torch
    generator = torch.Generator().manual_seed(SEED)
    x = torch.randn(tuple(shape), generator=generator)
    scheduler.set_timesteps(STEPS)
    for t in scheduler.timesteps:
        x = scheduler.step(torch.from_numpy(predict(x.numpy(), t)), t, x, generator=generator).prev_sample
    return x.numpy()


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# ---- phase 2: onnxruntime for Python


def onnxruntime_phase(options) -> None:
    import onnxruntime
    from diffusers import LCMScheduler

    asked, answers = numpy.load(options.reference), {}

    def session(component: str):
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3
        path = options.package / component / options.model
        return onnxruntime.InferenceSession(str(path if path.exists() else path.with_name("model.onnx")), settings, providers=["CPUExecutionProvider"])

    def ask(run, value):
        return run.run(None, {run.get_inputs()[0].name: value})[0]

    answers["text_encoder"] = ask(session("text_encoder"), asked["ids"])
    answers["vae_decoder"] = ask(session("vae_decoder"), asked["latents"])
    if (options.package / "vae_encoder").exists():
        answers["vae_encoder"] = ask(session("vae_encoder"), asked["images"])
    started = time.perf_counter()
    unet = session("unet")
    log(f"onnxruntime: UNet loaded in {time.perf_counter() - started:.1f} s")

    def predict(x, t, states):
        return unet.run(None, {"sample": x, "timestep": numpy.array(int(t)), "encoder_hidden_states": states})[0]

    for t in options.timesteps:
        started = time.perf_counter()
        answers[f"unet.{t}"] = predict(asked["sample"], t, asked["states"])
        log(f"onnxruntime: t = {t}, {time.perf_counter() - started:.1f} s")
    if not options.no_trajectory:
        scheduler = LCMScheduler.from_pretrained(options.package / "scheduler")
        answers["trajectory"] = trajectory(scheduler, lambda x, t: predict(x, t, asked["prompt_states"]), asked["sample"].shape)
    numpy.savez(options.answers, **answers, peak=numpy.array(peak()))


# ---- all of it


def relative_rms(a, b) -> float:
    a, b = a.astype(numpy.float64), b.astype(numpy.float64)
    return float(numpy.linalg.norm(a - b) / numpy.linalg.norm(b))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--weights", type=Path, help="the package whose weights/ diffusers loads; PACKAGE when left out")
    parser.add_argument("--model", default="model.onnx", help="the graph of each component, where it is there: model.onnx")
    parser.add_argument("--timesteps", type=lambda s: [int(t) for t in s.split(",")], default=list(TIMESTEPS))
    parser.add_argument("--reference", type=Path, help="where diffusers' answers are kept")
    parser.add_argument("--half", action="store_true", help="also what diffusers itself loses in float16")
    parser.add_argument("--no-trajectory", action="store_true", help="leave out trajectories, and with them lcm-merge's own runtime")
    parser.add_argument("--phase", choices=("diffusers", "onnxruntime"), help=argparse.SUPPRESS)
    parser.add_argument("--answers", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.phase:
        import torch
        torch.set_grad_enabled(False)
        {"diffusers": diffusers_phase, "onnxruntime": onnxruntime_phase}[options.phase](options)
        return 0

    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # PyTorch's threads wait for each other by spinning, which on a machine with other work takes up to sixty times as long
    with tempfile.TemporaryDirectory(dir=options.package.parent) as scratch:
        options.reference = options.reference or Path(scratch) / "diffusers.npz"
        answers, latents = Path(scratch) / "onnxruntime.npz", Path(scratch) / "latents.safetensors"
        arguments = [sys.executable, __file__, *sys.argv[1:], "--reference", str(options.reference), "--answers", str(answers), "--phase"]
        if not options.reference.exists():
            subprocess.run([*arguments, "diffusers"], check=True)
        subprocess.run([*arguments, "onnxruntime"], check=True)
        theirs, ours = numpy.load(options.reference), numpy.load(answers)
        failed = 0

        def row(subject: str, error: float, limit: float | None = None) -> None:
            nonlocal failed
            bad = limit is not None and not error <= limit
            failed += bad
            print(f"{'FAIL' if bad else 'ok  ' if limit is not None else '    '}  {subject:58} relative RMS {error:.2e}" + (f"  (limit {limit:.0e})" if limit else ""))

        for component, wanted in PARAMETERS.items():
            count = int(theirs[f"parameters.{component}"])
            bad = count != wanted
            failed += bad
            print(f"{'FAIL' if bad else 'ok  '}  {component} has {count:,} parameters" + (f" instead of {wanted:,}" if bad else ""))
        limit = LIMIT[read_recipe(options.recipe)["output"].get("dtype", "fp16")]
        for name in sorted(set(ours.files) - {"trajectory", "peak"}):
            row(name.replace(".", " t = "), relative_rms(ours[name], theirs[name]), limit)
        if not options.no_trajectory:
            row("trajectory, onnxruntime for Python", relative_rms(ours["trajectory"], theirs["trajectory"]))
            prefix = ["node", str(CLI), "run", str(options.package), "--device", "cpu", "--prompt", PROMPT, "--seed", str(SEED), "--steps", str(STEPS)]
            done = subprocess.run([*prefix, "--save-latents", str(latents), "-o", f"{scratch}/frames", "--json"], check=True, stdout=subprocess.PIPE, env=os.environ)
            from safetensors.numpy import load_file
            row("trajectory, lcm-merge run", relative_rms(load_file(latents)["latents"], theirs["trajectory"]))
            timing = json.loads(done.stdout)["timing"]
            print(f"      lcm-merge run: load {timing['load_ms'] / 1e3:.1f} s, step {' '.join(f'{ms / 1e3:.1f}' for ms in timing['step_ms'])} s, decode {timing['decode_ms'] / 1e3:.1f} s, peak {timing['peak_bytes'] / 1e9:.2f} GB")
        for name in sorted(n for n in theirs.files if n.startswith("half.")):
            row(f"diffusers in float16: {name.removeprefix('half.').replace('.', ' t = ')}", relative_rms(theirs[name], theirs[name.removeprefix("half.")]))
        print(f"      peak memory: diffusers {int(theirs['peak']) / 1e9:.2f} GB, onnxruntime for Python {int(ours['peak']) / 1e9:.2f} GB")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

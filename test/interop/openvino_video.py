"""examples/python/openvino_video.py against PyTorch, and every graph against onnxruntime on the same inputs.

    python test/interop/openvino_video.py CASE

needs: requirements.txt
"""
import sys

import numpy as np
import onnxruntime
import openvino
import torch
from diffusers.video_processor import VideoProcessor
from figures import Case, figure, finish, pixels, relative_rms

sys.path.insert(0, __file__.rsplit("/test/", 1)[0] + "/examples/python")
from openvino_video import PRECISION, Video  # noqa: E402

OPEN = {"batch": 2, "frames": 4, "height": 16, "width": 24}  # lengths for what a dynamic graph leaves open; any other symbol is a batch


def feeds(session, random):
    """Standard normal values, token ids, a timestep."""
    for value in session.get_inputs():
        shape = [dim if isinstance(dim, int) else OPEN.get(dim, 2) for dim in value.shape]
        if value.name == "timestep":
            yield value.name, np.array(499)
        elif value.type == "tensor(int64)":
            yield value.name, random.integers(0, 600, shape)
        else:
            yield value.name, random.standard_normal(shape, np.float32)


def main():
    case = Case(sys.argv[1])
    video = Video(case.package)
    prompt, seed, steps = case.arguments
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if (case.package / "vae_encoder").is_dir():
        video.graphs["vae_encoder"] = openvino.Core().compile_model(case.package / "vae_encoder/model.onnx", "CPU", PRECISION)
    for name in video.graphs:
        session = onnxruntime.InferenceSession(case.package / name / "model.onnx", options, providers=["CPUExecutionProvider"])
        inputs = dict(feeds(session, np.random.default_rng(0)))
        got = video.run(name, **{key: torch.from_numpy(value) for key, value in inputs.items()})
        figure(f"{name} against onnxruntime", relative_rms(got, session.run(None, inputs)[0]), case.limits["graph"])
    latents = video.sample(prompt, seed, steps, case.size)
    figure("latents against PyTorch", relative_rms(latents, case.reference["latents"]), case.limits["latents"])
    frames = VideoProcessor().postprocess(video.decode(latents), output_type="np")
    pixels("frames against PyTorch", (frames * 255).round().astype(np.uint8), case.reference["frames"], case.limits)
    finish()


if __name__ == "__main__":
    main()

"""examples/python/onnxruntime_only.py against PyTorch and against `lcm-merge run`: same seed, same latents, same frames.

    python test/interop/onnxruntime_only.py CASE

needs: numpy onnxruntime pillow tokenizers safetensors, and torch for its noise
"""
import subprocess
import sys

import numpy as np
import torch
from figures import Case, figure, finish, pixels, relative_rms
from PIL import Image, ImageSequence
from safetensors.numpy import load_file

EXAMPLES = __file__.rsplit("/test/", 1)[0] + "/examples/python"
sys.path.insert(0, EXAMPLES)
from onnxruntime_only import token_ids, torch_randn  # noqa: E402

PROMPTS = ("a red circle", "", "An ORANGE square,   moving right! " * 20, "naïve café 🎈 isn't 123")


def main():
    case = Case(sys.argv[1])
    prompt, seed, steps = case.arguments
    clip, latents = case.folder / "onnxruntime.webp", case.folder / "onnxruntime.npy"
    size = [str(n) for n in case.size]
    command = [sys.executable, f"{EXAMPLES}/onnxruntime_only.py", case.package, "--prompt", prompt, "--seed", str(seed), "--steps", str(steps), "--size", *size, "--save-latents", latents, "-o", clip]
    subprocess.run(command, check=True)
    got = np.load(latents)
    figure("latents against PyTorch", relative_rms(got, case.reference["latents"]), case.limits["latents"])
    figure("latents against lcm-merge run", relative_rms(got, load_file(case.folder / "run.safetensors")["latents"]), case.limits["latents"])
    frames = np.stack([np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(Image.open(clip))])
    pixels("frames against PyTorch", frames, case.reference["frames"], case.limits)

    worst = 0.0
    for shape in [(1, 4, 16, 8, 8), (1, 4, 1, 9, 7), (17,)]:  # the last two leave a rest of the blocks of 16
        generator, random = torch.Generator().manual_seed(seed), np.random.RandomState(seed)
        for _ in range(3):
            worst = max(worst, np.abs(torch_randn(random, shape) - torch.randn(shape, generator=generator).numpy()).max())
    figure("noise against torch.randn", worst, 2e-6)
    from transformers import CLIPTokenizer

    theirs = CLIPTokenizer.from_pretrained(case.package / "tokenizer")
    wrong = sum(not np.array_equal(token_ids(case.package / "tokenizer", text), theirs(text, padding="max_length", max_length=77, truncation=True, return_tensors="np").input_ids) for text in PROMPTS)
    figure("prompts with other ids than transformers gives", wrong, 0)
    finish()


if __name__ == "__main__":
    main()

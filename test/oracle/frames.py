"""Writes test/golden/frames.json: decoder values and the RGB bytes that diffusers' VaeImageProcessor makes of them.

Run as `python test/oracle/frames.py` (needs torch==2.13.0 diffusers==0.42.1 safetensors numpy).
"""

import json
from pathlib import Path

import numpy as np
import torch
from diffusers.image_processor import VaeImageProcessor
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[2]


def case(name, sample):
    images = VaeImageProcessor().postprocess(sample, output_type="pil")
    rgb = np.stack([np.asarray(image) for image in images])
    assert rgb.dtype == np.uint8 and rgb.shape == (sample.shape[0], *sample.shape[2:], 3)
    values = ["-Infinity" if v == -np.inf else "Infinity" if v == np.inf else v for v in sample.flatten().tolist()]
    return {"name": name, "shape": list(sample.shape), "sample": values, "rgb": rgb.flatten().tolist()}


def ties():
    """float32 values whose 255-fold is exactly half-way between two bytes, and their neighbours."""
    found = []
    for k in range(255):
        x = np.float32((k + 0.5) / 255 * 2 - 1)
        for _ in range(8):
            unit = np.float32(np.float32(x * np.float32(0.5)) + np.float32(0.5))
            if np.float32(unit * np.float32(255)) == np.float32(k + 0.5):
                found += [np.nextafter(x, np.float32(-2)), x, np.nextafter(x, np.float32(2))]
                break
            x = np.nextafter(x, np.float32(2))
    assert len(found) > 300
    return torch.tensor(np.array(found[: len(found) // 3 * 3]))


def main():
    frames = load_file(ROOT / "models/tiny/reference.safetensors")["frames"]
    limits = torch.tensor([-1, 1, -2, 2, 0, -0.0, float("inf"), float("-inf"), 1e-8, -1e-8, 0.99999994, -0.99999994])
    cases = [
        case("rows of two frames of the tiny family's reference", frames[[0, 9], :, 30:32, :24].contiguous()),
        case("half-way values", ties().reshape(1, 3, 1, -1)),
        case("limits", limits.reshape(1, 3, 2, 2)),
    ]
    path = ROOT / "test/golden/frames.json"
    path.write_text(json.dumps({"command": "python test/oracle/frames.py", "cases": cases}, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()

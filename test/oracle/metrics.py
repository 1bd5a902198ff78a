"""Golden values of the metrics of `compare`, from scipy, numpy and torch on random features.
Makes test/golden/metrics.json. Run: python test/oracle/metrics.py  (torch 2.13.0, transformers, scipy, numpy)"""
import json

import numpy as np
import torch
from scipy.linalg import sqrtm


def frechet(a, b):
    """The formula as published, with scipy's square root of the product of the covariances."""
    mean_a, mean_b = a.mean(0), b.mean(0)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    return float(np.sum((mean_a - mean_b) ** 2) + np.trace(cov_a + cov_b - 2 * sqrtm(cov_a @ cov_b).real))


def features(generator, rows, length, shift, spread):
    """Correlated features, rounded to float32, which is what a model gives."""
    mix = generator.normal(size=(length, length)) / np.sqrt(length)
    return (shift + spread * generator.normal(size=(rows, length)) @ mix).astype(np.float32)


generator = np.random.default_rng(0)
cases = []
for rows_a, rows_b, length, shift, spread in [(40, 50, 8, 0.5, 1.5), (60, 48, 16, 0.0, 1.0), (24, 24, 12, 3.0, 0.1), (6, 9, 16, 0.2, 1.0)]:
    a, b = features(generator, rows_a, length, 0, 1), features(generator, rows_b, length, shift, spread)
    cases.append({"a": a.tolist(), "b": b.tolist(), "distance": frechet(a.astype(np.float64), b.astype(np.float64))})

torch.manual_seed(0)
text, images = torch.randn(32), torch.randn(5, 32)
similarity = torch.nn.functional.cosine_similarity

from PIL import Image
from transformers import CLIPImageProcessor

picture = np.asarray(Image.fromarray(np.random.default_rng(3).integers(0, 256, (5, 8, 3), dtype=np.uint8)).resize((48, 30), Image.BICUBIC))
processor = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
pixel_values = processor(Image.fromarray(picture), return_tensors="np")["pixel_values"][0]
frames = np.random.default_rng(1).integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)
other = np.random.default_rng(2).integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)
flat = frames.reshape(4, -1).astype(np.float64)
golden = {
    "frechet": cases,
    "clip": {
        "text": text.tolist(),
        "images": images.tolist(),
        "similarity": 100 * float(similarity(text[None], images).mean()),
        "consistency": 100 * float(similarity(images[1:], images[:-1]).mean()),
    },
    "picture": {
        "height": 30, "width": 48, "side": 16,
        "data": picture.flatten().tolist(),
        "pixel_values": np.round(pixel_values.astype(np.float64), 4).flatten().tolist(),
    },
    "clips": {
        "count": 4, "height": 6, "width": 5,
        "frames": frames.flatten().tolist(),
        "other": other.flatten().tolist(),
        "distance": float(np.sqrt(np.mean((frames.astype(np.float64) - other) ** 2))),
        "consistency": float(np.mean([np.corrcoef(flat[i], flat[i + 1])[0, 1] for i in range(3)])),
        "motion": float(np.mean(np.abs(np.diff(flat, axis=0)))),
    },
}
round_floats = lambda x: [round_floats(v) for v in x] if isinstance(x, list) else float(np.float32(x)) if isinstance(x, float) else x
for case in golden["frechet"]:
    case["a"], case["b"] = round_floats(case["a"]), round_floats(case["b"])
json.dump(golden, open("test/golden/metrics.json", "w"))
print([case["distance"] for case in cases], golden["clip"]["similarity"], golden["clips"]["consistency"])

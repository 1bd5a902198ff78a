"""Writes test/golden/diff.json: how far tensors lie apart, by numpy in float64.

Run as `python test/oracle/diff.py` (needs numpy). The elements are made by whole numbers, so that the test makes the same ones:
element i of a tensor with the multiplier m is ((i·m) mod 4001 − 2000) / divisor.
"""

import json
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]

# more than one piece of 1 MiB, and no whole number of them
LONG = 3 * (1 << 19) + 1234

CASES = [
    {"name": "fp16", "elements": 5000, "a": ["float16", 7919, 1024], "b": ["float16", 104729, 1024]},
    {"name": "fp32", "elements": 5000, "a": ["float32", 7919, 3000], "b": ["float32", 7907, 3000]},
    {"name": "fp16 in pieces", "elements": LONG, "a": ["float16", 7919, 1024], "b": ["float16", 15013, 1024]},
    {
        "name": "fp16 in pieces, all but the last the same",
        "elements": LONG,
        "equal": 3 * (1 << 19) + 1000,
        "a": ["float16", 7919, 1024],
        "b": ["float16", 15013, 1024],
    },
    {"name": "fp16 against fp32", "elements": 5000, "a": ["float16", 7919, 3000], "b": ["float32", 7919, 3000]},
    {"name": "fp32 against int8", "elements": 5000, "a": ["float32", 7919, 40], "b": ["int8", 7919, 40]},
]


def values(elements, spec):
    dtype, multiplier, divisor = spec
    exact = ((np.arange(elements, dtype=np.int64) * multiplier) % 4001 - 2000) / divisor
    return np.trunc(exact).astype(dtype) if dtype == "int8" else exact.astype(dtype)


def case(spec):
    a, b = values(spec["elements"], spec["a"]), values(spec["elements"], spec["b"])
    equal = spec.get("equal", 0)
    b[:equal] = a[:equal]
    a, b = a.astype(np.float64), b.astype(np.float64)
    most = int(np.argmax(np.abs(b - a)))
    return {
        **spec,
        "absolute": float(np.linalg.norm(b - a)),
        "relative": float(np.linalg.norm(b - a) / np.linalg.norm(a)),
        "largest": {"index": most, "a": float(a[most]), "b": float(b[most])},
    }


golden = {"command": "python test/oracle/diff.py", "cases": [case(spec) for spec in CASES]}
(ROOT / "test/golden/diff.json").write_text(json.dumps(golden, indent=1) + "\n")

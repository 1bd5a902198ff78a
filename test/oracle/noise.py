"""Writes test/golden/noise.json: what torch.randn draws on the CPU from one generator, several draws in a row.

Run as `python test/oracle/noise.py` (needs torch==2.13.0). Of a big draw the golden keeps probes and sums in float64.
"""

import json
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
MAX_STORED = 100

# Small draws keep a spare double across big ones; sizes off a multiple of 16 draw their tail again; 624 is MT19937's state.
DRAWS = [
    [16], [1], [15], [17], [31], [100], [65536], [624], [625],
    [1, 1, 1, 2, 3], [3, 16, 1, 17, 2, 31, 5], [15, 15, 16, 15], [7, 65537, 1, 1, 33], [0, 1, 0, 16], [4096, 4096, 4096, 4096],
]  # fmt: skip
SEEDS = [0, 1, 42, 1234567890, 2**31, 2**32 - 1, 2**32, 2**32 + 5, 2**53 - 1, 2**63 + 12345, 2**64 - 1, -1, -(2**63)]


def draw(generator, count):
    values = torch.randn(count, generator=generator)
    if count <= MAX_STORED:
        return {"count": count, "values": values.tolist()}
    wide = values.double()
    at = sorted({0, 1, 7, 8, 15, 16, 623, count // 3, count // 2, count - 33, count - 17, *range(count - 16, count)} & set(range(count)))
    return {
        "count": count,
        "probes": [[i, values[i].item()] for i in at],
        "sum": wide.sum().item(),
        "absoluteSum": wide.abs().sum().item(),
        "weightedSum": (wide * torch.arange(count)).sum().item(),
    }


def main():
    runs = [(0, d) for d in DRAWS] + [(s, [5, 100, 20]) for s in SEEDS] + [(42, DRAWS[10])]
    out = []
    for seed, draws in runs:
        generator = torch.Generator().manual_seed(seed)
        out.append({"seed": str(seed), "draws": [draw(generator, count) for count in draws]})
    path = ROOT / "test/golden/noise.json"
    path.write_text(json.dumps({"command": "python test/oracle/noise.py", "runs": out}, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()

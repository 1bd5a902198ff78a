"""Positional encodings stretched to more frames by torch's interpolation: test/golden/positions.json.

As AnimateDiff-Evolved does it (model_injection.py, interpolate_pe_to_length): F.interpolate, bilinear, over [1, 1, rows, channels].

    python test/oracle/positions.py

needs: torch==2.13.0 diffusers==0.42.1
"""
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers.models.embeddings import SinusoidalPositionalEmbedding

CASES = ((8, 32, 48), (8, 24, 32), (16, 16, 32), (8, 64, 65), (4, 1, 3))


def main():
    cases = []
    for channels, rows, wanted in CASES:
        table = SinusoidalPositionalEmbedding(channels, max_seq_length=rows).pe
        stretched = F.interpolate(table[None], size=(wanted, channels), mode="bilinear")[0, 0]
        cases.append({"channels": channels, "from": rows, "to": wanted, "rows": [[float(f"{x:.9g}") for x in row] for row in stretched.tolist()]})
    path = Path(__file__).parents[1] / "golden/positions.json"
    path.write_text(json.dumps(cases) + "\n")
    print(f"{len(cases)} cases -> {path.name}")


if __name__ == "__main__":
    main()

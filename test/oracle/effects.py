"""Writes test/golden/effects.json: what the sources of recipes/tiny.yaml change, over all weights, in float64.

    python test/oracle/effects.py

needs: torch==2.13.0 safetensors pyyaml
"""
import json
from pathlib import Path

import torch

from merge_reference import CONVENTIONS, MergeReference, block_of

ROOT = Path(__file__).parents[2]


def deltas(reference, component, name):
    """Source label -> its change of one tensor."""
    found = {}
    for lora in reference.loras:
        layer = lora.layers.get(f"{component}/{name}")
        if layer is None:
            continue
        down, up = layer["down"]().double().flatten(1), layer["up"]().double().flatten(1)
        strength = lora.text_strength if component == "text_encoder" else lora.strength
        found[lora.label] = strength * CONVENTIONS[lora.convention](layer["alpha"]().double().item(), down.shape[0]) * (up @ down)
    return found


def main():
    reference = MergeReference.load(ROOT / "recipes/tiny.yaml")
    squares, blocks, pair, kept, seen = {}, {}, torch.zeros(5, dtype=torch.float64), 0, 0
    for component in ("unet", "text_encoder"):
        for name in reference.names(component):
            found = deltas(reference, component, name)
            if not found:
                continue
            weight = reference.sources[component][name]().double().flatten(1)
            block = "BASE" if component == "text_encoder" else block_of(name, reference.layers)
            for label, delta in found.items():
                for table in (squares, blocks.setdefault(block, {})):
                    change, size = table.get(label, (0.0, 0.0))
                    table[label] = (change + delta.square().sum().item(), size + weight.square().sum().item())
            if len(found) == 2:
                a, b = found.values()
                product = a * b
                both = product != 0
                pair += torch.tensor([product.sum(), a.square().sum(), b.square().sum(), (product < 0).sum(), both.sum()])
            merged = weight + sum(found.values())
            kept += (merged.half() == weight.half()).sum().item()
            seen += weight.numel()
    relative = lambda table: {label: (change / size) ** 0.5 for label, (change, size) in table.items()}
    dot, a, b, opposed, both = pair.tolist()
    golden = {
        "command": "python test/oracle/effects.py",
        "unchanged": kept / seen,
        "sources": relative(squares),
        "blocks": {block: relative(table) for block, table in blocks.items()},
        "pair": {"cosine": dot / (a * b) ** 0.5, "opposed": opposed / both},
    }
    path = ROOT / "test/golden/effects.json"
    path.write_text(json.dumps(golden, indent=1) + "\n")
    print(path.name, golden["sources"], golden["pair"], golden["unchanged"])


if __name__ == "__main__":
    main()

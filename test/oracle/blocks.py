"""Which LDM block every module of SD1.5's UNet came from, told by diffusers' own conversion of an LDM checkpoint: test/golden/blocks.json.

A checkpoint whose values are the names of their blocks is converted; where a value arrives, its block is.

    python test/oracle/blocks.py

needs: torch==2.13.0 diffusers==0.42.1
"""
import json
import re
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

RESNET = ("in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3", "skip_connection")
ATTENTION = ("norm", "proj_in", "proj_out", *(f"transformer_blocks.0.{part}" for part in (
    "norm1", "norm2", "norm3", "ff.net.0.proj", "ff.net.2", *(f"attn{n}.to_{x}" for n in (1, 2) for x in ("q", "k", "v", "out.0")))))
WITH_ATTENTION = {"input": (1, 2, 4, 5, 7, 8), "output": range(3, 12)}


def ldm_unet(config):
    """LDM module -> name of its block, as CompVis' UNetModel counts them."""
    modules = {"time_embed.0": "time_embed", "time_embed.2": "time_embed", "input_blocks.0.0": "IN00", "out.0": "out", "out.2": "out"}
    for side, letters in (("input", "IN"), ("output", "OUT")):
        for i in range(12):
            block = f"{letters}{i:02}"
            if side == "input" and i in (3, 6, 9):
                modules[f"input_blocks.{i}.0.op"] = block
            elif (side, i) != ("input", 0):
                modules |= {f"{side}_blocks.{i}.0.{part}": block for part in RESNET}
            if i in WITH_ATTENTION[side]:
                modules |= {f"{side}_blocks.{i}.1.{part}": block for part in ATTENTION}
            if side == "output" and i in (2, 5, 8):
                modules[f"output_blocks.{i}.{1 if i == 2 else 2}.conv"] = block
    for i, parts in enumerate((RESNET, ATTENTION, RESNET)):
        modules |= {f"middle_block.{i}.{part}": "M00" for part in parts}
    return {f"model.diffusion_model.{module}.{kind}": block for module, block in modules.items() for kind in ("weight", "bias")}


def main():
    config = {"layers_per_block": 2, "class_embed_type": None, "addition_embed_type": None}
    converted = convert_ldm_unet_checkpoint(ldm_unet(config), config=config)
    with torch.device("meta"):
        names = list(UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8).state_dict())
    missing = [name for name in names if name not in converted]
    if missing:
        raise ValueError(f"{len(missing)} parameters have no LDM name, {missing[:3]}")
    blocks = {}
    for name in names:
        module = re.match(r"(?:down|up)_blocks\.\d+\.\w+\.\d+|mid_block\.\w+\.\d+|\w+", name).group()
        if blocks.setdefault(module, converted[name]) != converted[name]:
            raise ValueError(f"{name} is in {converted[name]}, {module} in {blocks[module]}")
    path = Path(__file__).parents[1] / "golden/blocks.json"
    path.write_text(json.dumps(blocks, indent=1) + "\n")
    print(f"{len(names)} parameters, {len(blocks)} modules -> {path.name}")


if __name__ == "__main__":
    main()

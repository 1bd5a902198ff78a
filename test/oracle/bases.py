"""Writes test/golden/ldm-names.json: where diffusers' own converters put every tensor of an LDM checkpoint.

The LDM side is built here from the module tree of CompVis' code (openaimodel.py: input_blocks, middle_block, output_blocks; model.py: Encoder,
Decoder), the diffusers side by diffusers.loaders.single_file_utils. The first UNet and the first VAE are
SD1.5's; the others show that the map follows the structure (the second VAE is that of models/tiny). Each table is sorted lines `diffusers ldm`, deflated and in base64.

    python test/oracle/bases.py

needs: torch==2.13.0 diffusers==0.42.1
"""
import base64
import json
import zlib
from pathlib import Path

import torch
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint

UNET, VAE = "model.diffusion_model.", "first_stage_model."


def resnet(path, shortcut):
    return [f"{path}.{m}" for m in ("in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3") + ("skip_connection",) * shortcut]


def transformer(path):
    block = f"{path}.transformer_blocks.0"
    attention = [f"{block}.attn{n}.to_{x}" for n in (1, 2) for x in ("q", "k", "v", "out.0")]
    return [f"{path}.{m}" for m in ("norm", "proj_in", "proj_out")] + attention + [f"{block}.{m}" for m in ("norm1", "norm2", "norm3", "ff.net.0.proj", "ff.net.2")]


def ldm_unet(layers, widths, attention):
    """`attention` says for each level of resolution whether it has transformers."""
    modules = ["time_embed.0", "time_embed.2", "input_blocks.0.0"]
    levels, n = len(widths), 1
    for level in range(levels):
        for layer in range(layers):
            modules += resnet(f"input_blocks.{n}.0", layer == 0 and level > 0 and widths[level] != widths[level - 1])
            modules += transformer(f"input_blocks.{n}.1") if attention[level] else []
            n += 1
        if level < levels - 1:
            modules.append(f"input_blocks.{n}.0.op")
            n += 1
    modules += resnet("middle_block.0", False) + transformer("middle_block.1") + resnet("middle_block.2", False)
    n = 0
    for level in reversed(range(levels)):
        for layer in range(layers + 1):
            parts = [resnet(f"output_blocks.{n}.0", True)]
            if attention[level]:
                parts.append(transformer(f"output_blocks.{n}.1"))
            if level > 0 and layer == layers:
                parts.append([f"output_blocks.{n}.{len(parts)}.conv"])
            modules += sum(parts, [])
            n += 1
    without_bias = (".to_q", ".to_k", ".to_v")
    return [f"{m}.{p}" for m in modules + ["out.0", "out.2"] for p in ("weight", "bias") if p == "weight" or not m.endswith(without_bias)]


def ldm_vae(layers, widths):
    levels = len(widths)
    resnet = lambda path, shortcut: [f"{path}.{m}" for m in ("norm1", "conv1", "norm2", "conv2") + ("nin_shortcut",) * shortcut]
    middle = lambda path: resnet(f"{path}.block_1", False) + [f"{path}.attn_1.{m}" for m in ("norm", "q", "k", "v", "proj_out")] + resnet(f"{path}.block_2", False)
    modules = ["quant_conv", "post_quant_conv"]
    for part in ("encoder", "decoder"):
        modules += [f"{part}.conv_in", f"{part}.norm_out", f"{part}.conv_out"] + middle(f"{part}.mid")
    for level in range(levels):
        for layer in range(layers):
            modules += resnet(f"encoder.down.{level}.block.{layer}", layer == 0 and level > 0 and widths[level] != widths[level - 1])
        for layer in range(layers + 1):
            modules += resnet(f"decoder.up.{level}.block.{layer}", layer == 0 and level < levels - 1 and widths[level] != widths[level + 1])
        modules += [f"encoder.down.{level}.downsample.conv"] if level < levels - 1 else []
        modules += [f"decoder.up.{level}.upsample.conv"] if level > 0 else []
    return [f"{m}.{p}" for m in modules for p in ("weight", "bias")]


def table(names, prefix, convert):
    """Sends tensors that hold their own number through `convert` and reads off where each arrived."""
    checkpoint = {prefix + name: torch.full((1,), n) for n, name in enumerate(names)}
    converted = convert(checkpoint)
    assert len(converted) == len(names), (len(converted), len(names))
    return packed(f"{theirs} {names[int(tensor)]}" for theirs, tensor in converted.items())


def packed(lines):
    return base64.b64encode(zlib.compress("\n".join(sorted(lines)).encode(), 9)).decode()


UNETS = [
    {"layers": 2, "widths": [320, 640, 1280, 1280], "attention": [True, True, True, False]},
    {"layers": 1, "widths": [32, 64, 96], "attention": [False, True, True]},
]
VAES = [{"layers": 2, "widths": [128, 256, 512, 512]}, {"layers": 1, "widths": [16, 32, 48, 64]}]
golden = {
    "unets": [u | {"names": table(ldm_unet(**u), UNET, lambda c: convert_ldm_unet_checkpoint(c, {"layers_per_block": u["layers"]}))} for u in UNETS],
    "vaes": [v | {"names": table(ldm_vae(**v), VAE, lambda c: convert_ldm_vae_checkpoint(c, {k: [""] * 4 for k in ("down_block_types", "up_block_types")}))} for v in VAES],
}
path = Path(__file__).parents[1] / "golden/ldm-names.json"
path.write_text(json.dumps(golden, indent=1) + "\n")
print(f"{path}: {path.stat().st_size} bytes, {len(ldm_unet(**UNETS[0]))} + {len(ldm_vae(**VAES[0]))} tensors")

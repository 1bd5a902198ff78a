"""Writes test/golden/parameters.json: names and shapes of the state dicts of UNetMotionModel, CLIPTextModel and the halves of AutoencoderKL, and
diffusers' positional encoding. Models are made on the meta device, so SD1.5's own size costs nothing.

Each list is sorted lines `name d0,d1,…`, deflated and in base64.

    python test/oracle/parameters.py

needs: torch==2.13.0 diffusers==0.42.1 transformers
"""
import base64
import json
import zlib
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNetMotionModel
from diffusers.models.embeddings import SinusoidalPositionalEmbedding
from transformers import CLIPTextConfig, CLIPTextModel

DECODER, ENCODER = ("decoder.", "post_quant_conv."), ("encoder.", "quant_conv.")
CROSS, PLAIN = ("CrossAttnDownBlock{}", "CrossAttnUpBlock{}"), ("DownBlock{}", "UpBlock{}")


def unet(name, cross, widths, layers, context, heads, groups, linear, positions, mid):
    """`base` is the config.json of the image UNet that a recipe names, `motion` that of the model it becomes."""
    rows = [CROSS if c else PLAIN for c in cross]
    types = {f"{way}_block_types": [row[i] for row in order] for i, (way, order) in enumerate((("down", rows), ("up", rows[::-1])))}
    shared = {"sample_size": 8, "in_channels": 4, "out_channels": 4, "block_out_channels": widths, "layers_per_block": layers,
              "cross_attention_dim": context, "norm_num_groups": groups, "norm_eps": 1e-5, "use_linear_projection": linear}
    base = shared | {"_class_name": "UNet2DConditionModel", "attention_head_dim": heads} | {k: [t.format("2D") for t in v] for k, v in types.items()}
    motion = shared | {k: [t.format("Motion") for t in v] for k, v in types.items()} | {
        "num_attention_heads": heads, "motion_num_attention_heads": heads, "motion_max_seq_length": positions, "use_motion_mid_block": mid}
    return {"name": name, "base": base, "motion": motion, "parameters": described(UNetMotionModel(**motion).state_dict())}


def clip(name, **config):
    state = CLIPTextModel(CLIPTextConfig(**config)).state_dict()
    # the names that every SD1.5 repository has, whatever this release of transformers calls its module tree
    state = {k if k.startswith("text_model.") else f"text_model.{k}": v for k, v in state.items() if not k.endswith("position_ids")}
    return {"name": name, "config": config, "parameters": described(state)}


def vae(name, half, **config):
    """`half` is what the names of the parameters begin with."""
    blocks = len(config["block_out_channels"])
    model = AutoencoderKL(down_block_types=["DownEncoderBlock2D"] * blocks, up_block_types=["UpDecoderBlock2D"] * blocks, latent_channels=4, **config)
    state = {k: v for k, v in model.state_dict().items() if k.startswith(half)}
    types = {"down_block_types": ["DownEncoderBlock2D"] * blocks} if half == ENCODER else {"up_block_types": ["UpDecoderBlock2D"] * blocks}
    return {"name": name, "config": config | types, "parameters": described(state)}


def described(state):
    lines = "\n".join(sorted(f"{name} {','.join(map(str, tensor.shape))}" for name, tensor in state.items()))
    return {"tensors": len(state), "elements": sum(t.numel() for t in state.values()), "lines": base64.b64encode(zlib.compress(lines.encode(), 9)).decode()}


def positional_encoding(channels, rows):
    table = SinusoidalPositionalEmbedding(channels, max_seq_length=64).pe[0]
    return {"channels": channels, "positions": 64, "rows": {row: [float(f"{x:.9g}") for x in table[row].tolist()] for row in rows}}


if __name__ == "__main__":
    encodings = [positional_encoding(96, (0, 1, 16, 63)), positional_encoding(10, (31,))]
    with torch.device("meta"):
        golden = {
            "command": "python test/oracle/parameters.py",
            "unet": [
                unet("SD1.5 with AnimateLCM", (1, 1, 1, 0), [320, 640, 1280, 1280], 2, 768, 8, 32, False, 32, True),
                unet("models/tiny", (1, 1, 1, 0), [32, 64, 96, 96], 2, 64, 4, 8, False, 32, True),
                unet("without motion in the middle", (1, 1, 1, 0), [16, 32, 48, 48], 2, 24, 2, 4, False, 24, False),
                unet("three blocks of one layer, linear projections", (0, 1, 1), [16, 32, 32], 1, 40, 2, 8, True, 16, True),
                unet("three layers, heads by block", (1, 0), [16, 48], 3, 12, [2, 4], 16, False, 8, False),
            ],
            "text_encoder": [
                clip("SD1.5", vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12),
                clip("models/tiny", vocab_size=645, hidden_size=64, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4),
            ],
            "vae_decoder": [
                vae("SD1.5", DECODER, block_out_channels=[128, 256, 512, 512], layers_per_block=2),
                vae("without attention and post_quant_conv", DECODER, block_out_channels=[8, 16, 16, 24], layers_per_block=1, norm_num_groups=4,
                    mid_block_add_attention=False, use_post_quant_conv=False),
            ],
            "vae_encoder": [
                vae("SD1.5", ENCODER, block_out_channels=[128, 256, 512, 512], layers_per_block=2),
                vae("without attention and quant_conv, three layers", ENCODER, block_out_channels=[8, 16, 16, 24], layers_per_block=3, norm_num_groups=4,
                    mid_block_add_attention=False, use_quant_conv=False),
            ],
            "positional_encodings": encodings,
        }
    path = Path(__file__).parents[1] / "golden/parameters.json"
    path.write_text(json.dumps(golden, indent=1) + "\n")
    print(path.name, path.stat().st_size, "bytes")
    for kind in ("unet", "text_encoder", "vae_decoder", "vae_encoder"):
        for entry in golden[kind]:
            print(f"{kind:13} {entry['name']:45} {entry['parameters']['tensors']:5} tensors {entry['parameters']['elements']:13,} elements")

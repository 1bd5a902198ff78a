"""Golden numbers of the cost model: what PyTorch's FlopCounterMode counts in diffusers' and transformers' own models, on the meta device (no weights, no run).

Writes test/golden/cost.json: for each case the configs, the shape, the FLOPs of all convolutions and matrix products (a multiplication and an addition
count 2), of the spatial and of the motion part, and of what diffusers computes once per frame where the exported graph computes it once per prompt
(keys and values of cross-attention) or once per step (time embedding and its projections).

    python test/oracle/cost.py

needs: torch==2.13.0 diffusers==0.42.1 transformers
"""
import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, MotionAdapter, UNet2DConditionModel, UNetMotionModel
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig, CLIPTextModel

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "test/golden/cost.json"
TOKENS = 77
STOCK, TINY = ROOT / "assets/sd15", ROOT / "models/tiny/base"
# B, F, h, w of the latents
SHAPES = {"sd15": ((1, 16, 64, 64), (1, 1, 64, 64), (2, 4, 24, 40)), "tiny": ((1, 16, 8, 8), (2, 3, 8, 16)), "random": ((1, 8, 16, 8), (2, 5, 8, 8))}
# no motion module in the middle block, four levels of odd widths, one layer per block, Linear projections
RANDOM = {
    "sample_size": 16, "in_channels": 4, "out_channels": 4, "layers_per_block": 1, "block_out_channels": [12, 24, 36, 36], "attention_head_dim": 3,
    "norm_num_groups": 4, "cross_attention_dim": 20, "use_linear_projection": True,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"], "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
}
torch.set_grad_enabled(False)


def config_of(folder, part):
    return json.loads((folder / part / "config.json").read_text())


def counted(run):
    """FLOPs by module path and in total; plain products, because the counter does not know every fused attention kernel."""
    with FlopCounterMode(display=False, depth=None) as counter, sdpa_kernel(SDPBackend.MATH):
        run()
    return counter


def leaves(counter, root):
    """Module path below `root` -> FLOPs, modules inside included."""
    return {name.removeprefix(f"{root}."): sum(counts.values()) for name, counts in counter.get_flop_counts().items() if name.startswith(f"{root}.")}


def unet_case(config, shape, motion_mid):
    batch, frames, height, width = shape
    with torch.device("meta"):
        adapter = MotionAdapter(
            block_out_channels=config["block_out_channels"], motion_layers_per_block=config["layers_per_block"], motion_num_attention_heads=config["attention_head_dim"],
            motion_norm_num_groups=config["norm_num_groups"], motion_max_seq_length=32, use_motion_mid_block=motion_mid)
        model = UNetMotionModel.from_unet2d(UNet2DConditionModel.from_config(config), adapter, load_weights=False).eval()
        sample = torch.zeros(batch, config["in_channels"], frames, height, width)
        states = torch.zeros(batch * frames, TOKENS, config["cross_attention_dim"])
        counter = counted(lambda: model(sample, torch.zeros(()), states))
    by_module = leaves(counter, "UNetMotionModel")
    total = counter.get_total_flops()
    motion = sum(n for name, n in by_module.items() if name.split(".")[-2:-1] == ["motion_modules"])
    keys_values = sum(n for name, n in by_module.items() if ".attentions." in name and name.endswith(("attn2.to_k", "attn2.to_v")))
    projections = sum(n for name, n in by_module.items() if name.endswith(".time_emb_proj"))
    assert motion and keys_values and projections
    return {
        "batch": batch, "frames": frames, "height": height, "width": width, "motion_mid": motion_mid, "flops": total, "motion": motion,
        "cross_attention_keys_values": keys_values, "time_projections": projections, "time_embedding": by_module["time_embedding"],
    }


def text_case(config, batch):
    with torch.device("meta"):
        model = CLIPTextModel(CLIPTextConfig(**config)).eval()
        ids = torch.zeros(batch, TOKENS, dtype=torch.long)
        counter = counted(lambda: model(ids, attention_mask=None))
    return {"batch": batch, "flops": counter.get_total_flops()}


def encoder_case(config, images, height, width):
    """`height` and `width` in pixels."""
    with torch.device("meta"):
        model = AutoencoderKL.from_config(config).eval()
        counter = counted(lambda: model.encode(torch.zeros(images, config["in_channels"], height, width)))
    return {"images": images, "height": height, "width": width, "flops": counter.get_total_flops()}


def vae_case(config, images, height, width):
    with torch.device("meta"):
        model = AutoencoderKL.from_config(config).eval()
        counter = counted(lambda: model.decode(torch.zeros(images, config["latent_channels"], height, width)))
    return {"images": images, "height": height, "width": width, "flops": counter.get_total_flops()}


def main():
    golden = {"command": "python test/oracle/cost.py", "random": RANDOM, "unet": {}, "text_encoder": {}, "vae_decoder": {}, "vae_encoder": {}}
    configs = {"sd15": config_of(STOCK, "unet"), "tiny": config_of(TINY, "unet"), "random": RANDOM}
    for name, config in configs.items():
        golden["unet"][name] = [unet_case(config, shape, motion_mid=name != "random") for shape in SHAPES[name]]
    for name, folder in (("sd15", STOCK), ("tiny", TINY)):
        golden["text_encoder"][name] = [text_case(config_of(folder, "text_encoder"), batch) for batch in (1, 2)]
        golden["vae_decoder"][name] = [vae_case(config_of(folder, "vae"), 1, 64, 64), vae_case(config_of(folder, "vae"), 3, 8, 16)]
        golden["vae_encoder"][name] = [encoder_case(config_of(folder, "vae"), 1, 512, 512), encoder_case(config_of(folder, "vae"), 3, 64, 128)]
    full = golden["unet"]["sd15"][0]
    print(f"SD1.5, 16 frames of 512²: {(full['flops'] - full['motion']) / 16e9:.2f} GFLOP per frame spatial, {full['motion'] / 16e9:.2f} motion")
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")
    print(f"{GOLDEN.name}: {GOLDEN.stat().st_size} bytes")


if __name__ == "__main__":
    main()

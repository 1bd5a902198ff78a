"""Motion modules and motion LoRAs as others write them, and what merging them gives in float64: test/golden/motion/.

    adapter/                  diffusers' MotionAdapter.save_pretrained(variant="fp16"), with stored encodings
    training.ckpt             the same weights in AnimateDiff's names, as its trainer saves them: `state_dict`, `module.` prefixes, some
                              of the spatial UNet beside them, animatediff_config, and objects of a package that the reader does not have (omegaconf)
    other.safetensors         other weights, AnimateLCM's names, no encodings
    lora-animatediff.ckpt     a motion LoRA in AnimateDiff's attention processors' names, without alpha
    lora-peft.safetensors     one in PEFT's, saved by diffusers with its LoraConfig in the metadata (alpha 6 of rank 3)
    expected.safetensors      `CASE/parameter`: merged values, float64; the metadata `cases` has each case's `motion:` section

UNetMotionModel gives the parameters' names. The PEFT LoRA is fused by diffusers and PEFT, the other one is the formula up·down.
The family is the one of test/helpers/family.ts: 2 blocks of 1 layer, widths 8 and 16.

    python test/oracle/motion.py

needs: torch==2.13.0 diffusers==0.42.1 peft==0.21 safetensors
"""
import json
import shutil
import sys
import types
from pathlib import Path

import torch
from diffusers import MotionAdapter, UNet2DConditionModel, UNetMotionModel
from peft import LoraConfig
from safetensors.torch import save_file

OUT = Path(__file__).parents[1] / "golden/motion"
UNET = {
    "block_out_channels": (8, 16), "layers_per_block": 1, "cross_attention_dim": 8, "attention_head_dim": 2, "norm_num_groups": 4,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}
ADAPTER = {
    "block_out_channels": (8, 16), "motion_layers_per_block": 1, "motion_num_attention_heads": 2, "motion_norm_num_groups": 4,
    "motion_max_seq_length": 32, "use_motion_mid_block": True,
}
MID = "mid_block.motion_modules.0"
SHOWN = (
    f"{MID}.transformer_blocks.0.attn1.to_q.weight", f"{MID}.transformer_blocks.0.attn2.to_out.0.weight", f"{MID}.proj_out.weight", f"{MID}.proj_out.bias",
    f"{MID}.norm.weight", "down_blocks.0.motion_modules.0.transformer_blocks.0.attn1.to_k.weight", "up_blocks.1.motion_modules.1.proj_out.weight",
    "up_blocks.1.motion_modules.1.transformer_blocks.0.attn2.to_v.weight")
torch.manual_seed(20260)
torch.set_grad_enabled(False)


def filled(model):
    for parameter in model.parameters():
        parameter.copy_(torch.randn(parameter.shape).half())  # exact in fp16, whatever the file's dtype
    return model


def animatediff(name):
    """diffusers' name of a motion parameter -> AnimateDiff's (scripts/convert_animatediff_motion_module_to_diffusers.py, backwards)"""
    head, tail = name.split(".motion_modules.")
    index, rest = tail.split(".", 1)
    for ours, theirs in ((".norm1.", ".norms.0."), (".norm2.", ".norms.1."), (".norm3.", ".ff_norm."), (".attn1.", ".attention_blocks.0."), (".attn2.", ".attention_blocks.1.")):
        rest = rest.replace(ours, theirs)
    return f"{head}.motion_modules.{index}.temporal_transformer.{rest}"


def stranger(package, name, **state):
    """An object whose class its reader will not find."""
    for at in (package.split(".")[0], package):
        sys.modules.setdefault(at, types.ModuleType(at))
    kind = type(name, (), {"__module__": package})
    setattr(sys.modules[package], name, kind)
    made = kind()
    made.__dict__.update(state)
    return made


def attention_layers(motion):
    return [n.removesuffix(".weight") for n in motion if n.endswith(".weight") and any(f".{x}." in n for x in ("attn1", "attn2"))]


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    adapter, other = filled(MotionAdapter(**ADAPTER)), filled(MotionAdapter(**ADAPTER))
    adapter.half().save_pretrained(OUT / "adapter", variant="fp16")
    config = json.loads((OUT / "adapter/config.json").read_text())
    (OUT / "adapter/config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")

    unet = filled(UNet2DConditionModel(**UNET))
    model = UNetMotionModel.from_unet2d(unet, adapter.float()).double()
    encodings = {n: t.float() for n, t in adapter.state_dict().items() if n.endswith("pos_embed.pe")}
    motion = {n: t.clone() for n, t in model.state_dict().items() if ".motion_modules." in n and not n.endswith("pos_embed.pe")}
    origin = {n: t.double() for n, t in other.state_dict().items() if not n.endswith("pos_embed.pe")}
    assert motion.keys() == origin.keys()

    stored = {animatediff(n): t.half() for n, t in motion.items()}
    for name, table in encodings.items():
        for i in (0, 1):
            stored[animatediff(name).replace("pos_embed.pe", f"attention_blocks.{i}.pos_encoder.pe")] = table
    spatial = {n: t.half() for n, t in unet.state_dict().items() if n.startswith(("conv_in.", "mid_block.resnets."))}
    omega = stranger("omegaconf.dictconfig", "DictConfig", _metadata=stranger("omegaconf.base", "ContainerMetadata", ref_type=dict), _content={"lr": 1e-4})
    torch.save({
        "epoch": 3, "global_step": 1000, "config": omega,
        "state_dict": {f"module.{n}": t for n, t in (spatial | stored).items()} | {"animatediff_config": {"use_motion_module": True, "resolutions": [1, 2, 4, 8], "note": omega}},
    }, OUT / "training.ckpt")
    save_file({animatediff(n): t.half() for n, t in origin.items()}, OUT / "other.safetensors")

    processors, rank = {}, 4
    for layer in attention_layers(motion):
        out, into = motion[f"{layer}.weight"].shape
        processor = animatediff(f"{layer}.weight").removesuffix(".weight").removesuffix(".0")
        path, projection = processor.rsplit(".", 1)
        for which, shape in (("down", (rank, into)), ("up", (out, rank))):
            processors[f"{path}.processor.{projection}_lora.{which}.weight"] = torch.randn(shape) / 8
    torch.save(processors, OUT / "lora-animatediff.ckpt")

    model.add_adapter(LoraConfig(r=3, lora_alpha=6, target_modules=[n for n in attention_layers(motion) if "attn1" in n]), "pan")
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            parameter.copy_((torch.randn(parameter.shape) / 8).half())
    model.save_lora_adapter(OUT / "lora", adapter_name="pan")
    (OUT / "lora/pytorch_lora_weights.safetensors").rename(OUT / "lora-peft.safetensors")
    (OUT / "lora").rmdir()
    model.fuse_lora(lora_scale=0.7, adapter_names=["pan"])
    fused = {n: model.get_parameter(n.replace(".weight", ".base_layer.weight") if ".attn1." in n and n.endswith(".weight") else n) for n in motion}

    def down_up(name):
        layer = animatediff(name).removesuffix(".weight").removesuffix(".0")
        path, projection = layer.rsplit(".", 1)
        down, up = (processors.get(f"{path}.processor.{projection}_lora.{which}.weight") for which in ("down", "up"))
        return 0.0 if down is None or not name.endswith(".weight") else up.double() @ down.double()

    def residual(name, gamma):
        return gamma if ".proj_out." in name else 1.0

    animate = {"lora": "lora-animatediff.ckpt", "alpha": -0.5}
    peft = {"lora": "lora-peft.safetensors", "alpha": 0.7}
    cases = {
        "folder": ({"module": "adapter", "gamma": 0.5}, lambda n: residual(n, 0.5) * motion[n]),
        "training": ({"module": "training.ckpt", "gamma": 1.5, "loras": [animate]}, lambda n: residual(n, 1.5) * (motion[n] - 0.5 * down_up(n))),
        "peft": ({"module": "adapter", "loras": [peft]}, lambda n: fused[n]),
        "both, all weights": (
            {"module": "adapter", "gamma": 0.25, "mode": "weights", "loras": [peft, animate]}, lambda n: 0.25 * (fused[n] - 0.5 * down_up(n))),
        "base": (
            {"module": "adapter", "base": "other.safetensors", "gamma": 0.75, "blocks": {"mid": 2}, "loras": [animate]},
            lambda n: origin[n] + 0.75 * (2 if n.startswith("mid_block") else 1) * (motion[n] - origin[n]) - 0.5 * down_up(n)),
    }
    expected = {f"{case}/{n}": merged(n).double().contiguous() for case, (_, merged) in cases.items() for n in SHOWN}
    save_file(expected, OUT / "expected.safetensors", metadata={"cases": json.dumps({case: section for case, (section, _) in cases.items()})})
    for path in sorted(OUT.rglob("*")):
        if path.is_file():
            print(path.relative_to(OUT), path.stat().st_size)


if __name__ == "__main__":
    main()

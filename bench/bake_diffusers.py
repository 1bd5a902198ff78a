"""What bench/bake.ts compares with: diffusers loads the base, the motion module and both LoRAs of a recipe, fuses and saves UNetMotionModel and text encoder.

    python bench/bake_diffusers.py RECIPE OUT [--dtype fp16|fp32]

Prints one line of JSON: milliseconds from the first load to the last byte saved and synced (imports left out), and the process's peak memory in bytes.

needs: torch==2.13.0 diffusers==0.42.1 transformers peft safetensors pyyaml
"""
import argparse
import json
import os
import resource
import time
from pathlib import Path

import torch
import yaml
from diffusers import AutoencoderKL, MotionAdapter, StableDiffusionPipeline, UNet2DConditionModel, UNetMotionModel
from safetensors.torch import load_file
from transformers import CLIPTextModel

torch.set_grad_enabled(False)


def load_motion(path, dtype):
    state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    names = {".temporal_transformer.": ".", ".norms.0.": ".norm1.", ".norms.1.": ".norm2.", ".ff_norm.": ".norm3.", ".attention_blocks.0.": ".attn1.", ".attention_blocks.1.": ".attn2."}
    adapter = MotionAdapter(use_motion_mid_block=any("mid_block" in name for name in state), motion_max_seq_length=64).to(dtype)
    renamed = {}
    for name, tensor in state.items():
        for theirs, ours in names.items():
            name = name.replace(theirs, ours)
        renamed[name] = tensor
    missing, unexpected = adapter.load_state_dict(renamed, strict=False)
    assert not unexpected and all(name.endswith("pos_embed.pe") for name in missing), (missing, unexpected)
    return adapter


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--dtype", choices=("fp16", "fp32"), default="fp16")
    options = parser.parse_args()
    recipe, folder, dtype = yaml.safe_load(options.recipe.read_text()), options.recipe.parent, {"fp16": torch.float16, "fp32": torch.float32}[options.dtype]
    started, cpu = time.perf_counter(), time.process_time()

    base = folder / recipe["base"]
    unet = UNet2DConditionModel.from_pretrained(base / "unet", torch_dtype=dtype)
    text_encoder = CLIPTextModel.from_pretrained(base / "text_encoder", dtype=dtype)
    vae = AutoencoderKL.from_pretrained(base / "vae", torch_dtype=dtype)
    pipeline = StableDiffusionPipeline(vae, text_encoder, None, unet, None, None, None, requires_safety_checker=False)
    sources = [(source["lora"], source["alpha"]) for source in recipe["personalized"]] + [(recipe["lcm"]["lora"], recipe["lcm"]["beta"])]
    for i, (path, _) in enumerate(sources):
        pipeline.load_lora_weights(str(folder / path), adapter_name=f"lora{i}")
    pipeline.set_adapters([f"lora{i}" for i in range(len(sources))], [strength for _, strength in sources])
    pipeline.fuse_lora(components=["unet", "text_encoder"])
    pipeline.unload_lora_weights()
    motion = UNetMotionModel.from_unet2d(pipeline.unet, load_motion(folder / recipe["motion"]["module"], dtype)).to(dtype)
    motion.save_pretrained(options.out / "unet")
    pipeline.text_encoder.save_pretrained(options.out / "text_encoder")
    vae.save_pretrained(options.out / "vae")
    for file in options.out.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)

    print(json.dumps({
        "milliseconds": (time.perf_counter() - started) * 1e3,
        "cpu": (time.process_time() - cpu) * 1e3,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }))


if __name__ == "__main__":
    main()

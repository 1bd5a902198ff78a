"""A random, untrained SD1.5-shaped family of any width in the files a recipe names: base, kohya LoRA, LCM LoRA, motion module, recipe.yaml.

Weights are scaled so that every layer's output is O(1), with norm weights, biases and proj_out away from one and zero: an error anywhere shows in the output.
On top, as options: adapters of every kind, whole checkpoints, motion LoRAs, a motion base, block weights, and the base in every layout on disk
(family_files.py and family_adapters.py make these).

    python test/oracle/family.py OUT --seed 1 --widths 16,32,48,48 --heads 2 --groups 4 --cross 24 --motion-mid no --layout animatediff --dtype fp32
    python test/oracle/family.py OUT --adapter loha --adapter dora:ldm --checkpoint ldm --motion-loras 2 --base-layout ldm-ckpt --blocks 17

needs: torch==2.13.0 diffusers==0.42.1 transformers safetensors pyyaml
"""
import argparse
import json
import math
import shutil
from pathlib import Path

import torch
import yaml
from diffusers import AutoencoderKL, MotionAdapter, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

import family_adapters
import family_files

TOKENIZER = Path(__file__).parents[2] / "models/tiny/base/tokenizer"
DTYPES = {"fp16": torch.float16, "fp32": torch.float32, "bf16": torch.bfloat16}
ATTENTION_TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2")
LCM_TARGETS = (*ATTENTION_TARGETS, "conv1", "conv2", "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv", "time_emb_proj")
TEXT_TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
WEIGHT_GAIN = 0.8  # standard deviation of a layer's output for unit input; below one, so that residual sums stay O(1)
LORA_GAIN = 0.3  # the same of a LoRA at strength one: a visible part of the weight it changes
torch.set_grad_enabled(False)


def randomize(model, generator):
    """Fills every parameter: weights by fan-in, norm weights about one, biases about zero."""
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim > 1:
            parameter.copy_(noise * WEIGHT_GAIN / math.sqrt(parameter[0].numel()))
        else:
            parameter.copy_(1 + 0.2 * noise if name.endswith("weight") else 0.1 * noise)
    return model


def save_base(folder, options, dtype, generator):
    cross = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D"
    unet = UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, layers_per_block=options.layers, block_out_channels=options.widths, attention_head_dim=options.heads,
        norm_num_groups=options.groups, cross_attention_dim=options.cross, down_block_types=[cross[0]] * 3 + ["DownBlock2D"], up_block_types=["UpBlock2D"] + [cross[1]] * 3)
    vae = AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=4, block_out_channels=options.widths, layers_per_block=options.vae_layers, norm_num_groups=options.groups,
        down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4, scaling_factor=0.18215)
    vocabulary = len(json.loads((TOKENIZER / "vocab.json").read_text()))
    text = CLIPTextModel(CLIPTextConfig(
        vocab_size=vocabulary, hidden_size=options.cross, intermediate_size=4 * options.cross, num_hidden_layers=options.text_layers, projection_dim=options.cross,
        num_attention_heads=next(n for n in (4, 3, 2, 1) if options.cross % n == 0), max_position_embeddings=77, hidden_act="quick_gelu",
        bos_token_id=vocabulary - 2, eos_token_id=vocabulary - 1, pad_token_id=vocabulary - 1))
    for part, model, name in (("unet", unet, "diffusion_pytorch_model"), ("vae", vae, "diffusion_pytorch_model"), ("text_encoder", text, "model")):
        model = randomize(model, generator)
        (folder / part).mkdir(parents=True, exist_ok=True)
        state = {k: v.to(dtype).contiguous() for k, v in model.state_dict().items() if not k.endswith("position_ids")}
        if part == "text_encoder":  # the names every SD1.5 repository has, whatever the library's module tree is called
            state = {k if k.startswith("text_model.") else f"text_model.{k}": v for k, v in state.items()}
        save_file(state, folder / part / f"{name}.safetensors", metadata={"format": "pt"})
        config = json.loads(model.config.to_json_string() if part == "text_encoder" else model.to_json_string())
        config = {k: v for k, v in config.items() if k not in ("_name_or_path", "dtype", "_use_default_values")}
        (folder / part / "config.json").write_text(json.dumps(config, indent=2))
    shutil.copytree(TOKENIZER, folder / "tokenizer", dirs_exist_ok=True)
    (folder / "scheduler").mkdir(exist_ok=True)
    (folder / "scheduler/scheduler_config.json").write_text(json.dumps({
        "_class_name": "DDIMScheduler", "_diffusers_version": "0.42.1", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
        "num_train_timesteps": 1000, "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1, "prediction_type": "epsilon"}, indent=2))
    (folder / "model_index.json").write_text(json.dumps({
        "_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.42.1", "feature_extractor": [None, None], "safety_checker": [None, None],
        "requires_safety_checker": False, "scheduler": ["diffusers", "DDIMScheduler"], "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"], "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]}, indent=2))
    return {"unet": unet, "text_encoder": text, "vae": vae}


def lora_layer(module, weight, rank, alpha, generator):
    """kohya tensors of one module; alpha None writes none, which means alpha = rank."""
    shape = [rank, *weight.shape[1:]]
    down = torch.randn(shape, generator=generator) / math.sqrt(weight[0].numel())
    up = torch.randn([weight.shape[0], rank, *([1] * (weight.ndim - 2))], generator=generator)
    up *= LORA_GAIN * math.sqrt(rank) / (alpha or rank)
    layer = {f"{module}.lora_down.weight": down, f"{module}.lora_up.weight": up}
    return layer if alpha is None else layer | {f"{module}.alpha": torch.tensor(float(alpha))}


def targets(model, prefix, endings):
    """kohya module name -> weight"""
    for name, module in model.named_modules():
        if hasattr(module, "weight") and name.endswith(endings):
            yield f"{prefix}_{name.replace('.', '_')}", module.weight


def save_loras(folder, unet, text, dtype, generator):
    def pick(values):
        return values[torch.randint(len(values), (1,), generator=generator).item()]

    style = {}
    te = "lora_te" if hasattr(text, "text_model") else "lora_te_text_model"
    for module, weight in [*targets(unet, "lora_unet", (*ATTENTION_TARGETS, "conv1", "conv2", "downsamplers.0.conv")), *targets(text, te, TEXT_TARGETS)]:
        rank = pick((2, 4, 7, 8))
        if pick((True, True, True, False)):
            style |= lora_layer(module, weight, rank, pick((None, 1, rank / 2, rank)), generator)
    lcm = {}
    for module, weight in targets(unet, "lora_unet", LCM_TARGETS):
        lcm |= lora_layer(module, weight, 8, 1, generator)
    for name, state, metadata in (("style", style, {"ss_network_module": "networks.lora", "ss_base_model_version": "sd_v1"}), ("lcm", lcm, {"format": "pt"})):
        save_file({k: v.to(dtype).contiguous() for k, v in state.items()}, folder / f"{name}.safetensors", metadata=metadata)
    return sum(k.endswith("lora_up.weight") for k in lcm)


def save_motion(path, options, dtype, generator):
    """AnimateLCM: a flat state dict without positional encodings. AnimateDiff: a training checkpoint with them, names prefixed `module.`. diffusers: a folder."""
    adapter = randomize(MotionAdapter(
        block_out_channels=options.widths, motion_layers_per_block=options.layers, motion_num_attention_heads=options.heads, motion_norm_num_groups=options.groups,
        motion_max_seq_length=32, use_motion_mid_block=options.motion_mid == "yes"), generator)
    if options.layout == "diffusers":
        adapter.to(dtype).save_pretrained(path)
        return [n.rpartition(".")[0] for n in adapter.state_dict() if n.endswith(family_adapters.MOTION_TARGETS)], adapter
    state = {}
    for name, tensor in adapter.state_dict().items():
        if name.endswith("pos_embed.pe"):
            if options.layout == "animatelcm":
                continue
            names = [name.replace("pos_embed.pe", f"attention_blocks.{i}.pos_encoder.pe") for i in (0, 1)]
        else:
            names = [name.replace(".norm1.", ".norms.0.").replace(".norm2.", ".norms.1.").replace(".norm3.", ".ff_norm.")
                     .replace(".attn1.", ".attention_blocks.0.").replace(".attn2.", ".attention_blocks.1.")]
        for name in names:
            head, tail = name.split(".motion_modules.")
            index, rest = tail.split(".", 1)
            state[f"{head}.motion_modules.{index}.temporal_transformer.{rest}"] = tensor.to(dtype).clone()
    if options.layout == "animatediff":
        state = {"epoch": 1, "global_step": 1000, "state_dict": {f"module.{k}": v for k, v in state.items()}}
    torch.save(state, path)
    return [n.rpartition(".")[0] for n in adapter.state_dict() if n.endswith(family_adapters.MOTION_TARGETS)], adapter


def save_recipe(path, options, lcm_modules, extras):
    """`extras`: personalized entries, motion entries and the base entry that options added."""
    width, height = (int(n) for n in options.size.split("x"))
    recipe = {
        "name": path.parent.name,
        "base": extras["base"],
        "personalized": [
            {"lora": "style.safetensors", "alpha": options.alpha, "scale": options.scale, "text_encoder": options.text_strength}, *extras["personalized"]],
        "lcm": {"lora": "lcm.safetensors", "beta": options.beta, "expect": {"modules": lcm_modules}},
        "motion": {"module": motion_file(options), "gamma": options.gamma, "mode": options.mode, "norm": options.norm, **extras["motion"]},
        "sampler": {"kind": "lcm", "steps": options.steps, "guidance": options.guidance, "beta_schedule": "linear", "original_steps": 50},
        "output": {"frames": options.frames, "width": width, "height": height, "dtype": options.out_dtype, "shapes": options.shapes, "targets": options.targets.split(","), "vae_encoder": options.vae_encoder},
        "verify": {"prompt": "a red circle", "seed": 0},
    }
    for entry, blocks in ((recipe["personalized"][0], options.blocks), (recipe["lcm"], options.blocks), (recipe["motion"], options.motion_blocks)):
        if blocks:
            entry["blocks"] = family_files.blocks(blocks, entry is recipe["personalized"][0], options.seed)
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))


def motion_file(options, name="motion"):
    return name if options.layout == "diffusers" else f"{name}.ckpt"


def save_extras(folder, options, models, motion, dtype, generator):
    """What the options ask for beside the plain family; returns the recipe's entries for it."""
    personalized = []
    for index, wish in enumerate(options.adapter):
        kind, _, prefix = wish.partition(":")
        file = folder / f"adapter{index}-{kind}.safetensors"
        state, metadata = family_adapters.adapter(kind, prefix, models, options.layers, generator)
        adapter_dtype = DTYPES[options.adapter_dtype] if options.adapter_dtype else dtype
        save_file({k: v.to(adapter_dtype if v.is_floating_point() else v.dtype).contiguous() for k, v in state.items()}, file, metadata=metadata)
        strength = round(0.5 + 0.4 * torch.rand((), generator=generator).item(), 2)
        personalized.append({"lora": file.name, "alpha": strength, "text_encoder": round(strength * 0.8, 2)})
    for index, layout in enumerate(options.checkpoint):
        file = family_files.save_checkpoint(folder / f"checkpoint{index}", layout, models, dtype, options, generator)
        personalized.insert(len(personalized) * index, {"checkpoint": file.name, "alpha": round(0.4 + 0.6 * torch.rand((), generator=generator).item(), 2)})
    entries = {}
    if options.motion_loras:
        entries["loras"] = []
        for index in range(options.motion_loras):
            file = family_adapters.save_motion_lora(folder / f"motion-lora{index}.ckpt", motion[0], motion[1], "diffusers" if index % 2 else "animatediff", dtype, generator)
            entries["loras"].append({"lora": file.name, "alpha": round(0.4 + 0.5 * torch.rand((), generator=generator).item(), 2)})
    if options.motion_base:
        save_motion(folder / motion_file(options, "motion-base"), options, dtype, generator)
        entries["base"] = motion_file(options, "motion-base")
    return {"personalized": personalized, "motion": entries, "base": family_files.relayout_base(folder, options.base_layout, models, dtype, options)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--widths", type=lambda text: [int(n) for n in text.split(",")], default=[16, 32, 48, 48], help="channels of the four blocks, UNet and VAE")
    parser.add_argument("--heads", type=int, default=2, help="attention heads, spatial and temporal; divides every width")
    parser.add_argument("--groups", type=int, default=4, help="groups of every GroupNorm; divides every width")
    parser.add_argument("--cross", type=int, default=24, help="width of the text encoder")
    parser.add_argument("--layers", type=int, default=2, help="UNet layers per block")
    parser.add_argument("--text-layers", type=int, default=3)
    parser.add_argument("--vae-layers", type=int, default=1)
    parser.add_argument("--motion-mid", choices=("yes", "no"), default="yes")
    parser.add_argument("--layout", choices=("animatelcm", "animatediff", "diffusers"), default="animatelcm")
    parser.add_argument("--dtype", choices=tuple(DTYPES), default="fp16", help="of every file written")
    parser.add_argument("--adapter", action="append", default=[], metavar="KIND[:PREFIX]",
                        help=f"one more adapter; kinds: {', '.join(family_adapters.KINDS)}; prefixes: {', '.join(family_adapters.PREFIXES)}")
    parser.add_argument("--adapter-dtype", choices=tuple(DTYPES), help="of the adapters; default: as everything else")
    parser.add_argument("--checkpoint", action="append", default=[], choices=family_files.CHECKPOINT_LAYOUTS, help="one more whole fine-tuned model")
    parser.add_argument("--base-layout", choices=family_files.BASE_LAYOUTS, default="folder")
    parser.add_argument("--motion-loras", type=int, default=0)
    parser.add_argument("--motion-base", action="store_true")
    recipe = parser.add_argument_group("recipe")
    recipe.add_argument("--blocks", choices=family_files.BLOCKS, help="of the style and LCM LoRAs: a vector of so many values, or names")
    recipe.add_argument("--motion-blocks", choices=family_files.BLOCKS)
    for name, default in (("alpha", 0.8), ("text-strength", 0.6), ("beta", 0.9), ("gamma", 0.7), ("guidance", 1.0)):
        recipe.add_argument(f"--{name}", type=float, default=default)
    recipe.add_argument("--scale", choices=("alpha/rank", "raw", "rslora"), default="alpha/rank")
    recipe.add_argument("--mode", choices=("residual", "weights"), default="residual")
    recipe.add_argument("--norm", choices=("per-frame", "pooled"), default="per-frame")
    recipe.add_argument("--steps", type=int, default=4)
    recipe.add_argument("--frames", type=int, default=8)
    recipe.add_argument("--size", default="128x64", help="WIDTHxHEIGHT in pixels")
    recipe.add_argument("--out-dtype", choices=("fp16", "fp32"), default="fp16")
    recipe.add_argument("--vae-encoder", action="store_true", help="ask for the VAE encoder, too")
    recipe.add_argument("--shapes", choices=("static", "dynamic"), default="static")
    recipe.add_argument("--targets", default="portable,cpu,cuda,webgpu", help="graphs to be written, with commas")
    options = parser.parse_args()
    generator, dtype = torch.Generator().manual_seed(options.seed), DTYPES[options.dtype]
    options.out.mkdir(parents=True, exist_ok=True)
    models = save_base(options.out / "base", options, dtype, generator)
    modules = save_loras(options.out, models["unet"], models["text_encoder"], dtype, generator)
    motion = save_motion(options.out / motion_file(options), options, dtype, generator)
    extras = save_extras(options.out, options, models, motion, dtype, generator)
    save_recipe(options.out / "recipe.yaml", options, modules, extras)
    print(options.out / "recipe.yaml")


if __name__ == "__main__":
    main()

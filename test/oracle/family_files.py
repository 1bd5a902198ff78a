"""The other layouts on disk that a family's base, checkpoints and block weights can have; for family.py."""
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from block_weights import VECTORS
from sd15_names import ldm_unet_module, ldm_vae_module

BASE_LAYOUTS = ("folder", "sharded", "bin", "fp16", "ldm", "ldm-ckpt")
CHECKPOINT_LAYOUTS = ("folder", "ldm", "ldm-ckpt")
BLOCKS = (*map(str, VECTORS), "names", "patterns")
FILES = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
SHARDS = 3


def blocks(form: str, with_text: bool, seed: int):
    """Strengths in [0.2, 1.2]; the text encoder's BASE only where the source has one."""
    generator = torch.Generator().manual_seed(seed + 99)

    def value():
        return round(0.2 + torch.rand((), generator=generator).item(), 3)

    if form == "names":
        return {"IN": value(), "IN04": value(), "M00": value(), "OUT05": value(), "OUT11": value(), **({"BASE": value()} if with_text else {})}
    if form == "patterns":
        return {"down": value(), "down_blocks.1": value(), "down_blocks.1.attentions.*": value(), "M00": value(), "*.to_q.weight": value(), "OUT": value()}
    return [value() for _ in range(int(form))]


def ldm_state(states: dict[str, dict], layers: int, blocks: int, dtype) -> dict:
    """An LDM checkpoint as trainers leave it: also EMA weights, schedule buffers and position_ids in a floating type."""
    out = {}
    for name, tensor in states["unet"].items():
        module, _, leaf = name.rpartition(".")
        out[f"model.diffusion_model.{ldm_unet_module(module, layers)}.{leaf}"] = tensor
    for name, tensor in states["vae"].items():
        module, _, leaf = name.rpartition(".")
        attention = ".attentions." in name and leaf == "weight" and tensor.ndim == 2
        out[f"first_stage_model.{ldm_vae_module(module, blocks)}.{leaf}"] = tensor[:, :, None, None] if attention else tensor
    for name, tensor in states["text_encoder"].items():
        out[f"cond_stage_model.transformer.{name if name.startswith('text_model.') else 'text_model.' + name}"] = tensor
    out["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(77)[None].to(dtype)
    out |= {"alphas_cumprod": torch.rand(1000), "betas": torch.rand(1000), "model_ema.num_updates": torch.tensor(7), "model_ema.decay": torch.tensor(0.9999)}
    out["model_ema.diffusion_modelinput_blocks00weight"] = torch.rand(4, 4, 3, 3)
    return out


def save_ldm(path: Path, state: dict, dtype) -> Path:
    state = {k: v.to(dtype).contiguous() if v.is_floating_point() and not k.startswith("model_ema.decay") else v for k, v in state.items()}
    if path.suffix == ".ckpt":
        torch.save({"epoch": 3, "global_step": 12, "state_dict": state}, path)
    else:
        save_file(state, path, metadata={"format": "pt"})
    return path


def states_of(models) -> dict[str, dict]:
    states = {part: {k: v for k, v in model.state_dict().items() if not k.endswith("position_ids")} for part, model in models.items()}
    states["text_encoder"] = {k if k.startswith("text_model.") else f"text_model.{k}": v for k, v in states["text_encoder"].items()}
    return states


def save_checkpoint(path: Path, layout: str, models, dtype, options, generator) -> Path:
    """A fine-tuned model: the base with every weight moved by a third of its size."""
    states = {part: {k: v + 0.3 * v.std(correction=0) * torch.randn(v.shape, generator=generator) for k, v in state.items()} for part, state in states_of(models).items()}
    if layout != "folder":
        return save_ldm(path.with_suffix(".ckpt" if layout == "ldm-ckpt" else ".safetensors"), ldm_state(states, options.layers, len(options.widths), dtype), dtype)
    for part, state in states.items():
        (path / part).mkdir(parents=True, exist_ok=True)
        save_file({k: v.to(dtype).contiguous() for k, v in state.items()}, path / part / f"{FILES[part]}.safetensors", metadata={"format": "pt"})
        shutil.copy(path.parent / "base" / part / "config.json", path / part)
    for part in ("tokenizer", "scheduler"):
        shutil.copytree(path.parent / "base" / part, path / part, dirs_exist_ok=True)
    shutil.copy(path.parent / "base/model_index.json", path)
    return path


def relayout_base(folder: Path, layout: str, models, dtype, options):
    """Rewrites the base folder's weights in another layout; returns the recipe's `base`."""
    if layout.startswith("ldm"):
        file = folder / ("base-model.ckpt" if layout == "ldm-ckpt" else "base-model.safetensors")
        save_ldm(file, ldm_state(states_of(models), options.layers, len(options.widths), dtype), dtype)
        for part, stem in FILES.items():  # what remains of the folder is configs and tokenizer
            (folder / "base" / part / f"{stem}.safetensors").unlink()
        return {"model": file.name, "config": "base"}
    for part, stem in FILES.items():
        file = folder / "base" / part / f"{stem}.safetensors"
        state = load_file(file)
        if layout == "fp16":
            file.rename(file.with_name(f"{stem}.fp16.safetensors"))
        elif layout == "bin":
            torch.save(state, file.with_name(f"{'pytorch_model' if part == 'text_encoder' else stem}.bin"))
            file.unlink()
        elif layout == "sharded":
            names, where = list(state), {}
            for index in range(SHARDS):
                shard = f"{stem}-{index + 1:05}-of-{SHARDS:05}.safetensors"
                chosen = names[index::SHARDS]
                save_file({k: state[k] for k in chosen}, file.with_name(shard), metadata={"format": "pt"})
                where |= dict.fromkeys(chosen, shard)
            size = sum(v.numel() * v.element_size() for v in state.values())
            file.with_name(f"{stem}.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": size}, "weight_map": where}, indent=1))
            file.unlink()
    return "base"

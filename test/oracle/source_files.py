"""Opens bases, checkpoints and motion modules as they are on disk, under diffusers' parameter names. Shares no code with the tool.

Diffusers folders (one file or sharded, safetensors or torch .bin, with or without a variant in the name), LDM single files, older VAE and text-encoder names,
AnimateDiff's, AnimateLCM's and diffusers' motion modules. A tensor of the model that is missing, or one left over that no rule ignores, is an error.
"""
import json
import re
from pathlib import Path
from typing import Callable

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors import safe_open

from sd15_names import ldm_unet_module, ldm_vae_module

Tensors = dict[str, Callable[[], torch.Tensor]]

STEMS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model", ".": "diffusion_pytorch_model"}
OLD_VAE = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
MOTION_NAMES = (
    (".temporal_transformer.", "."), (".norms.0.", ".norm1."), (".norms.1.", ".norm2."), (".ff_norm.", ".norm3."),
    (".attention_blocks.0.", ".attn1."), (".attention_blocks.1.", ".attn2."),
)
IGNORED_IN_LDM = re.compile(
    r"model_ema\.|(betas|alphas_cumprod\w*|sqrt_\w+|log_one_minus\w*|posterior_\w+|lvlb_weights|logvar|cond_stage_model\.logit_scale)$|.*position_ids$"
    r"|cond_stage_model\.transformer\.text_projection\.weight$|loss\.")


def open_tensors(path: Path) -> Tensors:
    """Tensor name -> a function that reads it."""
    if path.suffix == ".safetensors":
        file = safe_open(str(path), "pt")
        return {name: (lambda name=name: file.get_tensor(name)) for name in file.keys()}
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    while "state_dict" in state:
        state = state["state_dict"]
    return {name: (lambda tensor=tensor: tensor) for name, tensor in state.items() if isinstance(tensor, torch.Tensor)}


def open_part(folder: Path, part: str) -> Tensors:
    """The one model in a component's folder."""
    where, stem = folder / part, STEMS[part]
    indices = sorted(where.glob(f"{stem}.*index*.json"))
    if indices:
        names = json.loads(indices[0].read_text())["weight_map"]
        shards = {file: open_tensors(where / file) for file in sorted(set(names.values()))}
        return {name: shards[file][name] for name, file in names.items()}
    files = [f for f in sorted(where.iterdir()) if re.fullmatch(rf"{stem}(\.\w+)?\.safetensors|{stem}(\.\w+)?\.bin|pytorch_model(\.\w+)?\.bin", f.name)]
    if len(files) != 1:
        raise NotImplementedError(f"{where}: {len(files)} files could be the model; the oracle wants one")
    return open_tensors(files[0])


def text_names(tensors: Tensors) -> Tensors:
    tensors = {k: v for k, v in tensors.items() if not k.endswith("position_ids")}
    return {k if k.startswith("text_model.") else f"text_model.{k}": v for k, v in tensors.items()}


def vae_names(tensors: Tensors) -> Tensors:
    out = {}
    for name, read in tensors.items():
        for old, new in OLD_VAE.items():
            name = name.replace(old, new)
        out[name] = read
    return out


def shaped(read, size) -> Callable[[], torch.Tensor]:
    """A 1x1 convolution as the Linear it stands for, or the other way round."""
    return lambda: read().reshape(size)


def conform(tensors: Tensors, model) -> Tensors:
    """`tensors` in the shapes of a diffusers model; KeyError for what it lacks, ValueError for what it has too much."""
    wanted = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    missing, extra = wanted.keys() - tensors.keys(), tensors.keys() - wanted.keys()
    if missing or extra:
        raise ValueError(f"{len(missing)} tensors missing {sorted(missing)[:3]}, {len(extra)} too many {sorted(extra)[:3]}")
    return {k: shaped(read, wanted[k]) for k, read in tensors.items()}


def on_meta(kind, config):
    with torch.device("meta"):
        return kind.from_config(config)


def single_file(path: Path, configs: dict) -> dict[str, Tensors]:
    """unet, vae and text_encoder of an LDM checkpoint; a component it lacks is absent."""
    tensors = open_tensors(path)
    left = {k for k in tensors if not IGNORED_IN_LDM.match(k)}
    found: dict[str, Tensors] = {}
    layers, blocks = configs["unet"]["layers_per_block"], len(configs["vae_decoder"]["block_out_channels"])
    for component, kind, config, prefix, rename in (
            ("unet", UNet2DConditionModel, configs["unet"], "model.diffusion_model.", lambda m: ldm_unet_module(m, layers)),
            ("vae", AutoencoderKL, configs["vae_decoder"], "first_stage_model.", lambda m: ldm_vae_module(m, blocks))):
        if not any(k.startswith(prefix) for k in left):
            continue
        model = on_meta(kind, config)
        part = {}
        for name in model.state_dict():
            module, _, leaf = name.rpartition(".")
            key = f"{prefix}{rename(module)}.{leaf}"
            part[name] = tensors[key]
            left.discard(key)
        found[component] = conform(part, model)
    prefix = "cond_stage_model.transformer."
    text = {k.removeprefix(prefix): tensors[k] for k in left if k.startswith(prefix)}
    if text:
        found["text_encoder"] = text_names(text)
        left -= {prefix + k for k in text}
    if left:
        raise ValueError(f"{path.name}: {len(left)} tensors belong to no component, first {sorted(left)[0]}")
    return found


def folder_parts(folder: Path, configs: dict) -> dict[str, Tensors]:
    found = {}
    if (folder / "unet").is_dir():
        found["unet"] = conform(open_part(folder, "unet"), on_meta(UNet2DConditionModel, configs["unet"]))
    if (folder / "vae").is_dir():
        found["vae"] = conform(vae_names(open_part(folder, "vae")), on_meta(AutoencoderKL, configs["vae_decoder"]))
    if (folder / "text_encoder").is_dir():
        found["text_encoder"] = text_names(open_part(folder, "text_encoder"))
    return found


def model_parts(path: Path, configs: dict) -> dict[str, Tensors]:
    return folder_parts(path, configs) if path.is_dir() else single_file(path, configs)


def replacement(path: Path, component: str, configs: dict) -> Tensors:
    """A VAE or text encoder from a file of its own, or from a whole model."""
    if path.is_dir():
        raise NotImplementedError(f"{path}: the oracle takes {component} from a file only")
    tensors = open_tensors(path)
    if any(k.startswith(("model.diffusion_model.", "first_stage_model.", "cond_stage_model.")) for k in tensors):
        return single_file(path, configs)[component]
    if component == "text_encoder":
        return text_names(tensors)
    model = on_meta(AutoencoderKL, configs["vae_decoder"])
    if any(".down." in k for k in tensors):  # LDM's names without their prefix, as stand-alone VAE files have
        blocks = len(configs["vae_decoder"]["block_out_channels"])
        tensors = {name: tensors[f"{ldm_vae_module(name.rpartition('.')[0], blocks)}.{name.rpartition('.')[2]}"] for name in model.state_dict()}
    return conform(vae_names(tensors), model)


def motion_name(key: str) -> str:
    name = key.removeprefix("module.").removeprefix("unet.")
    for original, ours in MOTION_NAMES:
        name = name.replace(original, ours)
    if ".motion_modules." not in name:
        raise ValueError(f"{key} is no motion-module parameter")
    return name


def motion_parts(path: Path) -> Tensors:
    """A motion module's parameters without its positional encodings, which are computed."""
    tensors = open_part(path, ".") if path.is_dir() else open_tensors(path)
    return {motion_name(k): v for k, v in tensors.items() if "pos_encoder" not in k and "pos_embed" not in k}

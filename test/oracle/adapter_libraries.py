"""Merges one adapter file by calling LyCORIS, PEFT and diffusers themselves, into modules of any shape at any path; for adapters.py.

needs: torch==2.13.0 lycoris-lora==4.1 peft==0.21 diffusers==0.42.1 safetensors
"""
import tempfile
import warnings
from pathlib import Path

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.loaders import PeftAdapterMixin, StableDiffusionLoraLoaderMixin
from lycoris.functional.general import apply_dora_scale
from lycoris.modules import get_module, make_module
from lycoris.modules.ia3 import IA3Module
from peft import get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file, save_file
from torch import nn

warnings.filterwarnings("ignore")


def module_for(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Module:
    """A torch module that holds these parameters."""
    if weight.ndim == 1:
        module = nn.LayerNorm(weight.shape[0])
    elif weight.ndim == 2:
        module = nn.Linear(*reversed(weight.shape), bias=bias is not None)
    else:
        module = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2:], padding=weight.shape[2] // 2, bias=bias is not None)
    module.weight.data.copy_(weight)
    if bias is not None:
        module.bias.data.copy_(bias)
    return module.requires_grad_(False)


class Tree(ModelMixin, ConfigMixin, PeftAdapterMixin):
    """Modules at given dotted paths, as a diffusers model."""

    @register_to_config
    def __init__(self):
        super().__init__()

    @classmethod
    def of(cls, base: dict[str, torch.Tensor]) -> "Tree":
        tree = cls()
        for name in base:
            path, _, leaf = name.rpartition(".")
            if leaf != "weight":
                continue
            *parents, last = path.split(".")
            node = tree
            for parent in parents:
                if not hasattr(node, parent):
                    node.add_module(parent, nn.Module())
                node = getattr(node, parent)
            node.add_module(last, module_for(base[name], base.get(f"{path}.bias")))
        return tree

    def parameters_now(self, names) -> dict[str, torch.Tensor]:
        found = {}
        for name in names:
            path, _, leaf = name.rpartition(".")
            module = self.get_submodule(path)
            found[name] = getattr(module.base_layer if isinstance(module, BaseTunerLayer) else module, leaf).detach().clone()
        return found


def lycoris(prefix: str, base: dict, file: dict, strength: float) -> dict:
    """LyCORIS' own merge of every module: what its tools/merge.py does, without its search for the modules."""
    merged = dict(base)
    for name in base:
        path, _, leaf = name.rpartition(".")
        if leaf != "weight":
            continue
        flat = f"{prefix}_{path.replace('.', '_')}"
        state = {k: v.float() for k, v in file.items()}
        if f"{flat}.alpha" not in state and f"{flat}.lora_down.weight" in state:  # float(None) is an error there
            state[f"{flat}.alpha"] = torch.tensor(float(state[f"{flat}.lora_down.weight"].shape[0]))
        kind, parts = get_module(state, flat)
        if kind is None:
            continue
        module = make_module(kind, parts, flat, module_for(base[name], base.get(f"{path}.bias")))
        weight, bias = module.get_merged_weight(strength, base[name].shape)
        merged[name] = weight.detach()
        if bias is not None:
            merged[f"{path}.bias"] = bias.detach()
    return merged


def lycoris_ia3(weight: torch.Tensor, vector: torch.Tensor, on_input: bool, strength: float) -> torch.Tensor:
    """IA3Module as training builds it: LyCORIS 4.1 cannot make one from a file."""
    module = IA3Module("ia3", module_for(weight, None), train_on_input=on_input)
    module.weight.data.copy_(vector)
    return module.get_merged_weight(strength, weight.shape)[0].detach()


def lycoris_dora_in(weight: torch.Tensor, delta: torch.Tensor, dora_scale: torch.Tensor, strength: float) -> torch.Tensor:
    """DoRA over the input axis: the function of the versions that wrote such files."""
    return apply_dora_scale(weight, delta, dora_scale, strength)


def peft_file(config, base: dict, generator) -> tuple[dict, dict]:
    """(what PEFT's save_pretrained writes, with random values; the merged parameters, by PEFT's own merge at strength 1)."""
    model = get_peft_model(Tree.of(base), config)
    for name, parameter in model.named_parameters():
        if any(part in name for part in ("lora_", "hada_", "lokr_")):
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data.copy_(1 + 0.3 * noise.abs() if "magnitude" in name else 0.5 * noise)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        file = load_file(Path(folder) / "adapter_model.safetensors")
    return file, peft_merged(model, base)


def peft_merged(model, names) -> dict:
    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.merge()
    tree = model.base_model.model if hasattr(model, "base_model") else model
    return tree.parameters_now(names)


def diffusers_fused(base: dict, file: dict, metadata: dict | None, strength: float) -> dict:
    """diffusers: load_lora_weights and fuse_lora of one file into a UNet."""
    unet = Tree.of(base)
    with tempfile.TemporaryDirectory() as folder:
        save_file(file, Path(folder) / "adapter.safetensors", metadata={"format": "pt", **(metadata or {})})
        state, alphas, header = StableDiffusionLoraLoaderMixin.lora_state_dict(
            folder, weight_name="adapter.safetensors", return_lora_metadata=True, local_files_only=True)
    unet.load_lora_adapter(state, prefix="unet" if any(k.startswith("unet.") for k in state) else None, network_alphas=alphas or None, metadata=header)
    unet.fuse_lora(lora_scale=strength)
    return unet.parameters_now(base)


def diffusers_saved(base: dict, config, generator, bare: bool) -> tuple[dict, dict, dict]:
    """(tensors, metadata, merged at strength 1) of a file that diffusers writes: save_lora_weights (`unet.` keys), or save_lora_adapter (bare keys)."""
    from peft.utils import get_peft_model_state_dict
    from safetensors import safe_open

    unet = Tree.of(base)
    unet.add_adapter(config)
    for name, parameter in unet.named_parameters():
        if "lora_" in name:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data.copy_(1 + 0.3 * noise.abs() if "magnitude" in name else 0.5 * noise)
    with tempfile.TemporaryDirectory() as folder:
        if bare:
            unet.save_lora_adapter(folder)
        else:
            from diffusers.training_utils import _collate_lora_metadata

            StableDiffusionLoraLoaderMixin.save_lora_weights(
                folder, unet_lora_layers=get_peft_model_state_dict(unet), **_collate_lora_metadata({"unet": unet}))
        path = Path(folder) / "pytorch_lora_weights.safetensors"
        metadata = {k: v for k, v in (safe_open(path, "pt").metadata() or {}).items() if k != "format"}
        file = load_file(path)
    return file, metadata, peft_merged(unet, base)

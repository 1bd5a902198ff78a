"""Every merged tensor of a recipe in float64, from the formulas of the file formats; shares no code with the tool.

Covers diffusers-folder bases, kohya LoRAs (linear, 1x1 and 3x3 convolutions, text encoder), an LCM LoRA and motion modules in AnimateDiff's,
AnimateLCM's or diffusers' key names. Anything else is refused, never skipped.

    python test/oracle/merge_reference.py RECIPE        # prints how many tensors each set of rules touches

needs: torch==2.13.0 safetensors pyyaml
"""
import collections
import fnmatch
import json
import math
import re
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Callable

import torch
import yaml
from safetensors import safe_open

COMPONENTS = ("unet", "text_encoder", "vae_decoder")
# How the alpha stored in a LoRA file counts: (alpha, rank) -> factor of up @ down. A module without one has alpha = rank.
CONVENTIONS = {
    "alpha/rank": lambda alpha, rank: alpha / rank,
    "raw": lambda alpha, rank: 1.0,
    "rslora": lambda alpha, rank: alpha / math.sqrt(rank),
}
MOTION_NAMES = (
    (".temporal_transformer.", "."), (".norms.0.", ".norm1."), (".norms.1.", ".norm2."), (".ff_norm.", ".norm3."),
    (".attention_blocks.0.", ".attn1."), (".attention_blocks.1.", ".attn2."),
)


@dataclass(frozen=True)
class Merged:
    """One merged parameter, laid out as PyTorch holds it (Linear [out, in], convolution OIHW)."""

    value: torch.Tensor  # float64
    magnitude: torch.Tensor  # float64: sum of the absolute values of everything added up, which float32 rounding scales with
    rules: tuple[str, ...]


@dataclass(frozen=True)
class Lora:
    label: str
    strength: float
    text_strength: float
    convention: str
    blocks: dict[str, float]
    layers: dict[str, dict[str, Callable]]  # "component/parameter" -> down, up and maybe alpha, unread


def open_tensors(path: Path) -> dict[str, Callable[[], torch.Tensor]]:
    """Tensor name -> a function that reads it."""
    if path.suffix == ".safetensors":
        file = safe_open(str(path), "pt")
        return {name: (lambda name=name: file.get_tensor(name)) for name in file.keys()}
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    while "state_dict" in state:
        state = state["state_dict"]
    return {name: (lambda tensor=tensor: tensor) for name, tensor in state.items() if isinstance(tensor, torch.Tensor)}


def block_of(name: str, layers: int) -> str | None:
    """The block (IN00…, M00, OUT00…) a UNet parameter belongs to, for `layers` layers per block; None for the time embedding."""
    if name.startswith("conv_in."):
        return "IN00"
    if name.startswith(("conv_norm_out.", "conv_out.")):
        return f"OUT{4 * (layers + 1) - 1:02}"
    if name.startswith("mid_block."):
        return "M00"
    found = re.match(r"(down|up)_blocks\.(\d+)\.(\w+?)\.(\d+)\.", name)
    if not found:
        return None
    side, block, kind, layer = found[1], int(found[2]), found[3], int(found[4])
    if side == "down":
        return f"IN{(layers + 1) * (block + 1) if kind == 'downsamplers' else (layers + 1) * block + layer + 1:02}"
    return f"OUT{(layers + 1) * block + (layers if kind == 'upsamplers' else layer):02}"


def block_weight(blocks: dict[str, float], component: str, name: str, layers: int) -> float:
    if not blocks:
        return 1.0
    block = "BASE" if component == "text_encoder" else block_of(name, layers)
    if block is None:
        raise NotImplementedError(f"{name}: which block weight holds for the time embedding is not settled here")
    group = block.rstrip("0123456789")
    return float(blocks.get(block, blocks.get(group, 1.0)))


class MergeReference:
    """A recipe with its files open. `names(component)` and `tensor(component, name)` give the merged model, one tensor at a time."""

    def __init__(self, recipe: dict, folder: Path):
        """`folder` is where the recipe's relative paths start."""
        self.recipe, self.folder = recipe, folder.resolve()
        base = recipe["base"]
        base = base if isinstance(base, str) else base["model"] if set(base) == {"model"} else None
        self.base = self._path(base) if base else None
        if self.base is None or not self.base.is_dir():
            raise NotImplementedError("the oracle reads diffusers folders only")
        self.configs = {
            "unet": self._config("unet/config.json"),
            "text_encoder": self._config("text_encoder/config.json"),
            "vae_decoder": self._config("vae/config.json"),
            "scheduler": self._config("scheduler/scheduler_config.json"),
        }
        self.layers = self.configs["unet"]["layers_per_block"]
        text = {k: v for k, v in open_tensors(self.base / "text_encoder/model.safetensors").items() if not k.endswith("position_ids")}
        vae = open_tensors(self.base / "vae/diffusion_pytorch_model.safetensors")
        self.sources = {
            "unet": open_tensors(self.base / "unet/diffusion_pytorch_model.safetensors"),
            "text_encoder": {k if k.startswith("text_model.") else f"text_model.{k}": v for k, v in text.items()},
            "vae_decoder": {k: v for k, v in vae.items() if k.startswith(("decoder.", "post_quant_conv."))},
        }
        motion = recipe["motion"]
        if motion.get("loras"):
            raise NotImplementedError("motion LoRAs")
        self.gamma, self.mode = float(motion.get("gamma", 1)), motion.get("mode", "residual")
        self.norm = motion.get("norm", "per-frame")
        self.motion = self._motion(open_tensors(self._path(motion["module"])))
        self.loras = [self._lora(f"personalized[{i}]", entry, "alpha") for i, entry in enumerate(recipe.get("personalized") or [])]
        if recipe.get("lcm"):
            self.loras.append(self._lora("lcm", recipe["lcm"], "beta"))

    @classmethod
    def load(cls, recipe_path: str | Path) -> "MergeReference":
        return cls(yaml.safe_load(Path(recipe_path).read_text()), Path(recipe_path).parent)

    def _path(self, text: str) -> Path:
        if "://" in text:
            raise NotImplementedError(f"the oracle reads local files only, not {text}")
        return (self.folder / text).resolve()

    def _config(self, name: str) -> dict:
        return json.loads((self.base / name).read_text())

    @cached_property
    def has_motion_mid_block(self) -> bool:
        return any(name.startswith("mid_block.") for name in self.motion)

    @cached_property
    def modules(self) -> dict[str, str]:
        """kohya module name -> "component/parameter"."""
        unet = {f"lora_unet_{k.removesuffix('.weight').replace('.', '_')}": f"unet/{k}" for k in self.sources["unet"] if k.endswith(".weight")}
        text = [k for k in self.sources["text_encoder"] if k.endswith(".weight")]
        return unet | {f"{p}_{k.removesuffix('.weight').replace('.', '_')}": f"text_encoder/{k}" for k in text for p in ("lora_te", "lora_te1")}

    def _lora(self, label: str, entry: dict, strength_key: str) -> Lora:
        if "lora" not in entry:
            raise NotImplementedError(f"{label}: only `lora:` sources")
        layers: dict[str, dict] = collections.defaultdict(dict)
        unmatched = []
        for key, read in open_tensors(self._path(entry["lora"])).items():
            module, _, part = key.partition(".")
            role = {"lora_down.weight": "down", "lora_up.weight": "up", "alpha": "alpha"}.get(part)
            if role and module in self.modules:
                layers[self.modules[module]][role] = read
            else:
                unmatched.append(key)
        unmatched = [k for k in unmatched if not any(fnmatch.fnmatchcase(k, glob) for glob in entry.get("allow_unmatched", []))]
        if unmatched:
            raise ValueError(f"{label}: {len(unmatched)} unmatched tensors, first {unmatched[0]}")
        expected = entry.get("expect", {}).get("modules", len(layers))
        if expected != len(layers):
            raise ValueError(f"{label}: {len(layers)} modules, expected {expected}")
        strength = float(entry.get(strength_key, 1))
        return Lora(label, strength, float(entry.get("text_encoder", strength)), entry.get("scale", "alpha/rank"), entry.get("blocks") or {}, dict(layers))

    @staticmethod
    def _motion(tensors: dict[str, Callable]) -> dict[str, Callable]:
        out = {}
        for key, read in tensors.items():
            if "pos_encoder" in key or "pos_embed" in key:
                continue
            name = key.removeprefix("module.")
            for original, ours in MOTION_NAMES:
                name = name.replace(original, ours)
            if ".motion_modules." not in name:
                raise ValueError(f"{key} is no motion-module parameter")
            out[name] = read
        return out

    def names(self, component: str) -> list[str]:
        """Parameter names as diffusers and transformers write them; positional encodings are computed, so not among them."""
        return [*self.sources[component], *(self.motion if component == "unet" else [])]

    def tensor(self, component: str, name: str) -> Merged:
        if component == "unet" and name in self.motion:
            return self._motion_tensor(name)
        value = self.sources[component][name]().double()
        magnitude, rules = value.abs(), []
        for lora in self.loras:
            layer = lora.layers.get(f"{component}/{name}")
            if layer is None:
                continue
            down, up = layer["down"]().double(), layer["up"]().double()
            rank = down.shape[0]
            alpha = layer["alpha"]().double().item() if "alpha" in layer else rank
            strength = lora.text_strength if component == "text_encoder" else lora.strength
            scale = strength * block_weight(lora.blocks, component, name, self.layers) * CONVENTIONS[lora.convention](alpha, rank)
            up, down = up.flatten(1), down.flatten(1)
            if (up.shape[0], down.shape[1]) != (value.shape[0], value[0].numel()):
                raise ValueError(f"{lora.label}: {name} is {tuple(value.shape)}, the delta {(up.shape[0], down.shape[1])}")
            value = value + scale * (up @ down).view_as(value)
            magnitude = magnitude + abs(scale) * (up.abs() @ down.abs()).view_as(value)
            rules.append(f"{lora.label} {'linear' if value.ndim == 2 else f'conv{value.shape[2]}x{value.shape[3]}'}")
        return Merged(value, magnitude, tuple(rules) or ("untouched",))

    def _motion_tensor(self, name: str) -> Merged:
        """gamma scales what a module adds to its input (weight and bias of proj_out) or, in mode `weights`, every parameter."""
        value, is_output = self.motion[name]().double(), re.search(r"\.motion_modules\.\d+\.proj_out\.", name)
        if self.mode == "weights" or is_output:
            weight = block_weight(self.recipe["motion"].get("blocks") or {}, "unet", name, self.layers)
            value = value * (self.gamma * weight)
        return Merged(value, value.abs(), (f"motion {self.mode if self.mode == 'weights' or is_output else 'untouched'}",))

    def rounded(self, component: str, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        """All merged tensors of a component, rounded once to dtype and widened to float32."""
        return {name: self.tensor(component, name).value.to(dtype).float() for name in self.names(component)}


if __name__ == "__main__":
    reference = MergeReference.load(sys.argv[1])
    for component in COMPONENTS:
        counts = collections.Counter(reference.tensor(component, name).rules for name in reference.names(component))
        for rules, count in sorted(counts.items()):
            print(f"{component:13} {count:5}  {' + '.join(rules)}")

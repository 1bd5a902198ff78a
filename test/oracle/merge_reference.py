"""Every merged tensor of a recipe in float64, from the formulas of the file formats; shares no code with the tool.

source_files.py opens bases, checkpoints and motion modules, adapter_names.py reads adapter files, adapter_formulas.py says what each kind does to a weight,
block_weights.py how strongly. What they do not know is refused, never skipped.

    python test/oracle/merge_reference.py RECIPE        # prints how many tensors each set of rules touches

needs: torch==2.13.0 diffusers==0.42.1 safetensors pyyaml
"""
import collections
import dataclasses
import fnmatch
import json
import re
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
import yaml
from safetensors import safe_open

from adapter_formulas import Sum, apply
from adapter_names import Layer, read_adapter
from block_weights import as_map, block_weight
from source_files import Tensors, model_parts, motion_name, motion_parts, open_tensors, replacement

VAE_PREFIXES = {"vae_decoder": ("decoder.", "post_quant_conv."), "vae_encoder": ("encoder.", "quant_conv.")}
BIAS_PARTS = {"diff_b", "b_norm", "up_bias"}


@dataclass(frozen=True)
class Merged:
    """One merged parameter, laid out as PyTorch holds it (Linear [out, in], convolution OIHW)."""

    value: torch.Tensor  # float64
    magnitude: torch.Tensor  # float64: sum of the absolute values of everything added up, which float32 rounding scales with
    rules: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """A personalized entry, the LCM LoRA, or a motion LoRA: either layers of an adapter file, unread, or the parameters of a whole model."""

    label: str
    strengths: dict[str, float]  # component -> strength
    convention: str
    blocks: dict[str, float]
    layers: dict[tuple[str, str], Layer]
    model: dict[str, Tensors]

    def strength(self, component: str, name: str, layers: int) -> float:
        return self.strengths[component] * block_weight(self.blocks, component, name, layers)


def merged_shape(tensor: torch.Tensor) -> str:
    return f"conv{tensor.shape[2]}x{tensor.shape[3]}" if tensor.ndim == 4 else "linear"


def read_layer(layer: Layer) -> Layer:
    return dataclasses.replace(layer, parts={part: read() for part, read in layer.parts.items()})


def check_accounts(label: str, entry: dict, unmatched: list[str], modules: int) -> None:
    unmatched = [k for k in unmatched if not any(fnmatch.fnmatchcase(k, glob) for glob in entry.get("allow_unmatched", []))]
    if unmatched:
        raise ValueError(f"{label}: {len(unmatched)} unmatched tensors, first {unmatched[0]}")
    expected = entry.get("expect", {}).get("modules", modules)
    if expected != modules:
        raise ValueError(f"{label}: {modules} modules, expected {expected}")


class MergeReference:
    """A recipe with its files open. `names(component)` and `tensor(component, name)` give the merged model, one tensor at a time."""

    def __init__(self, recipe: dict, folder: Path):
        """`folder` is where the recipe's relative paths start."""
        self.recipe, self.folder = recipe, folder.resolve()
        base = {"model": recipe["base"]} if isinstance(recipe["base"], str) else recipe["base"]
        model = self._path(base["model"])
        if "config" not in base and not model.is_dir():
            raise NotImplementedError("a single file without base.config is a stock SD1.5, too large for the oracle")
        self.base = self._path(base["config"]) if "config" in base else model  # configs and tokenizer
        self.configs = {
            "unet": self._config("unet/config.json"),
            "text_encoder": self._config("text_encoder/config.json"),
            "vae_decoder": self._config("vae/config.json"),
            "scheduler": self._config("scheduler/scheduler_config.json"),
        }
        self.layers = self.configs["unet"]["layers_per_block"]
        parts = model_parts(model, self.configs)
        for part in ("vae", "text_encoder"):
            if part in base:
                parts[part] = replacement(self._path(base[part]), part, self.configs)
        self.sources: dict[str, Tensors] = {
            "unet": parts["unet"],
            "text_encoder": parts["text_encoder"],
            "vae_decoder": {k: v for k, v in parts["vae"].items() if k.startswith(VAE_PREFIXES["vae_decoder"])},
        }
        if (recipe.get("output") or {}).get("vae_encoder"):
            self.sources["vae_encoder"] = {k: v for k, v in parts["vae"].items() if k.startswith(VAE_PREFIXES["vae_encoder"])}
        motion = recipe["motion"]
        self.gamma, self.mode, self.norm = float(motion.get("gamma", 1)), motion.get("mode", "residual"), motion.get("norm", "per-frame")
        self.motion = motion_parts(self._path(motion["module"]))
        self.motion_base = motion_parts(self._path(motion["base"])) if motion.get("base") else None
        if self.motion_base is not None and (self.mode == "weights" or self.motion_base.keys() != self.motion.keys()):
            raise ValueError("motion.base: not with mode weights, and only a module with the same parts")
        if "positions" in motion:
            raise NotImplementedError("motion.positions")
        self.motion_blocks = as_map(motion.get("blocks"))
        self.motion_loras = [self._motion_lora(f"motion.loras[{i}]", entry) for i, entry in enumerate(motion.get("loras") or [])]
        self.changes = [self._source(f"personalized[{i}]", entry, "alpha") for i, entry in enumerate(recipe.get("personalized") or [])]
        if recipe.get("lcm"):
            self.changes.append(self._source("lcm", recipe["lcm"], "beta"))

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
    def modules(self) -> dict[str, list[str]]:
        """component -> paths of its modules"""
        return {c: sorted({k.rpartition(".")[0] for k in self.sources[c]}) for c in ("unet", "text_encoder")}

    def _source(self, label: str, entry: dict, strength_key: str) -> Source:
        strength = float(entry.get(strength_key, 1))
        strengths = {"unet": strength, "text_encoder": float(entry.get("text_encoder", strength))}
        if "checkpoint" in entry:
            path = self._path(entry["checkpoint"])
            model = {k: v for k, v in model_parts(path, self.configs).items() if k in strengths}  # its VAE is not merged
            for component, tensors in model.items():
                if tensors.keys() != self.sources[component].keys():
                    raise ValueError(f"{label}: not the {component} of the base")
            return Source(label, strengths, "raw", as_map(entry.get("blocks")), {}, model)
        layers = self._adapter(label, entry, entry["lora"], self.modules, lambda key: key)
        return Source(label, strengths, entry.get("scale", "alpha/rank"), as_map(entry.get("blocks")), layers, {})

    def _motion_lora(self, label: str, entry: dict) -> Source:
        modules = {"unet": sorted({k.rpartition(".")[0] for k in self.motion})}
        layers = self._adapter(label, entry, entry["lora"], modules, motion_name)
        return Source(label, {"unet": float(entry.get("alpha", 1))}, entry.get("scale", "alpha/rank"), as_map(entry.get("blocks")), layers, {})

    def _adapter(self, label: str, entry: dict, file: str, modules: dict, rename) -> dict[tuple[str, str], Layer]:
        path = self._path(file)
        metadata = safe_open(str(path), "pt").metadata() if path.suffix == ".safetensors" else None
        tensors = {rename(key): read for key, read in open_tensors(path).items()}
        layers, _, unmatched = read_adapter(tensors, metadata, modules, self.layers)
        check_accounts(label, entry, unmatched, len(layers))
        return {(layer.component, layer.module): layer for layer in layers}

    @property
    def components(self) -> tuple[str, ...]:
        """The graphs of the package."""
        return tuple(self.sources)

    def names(self, component: str) -> list[str]:
        """Parameter names as diffusers and transformers write them; positional encodings are computed, so not among them."""
        return [*self.sources[component], *(self.motion if component == "unet" else [])]

    def tensor(self, component: str, name: str) -> Merged:
        if component == "unet" and name in self.motion:
            return self._motion_tensor(name)
        module, _, leaf = name.rpartition(".")
        stored = {end: self.sources[component].get(f"{module}.{end}") for end in ("weight", "bias")}
        running = {end: None if read is None else Sum.of(read()) for end, read in stored.items()}
        if leaf not in running:
            running = {leaf: Sum.of(self.sources[component][name]())}
        first, rules = running[leaf], []
        for change in self.changes if component not in VAE_PREFIXES else []:
            strength = change.strength(component, name, self.layers) if component in change.strengths else 0.0
            if component in change.model:
                before = running[leaf]
                w, w0 = change.model[component][name]().double(), self.sources[component][name]().double()
                running[leaf] = before.plus(strength * (w - w0), abs(strength) * (w.abs() + w0.abs()))
                rules.append(f"{change.label} checkpoint")
            elif (layer := change.layers.get((component, module))) and (leaf != "bias" or BIAS_PARTS & layer.parts.keys()):
                # a module's weight and its bias may have strengths of their own; each is asked for by its own name
                before = dict(running)
                weight, bias, kind = apply(read_layer(layer), running["weight"], running["bias"], strength, change.convention)
                running = {"weight": weight, "bias": bias}
                if leaf == "bias":  # the weight's own strength does not matter here
                    running["weight"] = before["weight"]
                if running[leaf] is not before[leaf]:
                    shape = merged_shape(running[leaf].value)
                    rules.append(f"{change.label} {shape if kind == 'lora' else kind}")
        merged = running[leaf]
        return Merged(merged.value, merged.magnitude, tuple(rules) if merged is not first else ("untouched",))

    def _motion_tensor(self, name: str) -> Merged:
        """With a base: mb + gamma (m - mb), then what motion LoRAs add. Without: m and what they add, times gamma on every parameter (mode `weights`) or on
        what each module adds to its input, weight and bias of proj_out."""
        value, rules = Sum.of(self.motion[name]()), []
        gain = self.gamma * block_weight(self.motion_blocks, "unet", name, self.layers)
        if self.motion_base is not None:
            base = self.motion_base[name]().double()
            value = Sum(base + gain * (value.value - base), base.abs() + abs(gain) * (value.magnitude + base.abs()))
            rules.append("motion from base")
        module, _, leaf = name.rpartition(".")
        for lora in self.motion_loras:
            layer = lora.layers.get(("unet", module))
            if layer and leaf == "weight":
                value, _, kind = apply(read_layer(layer), value, None, lora.strength("unet", name, self.layers), lora.convention)
                rules.append(f"{lora.label} {kind}")
        if self.motion_base is None and (self.mode == "weights" or re.search(r"\.motion_modules\.\d+\.proj_out\.", name)):
            value = Sum(value.value * gain, value.magnitude * abs(gain))
            rules.append(f"motion {self.mode}")
        return Merged(value.value, value.magnitude, tuple(rules) or ("motion untouched",))

    def rounded(self, component: str, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        """All merged tensors of a component, rounded once to dtype and widened to float32."""
        return {name: self.tensor(component, name).value.to(dtype).float() for name in self.names(component)}


if __name__ == "__main__":
    reference = MergeReference.load(sys.argv[1])
    for component in reference.components:
        counts = collections.Counter(reference.tensor(component, name).rules for name in reference.names(component))
        for rules, count in sorted(counts.items()):
            print(f"{component:13} {count:5}  {' + '.join(rules)}")

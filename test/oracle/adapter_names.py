"""Reads an adapter file: whose every tensor is, in every naming that trainers write. Shares no code with the tool.

kohya and LyCORIS write `lora_unet_`, `lora_te_`, `lora_te1_` or `lycoris_` and the module's path with its dots made underscores, which only a table of all
modules undoes; diffusers and PEFT write the path itself, with a prefix (`unet.`, `text_encoder.`, `base_model.model.`) and various endings.
"""
import json
import re
from dataclasses import dataclass, field

import torch

from sd15_names import ldm_unet_module

KOHYA_PARTS = {
    "lora_down.weight": "down", "lora_up.weight": "up", "lora_mid.weight": "mid", "alpha": "alpha", "dora_scale": "dora_scale",
    **{name: name for name in ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2", "lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2",
                               "lokr_w2_a", "lokr_w2_b", "lokr_t2", "on_input", "diff", "diff_b", "w_norm", "b_norm", "oft_blocks", "rescale")},
    "weight": "ia3", **{f"{name}.weight": f"glora_{name}" for name in ("a1", "a2", "b1", "b2")},
}
DOTTED_ENDINGS = (  # pattern of the ending -> part
    (r"\.lora_A(?:\.default)?\.weight", "down"), (r"\.lora_B(?:\.default)?\.weight", "up"), (r"\.lora_B(?:\.default)?\.bias", "up_bias"),
    (r"\.lora_magnitude_vector(?:\.default)?(?:\.weight)?", "magnitude"), (r"\.lora\.down\.weight", "down"), (r"\.lora\.up\.weight", "up"),
    (r"\.lora_linear_layer\.down\.weight", "down"), (r"\.lora_linear_layer\.up\.weight", "up"), (r"\.alpha", "alpha"),
    *((rf"\.{name}(?:\.default)?", name) for name in KOHYA_PARTS if name.startswith(("hada_", "lokr_"))),
)
PROCESSORS = {"unet": {"to_q": "to_q", "to_k": "to_k", "to_v": "to_v", "to_out": "to_out.0"},
              "text_encoder": {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}}


@dataclass
class Layer:
    """What a file says about one module."""

    component: str
    module: str
    parts: dict[str, torch.Tensor] = field(default_factory=dict)
    alpha: float | None = None  # from the header, where the file's metadata has one
    rslora: bool = False


def flat_names(modules: dict[str, list[str]], layers: int = 2) -> dict[str, tuple[str, str]]:
    """Every underscore name -> (component, module). `modules`: component -> module paths."""
    names: dict[str, tuple[str, str]] = {}

    def add(name, component, module):
        name = name.replace(".", "_")
        if names.setdefault(name, (component, module)) != (component, module):
            raise ValueError(f"{name} names two modules")

    for module in modules.get("unet", []):
        add(f"lora_unet_{module}", "unet", module)
        add(f"lycoris_{module}", "unet", module)
        try:
            add(f"lora_unet_{ldm_unet_module(module, layers)}", "unet", module)
        except KeyError:
            pass
        if module == "up_blocks.0.upsamplers.0.conv":  # what LyCORIS' converter calls it, by mistake
            add(f"lora_unet_output_blocks_{layers}_2_conv", "unet", module)
    for module in modules.get("text_encoder", []):
        for prefix in ("lora_te_", "lora_te1_", "lycoris_"):
            add(f"{prefix}{module}", "text_encoder", module)
    return names


def dotted(key: str, modules: dict[str, list[str]]) -> tuple[str, str, str] | None:
    """(component, module, part) of a diffusers or PEFT key."""
    name = key.removeprefix("base_model.model.")
    components = ["unet", "text_encoder"]
    for component in components:
        if name.startswith(f"{component}."):
            name, components = name.removeprefix(f"{component}."), [component]
            break
    for component in components:
        found = re.fullmatch(r"(.+?)(?:\.processor)?\.(to_q|to_k|to_v|to_out)_lora\.(down|up)\.weight", name)
        if found and f"{found[1]}.{PROCESSORS[component][found[2]]}" in modules.get(component, ()):
            return component, f"{found[1]}.{PROCESSORS[component][found[2]]}", found[3]
        for ending, part in DOTTED_ENDINGS:
            found = re.fullmatch(rf"(.+?){ending}", name)
            if found and found[1] in modules.get(component, ()):
                return component, found[1], part
    return None


def header(metadata: dict[str, str], component: str) -> dict:
    """What diffusers wrote about a component's adapter into `lora_adapter_metadata`: keys prefixed by the component, or bare from save_lora_adapter."""
    text = (metadata or {}).get("lora_adapter_metadata")
    if not text:
        return {}
    entries = json.loads(text)
    ours = {k.removeprefix(f"{component}."): v for k, v in entries.items() if k.startswith(f"{component}.")}
    return ours or {k: v for k, v in entries.items() if not k.startswith(("unet.", "text_encoder."))}


def pattern_value(patterns: dict, module: str, default):
    """PEFT's rule for alpha_pattern: the first key that the module's path ends with, as a regular expression."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default


def read_adapter(tensors: dict, metadata: dict | None, modules: dict[str, list[str]], layers: int = 2) -> tuple[list[Layer], list[str], list[str]]:
    """(layers, keys ignored by rule, unmatched keys). `tensors`: key -> tensor, or a function that reads it."""
    flat, found, ignored, unmatched = flat_names(modules, layers), {}, [], []
    for key, value in tensors.items():
        if key.startswith("bundle_emb."):
            ignored.append(key)
            continue
        stem, _, ending = key.partition(".")
        place = (*flat[stem], KOHYA_PARTS[ending]) if stem in flat and ending in KOHYA_PARTS else dotted(key, modules)
        if place is None:
            unmatched.append(key)
            continue
        component, module, part = place
        layer = found.setdefault((component, module), Layer(component, module))
        if part in layer.parts:
            raise ValueError(f"{key}: {module} has its {part} twice")
        layer.parts[part] = value
    for layer in found.values():
        entry = header(metadata, layer.component)
        if entry and "down" in layer.parts:
            layer.alpha = pattern_value(entry.get("alpha_pattern"), layer.module, entry.get("lora_alpha"))
            layer.rslora = bool(entry.get("use_rslora"))
    return list(found.values()), ignored, unmatched

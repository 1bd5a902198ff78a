"""Random adapters of every kind for a family's modules, in every naming; for family.py. Each changes a weight by about a third of its size."""
import json
import math

import torch

from adapter_formulas import Sum, apply
from adapter_names import KOHYA_PARTS, Layer
from sd15_names import ldm_unet_module

PREFIXES = ("kohya", "te1", "ldm", "lycoris", "peft", "peft-default", "diffusers", "diffusers-down", "attn-procs")
LINEARS = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "time_emb_proj", "proj_in", "proj_out")
CONVOLUTIONS = ("conv1", "conv2", "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv")
NORMS = ("norm1", "norm2", "norm3", "norm", "conv_norm_out", "layer_norm1", "layer_norm2", "final_layer_norm")
TEXT = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
MOTION_TARGETS = ("to_q.weight", "to_k.weight", "to_v.weight", "to_out.0.weight")
GAIN = 0.3  # size of a change, against the weight's
KOHYA_ENDINGS = {part: ending for ending, part in KOHYA_PARTS.items()}


class Draw:
    def __init__(self, generator):
        self.generator = generator

    def normal(self, *shape):
        return torch.randn(shape, generator=self.generator)

    def pick(self, values):
        return values[torch.randint(len(values), (1,), generator=self.generator).item()]


def kernel_of(weight):
    return list(weight.shape[2:])


def lora(d, w, tucker=False):
    rank, out, inputs = d.pick((2, 4, 7)), *w.shape[:2]
    ones = [1] * len(kernel_of(w))
    if tucker and w.ndim == 4 and w.shape[2] > 1:
        return {"down": d.normal(rank, inputs, 1, 1), "mid": d.normal(rank, rank, *kernel_of(w)), "up": d.normal(out, rank, 1, 1)}, ("up",), rank
    return {"down": d.normal(rank, inputs, *kernel_of(w)), "up": d.normal(out, rank, *ones)}, ("up",), rank


def loha(d, w, tucker=False):
    rank, out, inputs = d.pick((2, 3, 5)), *w.shape[:2]
    if tucker and w.ndim == 4 and w.shape[2] > 1:
        parts = {f"hada_w{i}_a": d.normal(rank, out) for i in (1, 2)} | {f"hada_w{i}_b": d.normal(rank, inputs) for i in (1, 2)}
        return parts | {f"hada_t{i}": d.normal(rank, rank, *kernel_of(w)) for i in (1, 2)}, ("hada_w1_a",), rank
    wide = w[0].numel()
    return {f"hada_w{i}_{x}": d.normal(*s) for i in (1, 2) for x, s in (("a", (out, rank)), ("b", (rank, wide)))}, ("hada_w1_a",), rank


def split(size):
    """LyCORIS' factorization with factor -1, near enough: the two closest factors, smaller first."""
    small = max(n for n in range(1, math.isqrt(size) + 1) if size % n == 0)
    return small, size // small


def lokr(d, w, form="half"):
    rank, kernel = 2, kernel_of(w)
    (out1, out2), (in1, in2) = split(w.shape[0]), split(w.shape[1])
    parts = {"lokr_w1_a": d.normal(out1, rank), "lokr_w1_b": d.normal(rank, in1)} if form == "both" else {"lokr_w1": d.normal(out1, in1)}
    scaled = "lokr_w1_a" if form == "both" else "lokr_w1"
    if form == "full":
        parts["lokr_w2"] = d.normal(out2, in2, *kernel)
        rank = None
    elif form == "tucker" and w.ndim == 4 and w.shape[2] > 1:
        parts |= {"lokr_t2": d.normal(rank, rank, *kernel), "lokr_w2_a": d.normal(rank, out2), "lokr_w2_b": d.normal(rank, in2)}
    else:
        parts |= {"lokr_w2_a": d.normal(out2, rank), "lokr_w2_b": d.normal(rank, in2 * math.prod(kernel))}
    return parts, (scaled,), rank


def glora(d, w, old=False):
    out, inputs = w.shape[:2]
    rank, ones = d.pick((2, 3)), [1] * len(kernel_of(w))
    parts = {"a1": d.normal(inputs, rank, *ones), "a2": d.normal(rank, inputs, *ones) / inputs, "b1": d.normal(out, rank, *ones) / 4, "b2": d.normal(rank, inputs, *kernel_of(w)) / math.sqrt(inputs)}
    names = {"a1": "a2", "a2": "a1", "b1": "b2", "b2": "b1"} if old else {n: n for n in parts}
    parts = {f"glora_{names[n]}": v for n, v in parts.items()}
    return parts, (f"glora_{names['a1']}", f"glora_{names['b1']}"), rank


def oft(d, w, rescale=False):
    size = next(n for n in (4, 3, 2, 1) if w.shape[0] % n == 0)
    parts = {"oft_blocks": d.normal(w.shape[0] // size, size, size) * 0.1, "alpha": torch.tensor(d.pick((0.0, 0.001)))}
    if rescale:
        parts["rescale"] = 1 + 0.1 * d.normal(w.shape[0], *[1] * (w.ndim - 1))
    return parts, (), None


def boft(d, w, rescale=False):
    number = next(2**k for k in range(12, -1, -1) if w.shape[0] % 2 ** (k + 1) == 0)
    stages, size = (number - 1).bit_count() + 1, w.shape[0] // number
    parts = {"oft_blocks": d.normal(stages, number, size, size) * 0.1 / math.sqrt(size), "alpha": torch.tensor(0.0)}
    if rescale:
        parts["rescale"] = 1 + 0.1 * d.normal(w.shape[0], *[1] * (w.ndim - 1))
    return parts, (), None


def ia3(d, w):
    on_input = d.pick((0, 1))
    length = w.shape[on_input]
    return {"ia3": 0.2 * d.normal(*([length] if w.ndim == 2 else [1, length, 1, 1])), "on_input": torch.tensor(on_input)}, (), None


def full(d, w):
    return {"diff": d.normal(*w.shape)}, ("diff",), None


def norm(d, w):
    return {"w_norm": 0.1 * d.normal(*w.shape), "b_norm": 0.1 * d.normal(*w.shape)}, (), None


KINDS = {  # kind -> (maker, module endings of the UNet, of the text encoder, decomposed: None, "out" or "in")
    "lora": (lora, LINEARS + CONVOLUTIONS, TEXT, None),
    "lora-tucker": (lambda d, w: lora(d, w, tucker=True), CONVOLUTIONS, (), None),
    "loha": (loha, LINEARS + CONVOLUTIONS, TEXT, None),
    "loha-tucker": (lambda d, w: loha(d, w, tucker=True), CONVOLUTIONS, (), None),
    "lokr": (lokr, LINEARS + CONVOLUTIONS, TEXT, None),
    "lokr-full": (lambda d, w: lokr(d, w, "full"), LINEARS + CONVOLUTIONS, TEXT, None),
    "lokr-both": (lambda d, w: lokr(d, w, "both"), LINEARS, TEXT, None),
    "lokr-tucker": (lambda d, w: lokr(d, w, "tucker"), CONVOLUTIONS, (), None),
    "glora": (glora, LINEARS + CONVOLUTIONS, TEXT, None),
    "glora-old": (lambda d, w: glora(d, w, old=True), LINEARS, TEXT, None),
    "ia3": (ia3, LINEARS + CONVOLUTIONS, TEXT, None),
    "full": (full, LINEARS + CONVOLUTIONS, TEXT, None),
    "norm": (norm, NORMS, NORMS, None),
    "oft": (oft, LINEARS + CONVOLUTIONS, TEXT, None),
    "oft-rescale": (lambda d, w: oft(d, w, rescale=True), LINEARS, TEXT, None),
    "boft": (boft, LINEARS + CONVOLUTIONS, TEXT, None),
    "boft-rescale": (lambda d, w: boft(d, w, rescale=True), LINEARS, TEXT, None),
    "dora": (lora, LINEARS + CONVOLUTIONS, TEXT, "out"),
    "dora-in": (lora, LINEARS + CONVOLUTIONS, TEXT, "in"),
    "dora-loha": (loha, LINEARS, TEXT, "out"),
    "dora-lokr": (lokr, LINEARS, TEXT, "out"),
}
DOTTED_KINDS = ("lora", "dora", "loha", "lokr", "lokr-full")
PROCESSORS = {"to_q": "to_q_lora", "to_k": "to_k_lora", "to_v": "to_v_lora", "to_out.0": "to_out_lora",
              "q_proj": "to_q_lora", "k_proj": "to_k_lora", "v_proj": "to_v_lora", "out_proj": "to_out_lora"}


def key_of(prefix, component, module, part, layers):
    """The file's key for a part of a module, or None where this naming has no word for it."""
    if prefix in ("", "kohya", "te1", "ldm", "lycoris"):
        if component == "text_encoder":
            stem = {"te1": "lora_te1_", "lycoris": "lycoris_"}.get(prefix, "lora_te_") + module
        else:
            stem = "lycoris_" + module if prefix == "lycoris" else "lora_unet_" + (ldm_unet_module(module, layers) if prefix == "ldm" else module)
        return f"{stem.replace('.', '_')}.{KOHYA_ENDINGS[part]}"
    if part == "alpha":
        return None
    if prefix == "attn-procs":
        name = next((n for n in PROCESSORS if module.endswith(f".{n}")), None)
        if name is None or part not in ("down", "up"):
            return None
        parent = module.removesuffix(f".{name}")
        return f"unet.{parent}.processor.{PROCESSORS[name]}.{part}.weight" if component == "unet" else f"text_encoder.{parent}.{PROCESSORS[name]}.{part}.weight"
    if prefix == "diffusers-down":
        ending = {"down": "lora.down.weight", "up": "lora.up.weight"} if component == "unet" else {"down": "lora_linear_layer.down.weight", "up": "lora_linear_layer.up.weight"}
        return f"{component}.{module}.{ending[part]}" if part in ending else None
    infix = ".default" if prefix == "peft-default" else ""
    ending = {"down": f"lora_A{infix}.weight", "up": f"lora_B{infix}.weight", "dora_scale": "lora_magnitude_vector"}.get(part, part)
    return f"{component}.{module}.{ending}" if prefix == "diffusers" else f"base_model.model.{module}.{ending}"


def targets(model, endings):
    for name, module in model.named_modules():
        if getattr(module, "weight", None) is not None and any(name == e or name.endswith(f".{e}") for e in endings):
            yield name, module.weight.detach()


def adapter(kind: str, prefix: str, models: dict, layers: int, generator):
    """(tensors, metadata) of one file. Ranks and alphas vary; a quarter of the modules is left out."""
    if kind not in KINDS or (prefix and prefix not in PREFIXES):
        raise SystemExit(f"{kind}:{prefix}: kinds are {', '.join(KINDS)}, prefixes {', '.join(PREFIXES)}")
    dotted = prefix not in ("", "kohya", "te1", "ldm", "lycoris")
    if dotted and (kind not in DOTTED_KINDS or (prefix in ("attn-procs", "diffusers-down") and kind != "lora")):
        raise SystemExit(f"{kind} has no {prefix} names")
    make, unet_endings, text_endings, decomposed = KINDS[kind]
    if prefix == "attn-procs":
        unet_endings, text_endings = ("to_q", "to_k", "to_v", "to_out.0"), ("q_proj", "k_proj", "v_proj", "out_proj")
    d, state, alphas = Draw(generator), {}, {}
    for component, endings in (("unet", unet_endings), ("text_encoder", () if prefix.startswith("peft") else text_endings)):
        for module, weight in targets(models[component], endings):
            if component == "text_encoder" and not module.startswith("text_model."):
                module = f"text_model.{module}"
            if d.pick((True, True, True, False)):
                parts, scaled, rank = make(d, weight)
                if rank is not None and "alpha" not in parts:
                    alpha = d.pick((None, 1.0, rank / 2, float(rank)))
                    if alpha is not None and (not dotted or prefix == "diffusers" and kind in ("lora", "dora")):
                        parts["alpha"] = torch.tensor(alpha)
                layer = Layer(component, module, parts)
                if scaled:
                    change = apply(layer, Sum.of(weight), None, 1.0, "alpha/rank")[0].value - weight.double()
                    factor = GAIN * weight.double().square().mean().sqrt() / change.square().mean().sqrt()
                    for part in scaled:
                        parts[part] = parts[part] * factor.float()
                if decomposed:
                    moved = apply(layer, Sum.of(weight), None, 1.0, "alpha/rank")[0].value
                    axis = 0 if decomposed == "out" else 1
                    size = moved.square().sum([i for i in range(weight.ndim) if i != axis], keepdim=True).sqrt().float()
                    parts["dora_scale"] = size * (1 + 0.2 * d.normal(*size.shape))
                    if dotted:  # PEFT: [out], and [1, out, 1, 1] for convolutions
                        parts["dora_scale"] = parts["dora_scale"].flatten() if weight.ndim == 2 else parts["dora_scale"].transpose(0, 1)
                if dotted and "alpha" in parts:
                    alphas.setdefault(component, {})[module] = parts.pop("alpha").item()
                for part, tensor in parts.items():
                    key = key_of(prefix, component, module, part, layers)
                    if key is None and part != "alpha":
                        raise SystemExit(f"{kind}: {part} has no {prefix} name")
                    if key:
                        state[key] = tensor
    if dotted and alphas:
        return state, header(state, alphas)
    return state, {"format": "pt"}


def header(state, alphas):
    """`lora_adapter_metadata` as diffusers writes it. A module that is given no alpha has its rank's, so that the default cannot reach it."""
    entries = {}
    for component in ("unet", "text_encoder"):
        ranks = {k.removeprefix(f"{component}.").removesuffix(".lora_A.weight"): v.shape[0] for k, v in state.items() if k.startswith(f"{component}.") and k.endswith(".lora_A.weight")}
        if ranks:
            entries |= {f"{component}.r": 4, f"{component}.lora_alpha": 4, f"{component}.use_rslora": False, f"{component}.rank_pattern": ranks,
                        f"{component}.alpha_pattern": {m: alphas.get(component, {}).get(m, r) for m, r in ranks.items()}, f"{component}.peft_type": "LORA"}
    return {"format": "pt", "lora_adapter_metadata": json.dumps(entries, indent=2, sort_keys=True)}


def save_motion_lora(path, modules, motion, layout, dtype, generator):
    """A motion LoRA without alphas: AnimateDiff's own names in a .ckpt, or diffusers' in safetensors."""
    from safetensors.torch import save_file

    d, state, rank = Draw(generator), {}, 4
    weights = motion.state_dict()
    for module in modules:
        weight = weights[f"{module}.weight"]
        name = next(n for n in PROCESSORS if module.endswith(f".{n}"))
        parent = module.removesuffix(f".{name}")
        if layout == "animatediff":
            head, tail = parent.split(".motion_modules.")
            index, rest = tail.split(".", 1)
            rest = rest.replace(".attn1", ".attention_blocks.0").replace(".attn2", ".attention_blocks.1")
            parent = f"{head}.motion_modules.{index}.temporal_transformer.{rest}"
            stem = f"{parent}.processor.{PROCESSORS[name]}"
            keys = f"{stem}.down.weight", f"{stem}.up.weight"
        else:
            keys = f"unet.{module}.lora_A.weight", f"unet.{module}.lora_B.weight"
        state[keys[0]] = (d.normal(rank, weight.shape[1]) / math.sqrt(weight.shape[1])).to(dtype)
        state[keys[1]] = (GAIN * d.normal(weight.shape[0], rank) / math.sqrt(rank)).to(dtype)
    if layout == "animatediff":
        torch.save(state, path)
        return path
    path = path.with_suffix(".safetensors")
    save_file(state, path, metadata={"format": "pt"})
    return path

"""What each kind of adapter does to a weight, in float64, from the definitions in the papers and the trainers' code. Shares no code with the tool.

    apply(layer, weight, bias, strength, convention) -> (weight, bias, kind)

W is [out, in] or [out, in, kh, kw], s the strength, f the factor that alpha gives. A kind that depends on W sees the running weight. Every kind at strength 0
is the identity and at strength 1 what its trainer computed; between the two a kind that is a rotation moves each of its factors linearly, as LyCORIS does.
"""
import math
from dataclasses import dataclass

import torch

from adapter_names import Layer

CONVENTIONS = {  # (alpha, rank) -> factor
    "alpha/rank": lambda alpha, rank: alpha / rank,
    "raw": lambda alpha, rank: 1.0,
    "rslora": lambda alpha, rank: alpha / math.sqrt(rank),
}


@dataclass(frozen=True)
class Sum:
    """A running tensor and the sum of the absolute values of all that went into it, which float32 rounding scales with."""

    value: torch.Tensor
    magnitude: torch.Tensor

    @classmethod
    def of(cls, tensor: torch.Tensor) -> "Sum":
        return cls(tensor.double(), tensor.double().abs())

    def plus(self, value: torch.Tensor, magnitude: torch.Tensor | None = None) -> "Sum":
        return Sum(self.value + value, self.magnitude + (value.abs() if magnitude is None else magnitude))


def both(function, *tensors):
    """A multilinear function of the tensors, and the same of their absolute values."""
    return function(*tensors), function(*(t.abs() for t in tensors))


def product(up, down):
    return up.flatten(1) @ down.flatten(1)


def tucker(core, out_factor, in_factor):
    """core [p, q, kh, kw], out_factor [p, out], in_factor [q, in] -> [out, in, kh, kw]"""
    return torch.einsum("pqyx,po,qi->oiyx", core, out_factor, in_factor)


def kron(first, second):
    return torch.kron(first.reshape(*first.shape, *[1] * (second.ndim - first.ndim)), second.contiguous())


def lora(p, weight):
    if "mid" in p:
        return *both(lambda m, u, d: tucker(m, u.flatten(1).T, d.flatten(1)), p["mid"], p["up"], p["down"]), p["down"].shape[0]
    return *both(product, p["up"], p["down"]), p["down"].shape[0]


def loha(p, weight):
    if "hada_t1" in p:
        halves = [both(tucker, p[f"hada_t{i}"], p[f"hada_w{i}_a"], p[f"hada_w{i}_b"]) for i in (1, 2)]
    else:
        halves = [both(product, p[f"hada_w{i}_a"], p[f"hada_w{i}_b"]) for i in (1, 2)]
    return halves[0][0] * halves[1][0], halves[0][1] * halves[1][1], p["hada_w1_b"].shape[0]


def lokr(p, weight):
    first = (p["lokr_w1"], p["lokr_w1"].abs()) if "lokr_w1" in p else both(product, p["lokr_w1_a"], p["lokr_w1_b"])
    if "lokr_w2" in p:
        second = p["lokr_w2"], p["lokr_w2"].abs()
    elif "lokr_t2" in p:
        second = both(tucker, p["lokr_t2"], p["lokr_w2_a"], p["lokr_w2_b"])
    else:
        second = both(product, p["lokr_w2_a"], p["lokr_w2_b"])
    rank = p["lokr_w1_b"].shape[0] if "lokr_w1_b" in p else p["lokr_w2_b"].shape[0] if "lokr_w2_b" in p else None
    return kron(first[0], second[0]), kron(first[1], second[1]), rank  # without a factored half there is no rank and no scale


def glora(p, weight):
    """b1 @ b2 + (W @ a1) @ a2 over the input channels; files of LyCORIS before 2.0 have the two of each pair exchanged."""
    a1, a2, b1, b2 = (p[f"glora_{n}"].flatten(1) for n in ("a1", "a2", "b1", "b2"))
    out_channels, in_channels = weight.value.shape[:2]
    rank = b2.shape[0]
    new = a1.shape == (in_channels, rank) and a2.shape == (rank, in_channels) and b1.shape == (out_channels, rank)
    old_rank = b1.shape[0]
    old = a1.shape == (old_rank, in_channels) and a2.shape == (in_channels, old_rank) and b2.shape == (out_channels, old_rank)
    if new and old:
        raise NotImplementedError("GLoRA: the shapes fit both layouts")
    if not new and not old:
        raise ValueError(f"GLoRA: {[tuple(t.shape) for t in (a1, a2, b1, b2)]} fit neither layout")
    if old:
        a1, a2, b1, b2, rank = a2, a1, b2, b1, old_rank

    def through(w, first, second):
        return torch.einsum("oi...,ir,rj->oj...", w, first, second)

    shape = weight.value.shape
    value = (b1 @ b2).view(shape) + through(weight.value, a1, a2)
    return value, (b1.abs() @ b2.abs()).view(shape) + through(weight.magnitude, a1.abs(), a2.abs()), rank


ADDITIVE = (("down", lora), ("hada_w1_a", loha), ("lokr_w1", lokr), ("lokr_w1_a", lokr), ("glora_a1", glora))


def magnitudes(p, shape):
    """DoRA's magnitudes, shaped to multiply a weight, and the axes over which its norm is taken."""
    if "magnitude" in p:  # PEFT: one per output channel, whatever shape it has ([out]; [1, out, 1, 1] for convolutions)
        value, per_output = p["magnitude"], True
    else:
        value = p["dora_scale"]
        sizes = tuple(value.shape)
        if sizes[0] == shape[0] and math.prod(sizes) == shape[0]:
            per_output = True
        elif sizes[:2] == (1, shape[1]) and math.prod(sizes) == shape[1]:
            per_output = False
        else:
            raise ValueError(f"dora_scale {sizes} fits neither axis of {tuple(shape)}")
    if value.numel() != shape[0 if per_output else 1]:
        raise ValueError(f"{tuple(value.shape)} magnitudes for a weight {tuple(shape)}")
    view = [1] * len(shape)
    view[0 if per_output else 1] = -1
    return value.view(view), [d for d in range(len(shape)) if d != (0 if per_output else 1)]


def dora(p, weight: Sum, delta, magnitude, strength) -> Sum:
    scale, axes = magnitudes(p, weight.value.shape)
    moved = weight.plus(delta, magnitude)
    factor = scale / moved.value.square().sum(dim=axes, keepdim=True).sqrt()
    value = weight.value + strength * (factor * moved.value - weight.value)
    return Sum(value, abs(strength) * (factor.abs() * moved.magnitude) + abs(1 - strength) * weight.magnitude)


def cayley(blocks, constraint):
    """R = (I + Q)(I - Q)^-1 for Q = B - B^T, scaled down to a Frobenius norm of `constraint` (over all blocks) where it is larger."""
    q = blocks - blocks.transpose(-1, -2)
    norm = q.norm().item()
    if constraint > 0 and norm > constraint:
        q = q * (constraint / norm)
    identity = torch.eye(q.shape[-1], dtype=q.dtype)
    return (identity + q) @ torch.linalg.inv(identity - q)


def oft(p, weight: Sum, strength) -> Sum:
    blocks, out_channels = p["oft_blocks"], weight.value.shape[0]
    rotation = cayley(blocks, p["alpha"].item() * out_channels if "alpha" in p else 0.0)
    identity = torch.eye(rotation.shape[-1], dtype=rotation.dtype)
    mixing = strength * (rotation - identity) + identity

    def diagonal(mix, w):
        return torch.einsum("knm,kn...->km...", mix, w.unflatten(0, (mix.shape[0], -1))).flatten(0, 1)

    def butterfly(mixes, w):
        for stage, mix in enumerate(mixes):
            stride = 2**stage * mix.shape[-1] // 2
            w = w.unflatten(0, (-1, 2, stride)).transpose(1, 2).flatten(0, 2).unflatten(0, (-1, mix.shape[-1]))
            w = torch.einsum("bij,bj...->bi...", mix, w)
            w = w.flatten(0, 1).unflatten(0, (-1, stride, 2)).transpose(1, 2).flatten(0, 2)
        return w

    rotate = butterfly if blocks.ndim == 4 else diagonal
    rescale = 1 + strength * (p["rescale"].reshape(-1, *[1] * (weight.value.ndim - 1)) - 1) if "rescale" in p else torch.ones(())
    return Sum(rescale * rotate(mixing, weight.value), rescale.abs() * rotate(mixing.abs(), weight.magnitude))


def ia3(p, weight: Sum, strength) -> Sum:
    axis = 1 if "on_input" in p and p["on_input"].item() else 0
    factor = 1 + strength * p["ia3"].reshape([-1 if d == axis else 1 for d in range(weight.value.ndim)])
    return Sum(weight.value * factor, weight.magnitude * factor.abs())


def apply(layer: Layer, weight: Sum, bias: Sum | None, strength: float, convention: str) -> tuple[Sum, Sum | None, str]:
    """`weight` and `bias` after one adapter. Raises ValueError for parts that fit no kind, or not this weight."""
    p = {name: tensor.double() for name, tensor in layer.parts.items()}
    unused = set(p)
    kind = []

    def use(name, *parts):
        kind.append(name)
        unused.difference_update(parts)

    f = 1.0
    for part, function in ADDITIVE:
        if part not in p:
            continue
        delta, magnitude, rank = function(p, weight)
        if delta.numel() != weight.value.numel() or delta.shape[0] != weight.value.shape[0]:
            raise ValueError(f"{layer.module}: the delta is {tuple(delta.shape)}, the weight {tuple(weight.value.shape)}")
        stored = p["alpha"].item() if "alpha" in p else layer.alpha if layer.alpha is not None else rank
        f = 1.0 if rank is None else CONVENTIONS["rslora" if layer.rslora and convention == "alpha/rank" else convention](stored, rank)
        delta, magnitude = (f * delta).view_as(weight.value), (abs(f) * magnitude).view_as(weight.value)
        decomposed = "dora_scale" in p or "magnitude" in p
        weight = dora(p, weight, delta, magnitude, strength) if decomposed else weight.plus(strength * delta, abs(strength) * magnitude)
        family = {"down", "up", "mid"} if function is lora else {n for n in p if n.startswith(function.__name__[:4].replace("loha", "hada"))}
        use(("DoRA " if decomposed else "") + function.__name__, *family, "alpha", "dora_scale", "magnitude")
    if "oft_blocks" in p:
        weight = oft(p, weight, strength)
        use("boft" if p["oft_blocks"].ndim == 4 else "oft", "oft_blocks", "alpha", "rescale")
    if "ia3" in p:
        weight = ia3(p, weight, strength)
        use("ia3", "ia3", "on_input")
    for part in ("diff", "w_norm"):
        if part in p:
            weight = weight.plus(strength * p[part].view_as(weight.value))
            use(part, part, "alpha")
    for part, gain in (("diff_b", strength), ("b_norm", strength), ("up_bias", strength * f)):
        if part in p:
            if bias is None:
                raise ValueError(f"{layer.module} has no bias")
            bias = bias.plus(gain * p[part].view_as(bias.value))
            use(part, part)
    if unused or not kind:
        raise ValueError(f"{layer.module}: cannot make an adapter of {sorted(p)}")
    return weight, bias, "+".join(kind)

"""Golden data for src/formats: what PyTorch and safetensors say the files hold.

Run from the repository root: python test/oracle/formats.py   (needs torch==2.13.0 safetensors numpy)
Writes test/golden/formats.json, formats.ckpt, formats-lightning.ckpt and formats.safetensors.
"""
import hashlib
import json
import math
import sys
import types
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

GOLDEN = Path("test/golden")
TINY = Path("models/tiny")


def raw(tensor):
    """Dense little-endian bytes in C order."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def number(x):
    """JSON has no words for these; the strings are what JavaScript's Number() understands."""
    return x if math.isfinite(x) else "NaN" if math.isnan(x) else "Infinity" if x > 0 else "-Infinity"


def numbers(tensor, dtype):
    return [number(float(x)) for x in tensor.detach().reshape(-1).to(dtype).tolist()]


def dtype_name(tensor):
    names = {"float": "F", "bfloat": "BF", "int": "I", "uint": "U", "bool": "BOOL"}
    name = str(tensor.dtype).removeprefix("torch.")
    kind = name.rstrip("0123456789")
    return names[kind] + name[len(kind):]


def describe(tensor):
    return {
        "dtype": dtype_name(tensor),
        "shape": list(tensor.shape),
        "hex": raw(tensor).hex(),
        "float64": numbers(tensor, torch.float64),
        "float32": numbers(tensor, torch.float32),
    }


def digest(tensors):
    """Of every tensor's bytes, in the order of the names."""
    h = hashlib.sha256()
    for name in sorted(tensors):
        h.update(raw(tensors[name]))
    return h.hexdigest()


def family_file(path):
    tensors = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
    while "state_dict" in tensors:
        tensors = tensors["state_dict"]
    names = sorted(tensors)
    probes = {}
    for name in (names[0], names[len(names) // 2], names[-1]):
        t = tensors[name]
        probes[name] = {
            "dtype": dtype_name(t),
            "shape": list(t.shape),
            "sum": math.fsum(t.double().reshape(-1).tolist()),
            "first": [number(x) for x in t.double().reshape(-1)[:4].tolist()],
        }
    return {"count": len(tensors), "sha256": digest(tensors), "probes": probes}


def every_kind():
    """Every element type, and every way a tensor can lie in its storage."""
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 7
    special = [0.0, -0.0, 1.0, 1 / 3, 65504.0, 6e-8, float("inf"), float("-inf"), float("nan")]
    big = [0, -1, 2**53 + 2, -(2**63), 2**63 - 1]
    return OrderedDict(
        f64=torch.tensor(special + [math.pi, 1e300], dtype=torch.float64),
        f32=torch.tensor(special + [1e38], dtype=torch.float32),
        f16=torch.tensor(special, dtype=torch.float16),
        bf16=torch.tensor(special, dtype=torch.bfloat16),
        i64=torch.tensor(big),
        i32=torch.tensor([0, -1, 2**31 - 1, -(2**31), 2**24 + 1], dtype=torch.int32),
        i16=torch.tensor([0, -1, 2**15 - 1, -(2**15)], dtype=torch.int16),
        i8=torch.tensor([0, -1, 127, -128], dtype=torch.int8),
        u8=torch.tensor([0, 1, 255], dtype=torch.uint8),
        u16=torch.tensor([0, 1, 65535]).to(torch.uint16),
        u32=torch.tensor([0, 1, 2**32 - 1]).to(torch.uint32),
        u64=torch.tensor([0, 1, 2**52]).to(torch.uint64),
        bool=torch.tensor([True, False, True]),
        base=base,
        base_again=base,
        transposed=base.t(),
        columns=base[:, 1:6:2],
        rows=base[1:3],
        corner=base[2:, 4:],
        permuted=torch.arange(24, dtype=torch.float16).reshape(2, 3, 4).permute(2, 0, 1),
        transposed_f64=torch.arange(6, dtype=torch.float64).reshape(2, 3).t(),
        transposed_i8=torch.arange(6, dtype=torch.int8).reshape(2, 3).t(),
        transposed_bf16=torch.arange(6).to(torch.bfloat16).reshape(2, 3).t(),
        expanded=torch.tensor([[1.0], [2.0]]).expand(2, 3),
        one_row=torch.arange(3.0).reshape(3, 1).t(),
        scalar=torch.tensor(2.5),
        empty=torch.zeros(0, 3),
        parameter=torch.nn.Parameter(torch.tensor([1.5, -2.5])),
        nested={"inner": torch.tensor([4.0]), "list": [torch.tensor([5.0]), torch.tensor([6.0])], "note": "text"},
    )


def flatten(value, name=""):
    if isinstance(value, torch.Tensor):
        return {name: value}
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    flat = {}
    for key, child in pairs:
        flat |= flatten(child, f"{name}.{key}" if name else str(key))
    return flat


def foreign(name):
    """A class of a module that is not installed, as training frameworks leave in their checkpoints."""
    module, cls = name.rsplit(".", 1)
    for i in range(1, module.count(".") + 2):
        part = ".".join(module.split(".")[:i])
        sys.modules.setdefault(part, types.ModuleType(part))
    made = type(cls, (), {"__module__": module})
    setattr(sys.modules[module], cls, made)
    return made()


def lightning():
    config = foreign("omegaconf.dictconfig.DictConfig")
    config._content = {"lr": np.float64(1e-4), "betas": (0.9, 0.999)}
    callback = foreign("pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint")
    callback.best = torch.tensor([9.0])
    return {
        "epoch": 7,
        "global_step": 2**40,
        "negative": -(2**70),
        "pytorch-lightning_version": "1.4.2",
        "done": True,
        "loss": 0.25,
        "tags": {"a"},
        "frozen": frozenset({1}),
        "blob": b"\x00\x01",
        "hyper_parameters": config,
        "callbacks": {callback.__class__: callback},
        "defaults": defaultdict(int, {3: 4}),
        "state_dict": {"state_dict": torch.nn.Linear(3, 2).state_dict()},
    }


def rounding():
    """sha256 over all conversions of 2^16 bit patterns; NaN, whose payload is nobody's business, counts as 0."""
    halves = torch.arange(65536, dtype=torch.int32).to(torch.uint16)
    spread = ((torch.arange(65536, dtype=torch.int64) * 65537) % 2**32).to(torch.uint32).view(torch.float32)

    def sha(tensor):
        return hashlib.sha256(raw(torch.where(torch.isnan(tensor), torch.zeros_like(tensor), tensor))).hexdigest()

    return {
        "F16 to float32": sha(halves.view(torch.float16).float()),
        "BF16 to float32": sha(halves.view(torch.bfloat16).float()),
        "float32 to F16": sha(spread.to(torch.float16)),
        "float32 to BF16": sha(spread.to(torch.bfloat16)),
    }


def main():
    torch.manual_seed(0)
    kinds = every_kind()
    torch.save({"epoch": 3, "step": 10**12, "rate": 0.5, "none": None, "state_dict": kinds}, GOLDEN / "formats.ckpt")
    trained = lightning()
    torch.save(trained, GOLDEN / "formats-lightning.ckpt", pickle_protocol=4)
    flat = {name: t.detach().contiguous().clone() for name, t in flatten(kinds).items()}
    named = {f"{name}.é\U0001f600\n" if name == "f64" else name: t for name, t in flat.items()}
    named |= {"0": torch.ones(1), "10": torch.ones(1), "9": torch.ones(1), "__proto__": torch.ones(1)}
    save_file(named, GOLDEN / "formats.safetensors", metadata={"format": "pt \u2028\x1b"})
    files = ["ink.safetensors", "lcm.safetensors", "reference.safetensors", "animatelcm.ckpt", "animatediff.ckpt"]
    files += [f"base/{part}.safetensors" for part in ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model")]
    golden = {
        "family": {name: family_file(TINY / name) for name in files},
        "kinds": {name: describe(t) for name, t in flatten(kinds).items()},
        "lightning": {name: describe(t) for name, t in trained["state_dict"]["state_dict"].items()},
        "named": {name: describe(t) for name, t in named.items()},
        "rounding": rounding(),
    }
    (GOLDEN / "formats.json").write_text(json.dumps(golden, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()

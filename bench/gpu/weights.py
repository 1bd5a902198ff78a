"""Random weights for the graphs of bench/gpu/graphs.ts, as the file beside them and as a state dict for diffusers.

Library of run.py. Shapes and places come from the graph's own table of external data, so nothing but the graph has to be carried.

needs: torch onnx
"""
import json
import math
import mmap
import zlib
from pathlib import Path

import onnx
import torch

DEVIATES = 1_048_573  # a prime number, so that no row of a weight repeats another


def external_tensors(model):
    """[(name, shape, offset, length)] of the initializers that lie in the weight file, in its order."""
    found = []
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            place = {entry.key: entry.value for entry in tensor.external_data}
            if tensor.data_type != onnx.TensorProto.FLOAT16:
                raise ValueError(f"{tensor.name} is of ONNX type {tensor.data_type}; these graphs have fp16 weights.")
            found.append((tensor.name, tuple(tensor.dims), int(place["offset"]), int(place["length"])))
    return sorted(found, key=lambda entry: entry[2])


def is_transposed(name, shape):
    """Linear weights lie [in, out]; the UNet has no other matrices."""
    return len(shape) == 2 and name.endswith(".weight")


def sinusoid(shape):
    """AnimateDiff's positional encoding [1, positions, channels], which diffusers makes by itself."""
    _, positions, channels = shape
    angles = torch.arange(positions).unsqueeze(1) * torch.exp(torch.arange(0, channels, 2) * (-math.log(10000.0) / channels))
    table = torch.zeros(shape)
    table[0, :, 0::2], table[0, :, 1::2] = torch.sin(angles), torch.cos(angles)
    return table


def random_tensor(name, shape, deviates):
    """As a trained one: weights by their fan-in, norms about one, biases about zero. Equal for equal names."""
    if name.endswith("pos_embed.pe"):
        return sinusoid(shape).half()
    count = math.prod(shape)
    start = zlib.crc32(name.encode()) % DEVIATES
    numbers = deviates.roll(-start).repeat(-(-count // DEVIATES))[:count].reshape(shape)
    if len(shape) == 1:
        return (0.05 * numbers + (1.0 if name.endswith(".weight") else 0.0)).half()
    fan_in = shape[0] if is_transposed(name, shape) else math.prod(shape[1:])
    return (numbers / math.sqrt(fan_in)).half()


def make_weights(folder: Path):
    """Writes the weight file unless it is there at its full length."""
    tensors = external_tensors(onnx.load(folder / "model.onnx", load_external_data=False))
    path = folder / json.loads((folder / "size.json").read_text())["weights"]
    _, _, offset, length = tensors[-1]
    if path.exists() and path.stat().st_size == offset + length:
        return path
    deviates = torch.randn(DEVIATES, generator=torch.Generator().manual_seed(0))
    with open(path, "wb") as file:
        for name, shape, offset, _ in tensors:
            file.seek(offset)
            file.write(random_tensor(name, shape, deviates).numpy().tobytes())
    return path


def load_weights(folder: Path, model=None):
    """{name: fp16 tensor as it lies in the file}; the file is mapped, not read."""
    tensors = external_tensors(model or onnx.load(folder / "model.onnx", load_external_data=False))
    with open(make_weights(folder), "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    return {name: torch.frombuffer(mapped, dtype=torch.float16, count=length // 2, offset=offset).reshape(shape)
            for name, shape, offset, length in tensors}


def state_dict(folder: Path):
    """The same weights as diffusers names and lays them."""
    return {name: tensor.T if is_transposed(name, tensor.shape) else tensor for name, tensor in load_weights(folder).items()}

"""Evaluates an exported graph node by node in PyTorch as a device does that keeps every value in the type the graph gives it: float16 values are
computed in float32 and rounded (to infinity beyond 65504), and what is float32 in the graph stays so. onnxruntime's CPU provider does not show this: it
has no float16 kernels, computes in float32 across several operators, and rounds in some places only.

Library of precision.py; it knows the operators of the portable graphs.

needs: torch numpy onnx
"""
from pathlib import Path
from typing import Callable

import numpy
import onnx
import torch
import torch.nn.functional as F
from onnx import TensorProto, numpy_helper

TYPES = {TensorProto.FLOAT: torch.float32, TensorProto.FLOAT16: torch.float16, TensorProto.INT64: torch.int64}


def _instance_norm(x, scale, bias, epsilon=1e-5):
    return F.instance_norm(x, weight=scale, bias=bias, eps=epsilon)


def _resize(x, _roi, scales=None, sizes=None, **_):
    size = sizes.tolist()[2:] if sizes is not None and sizes.numel() else [round(n * k) for n, k in zip(x.shape[2:], scales.tolist()[2:])]
    return F.interpolate(x, size=size, mode="nearest")


def _conv(x, w, b, pads=(0, 0, 0, 0), strides=(1, 1), **_):
    return F.conv2d(x, w, b, stride=tuple(strides), padding=(pads[0], pads[1]))


def _slice(x, starts, ends, axes, *_):
    index = [slice(None)] * x.ndim
    for start, end, axis in zip(starts.tolist(), ends.tolist(), axes.tolist()):
        index[axis] = slice(start, end)
    return x[tuple(index)]


def _reshape(x, shape):
    return x.reshape([x.shape[i] if n == 0 else n for i, n in enumerate(shape.tolist())])


def _shape(x, start=0, end=None):
    return torch.tensor(x.shape[start:end], dtype=torch.int64)


def _split(x, lengths=None, axis=0, num_outputs=None):
    return x.split(lengths.tolist(), axis) if lengths is not None else x.chunk(num_outputs, axis)


OPERATORS: dict[str, Callable] = {
    "Add": torch.add, "Mul": torch.mul, "MatMul": torch.matmul, "Sigmoid": torch.sigmoid, "Cos": torch.cos, "Sin": torch.sin, "Identity": lambda x: x,
    "Cast": lambda x, to: x, "Reshape": _reshape, "Transpose": lambda x, perm: x.permute(*perm), "Concat": lambda *x, axis: torch.cat(x, axis),
    "Split": _split, "Slice": _slice, "Gather": lambda table, ids, axis=0: table[ids], "Shape": _shape, "Expand": lambda x, shape: x.expand(shape.tolist()),
    "Conv": _conv, "Resize": _resize, "InstanceNormalization": _instance_norm, "Softmax": lambda x, axis=-1: x.softmax(axis),
    "LayerNormalization": lambda x, w, b, axis=-1, epsilon=1e-5: F.layer_norm(x, x.shape[-1:], w, b, epsilon),
    "Gelu": lambda x, approximate=b"none": F.gelu(x),
}


class HalfGraph:
    """The portable graph at `path`, whose weights stay in their file."""

    def __init__(self, path: Path):
        self.model = onnx.load(path, load_external_data=False).graph
        self.folder = str(path.parent)
        self.initializers = {t.name: t for t in self.model.initializer}
        self.constants = {}
        self.last_use = {name: i for i, node in enumerate(self.model.node) for name in node.input}
        self.types = self._infer_types()

    def _infer_types(self) -> dict[str, torch.dtype]:
        """Of every value: a Cast says its own, any other node has that of its first operand that is no integer (but for lookups and shapes, which have one)."""
        types = {v.name: TYPES[v.type.tensor_type.elem_type] for v in self.model.input} | {name: TYPES[t.data_type] for name, t in self.initializers.items()}
        for node in self.model.node:
            floats = [types[name] for name in node.input if name and types[name].is_floating_point]
            to = next((TYPES[a.i] for a in node.attribute if a.name == "to"), None)
            kind = to if node.op_type == "Cast" else floats[0] if floats and node.op_type != "Shape" else torch.int64
            types.update(dict.fromkeys(node.output, kind))
        return types

    def _initializer(self, name: str) -> torch.Tensor:
        tensor = self.initializers[name]
        if len(tensor.external_data) > 0:  # a weight: read from the mapped file each time, so that only what is in use is in memory
            place = {e.key: e.value for e in tensor.external_data}
            dtype = numpy.float16 if tensor.data_type == TensorProto.FLOAT16 else numpy.float32
            data = numpy.memmap(f"{self.folder}/{place['location']}", dtype, "r", int(place["offset"]), tuple(tensor.dims))
            return torch.from_numpy(numpy.array(data))
        if name not in self.constants:
            self.constants[name] = torch.from_numpy(numpy_helper.to_array(tensor).copy())
        return self.constants[name]

    def run(self, feeds: dict[str, torch.Tensor], *, weights: dict[str, float] = {}, rounded: Callable = lambda node, kind: kind, replace: Callable = lambda node, operands: None, observe: Callable = lambda node, value: None):
        """Outputs by name. `weights` multiplies parameters. `rounded(node, type)` may keep a node's value in another type than the graph's. `replace(node, operands)`
        may compute a node its own way, from operands in float32; what it returns is rounded like any other. `observe(node, value)` sees what was kept."""
        values = dict(feeds)

        def operand(name: str):
            if name == "":
                return None
            if name in values:
                return values[name]
            value = self._initializer(name)
            return (value.float() * weights[name]).to(value.dtype) if name in weights else value

        for i, node in enumerate(self.model.node):
            operands = [operand(name) for name in node.input]
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            wide = [x.float() if x is not None and x.is_floating_point() else x for x in operands]
            made = replace(node, wide)
            if made is None:
                made = OPERATORS[node.op_type](*wide, **attributes)
            results = made if isinstance(made, (tuple, list)) else [made]
            for name, value in zip(node.output, results):
                kind = self.types[name]
                value = value.to(rounded(node, kind) if kind.is_floating_point else kind)
                observe(node, value)
                values[name] = value
            for name in node.input:
                if self.last_use.get(name) == i:
                    values.pop(name, None)
        return {output.name: values[output.name].float() for output in self.model.output}

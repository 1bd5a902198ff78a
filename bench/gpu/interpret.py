"""A graph for CUDA run node by node in PyTorch: what its fused operators stand for, from onnxruntime's docs/ContribOperators.md.

    python bench/gpu/interpret.py out/gpu/small        # agreement with onnxruntime's result of the portable graph, on any machine

Library of run.py, which also counts operations and bytes with it (on tensors without data). Shapes must be static.

needs: torch onnx numpy, onnxruntime for the comparison
"""
import math
import sys
from pathlib import Path

import onnx
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper

sys.path.insert(0, str(Path(__file__).parent))
from weights import load_weights  # noqa: E402

TYPES = {onnx.TensorProto.FLOAT: torch.float32, onnx.TensorProto.FLOAT16: torch.float16, onnx.TensorProto.INT64: torch.int64}


def nhwc_conv(x, w, b=None, *, strides, pads, kernel_shape):
    y = F.conv2d(x.permute(0, 3, 1, 2), w.permute(0, 3, 1, 2), b, stride=tuple(strides), padding=tuple(pads[:2]))
    return y.permute(0, 2, 3, 1)


def group_norm(x, gamma, beta, *, groups, epsilon, activation, channels_last):
    assert channels_last == 1 and gamma.dtype == beta.dtype == torch.float32
    y = F.group_norm(x.permute(0, 3, 1, 2).float(), groups, gamma, beta, epsilon)
    return (F.silu(y) if activation else y).permute(0, 2, 3, 1).to(x.dtype)


def skip_group_norm(x, gamma, beta, skip, bias=None, **attributes):
    if skip.shape != x.shape:
        assert skip.numel() == x.shape[0] * x.shape[3], f"skip {tuple(skip.shape)} of {tuple(x.shape)}"
        skip = skip.reshape(x.shape[0], 1, 1, x.shape[3])
    total = (x if bias is None else x + bias) + skip
    return group_norm(total, gamma, beta, **attributes), total


def skip_layer_norm(x, skip, gamma, beta, bias=None, *, epsilon):
    total = (x if bias is None else x + bias) + skip
    return F.layer_norm(total, total.shape[-1:], gamma, beta, epsilon), None, None, total


def multi_head_attention(q, k, v, *, num_heads, unidirectional=0, scale=None):
    split = lambda x: x.unflatten(2, (num_heads, -1)).transpose(1, 2)  # noqa: E731
    y = F.scaled_dot_product_attention(split(q), split(k), split(v), is_causal=bool(unidirectional), scale=scale)
    return y.transpose(1, 2).flatten(2)


def bias_split_gelu(x, bias):
    left, right = (x + bias).float().chunk(2, dim=-1)
    return (left * F.gelu(right)).to(x.dtype)


def resize(x, roi, scales=None, sizes=None, *, mode, coordinate_transformation_mode, nearest_mode):
    assert (mode, coordinate_transformation_mode, nearest_mode) == ("nearest", "asymmetric", "floor")
    for axis, length in enumerate(x.shape):
        out = int(sizes[axis]) if sizes is not None else int(length * scales[axis])
        if out != length:
            x = x.index_select(axis, (torch.arange(out) * length // out).to(x.device))
    return x


def slice_(x, starts, ends, axes):
    for axis, start, end in zip(axes.tolist(), starts.tolist(), ends.tolist()):
        x = x.narrow(axis, start, end - start)
    return x


def reshape(x, shape):
    return x.reshape([x.shape[i] if n == 0 else n for i, n in enumerate(shape.tolist())])


OPERATORS = {
    "Add": torch.add, "Mul": torch.mul, "MatMul": torch.matmul, "Sigmoid": torch.sigmoid, "Cos": torch.cos, "Sin": torch.sin,
    "Identity": lambda x: x,
    "Cast": lambda x, *, to: x.to(TYPES[to]),
    "Concat": lambda *xs, axis: torch.cat(xs, dim=axis),
    "Expand": lambda x, shape: x.expand(shape.tolist()),
    "Gelu": lambda x, *, approximate: F.gelu(x, approximate=approximate),
    "Reshape": reshape, "Resize": resize, "Slice": slice_,
    "Split": lambda x, *, axis, num_outputs: x.chunk(num_outputs, dim=axis),
    "Transpose": lambda x, *, perm: x.permute(perm),
    "BiasAdd": lambda x, bias, skip: x + bias + skip,
    "BiasSplitGelu": bias_split_gelu, "GroupNorm": group_norm, "MultiHeadAttention": multi_head_attention, "NhwcConv": nhwc_conv,
    "SkipGroupNorm": skip_group_norm, "SkipLayerNormalization": skip_layer_norm,
}
VIEWS = {"Reshape", "Identity"}


def constants(model):
    """Initializers that the graph itself carries."""
    return {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in model.graph.initializer
            if t.data_location != onnx.TensorProto.EXTERNAL}


def interpret(model, weights, feeds, watch=lambda node, inputs, outputs: None):
    """{name: value} of the graph's outputs. `watch` sees every node that depends on `feeds` with its values."""
    values = {**constants(model), **weights}
    last_use = {name: i for i, node in enumerate(model.graph.node) for name in node.input}
    known = set(values)
    values |= feeds
    device = next(iter(feeds.values())).device
    outputs = {output.name for output in model.graph.output}
    for i, node in enumerate(model.graph.node):
        inputs = [values[name] if name else None for name in node.input]
        is_known = all(name in known for name in node.input if name)
        if not is_known and device.type != "meta":
            inputs = [x.to(device) if x is not None and x.dtype != torch.int64 else x for x in inputs]
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        attributes = {name: value.decode() if isinstance(value, bytes) else value for name, value in attributes.items()}
        made = OPERATORS[node.op_type](*inputs, **attributes)
        made = made if isinstance(made, (tuple, list)) else (made,)
        values |= {name: value for name, value in zip(node.output, made) if name}
        if is_known:
            known.update(node.output)
        else:
            watch(node, inputs, [value for name, value in zip(node.output, made) if name])
        for name in node.input:
            if last_use.get(name) == i and name not in outputs and name not in weights:
                values.pop(name, None)
    return {name: values[name] for name in outputs}


def matrix_flops(node, inputs, outputs):
    """Multiplications and additions of products, convolutions and attention."""
    if node.op_type == "MatMul":
        return 2 * outputs[0].numel() * inputs[1].shape[0]
    if node.op_type == "NhwcConv":
        return 2 * outputs[0].numel() * math.prod(inputs[1].shape[1:])
    if node.op_type == "MultiHeadAttention":
        return 4 * inputs[0].numel() * inputs[1].shape[1]
    return 0


def count(model, size):
    """{operator: {nodes, flops, bytes}} of one step: what each node computes, and what it reads and writes if it runs alone."""
    meta = torch.device("meta")
    weights = {t.name: torch.empty(tuple(t.dims), dtype=torch.float16, device=meta) for t in model.graph.initializer
               if t.data_location == onnx.TensorProto.EXTERNAL}
    shapes = input_shapes(size)
    feeds = {"sample": torch.empty(shapes["sample"], device=meta), "timestep": torch.empty((), dtype=torch.int64, device=meta),
             "encoder_hidden_states": torch.empty(shapes["encoder_hidden_states"], device=meta)}
    totals = {}

    def watch(node, inputs, outputs):
        if node.op_type in VIEWS:
            return
        row = totals.setdefault(node.op_type, {"nodes": 0, "flops": 0, "bytes": 0})
        row["nodes"] += 1
        row["flops"] += matrix_flops(node, inputs, outputs)
        row["bytes"] += sum(x.numel() * x.element_size() for x in (*inputs, *outputs) if x is not None)

    small = constants(model)
    for name in small:
        if small[name].dtype != torch.int64 and not name.startswith("const.float32.[4]"):  # scales of Resize are read, the others only used
            weights[name] = small[name].to(meta)
    interpret(model, weights, feeds, watch)
    return totals


def input_shapes(size):
    return {"sample": (size["batch"], size["config"]["in_channels"], size["frames"], size["height"], size["width"]),
            "encoder_hidden_states": (size["batch"], size["tokens"], size["config"]["cross_attention_dim"])}


def random_feeds(size, timestep=731):
    shapes = input_shapes(size)
    draw = lambda name, seed: torch.randn(shapes[name], generator=torch.Generator().manual_seed(seed))  # noqa: E731
    return {"sample": draw("sample", 0), "timestep": torch.tensor(timestep), "encoder_hidden_states": draw("encoder_hidden_states", 1)}


def relative_error(found, expected):
    found, expected = found.double().cpu(), expected.double().cpu()
    return ((found - expected).norm() / expected.norm()).item()


def widened(model):
    """The same graph computing in float32: casts to fp16 go to float32 instead."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    for node in wide.graph.node:
        if node.op_type == "Cast":
            for attribute in node.attribute:
                if attribute.name == "to" and attribute.i == onnx.TensorProto.FLOAT16:
                    attribute.i = onnx.TensorProto.FLOAT
    return wide


def main():
    import json
    import onnxruntime
    folder = Path(sys.argv[1])
    size = json.loads((folder / "size.json").read_text())
    model = onnx.load(folder / "model.cuda.onnx", load_external_data=False)
    weights, feeds = load_weights(folder, model), random_feeds(size)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(folder / "model.cpu.onnx", options, providers=["CPUExecutionProvider"])
    expected = torch.from_numpy(session.run(["out_sample"], {name: value.numpy() for name, value in feeds.items()})[0])
    with torch.inference_mode():
        wide = interpret(widened(model), {name: value.float() for name, value in weights.items()}, feeds)["out_sample"]
        half = interpret(model, weights, feeds)["out_sample"]
    print(f"{folder}/model.cuda.onnx in PyTorch against model.cpu.onnx in onnxruntime: float32 {relative_error(wide, expected):.1e}, fp16 {relative_error(half, expected):.1e}")


if __name__ == "__main__":
    main()

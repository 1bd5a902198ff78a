"""Writes test/golden/ops.json: small inputs and what PyTorch makes of them, for every operator that src/onnx/ops/ has.

Inputs are rounded to three decimals, so that their text is exact; outputs are float32 with all their digits.

    python test/oracle/ops.py

needs: torch==2.13.0
"""
import json
from pathlib import Path

import torch
import torch.nn.functional as F

GENERATOR = torch.Generator().manual_seed(5)
CASES = []


def random(*shape):
    return (torch.randn(shape, generator=GENERATOR) * 1000).round() / 1000


def listed(tensor):
    numbers = [float(f"{x:.9g}") if tensor.is_floating_point() else x for x in tensor.flatten().tolist()]
    return {"type": "int64" if tensor.dtype == torch.int64 else "float32", "shape": list(tensor.shape), "data": numbers}


def case(op, inputs, expected, **attributes):
    outputs = expected if isinstance(expected, (list, tuple)) else [expected]
    CASES.append({"op": op, "inputs": [listed(t) for t in inputs], "attributes": attributes, "outputs": [listed(t) for t in outputs]})


def movement():
    x = random(2, 3, 4, 5)
    case("Reshape", [x], x.reshape(6, 20), to=[6, 20])
    case("Reshape", [x], x.reshape(2, 1, 12, 5), to=[2, 1, 12, 5])
    case("Transpose", [x], x.permute(0, 3, 1, 2), perm=[0, 3, 1, 2])
    y = random(2, 2, 4, 5)
    case("Concat", [x, y], torch.cat([x, y], dim=1), axis=1)
    case("Concat", [x, x, x], torch.cat([x, x, x], dim=-1), axis=-1)
    x = random(2, 3, 8)
    case("Split", [x], x.chunk(2, dim=-1), axis=-1, parts=2)
    case("Split", [x], x.chunk(3, dim=1), axis=1, parts=3)
    case("Slice", [x], x[:, :2], axis=1, length=2)
    case("Slice", [x], x[:, :, :8], axis=2, length=8)
    column = random(2, 1, 3)
    case("Expand", [column], column.expand(2, 4, 3), to=[2, 4, 3])
    table, ids = random(6, 3), torch.tensor([[5, 0, 2], [2, 2, 1]])
    case("Gather", [table, ids], F.embedding(ids, table))
    x = random(1, 2, 3, 4)
    for height, width in ((6, 8), (5, 7), (3, 8), (2, 2), (7, 9)):
        case("Resize", [x], F.interpolate(x, size=(height, width), mode="nearest"), height=height, width=width)
        last = F.interpolate(x, size=(height, width), mode="nearest").permute(0, 2, 3, 1)
        case("Resize", [x.permute(0, 2, 3, 1)], last, height=height, width=width, axes=[1, 2])


def arithmetic():
    a, b, row = random(2, 3, 4), random(2, 3, 4), random(1, 4)
    case("Add", [a, b], a + b)
    case("Add", [row, a], row + a)
    case("Mul", [a, b], a * b)
    column = random(3, 1)
    case("Mul", [a, column], a * column)
    x = random(3, 5) * 3
    case("Sigmoid", [x], torch.sigmoid(x))
    case("Cos", [x], torch.cos(x))
    case("Sin", [x], torch.sin(x))
    case("Gelu", [x], F.gelu(x))
    case("Gelu", [x], F.gelu(x, approximate="tanh"), approximate="tanh")
    case("Softmax", [x], F.softmax(x, dim=-1))
    case("Softmax", [x], F.softmax(x, dim=0), axis=0)
    ids = torch.tensor([0, 3, 999])
    case("Cast", [ids], ids.float(), to="float32")
    case("Cast", [x], x.trunc().long(), to="int64")
    halves = random(8) * 100
    case("Cast", [halves], halves.half().float(), to="float16")


def layers():
    x = random(2, 3, 5, 6)
    for kernel, stride, pad in ((3, 1, 1), (3, 2, 1), (1, 1, 0)):
        w, b = random(4, 3, kernel, kernel), random(4)
        case("Conv", [x, w, b], F.conv2d(x, w, b, stride, pad), stride=stride, pad=pad)
    scale, bias = random(3), random(3)
    case("InstanceNormalization", [x, scale, bias], F.instance_norm(x, weight=scale, bias=bias))
    case("InstanceNormalization", [x.reshape(2, 3, 30), scale, bias], F.instance_norm(x.reshape(2, 3, 30), weight=scale, bias=bias, eps=0.1), epsilon=0.1)
    x, scale, bias = random(2, 3, 6), random(6), random(6)
    case("LayerNormalization", [x, scale, bias], F.layer_norm(x, (6,), scale, bias))
    case("LayerNormalization", [x, scale, bias], F.layer_norm(x, (6,), scale, bias, eps=0.1), epsilon=0.1)
    a, b = random(2, 3, 4, 5), random(2, 3, 5, 2)
    case("MatMul", [a, b], a @ b)
    case("MatMul", [a, b[0, 0]], a @ b[0, 0])
    a, b, c = random(3, 4), random(4, 5), random(3, 5)
    case("Gemm", [a, b, c], torch.addmm(c, a, b))
    case("Gemm", [a, b, c[0]], torch.addmm(c[0], a, b))


def merging():
    """What the merge's own graphs need besides."""
    a, b, row = random(2, 3, 4), random(2, 3, 4), random(1, 4)
    case("Sub", [a, row], a - row)
    case("Max", [a, b], torch.maximum(a, b))
    x = random(3, 5).abs() + 0.5
    numerator = random(3, 5)
    case("Div", [numerator, x], numerator / x)
    case("Sqrt", [x], x.sqrt())
    x = random(2, 3, 4)
    case("ReduceSumSquare", [x], (x * x).sum((1, 2), keepdim=True), axes=[1, 2])
    case("ReduceSumSquare", [x], (x * x).sum((0, 2), keepdim=True), axes=[0, 2])
    x = torch.eye(4) + random(2, 4, 4) / 8
    x = (x * 1000).round() / 1000
    case("Inverse", [x], torch.linalg.inv(x.double()).float())


def downsampling():
    """The VAE encoder's convolution: padded behind alone."""
    w, b = random(4, 3, 3, 3), random(4)
    for height, width in ((6, 4), (5, 7)):
        x = random(2, 3, height, width)
        case("Conv", [x, w, b], F.conv2d(F.pad(x, (0, 1, 0, 1)), w, b, 2), stride=2, pad=[0, 1])


def contractions():
    """What the CPU's convolutions make of their weights."""
    a, b, equation = random(7, 2, 3), random(4, 5, 2, 3), "phw,oihw->pio"
    case("Einsum", [a, b], torch.einsum(equation, a, b), equation=equation)


if __name__ == "__main__":
    for write in (movement, arithmetic, layers, merging, downsampling, contractions):
        write()
    path = Path(__file__).parents[1] / "golden/ops.json"
    text = json.dumps({"command": "python test/oracle/ops.py", "cases": CASES}, separators=(",", ":"))
    path.write_text(text.replace('{"op"', '\n{"op"') + "\n")
    print(path.name, len(CASES), "cases", path.stat().st_size, "bytes")

"""What float16 costs and how far it reaches: every choice of a float32 island in the exported graphs by its error, and activations far larger than usual
until they overflow, beside diffusers in float16.

    node src/cli.ts bake RECIPE -o PACKAGE                                # output.weights: true
    python test/oracle/precision.py choices PACKAGE RECIPE [--only GELU]
    python test/oracle/precision.py range PACKAGE RECIPE
    python test/oracle/precision.py largest PACKAGE RECIPE

choices: relative RMS error of UNet and VAE decoder against diffusers in float32 on the same weights, with every value of the portable graph kept in the type
the graph gives it (half_graph.py), and with one island more or less. range: inputs, or the weight and bias of everything that is added to the residual
stream, times 1, 10, 100 ...; which sides stay finite, and how large values get. largest: the nodes with the largest values.

needs: torch==2.13.0 diffusers==0.42.1 transformers safetensors onnx onnxruntime numpy pyyaml
"""
import argparse
import shutil
import sys
import tempfile
import types
from pathlib import Path

import numpy
import onnx
import onnxruntime
import torch
import yaml
from diffusers import AutoencoderKL, UNetMotionModel
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D

import reference_models as models
from half_graph import HalfGraph

HALF, SINGLE = torch.float16, torch.float32
TIMESTEP = 499
FACTORS = (1, 100, 1000, 10000)
"""The last layer of what is added to the residual stream: resnets, attentions, feed-forwards, and transformers as a whole."""
BRANCH_ENDS = (".conv2.", ".to_out.0.", ".net.2.", ".proj_out.")


# ---- models and inputs


class Subject:
    """One component: diffusers' model, the package's graphs, and inputs for both."""

    def __init__(self, component: str, package: Path, recipe: dict, folder: Path):
        self.component, self.package, self.folder, self.recipe = component, package, folder, recipe
        frames, height, width = (recipe["output"][k] for k in ("frames", "height", "width"))
        self.graph = HalfGraph(package / component / "model.onnx")
        noise = lambda seed, *shape: torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        if component == "unet":
            states = [d.dim_value for d in self.graph.model.input[2].type.tensor_type.shape.dim]
            self.inputs = {"sample": noise(1, 1, 4, frames, height // 8, width // 8), "timestep": torch.tensor(TIMESTEP), "encoder_hidden_states": noise(2, *states)}
        else:
            self.inputs = {"latent_sample": noise(3, 1, 4, height // 8, width // 8)}

    def model(self, dtype: torch.dtype):
        if self.component == "vae_decoder":
            return AutoencoderKL.from_pretrained(self.folder / self.recipe["base"] / "vae", torch_dtype=HALF).to(dtype)
        model = UNetMotionModel.from_pretrained(self.package / "weights/unet", torch_dtype=dtype).eval()
        if self.recipe["motion"].get("norm", "per-frame") == "per-frame":
            for module in model.modules():
                if isinstance(module, AnimateDiffTransformer3D):
                    module.forward = types.MethodType(models._per_frame_forward, module)
        return model

    def diffusers(self, model, scales: dict[str, float] = {}) -> torch.Tensor:
        dtype = next(model.parameters()).dtype
        x = {name: (value.float() * scales.get(name, 1)).to(dtype) if value.is_floating_point() else value for name, value in self.inputs.items()}
        if self.component == "vae_decoder":
            return model.decode(x["latent_sample"]).sample.float()
        return models.noise_prediction(model, x["sample"], x["timestep"], x["encoder_hidden_states"]).float()

    def emulated(self, scales: dict[str, float] = {}, **options) -> torch.Tensor:
        x = {name: value * scales[name] if name in scales else value for name, value in self.inputs.items()}
        return next(iter(self.graph.run(x, **options).values()))

    def onnxruntime(self, path: Path, scales: dict[str, float] = {}) -> torch.Tensor:
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
        return torch.from_numpy(session.run(None, {name: (value * scales.get(name, 1)).numpy() if value.is_floating_point() else value.numpy() for name, value in self.inputs.items()})[0])


# ---- choices


def halved(x: torch.Tensor) -> torch.Tensor:
    return x.half().float()


def normalised_in_half(x, dims, epsilon):
    """Every step rounded; sums themselves are exact, as no device would do worse than that."""
    centred = halved(x - halved(x.mean(dims, keepdim=True)))
    variance = halved(halved(centred * centred).mean(dims, keepdim=True))
    return halved(centred * halved(torch.rsqrt(halved(variance + epsilon))))


def norms_in_half(node, operands):
    epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
    if node.op_type == "InstanceNormalization":
        return normalised_in_half(operands[0], (-1,), epsilon)
    if node.op_type == "LayerNormalization":
        return halved(normalised_in_half(operands[0], (-1,), epsilon) * operands[1]) + operands[2]
    return None


def softmax_in_half(node, operands):
    """And the scores."""
    if node.op_type != "Softmax":
        return None
    e = halved(torch.exp(halved(operands[0] - operands[0].amax(-1, keepdim=True))))
    return halved(e / halved(e.sum(-1, keepdim=True)))


def path_of(node) -> str:
    return node.name.rpartition("/")[0]


def is_group_norm(node) -> bool:
    return path_of(node).rpartition(".")[2] in ("norm", "norm1", "norm2", "conv_norm_out", "group_norm") and node.op_type in ("InstanceNormalization", "Mul", "Add", "Sigmoid", "Reshape")


def kept(types_of):
    return {"rounded": lambda node, kind: types_of(node, kind) or kind}


def all_in_half(node, operands):
    made = norms_in_half(node, operands)
    return softmax_in_half(node, operands) if made is None else made


CHOICES = {
    "as exported": {},
    "norms: float32 statistics, the rest in fp16": kept(lambda node, kind: HALF if is_group_norm(node) and node.op_type != "InstanceNormalization" else None),
    "norms: all in fp16": kept(lambda node, kind: HALF if is_group_norm(node) else None) | {"replace": norms_in_half},
    "attention scores and softmax in fp16": kept(lambda node, kind: HALF if node.op_type == "Softmax" or (node.op_type in ("MatMul", "Add") and kind == SINGLE and ".attn" in node.name) else None) | {"replace": softmax_in_half},
    "attention scores in fp16, softmax in float32": kept(lambda node, kind: HALF if node.op_type == "MatMul" and kind == SINGLE else None),
    "time embedding in fp16": kept(lambda node, kind: HALF if node.name.startswith("time_proj") else None),
    "time embedding: its Linear layers in float32, too": kept(lambda node, kind: SINGLE if node.name.startswith(("time_embedding", "time_proj")) else None),
    "GEGLU in float32": kept(lambda node, kind: SINGLE if ".net.0.proj" in node.name or node.op_type == "Gelu" or (node.op_type == "Mul" and path_of(node).endswith(".ff")) else None),
    "residual stream in float32": kept(lambda node, kind: SINGLE if node.op_type == "Add" and not path_of(node).endswith(("to_q", "to_k", "to_v", "net.0.proj", "time_emb_proj")) else None),
    "no islands: all in fp16": kept(lambda node, kind: HALF) | {"replace": all_in_half},
    "all in float32, weights in fp16": kept(lambda node, kind: SINGLE),
}


def run_choices(subject: Subject, only: str | None) -> None:
    model = subject.model(SINGLE)
    wanted = subject.diffusers(model)
    print(f"| {subject.component} | relative RMS error |\n|---|---|")
    known = {}
    for name, options in CHOICES.items():
        if only and only not in name:
            continue
        got = subject.emulated(**options)
        if "as exported" in known and torch.equal(got, known["as exported"]):
            continue  # the component has nothing of the kind
        known[name] = got
        print(f"| {name} | {models.relative_rms(got, wanted):.2e} |", flush=True)
    if only:
        return
    for file in ("model.onnx", "model.cpu.onnx"):
        path = subject.package / subject.component / file
        if path.exists():
            print(f"| onnxruntime's CPU provider, {file} | {models.relative_rms(subject.onnxruntime(path), wanted):.2e} |", flush=True)
    print(f"| diffusers in fp16 | {models.relative_rms(subject.diffusers(model.half()), wanted):.2e} |", flush=True)


# ---- range


def enlarged(path: Path, names: list[str], factor: float, into: Path) -> Path:
    """A copy of a component whose weights of these names are multiplied."""
    into.mkdir(parents=True)
    for file in path.glob("model*"):
        shutil.copy(file, into)
    for tensor in onnx.load(path / "model.onnx", load_external_data=False).graph.initializer:
        if tensor.name in names:
            place = {e.key: e.value for e in tensor.external_data}
            data = numpy.memmap(into / place["location"], numpy.float16, "r+", int(place["offset"]), (int(place["length"]) // 2,))
            data[:] = (data.astype(numpy.float32) * factor).astype(numpy.float16)
            data.flush()
    return into


def verdict(x: torch.Tensor) -> str:
    return "finite" if torch.isfinite(x).all() else "**overflows**"


class Watch:
    def __init__(self):
        self.largest, self.first = 0.0, None

    def __call__(self, node, value):
        if not value.is_floating_point():
            return
        if not torch.isfinite(value).all():
            self.first = self.first or node.name
        if value.dtype == HALF and self.first is None:
            self.largest = max(self.largest, value.abs().max().item())


def run_range(subject: Subject, scratch: Path) -> None:
    ends = [n for n in subject.graph.initializers if n.endswith((".weight", ".bias")) and any(end in f"{n}." for end in BRANCH_ENDS)]
    kinds = {f"{name} × k": name for name, value in subject.inputs.items() if value.is_floating_point()} | {"every residual branch × k": None}
    print(f"| {subject.component} | k | largest fp16 value | the graph, every value rounded | onnxruntime, model.onnx | model.cpu.onnx | diffusers fp16 |\n|---|---|---|---|---|---|---|")
    for kind, name in kinds.items():
        for factor in FACTORS:
            scales, weights = ({name: factor}, {}) if name else ({}, dict.fromkeys(ends, factor))
            model = subject.model(HALF)
            parameters = dict(model.named_parameters())
            for end in weights:
                parameters[end].data.mul_(factor)
            folder = subject.package / subject.component if name else enlarged(subject.package / subject.component, ends, factor, scratch / f"{subject.component}-{factor}")
            theirs = subject.diffusers(model, scales)
            watch = Watch()
            ours = subject.emulated(scales, weights=weights, observe=watch)
            ort = [verdict(subject.onnxruntime(folder / file, scales)) if (folder / file).exists() else "–" for file in ("model.onnx", "model.cpu.onnx")]
            note = f" at {watch.first}" if watch.first else ""
            print(f"| {kind} | {factor} | {watch.largest:.0f} | {verdict(ours)}{note} | {ort[0]} | {ort[1]} | {verdict(theirs)} |", flush=True)
            if not torch.isfinite(ours).all() and not torch.isfinite(theirs).all():
                break


# ---- largest


def run_largest(subject: Subject) -> None:
    found = {}

    def observe(node, value):
        if value.is_floating_point() and value.dtype == HALF:
            found[node.name] = value.abs().max().item()

    subject.emulated(observe=observe)
    for name, value in sorted(found.items(), key=lambda item: -item[1])[:12]:
        print(f"| {subject.component} | {name} | {value:.1f} |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("choices", "range", "largest"))
    parser.add_argument("package", type=Path)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--component", choices=("unet", "vae_decoder"), action="append")
    parser.add_argument("--only", help="choices: those whose name contains this")
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    recipe = yaml.safe_load(options.recipe.read_text())
    with tempfile.TemporaryDirectory() as scratch:
        for component in options.component or ("unet", "vae_decoder"):
            subject = Subject(component, options.package, recipe, options.recipe.parent)
            if options.what == "choices":
                run_choices(subject, options.only)
            elif options.what == "range":
                run_range(subject, Path(scratch))
            else:
                run_largest(subject)
    return 0


if __name__ == "__main__":
    sys.exit(main())

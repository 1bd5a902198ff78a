"""Holds a baked package against PyTorch: weights against the float64 merge, graphs against the ONNX checker, what they compute against diffusers.

    python test/oracle/compare_package.py PACKAGE RECIPE [--save FIGURES.json]
    python test/oracle/compare_package.py PACKAGE RECIPE --latents latents.safetensors --prompt "a red circle" --seed 0 --steps 4 [--sampler ddim --guidance 4 --trajectory-only]

The second form adds a whole trajectory: `latents` [1, 4, F, h, w] as `lcm-merge run … --save-latents` wrote it. One line per check; exit status 1 if any failed.

needs: torch==2.13.0 diffusers==0.42.1 transformers safetensors onnx onnxruntime pyyaml
"""
import argparse
import dataclasses
import json
import re
import sys
from pathlib import Path

import onnx
import onnxruntime
import torch
from diffusers import UNetMotionModel
from onnx import TensorProto, numpy_helper
from safetensors.torch import load_file
from transformers import CLIPTokenizer

import reference_models as models
from merge_reference import Merged, MergeReference

OPSET, IR_VERSION = 20, 10
ULP_LIMIT = {"fp16": 1.0, "fp32": 8.0}  # fp16: the contract. fp32: units of 2^-24 of the sum of magnitudes; PyTorch in float32 reaches 4.4 at rank 128
GRAPH_LIMIT = {"fp16": 3e-3, "fp32": 1e-5}  # relative RMS, against float32 arithmetic on the package's own weights
CPU_LIMIT = {"fp16": 1e-4, "fp32": 1e-5}  # of model.cpu.onnx, which computes in float32; positional encodings, exact in PyTorch, are rounded with the weights
TRAJECTORY_LIMIT_FP32 = 1e-4
TRAJECTORY_LIMIT_FP16 = 2.0  # times what diffusers itself loses when it computes in float16
TIMESTEPS = (999, 759, 499, 259, 19)
DYNAMIC_SHAPES = ((1, 8, 8, 8), (1, 16, 8, 8), (2, 8, 16, 8), (2, 16, 8, 16), (1, 8, 12, 20))  # B, F, h, w; the last halves to odd sizes
PROMPTS = ("a red circle", "", "An ORANGE square, moving right! " * 20, "naïve café 🎈 <|endoftext|> 123")
GRAPH_NAME = re.compile(r"model(?:\.(cpu|cuda|webgpu))?(?:\.\d+(?:x\d+)+)?\.onnx")
ON_CPU = ("portable", "cpu", "webgpu")  # targets all of whose operators have a kernel on the CPU
ONNX_DTYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}


@dataclasses.dataclass(frozen=True)
class Row:
    check: str
    subject: str
    figure: str
    ok: bool
    value: float | None = None
    limit: float | None = None


# ---- (a) weights


def rounding_error(stored: torch.Tensor, merged: Merged) -> float:
    """Largest error: in units in the last place for a float16 tensor, in units of float32 rounding of the summed magnitudes for a float32 one.

    Where terms cancel to less than 2^-11 of their sum, float32 arithmetic cannot know the last place of a float16: there the unit is what float32 can know.
    """
    error = (stored.double() - merged.value).abs()
    if stored.dtype == torch.float16:
        exponent = torch.frexp(merged.value)[1] - 1
        unit = torch.ldexp(torch.ones_like(error), exponent.clamp(min=-14) - 10).maximum(ULP_LIMIT["fp32"] * 2.0**-24 * merged.magnitude)
    else:
        unit = merged.magnitude.clamp(min=2.0**-126) * 2.0**-24
    return (error / unit).max().nan_to_num(nan=torch.inf).item()


def is_transposed(name: str, merged: Merged) -> bool:
    return merged.value.ndim == 2 and not name.endswith("embedding.weight")


def sinusoid(length: int, width: int) -> torch.Tensor:
    angle = torch.arange(length).double()[:, None] * 10000 ** (-torch.arange(0, width, 2).double() / width)
    return torch.stack([angle.sin(), angle.cos()], -1).reshape(length, width)


def check_weights(reference: MergeReference, component: str, path: Path, rows: list[Row]) -> dict[str, torch.Tensor]:
    """Appends the rows of one graph; returns its parameters in PyTorch's layout, as float32."""
    graph = onnx.load(path, load_external_data=False).graph
    tensors = {t.name: t for t in graph.initializer}
    names, parameters, worst, faults = reference.names(component), {}, {}, []
    for name in names:
        if name not in tensors:
            faults.append(f"missing {name}")
            continue
        merged = reference.tensor(component, name)
        stored = torch.from_numpy(numpy_helper.to_array(tensors[name], str(path.parent)).copy())
        expected = tuple(merged.value.T.shape if is_transposed(name, merged) else merged.value.shape)
        if tuple(stored.shape) != expected or stored.dtype not in (torch.float16, torch.float32):
            faults.append(f"{name} is {stored.dtype} {tuple(stored.shape)}, expected {expected}")
            continue
        stored = stored.T if is_transposed(name, merged) else stored
        worst.setdefault("fp16" if stored.dtype == torch.float16 else "fp32", []).append((rounding_error(stored, merged), name))
        parameters[name] = stored.float().contiguous()
    extras = {name: list(t.dims) for name, t in tensors.items() if name not in set(names)}
    for name, dims in extras.items():
        if name.endswith("pos_embed.pe"):
            table = torch.from_numpy(numpy_helper.to_array(tensors[name], str(path.parent)).copy()).double().reshape(-1, dims[-1])
            if (table - sinusoid(*table.shape)).abs().max() > 2.0**-11:
                faults.append(f"{name} is no sinusoid")
        elif name.endswith((".weight", ".bias")):
            faults.append(f"extra {name} {dims}")
    constants = sum(not name.endswith((".weight", ".bias")) for name in extras)
    rows.append(Row("initializers", component, f"{len(parameters)}/{len(names)} parameters, {constants} constants" + "".join(f"\n    {f}" for f in faults[:8]), not faults))
    for kind, errors in sorted(worst.items()):
        error, name = max(errors)
        unit = "fp16 ulp" if kind == "fp16" else "float32 roundings"
        rows.append(Row("merge", f"{component} {kind} ({len(errors)})", f"max {error:.3f} {unit} ({name})", error <= ULP_LIMIT[kind], error, ULP_LIMIT[kind]))
    return parameters


# ---- (b) the graphs as ONNX


def signature(reference: MergeReference, component: str) -> tuple[dict, dict]:
    """Expected inputs and outputs, name -> (dtype, shape): a number is fixed by the contract, a name by the recipe if at all."""
    width = reference.configs["text_encoder"]["hidden_size"]
    return {
        "unet": ({"sample": ("float32", ["B", 4, "F", "h", "w"]), "timestep": ("int64", []), "encoder_hidden_states": ("float32", ["B", 77, width])},
                 {"out_sample": ("float32", ["B", 4, "F", "h", "w"])}),
        "text_encoder": ({"input_ids": ("int64", ["T", 77])}, {"last_hidden_state": ("float32", ["T", 77, width])}),
        "vae_decoder": ({"latent_sample": ("float32", ["N", 4, "h", "w"])}, {"sample": ("float32", ["N", 3, "8h", "8w"])}),
        "vae_encoder": ({"sample": ("float32", ["N", 3, "8h", "8w"])}, {"latent_parameters": ("float32", ["N", 8, "h", "w"])}),
    }[component]


def static_sizes(reference: MergeReference) -> dict[str, int]:
    output, guidance = reference.recipe.get("output") or {}, (reference.recipe.get("sampler") or {}).get("guidance", 1)
    if isinstance(output.get("shapes"), list):
        output = output | output["shapes"][0]  # the default
    height, width = output.get("height", 512), output.get("width", 512)
    return {"B": 2 if guidance > 1 else 1, "F": output.get("frames", 16), "h": height // 8, "w": width // 8, "8h": height, "8w": width}


def is_dynamic(reference: MergeReference) -> bool:
    return (reference.recipe.get("output") or {}).get("shapes", "static") == "dynamic"


def graphs(package: Path, component: str) -> list[tuple[str, Path]]:
    """(target, file) of every graph of a component, the portable one of the default shape first."""
    found = [(GRAPH_NAME.fullmatch(path.name), path) for path in (package / component).iterdir()]
    return sorted(((match[1] or "portable", path) for match, path in found if match), key=lambda pair: (pair[1].name != "model.onnx", pair[1].name))


def check_other_graph(target: str, path: Path, reference: Path, rows: list[Row]) -> None:
    """A target's or a shape's graph: valid, and over exactly the weights that the portable graph of the default shape reads."""
    faults = []
    try:
        onnx.checker.check_model(str(path), full_check=target == "portable")  # shape inference knows no operators of onnxruntime's own
    except Exception as error:
        faults.append(f"onnx.checker: {str(error).strip()[:300]}")

    def places(file):
        tensors = onnx.load(file, load_external_data=False).graph.initializer
        return {t.name: (t.data_type, tuple(t.dims), tuple((e.key, e.value) for e in t.external_data)) for t in tensors if t.external_data}

    own, wanted = places(path), places(reference)
    faults += [f"{name} is read from {own.get(name)}, by the portable graph from {wanted.get(name)}" for name in own.keys() | wanted.keys() if own.get(name) != wanted.get(name)][:3]
    domains = sorted({node.domain or "ai.onnx" for node in onnx.load(path, load_external_data=False).graph.node})
    rows.append(Row("onnx", f"{path.parent.name}/{path.name}", f"the same {len(own)} weights, operators of {', '.join(domains)}" + "".join(f"\n    {f}" for f in faults), not faults))


def check_graph(reference: MergeReference, component: str, path: Path, rows: list[Row]) -> None:
    faults = []
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:  # every kind of complaint the checker and shape inference have is a finding
        faults.append(f"onnx.checker: {str(error).strip()[:300]}")
    model = onnx.load(path, load_external_data=False)
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    if opsets != {"": OPSET} or model.ir_version != IR_VERSION:
        faults.append(f"opsets {opsets}, IR {model.ir_version}; expected {OPSET} of the default domain alone, IR {IR_VERSION}")
    foreign = {node.op_type for node in model.graph.node if node.domain not in ("", "ai.onnx")}
    if foreign:
        faults.append(f"operators of other domains: {sorted(foreign)}")
    sizes = {} if is_dynamic(reference) else static_sizes(reference)
    for actual, expected in zip((model.graph.input, model.graph.output), signature(reference, component)):
        found = {v.name: (v.type.tensor_type.elem_type, [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]) for v in actual}
        if set(found) != set(expected):
            faults.append(f"named {sorted(found)}, expected {sorted(expected)}")
            continue
        for name, (dtype, shape) in expected.items():
            wanted = [sizes.get(d, d) for d in shape]
            # a free size is symbolic (or, for an output, left out); batches of prompts and of frames to decode may be either
            fits = [got == want if isinstance(want, int) else got == 0 or isinstance(got, str) or want in ("T", "N") for got, want in zip(found[name][1], wanted)]
            if found[name][0] != ONNX_DTYPES[dtype] or len(found[name][1]) != len(wanted) or not all(fits):
                faults.append(f"{name} has ONNX type {found[name][0]}, shape {found[name][1]}; expected {dtype} {wanted}")
    rows.append(Row("onnx", component, f"{len(model.graph.node)} nodes, opset {opsets.get('')}, IR {model.ir_version}" + "".join(f"\n    {f}" for f in faults), not faults))


# ---- (c) what the graphs compute


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; the warnings are about constants that stay unfolded in float16
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def fixed(dim, fallback: int) -> int:
    """The size a graph fixes, or fallback where it is symbolic (onnxruntime gives a string or None)."""
    return dim if isinstance(dim, int) else fallback


def randn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def compare(check: str, subject: str, got, wanted: torch.Tensor, limit: float, rows: list[Row]) -> None:
    got = torch.from_numpy(got)
    error = models.relative_rms(got, wanted) if got.shape == wanted.shape else float("inf")
    note = "" if got.shape == wanted.shape else f", shape {tuple(got.shape)} instead of {tuple(wanted.shape)}"
    rows.append(Row(check, subject, f"relative RMS {error:.2e}{note}", error <= limit, error, limit))


def check_unet(reference: MergeReference, path: Path, model: UNetMotionModel, limit: float, rows: list[Row]) -> None:
    run = session(path)
    inputs = {i.name: i for i in run.get_inputs()}
    batch, _, frames, height, width = inputs["sample"].shape
    shapes = DYNAMIC_SHAPES if is_dynamic(reference) else ((batch, frames, height, width),)
    timestep_dtype = torch.float32 if inputs["timestep"].type == "tensor(float)" else torch.int64
    for shape in shapes:
        batch, frames, height, width = shape
        sample, states = randn(1, batch, 4, frames, height, width), randn(2, batch, 77, reference.configs["text_encoder"]["hidden_size"])
        for t in TIMESTEPS if shape is shapes[0] else TIMESTEPS[::3]:
            got = run.run(["out_sample"], {"sample": sample.numpy(), "timestep": torch.tensor(t, dtype=timestep_dtype).numpy(), "encoder_hidden_states": states.numpy()})[0]
            compare(f"unet {reference.norm}", f"{path.name} B{batch} F{frames} {height}x{width} t={t}", got, models.noise_prediction(model, sample, t, states), limit, rows)


def check_text_encoder(path: Path, model, tokenizer, limit: float, rows: list[Row]) -> None:
    run = session(path)
    batch = fixed(run.get_inputs()[0].shape[0], len(PROMPTS))
    ids = models.token_ids(tokenizer, list(PROMPTS))
    got = torch.cat([torch.from_numpy(run.run(["last_hidden_state"], {"input_ids": part.numpy()})[0]) for part in ids.split(batch)])
    compare("text encoder", f"{path.name} {len(PROMPTS)} prompts, batches of {batch}", got.numpy(), model(ids)[0], limit, rows)


def check_vae_decoder(path: Path, model, limit: float, rows: list[Row]) -> None:
    run = session(path)
    shape = run.get_inputs()[0].shape
    for count, height, width in dict.fromkeys((fixed(shape[0], n), fixed(shape[2], h), fixed(shape[3], w)) for n, h, w in ((1, 8, 8), (3, 8, 16), (2, 9, 7))):
        latents = randn(3, count, 4, height, width)
        compare("vae decoder", f"{path.name} N{count} {height}x{width}", run.run(["sample"], {"latent_sample": latents.numpy()})[0], model.decode(latents).sample, limit, rows)


def check_vae_encoder(path: Path, model, limit: float, rows: list[Row]) -> None:
    run = session(path)
    shape = run.get_inputs()[0].shape
    for count, height, width in dict.fromkeys((fixed(shape[0], n), fixed(shape[2], h), fixed(shape[3], w)) for n, h, w in ((1, 64, 64), (3, 64, 128), (2, 72, 56), (1, 61, 90))):
        pictures = randn(4, count, 3, height, width)
        wanted = model.encode(pictures).latent_dist.parameters
        compare("vae encoder", f"{path.name} N{count} {height}x{width}", run.run(["latent_parameters"], {"sample": pictures.numpy()})[0], wanted, limit, rows)


# ---- (d) package files and whole trajectories


def check_package_files(reference: MergeReference, package: Path, unet: UNetMotionModel, rows: list[Row]) -> None:
    """The JSON beside the graphs: diffusers and transformers must read from it the model, scheduler and tokenizer that the recipe means."""
    config = UNetMotionModel.load_config(package / "unet")

    def shapes(model):
        return {k: tuple(v.shape) for k, v in model.state_dict().items() if not k.endswith("pos_embed.pe")}

    fields = ("num_attention_heads", "motion_num_attention_heads", "norm_num_groups", "norm_eps", "use_linear_projection")
    wrong = [k for k in fields if k in config and config[k] != unet.config[k]]
    same = shapes(UNetMotionModel.from_config(config)) == shapes(unet) and not wrong
    rows.append(Row("config", "unet/config.json", "UNetMotionModel with the same parameters" if same else f"another model {wrong}", same))
    ours = models.scheduler_of(reference)
    theirs = type(ours).from_pretrained(package / "scheduler")
    known = type(ours)._get_init_keys(type(ours)) - {"self"}
    wrong = [k for k in known if ours.config[k] != theirs.config[k]]
    same = not wrong and torch.equal(ours.alphas_cumprod, theirs.alphas_cumprod)
    rows.append(Row("config", "scheduler/", f"{type(ours).__name__} as the recipe says" if same else f"differs in {wrong}: {dict(theirs.config)}", same))
    check_scheduler_round_trip(package / "scheduler" / "scheduler_config.json", theirs, rows)
    tokenizers = models.load_tokenizer(reference), CLIPTokenizer.from_pretrained(package / "tokenizer")
    same = torch.equal(*(models.token_ids(t, list(PROMPTS)) for t in tokenizers))
    rows.append(Row("config", "tokenizer/", f"{len(PROMPTS)} prompts give {'the same' if same else 'other'} ids", same))


def check_scheduler_round_trip(file: Path, loaded, rows: list[Row]) -> None:
    """What diffusers saves of the scheduler that it loaded: the same fields, but for the infinite default that JSON has no number for."""
    written, saved = json.loads(file.read_text()), json.loads(loaded.to_json_string())
    saved.pop("lambda_min_clipped", None)
    different = sorted(k for k in written.keys() | saved.keys() if written.get(k) != saved.get(k) or (k in written) != (k in saved))
    rows.append(Row("config", "scheduler/ saved by diffusers", f"differs in {different}" if different else f"the same {len(saved)} fields", not different))


def check_trajectory(reference: MergeReference, unet, text, options, rows: list[Row]) -> None:
    """Last of all checks: of an fp16 package it turns the models it is given to float16."""
    latents = load_file(options.latents)["latents"]
    sampler, verify = reference.recipe.get("sampler") or {}, reference.recipe.get("verify") or {}
    arguments = {
        "prompt": options.prompt if options.prompt is not None else verify.get("prompt", "a photo"),
        "negative": options.negative if options.negative is not None else verify.get("negative", ""),
        "seed": options.seed if options.seed is not None else verify.get("seed", 0),
        "steps": options.steps if options.steps is not None else sampler.get("steps", 4),
        "guidance": options.guidance if options.guidance is not None else sampler.get("guidance", 1),
        "frames": latents.shape[2], "height": latents.shape[3], "width": latents.shape[4],
    }
    tokenizer, scheduler = models.load_tokenizer(reference), models.scheduler_of(reference, options.sampler)
    wanted = models.trajectory(unet, text, tokenizer, scheduler, **arguments)
    subject = f"{type(scheduler).__name__} {arguments['steps']} steps, seed {arguments['seed']}, guidance {arguments['guidance']}"
    limit = TRAJECTORY_LIMIT_FP32
    if dtype_of(reference) == "fp16":
        loss = models.relative_rms(models.trajectory(unet.half(), text.half(), tokenizer, scheduler, **arguments), wanted)
        rows.append(Row("trajectory", "diffusers in float16", f"relative RMS {loss:.2e} (for comparison)", True, loss))
        limit = max(GRAPH_LIMIT["fp16"], TRAJECTORY_LIMIT_FP16 * loss)
    compare("trajectory", subject, latents.numpy(), wanted, limit, rows)


def dtype_of(reference: MergeReference) -> str:
    return (reference.recipe.get("output") or {}).get("dtype", "fp16")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--save", type=Path, help="write every figure as JSON")
    parser.add_argument("--weights-only", action="store_true", help="leave out what runs the graphs")
    parser.add_argument("--latents", type=Path)
    parser.add_argument("--trajectory-only", action="store_true", help="with --latents: leave out what runs single graphs (minutes)")
    parser.add_argument("--prompt")
    parser.add_argument("--negative")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--sampler", choices=models.SCHEDULERS, help="as run --sampler; the recipe's when left out")
    options = parser.parse_args()
    reference, rows = MergeReference.load(options.recipe), []
    paths = {component: options.package / component / "model.onnx" for component in reference.components}
    parameters = {component: check_weights(reference, component, path, rows) for component, path in paths.items()}
    for component, path in paths.items():
        check_graph(reference, component, path, rows)
        for target, other in graphs(options.package, component)[1:]:
            check_other_graph(target, other, path, rows)
    if not options.weights_only and not any(row.check == "initializers" and not row.ok for row in rows):  # without every parameter there is no model to compare with
        unet = models.unet_motion_model(reference, parameters["unet"], frames=max(32, static_sizes(reference)["F"]))
        text = models.clip_text_model(reference, parameters["text_encoder"])
        checks = {
            "text_encoder": lambda path, limit: check_text_encoder(path, text, models.load_tokenizer(reference), limit, rows),
            "vae_decoder": lambda path, limit: check_vae_decoder(path, models.vae_half(reference, "vae_decoder", parameters["vae_decoder"]), limit, rows),
            "vae_encoder": lambda path, limit: check_vae_encoder(path, models.vae_half(reference, "vae_encoder", parameters["vae_encoder"]), limit, rows),
            "unet": lambda path, limit: check_unet(reference, path, unet, limit, rows),
        }
        for component in paths:
            for target, path in graphs(options.package, component):
                if target in ON_CPU and not options.trajectory_only:
                    checks[component](path, (CPU_LIMIT if target == "cpu" else GRAPH_LIMIT)[dtype_of(reference)])
        check_package_files(reference, options.package, unet, rows)
        if options.latents:
            check_trajectory(reference, unet, text, options, rows)
    for row in rows:
        limit = "" if row.limit is None else f"  (limit {row.limit:.3g})"
        print(f"{'ok  ' if row.ok else 'FAIL'}  {row.check:14} {row.subject:48} {row.figure}{limit}")
    failed = sum(not row.ok for row in rows)
    print(f"{len(rows)} checks, {failed} failed")
    if options.save:
        options.save.write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=1))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

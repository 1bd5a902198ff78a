"""The CUDA graph on a GPU: does it agree with the CPU, how long do LCM steps take beside diffusers, and where does the time go.

    node bench/gpu/graphs.ts out/gpu                                              # anywhere: a few MB without weights
    python bench/gpu/run.py --graphs out/gpu --json result.json                   # on the machine with the GPU; full size, about 6 minutes
    python bench/gpu/run.py --graphs out/gpu --provider cpu --size small --runs 2 # the same steps without a GPU

bench/gpu/README.md says what to carry to a machine without network. Steps, each of which --only can choose:

agree    onnxruntime on the device against onnxruntime's CPU provider (float32 over the same fp16 weights), and the CUDA graph run by PyTorch against both.
time     LCM steps, sampler included, all contenders in turns; medians over rounds. Text encoder, VAE, loading and first runs are left out.
profile  where a step goes, by kernel (GPU) or operator (CPU).

With --provider cpu onnxruntime runs model.cpu.onnx, since it has no CPU kernels for NhwcConv and the like; PyTorch stands in for them (interpret.py).

needs: torch onnx onnxruntime (onnxruntime-gpu for cuda) diffusers
"""
import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
import types
from pathlib import Path

import numpy
import onnx
import torch

sys.path.insert(0, str(Path(__file__).parent))
from interpret import count, input_shapes, interpret, random_feeds, relative_error, widened  # noqa: E402
from weights import load_weights, make_weights, state_dict  # noqa: E402

LIMITS = {"fp16": 1e-2, "fp32": 1e-4}  # relative error against float32 on the CPU; random weights amplify rounding more than trained ones
STEPS_OF_TRAINING, ORIGINAL_STEPS, SIGMA_DATA, TIMESTEP_SCALING = 1000, 50, 0.5, 10.0


# ------------------------------------------------------------------------------------------------ LCM sampler

def lcm_steps(steps):
    """[(timestep, ᾱ of it, ᾱ of the next one or None)] with AnimateLCM's linear betas, as diffusers' LCMScheduler."""
    alphas = torch.cumprod(1 - torch.linspace(0.00085, 0.012, STEPS_OF_TRAINING, dtype=torch.float64), 0)
    origin = (numpy.arange(1, ORIGINAL_STEPS + 1) * (STEPS_OF_TRAINING // ORIGINAL_STEPS) - 1)[::-1]
    timesteps = origin[numpy.floor(numpy.linspace(0, len(origin), num=steps, endpoint=False)).astype(int)].tolist()
    following = [alphas[t].item() for t in timesteps[1:]] + [None]
    return [(t, alphas[t].item(), after) for t, after in zip(timesteps, following)]


def lcm_step(latents, noise_prediction, timestep, alpha, after, fresh):
    scaled = timestep * TIMESTEP_SCALING
    skip = SIGMA_DATA**2 / (scaled**2 + SIGMA_DATA**2)
    out = scaled / (scaled**2 + SIGMA_DATA**2) ** 0.5
    original = (latents - (1 - alpha) ** 0.5 * noise_prediction) / alpha**0.5
    denoised = out * original + skip * latents
    return denoised if after is None else after**0.5 * denoised + (1 - after) ** 0.5 * fresh


# ------------------------------------------------------------------------------------------------ contenders
# Each predicts noise: `predict(latents float32, timestep int64 [], states float32)` -> float32, all on the device.

class OnnxRuntime:
    """A graph in onnxruntime, inputs and outputs bound to memory of PyTorch's."""

    def __init__(self, folder, graph, device, stream, size, options=None, cuda_graph=False, profile=None):
        import onnxruntime
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3
        if profile:
            settings.enable_profiling, settings.profile_file_prefix = True, str(profile)
        if device.type == "cuda":
            settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")  # an operator that CUDA lacks is an error
            options = {"device_id": "0", "user_compute_stream": str(stream.cuda_stream), **(options or {})}
            if cuda_graph:
                options["enable_cuda_graph"] = "1"
            providers = [("CUDAExecutionProvider", options)]
        else:
            providers = ["CPUExecutionProvider"]
        started = time.perf_counter()
        self.session = onnxruntime.InferenceSession(folder / graph, settings, providers=providers)
        if device.type == "cuda" and "CUDAExecutionProvider" not in self.session.get_providers():
            raise RuntimeError("onnxruntime did not take its CUDA provider; its message above says which library it misses.")
        self.load_seconds = time.perf_counter() - started
        self.device = device
        shapes = input_shapes(size)
        self.inputs = {"sample": torch.zeros(shapes["sample"], device=device), "timestep": torch.zeros((), dtype=torch.int64, device=device),
                       "encoder_hidden_states": torch.zeros(shapes["encoder_hidden_states"], device=device)}
        self.output = torch.zeros(shapes["sample"], device=device)
        self.binding = self.session.io_binding()
        for name, tensor in self.inputs.items():
            self.binding.bind_input(name, device.type, 0, numpy.int64 if name == "timestep" else numpy.float32, tuple(tensor.shape), tensor.data_ptr())
        self.binding.bind_output("out_sample", device.type, 0, numpy.float32, tuple(self.output.shape), self.output.data_ptr())
        self.run_options = onnxruntime.RunOptions()
        if device.type == "cuda":
            self.run_options.add_run_config_entry("disable_synchronize_execution_providers", "1")  # work is in PyTorch's stream

    def predict(self, latents, timestep, states):
        for name, value in (("sample", latents), ("timestep", timestep), ("encoder_hidden_states", states)):
            self.inputs[name].copy_(value)
        self.session.run_with_iobinding(self.binding, self.run_options)
        return self.output


class Diffusers:
    """UNetMotionModel with the same weights, GroupNorm of its motion modules per frame as AnimateDiff has it."""

    def __init__(self, folder, device, size, dtype, compiled=None, channels_last=False):
        from diffusers import MotionAdapter, UNet2DConditionModel, UNetMotionModel
        from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
        config = size["config"]
        with torch.device("meta"):
            adapter = MotionAdapter(
                block_out_channels=config["block_out_channels"], motion_layers_per_block=config["layers_per_block"], motion_num_attention_heads=config["attention_head_dim"],
                motion_norm_num_groups=config["norm_num_groups"], motion_max_seq_length=size["positions"], use_motion_mid_block=True)
            model = UNetMotionModel.from_unet2d(UNet2DConditionModel(**config), adapter, load_weights=False)
        missing, unexpected = model.load_state_dict(state_dict(folder), strict=False, assign=True)
        if missing or unexpected:
            raise ValueError(f"diffusers' model and the graph's weights differ: {missing[:3]} missing, {unexpected[:3]} unexpected.")
        for module in model.modules():
            if isinstance(module, AnimateDiffTransformer3D):
                module.forward = types.MethodType(per_frame_forward, module)
        self.model = model.eval().to(device=device, dtype=dtype)
        if channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
        if compiled:
            self.model = torch.compile(self.model, mode=compiled)
        self.dtype = dtype

    def predict(self, latents, timestep, states):
        frames = latents.shape[2]
        repeated = states.to(self.dtype).repeat_interleave(frames, dim=0)
        return self.model(latents.to(self.dtype), timestep, repeated, return_dict=False)[0].float()


def per_frame_forward(self, hidden_states, encoder_hidden_states=None, timestep=None, class_labels=None, num_frames=1, cross_attention_kwargs=None):
    """AnimateDiffTransformer3D as diffusers writes it, but for the GroupNorm, which sees one frame at a time."""
    frames, channels, height, width = hidden_states.shape
    batch = frames // num_frames
    x = self.norm(hidden_states)
    x = x.reshape(batch, num_frames, channels, height, width).permute(0, 3, 4, 1, 2).reshape(batch * height * width, num_frames, channels)
    x = self.proj_in(x)
    for block in self.transformer_blocks:
        x = block(x)
    x = self.proj_out(x)
    x = x.reshape(batch, height, width, num_frames, channels).permute(0, 3, 4, 1, 2).reshape(frames, channels, height, width)
    return hidden_states + x


def sample(contender, size, device, steps):
    """Final latents [B, 4, F, h, w] of one clip from a fixed seed."""
    shapes = input_shapes(size)
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(shapes["sample"], generator=generator).to(device)
    noises = [torch.randn(shapes["sample"], generator=generator).to(device) for _ in range(steps - 1)] + [None]
    states = torch.randn(shapes["encoder_hidden_states"], generator=torch.Generator().manual_seed(1)).to(device)
    plan = [(torch.tensor(t, device=device), t, alpha, after) for t, alpha, after in lcm_steps(steps)]
    synchronize(device)
    started = time.perf_counter()
    for (tensor, timestep, alpha, after), fresh in zip(plan, noises):
        latents = lcm_step(latents, contender.predict(latents, tensor, states), timestep, alpha, after, fresh)
    synchronize(device)
    return latents, (time.perf_counter() - started) * 1000


def synchronize(device):
    if device.type == "cuda":
        torch.cuda.synchronize()


# ------------------------------------------------------------------------------------------------ the machine's limits

def best_of(run, device, rounds=10):
    times = []
    for _ in range(rounds + 2):
        synchronize(device)
        started = time.perf_counter()
        run()
        synchronize(device)
        times.append(time.perf_counter() - started)
    return min(times)


def rates(device):
    """FLOP/s of a large product in the type computed in, bytes/s of a copy (read and written)."""
    side, dtype = (8192, torch.float16) if device.type == "cuda" else (2048, torch.float32)
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    source = torch.empty((2 << 30 if device.type == "cuda" else 256 << 20), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return {"flops": 2 * side**3 / best_of(lambda: a @ b, device), "bytes": 2 * source.numel() / best_of(lambda: target.copy_(source), device)}


# ------------------------------------------------------------------------------------------------ profile

# What a kernel is by its name; the first pattern that it contains, in lower case.
KERNELS = (
    ("SkipGroupNorm, GroupNorm", ("groupnorm",)), ("SkipLayerNormalization", ("skiplayernorm", "layernorm", "layer_norm")),
    ("BiasSplitGelu", ("biassplitgelu",)), ("BiasAdd", ("biasadd",)),
    ("attention", ("fmha", "flash", "attention", "sdpa")), ("NhwcConv", ("conv", "fprop", "wgrad", "nhwckrsc", "implicit_gemm")),
    ("MatMul", ("gemm", "cutlass", "nvjet", "cublas", "splitk")), ("Transpose", ("transpose",)), ("Concat", ("concat",)), ("Resize", ("resize",)),
    ("bias of a convolution", ("addtensor", "op_tensor")), ("Add, Mul, Sigmoid, …", ("elementwise", "binary", "unary", "add", "mul", "sigmoid")), ("copies", ("memcpy", "memset", "copy")),
)


def kernel_class(name):
    lower = name.lower()
    return next((label for label, patterns in KERNELS if any(pattern in lower for pattern in patterns)), "other")


def profile_gpu(contender, size, device):
    """{class: milliseconds} of one step, and the longest kernels by name: CUPTI sees every library's kernels in this process."""
    from torch.profiler import ProfilerActivity, profile
    sample(contender, size, device, 1)
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        sample(contender, size, device, 1)
    classes, names = {}, {}
    for event in profiler.key_averages():
        milliseconds = event.self_device_time_total / 1000
        if milliseconds > 0:
            names[event.key] = round(milliseconds, 3)
            label = kernel_class(event.key)
            classes[label] = classes.get(label, 0) + milliseconds
    order = lambda table: dict(sorted(table.items(), key=lambda row: -row[1]))  # noqa: E731
    return order(classes), dict(list(order(names).items())[:30])


def profile_cpu(folder, graph, device, size):
    with tempfile.TemporaryDirectory() as scratch:
        contender = OnnxRuntime(folder, graph, device, None, size, profile=Path(scratch) / "trace")
        for _ in range(2):
            sample(contender, size, device, 1)
        events = json.loads(Path(contender.session.end_profiling()).read_text())
    classes = {}
    nodes = [e for e in events if e.get("cat") == "Node" and e["name"].endswith("_kernel_time")]
    for event in nodes[len(nodes) // 2:]:
        label = event["args"]["op_name"]
        classes[label] = classes.get(label, 0) + event["dur"] / 1000
    return dict(sorted(classes.items(), key=lambda row: -row[1])), {}


# ------------------------------------------------------------------------------------------------ steps

def agree(folder, device, stream, size, contenders, options):
    """{comparison: relative error} of one prediction; `contenders` are those to be timed."""
    feeds = random_feeds(size)
    arguments = [feeds[name] for name in ("sample", "timestep", "encoder_hidden_states")]
    cpu = torch.device("cpu")
    report(f"one prediction by onnxruntime on the CPU, float32{' (minutes at this size)' if options.size == 'full' else ''}")
    expected = OnnxRuntime(folder, "model.cpu.onnx", cpu, None, size).predict(*arguments).clone()
    if not expected.isfinite().all():
        raise ValueError("the CPU's prediction is not finite: these weights or this graph are wrong.")
    errors = {}
    for name, contender in contenders.items():
        found = contender.predict(*[x.to(device) for x in arguments])
        errors[name] = {"relative_error": relative_error(found, expected), "limit": LIMITS["fp32" if "fp32" in name else "fp16"]}
    if options.size != "full" or device.type == "cuda":
        report("the CUDA graph run by PyTorch")
        model = onnx.load(folder / "model.cuda.onnx", load_external_data=False)
        weights, on_device = load_weights(folder, model), {name: value.to(device) for name, value in feeds.items()}
        if device.type == "cpu":
            model, weights = widened(model), {name: value.float() for name, value in weights.items()}
        found = interpret(model, weights, on_device)["out_sample"]
        kind = "fp16" if device.type == "cuda" else "fp32"
        errors[f"CUDA graph in PyTorch, {kind}"] = {"relative_error": relative_error(found, expected), "limit": LIMITS[kind]}
    return errors


def open_contenders(folder, device, stream, size, options):
    """{name: maker}: one is opened at a time, and one that can't be is left out with its reason."""
    if device.type == "cpu":
        return {"onnxruntime fp32": lambda: OnnxRuntime(folder, "model.cpu.onnx", device, None, size),
                "diffusers fp32": lambda: Diffusers(folder, device, size, torch.float32)}
    ort = lambda graph, **more: lambda: OnnxRuntime(folder, graph, device, stream, size, **more)  # noqa: E731
    tuned = {"fuse_conv_bias": "1", "cudnn_conv_use_max_workspace": "1", **dict(entry.split("=", 1) for entry in options.option)}
    makers = {
        "onnxruntime cuda fp16, CUDA graph": ort("model.cuda.onnx", options=tuned, cuda_graph=True),
        "onnxruntime cuda fp16": ort("model.cuda.onnx", options=tuned),
        "onnxruntime cuda fp16, as Node sets it": ort("model.cuda.onnx"),
        "diffusers fp16 eager": lambda: Diffusers(folder, device, size, torch.float16),
        "diffusers fp16 channels last": lambda: Diffusers(folder, device, size, torch.float16, channels_last=True),
        f"diffusers fp16 torch.compile {options.compile_mode}": lambda: Diffusers(folder, device, size, torch.float16, compiled=options.compile_mode),
    }
    if options.portable:
        makers["onnxruntime portable fp16"] = ort("model.onnx")
    return makers


def report(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=Path, default=Path("out/gpu"), help="what bench/gpu/graphs.ts wrote")
    parser.add_argument("--provider", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--size", choices=("full", "small"), default="full")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--runs", type=int, default=10, help="rounds; every contender runs once in each, after one uncounted")
    parser.add_argument("--only", choices=("agree", "time", "profile"), action="append", help="may be given several times; all when left out")
    parser.add_argument("--without", action="append", default=[], help="contenders to leave out: part of a name, e.g. compile or diffusers")
    parser.add_argument("--compile-mode", default="default", help="of torch.compile: default, reduce-overhead, max-autotune-no-cudagraphs")
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="of onnxruntime's CUDA provider, for the first two contenders: sdpa_kernel=1 takes flash attention, 8 cuDNN's")
    parser.add_argument("--portable", action="store_true", help="time the portable graph on the GPU too")
    parser.add_argument("--node-latents", type=Path, help="what bench/gpu/node.ts --latents wrote, to be held against these")
    parser.add_argument("--json", type=Path, help="where to write everything that was found")
    options = parser.parse_args()
    chosen = options.only or ["agree", "time", "profile"]
    torch.set_grad_enabled(False)
    device = torch.device(options.provider)
    folder = options.graphs / options.size
    size = json.loads((folder / "size.json").read_text())

    import onnxruntime
    if device.type == "cuda" and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # CUDA and cuDNN of PyTorch's wheels
    stream = torch.cuda.Stream() if device.type == "cuda" else None
    report(f"weights of {folder}")
    make_weights(folder)
    work = count(onnx.load(folder / "model.cuda.onnx", load_external_data=False), size)
    flops, moved = (sum(row[key] for row in work.values()) for key in ("flops", "bytes"))
    result = {
        "size": options.size, "provider": options.provider, "steps": options.steps, "runs": options.runs,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "CPU", "torch": torch.__version__, "onnxruntime": onnxruntime.__version__,
        "step": {"flops": flops, "bytes": moved, "operators": work}, "left_out": {},
    }
    with torch.cuda.stream(stream) if stream else contextlib.nullcontext():
        result["rates"] = rates(device)
        result["floor_ms"] = {"flops": options.steps * flops / result["rates"]["flops"] * 1000, "bytes": options.steps * moved / result["rates"]["bytes"] * 1000}
        contenders = {}
        for name, make in open_contenders(folder, device, stream, size, options).items():
            if any(part in name for part in options.without):
                continue
            report(f"opening {name}")
            try:
                contender = make()
                sample(contender, size, device, options.steps)  # compiles, chooses kernels, captures
                contenders[name] = contender
            except Exception as error:  # noqa: BLE001  a contender that can't run must not cost the others their turn
                result["left_out"][name] = f"{type(error).__name__}: {error}"[:2000]
                report(f"left out: {result['left_out'][name][:300]}")
        if "agree" in chosen:
            result["agreement"] = agree(folder, device, stream, size, contenders, options)
        if options.node_latents and contenders:
            name, contender = next(iter(contenders.items()))
            ours = sample(contender, size, device, options.steps)[0]
            theirs = torch.from_numpy(numpy.fromfile(options.node_latents, dtype=numpy.float32)).reshape(ours.shape)
            limit = LIMITS["fp32" if "fp32" in name else "fp16"]
            result.setdefault("agreement", {})[f"Node's final latents, against {name}"] = {"relative_error": relative_error(theirs, ours), "limit": limit}
        if "time" in chosen:
            times = {name: [] for name in contenders}
            for round_ in range(options.runs + 1):
                report(f"round {round_} of {options.runs}")
                for name, contender in contenders.items():
                    milliseconds = sample(contender, size, device, options.steps)[1]
                    if round_ > 0:
                        times[name].append(milliseconds)
            result["times_ms"] = times
        if "profile" in chosen:
            report("profile")
            ours = next((name for name in contenders if name.startswith("onnxruntime") and "graph" not in name), None)
            if device.type == "cpu":
                result["profile"] = dict(zip(("classes", "kernels"), profile_cpu(folder, "model.cpu.onnx", device, size)))
            elif ours:
                result["profile"] = dict(zip(("classes", "kernels"), profile_gpu(contenders[ours], size, device)))
    print_tables(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))
    broken = [name for name, row in result.get("agreement", {}).items() if not row["relative_error"] <= row["limit"]]
    sys.exit(f"These do not agree with the CPU: {', '.join(broken)}." if broken else 0 if contenders else "No contender could run.")


def print_tables(result):
    print(f"{result['size']} on {result['device']}, PyTorch {result['torch']}, onnxruntime {result['onnxruntime']}")
    step, rate, floor = result["step"], result["rates"], result["floor_ms"]
    print(f"a step of the CUDA graph: {step['flops'] / 1e12:.3f} TFLOP in products, {step['bytes'] / 1e9:.2f} GB moved node by node; "
          f"{result['steps']} steps at this machine's {rate['flops'] / 1e12:.3g} TFLOP/s and {rate['bytes'] / 1e9:.0f} GB/s: {floor['flops']:.1f} ms and {floor['bytes']:.1f} ms")
    for name, row in result.get("agreement", {}).items():
        print(f"  {name:45} relative error {row['relative_error']:.1e}  {'agrees' if row['relative_error'] <= row['limit'] else 'DOES NOT AGREE'}")
    times = result.get("times_ms", {})
    medians = {name: statistics.median(values) for name, values in times.items() if values}
    reference = next(iter(medians.values()), None)
    for name, median in medians.items():
        print(f"  {name:45} {median:9.1f} ms  ({min(times[name]):.1f} to {max(times[name]):.1f})  {median / reference:.2f}x")
    for name, reason in result["left_out"].items():
        print(f"  {name:45} left out: {reason.splitlines()[0][:150]}")
    for name, milliseconds in list(result.get("profile", {}).get("classes", {}).items())[:20]:
        print(f"  {name:45} {milliseconds:9.2f} ms of a step")


if __name__ == "__main__":
    main()

"""Makes test/golden/adapters.safetensors and adapters.json: small cases of every kind of adapter file, with the merged weights in float64.

Each case is computed twice: by the float64 formulas (adapter_formulas.py) from the file's own key names, and by a library (LyCORIS, PEFT or diffusers,
called on the same tensors). Both must agree within float32 rounding; where a library is wrong the case says so, with the difference it makes.
The arrays of a case are CASE/base/PARAMETER, CASE/file/KEY (CASE/file2/KEY for the second file of a pair) and CASE/expected/PARAMETER.

    python test/oracle/adapters.py

needs: torch==2.13.0 lycoris-lora==4.1 peft==0.21 diffusers==0.42.1 safetensors
"""
import json
import math
from pathlib import Path

import torch
from lycoris.functional.lokr import kron_weight
from peft import LoHaConfig, LoKrConfig, LoraConfig
from safetensors.torch import save_file

import adapter_libraries as libraries
from adapter_formulas import Sum, apply
from adapter_names import read_adapter

GOLDEN = Path(__file__).parents[1] / "golden"
TOLERANCE = 3e-6  # of the largest element: float32 rounding in the libraries
torch.set_grad_enabled(False)

# Paths of SD1.5 with tiny, never square shapes.
TO_Q = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
TO_K = "down_blocks.1.attentions.1.transformer_blocks.0.attn2.to_k"
TO_OUT = "up_blocks.1.attentions.2.transformer_blocks.0.attn1.to_out.0"
FF = "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj"
PROJ_IN, CONV1, SHORTCUT = "down_blocks.0.attentions.0.proj_in", "down_blocks.0.resnets.0.conv1", "up_blocks.3.resnets.1.conv_shortcut"
TIME, NORM1, UPSAMPLE, DOWNSAMPLE = "down_blocks.2.resnets.0.time_emb_proj", "down_blocks.0.resnets.0.norm1", "up_blocks.0.upsamplers.0.conv", "down_blocks.0.downsamplers.0.conv"
TEXT_Q, FC1 = "text_model.encoder.layers.0.self_attn.q_proj", "text_model.encoder.layers.1.mlp.fc1"
LINEAR, CONV, SMALL, POINT = (12, 8), (8, 4, 3, 3), (5, 3, 3, 3), (10, 8, 1, 1)
UNET = "lora_unet"


class Book:
    def __init__(self):
        self.arrays, self.cases = {}, []
        self.generator = torch.Generator().manual_seed(4)

    def random(self, *shape, scale=0.5):
        return scale * torch.randn(shape, generator=self.generator)

    def add(self, name, about, base, files, library=None, component="unet", disagree=(), by=None, ignored=0):
        """`base`: parameter -> tensor. `files`: [(tensors, {strength, scale, metadata})]. `library`: the merged parameters by library `by`."""
        base = {k: v.float() for k, v in base.items()}
        running = {k: Sum.of(v) for k, v in base.items()}
        modules = {component: sorted({k.rpartition(".")[0] for k in base})}
        entry = {"name": name, "about": about, "component": component, "parameters": {k: kind_of(k, v) for k, v in base.items()}, "files": []}
        kinds = []
        for index, (tensors, options) in enumerate(files):
            prefix = "file" if index == 0 else f"file{index + 1}"
            layers, ignored_keys, unmatched = read_adapter(tensors, options.get("metadata"), modules)
            assert not unmatched and len(ignored_keys) == ignored, (name, unmatched, ignored_keys)
            strength, scale = options.get("strength", 1.0), options.get("scale", "alpha/rank")
            for layer in layers:
                weight, bias = f"{layer.module}.weight", f"{layer.module}.bias"
                running[weight], new_bias, kind = apply(layer, running[weight], running.get(bias), strength, scale)
                if new_bias is not None:
                    running[bias] = new_bias
                kinds.append(kind)
            entry["files"].append({"at": prefix, "strength": strength, "scale": scale, "metadata": options.get("metadata") or {}, "modules": len(layers)})
            self.arrays |= {f"{name}/{prefix}/{k}": v.contiguous().clone() for k, v in tensors.items()}
        entry["kinds"] = sorted(set(kinds))
        self.arrays |= {f"{name}/base/{k}": v.clone() for k, v in base.items()}
        self.arrays |= {f"{name}/expected/{k}": v.value.contiguous().clone() for k, v in running.items()}
        worst = None
        if library is not None:
            worst = difference(library, {k: v.value for k, v in running.items()})
            assert worst <= TOLERANCE, f"{name}: {by} differs by {worst:.1e}"
        entry["checked_against"] = {"library": by, "difference": worst} if by else {"library": None, "difference": None}
        entry["disagree"] = []
        for who, other, why in disagree:
            amount = None if other is None else difference(other, {k: v.value for k, v in running.items()})
            assert amount is None or amount > 1e-3, f"{name}: {who} agrees after all ({amount:.1e})"
            entry["disagree"].append({"who": who, "difference": amount, "why": why})
        changed = max(float((running[k].value - base[k].double()).abs().max()) for k in base)
        assert changed > 1e-3, f"{name} changes nothing"
        self.cases.append(entry)
        note = "; ".join(f"{d['who']} {'%.1e' % d['difference'] if d['difference'] is not None else 'refuses'}" for d in entry["disagree"])
        print(f"{name:34} {'+'.join(entry['kinds']):22} {by or 'formula only':26} {'' if worst is None else f'{worst:.0e}'}  {note}")

    def write(self):
        GOLDEN.mkdir(exist_ok=True)
        save_file(self.arrays, GOLDEN / "adapters.safetensors")
        text = {
            "made_by": "python test/oracle/adapters.py",
            "versions": {"torch": "2.13.0", "lycoris-lora": "4.1", "peft": "0.21", "diffusers": "0.42.1"},
            "difference": "largest absolute difference over the largest absolute expected value",
            "cases": self.cases,
        }
        (GOLDEN / "adapters.safetensors").chmod(0o644)
        (GOLDEN / "adapters.json").write_text(json.dumps(text, indent=1) + "\n")
        print(f"{len(self.cases)} cases, {(GOLDEN / 'adapters.safetensors').stat().st_size} bytes")


def kind_of(name, tensor):
    return "bias" if name.endswith("bias") else {1: "norm", 2: "linear"}.get(tensor.ndim) or f"conv{tensor.shape[2]}x{tensor.shape[3]}"


def difference(found, expected):
    return max(float((found[k].double() - v).abs().max() / v.abs().max()) for k, v in expected.items())


def attempt(function):
    """None where a library refuses its own format."""
    try:
        return function()
    except Exception as error:  # any kind: what matters is that it does not merge
        print("   ", type(error).__name__, str(error).splitlines()[0][:140] if str(error) else "")
        return None


def flat(module, prefix=UNET):
    return f"{prefix}_{module.replace('.', '_')}"


def lora_parts(b, key, shape, rank, alpha=None, mid=False, matrix=False):
    """kohya's tensors of one module."""
    out, inputs, *kernel = shape
    if mid:
        parts = {"lora_down.weight": b.random(rank, inputs, 1, 1), "lora_mid.weight": b.random(rank, rank, *kernel), "lora_up.weight": b.random(out, rank, 1, 1)}
    elif matrix or not kernel:
        parts = {"lora_down.weight": b.random(rank, inputs), "lora_up.weight": b.random(out, rank)}
    else:
        parts = {"lora_down.weight": b.random(rank, inputs, *kernel), "lora_up.weight": b.random(out, rank, 1, 1)}
    if alpha is not None:
        parts["alpha"] = alpha if isinstance(alpha, torch.Tensor) else torch.tensor(float(alpha))
    return {f"{key}.{name}": value for name, value in parts.items()}


def loras(b):
    q, f = f"{TO_Q}.weight", f"{FF}.weight"

    def one(name, about, module, shape, rank, alpha=None, strength=0.8, scale="alpha/rank", key=None, prefix=UNET, component="unet", library="LyCORIS", **form):
        base = {f"{module}.weight": b.random(*shape)}
        file = lora_parts(b, key or flat(module, prefix), shape, rank, alpha, **form)
        merged = None
        if library == "LyCORIS":  # which is given its own names and, on a 1x1 convolution, its own shapes
            renamed = {f"{flat(module)}.{k.partition('.')[2]}": v for k, v in file.items()}
            effective = strength
            if scale != "alpha/rank":  # LyCORIS reads alpha/rank; the same through the strength
                stored = float(alpha) if alpha is not None else rank
                effective = strength * (rank / stored if scale == "raw" else math.sqrt(rank))
            if shape[2:] == (1, 1):
                renamed = {k: v.reshape(*v.shape[:2], 1, 1) if v.ndim == 2 else v for k, v in renamed.items()}
            merged = libraries.lycoris(UNET, base, renamed, effective)
        elif library == "diffusers":
            merged = libraries.diffusers_fused(base, file, None, strength)
        b.add(name, about, base, [(file, {"strength": strength, "scale": scale})], merged, component, by=library)

    one("lora-linear", "kohya, alpha 0-d", TO_Q, LINEAR, 4, 2)
    one("lora-linear-diffusers", "the same kind through diffusers", TO_K, LINEAR, 3, 1.5, library="diffusers")
    one("lora-alpha-shape-1", "alpha stored as [1]", TO_K, LINEAR, 4, torch.tensor([3.0]))
    one("lora-no-alpha", "no alpha: alpha = rank", TO_OUT, LINEAR, 5)
    one("lora-negative", "strength -0.7", FF, LINEAR, 4, 1, strength=-0.7)
    one("lora-raw", "scale raw: the file's alpha does not count", TO_Q, LINEAR, 4, 1, scale="raw")
    one("lora-rslora", "scale rslora: alpha / sqrt(rank)", TO_Q, LINEAR, 4, 2, scale="rslora")
    one("lora-conv3x3", "", CONV1, CONV, 4, 2)
    one("lora-conv3x3-diffusers", "", DOWNSAMPLE, SMALL, 3, 1, library="diffusers")
    one("lora-conv1x1", "4-d LoRA on a 1x1 convolution", PROJ_IN, POINT, 4, 2)
    one("lora-conv1x1-matrix", "2-d LoRA on a 1x1 convolution", SHORTCUT, POINT, 4, 2, matrix=True)
    one("lora-tucker", "LoCon with a Tucker core", CONV1, CONV, 3, 1.5, mid=True)
    one("lora-time-emb", "", TIME, LINEAR, 4, 2)
    one("lora-conv-in-time", "time embedding", "time_embedding.linear_1", LINEAR, 4, 2)
    one("lora-lycoris-prefix", "LyCORIS' own wrapper writes lycoris_ and the path", TO_Q, LINEAR, 4, 2, prefix="lycoris")
    one("lora-text", "lora_te", TEXT_Q, LINEAR, 4, 2, strength=0.6, prefix="lora_te", component="text_encoder")
    one("lora-text-te1", "lora_te1", FC1, LINEAR, 4, 2, strength=0.6, prefix="lora_te1", component="text_encoder")
    one("lora-text-lycoris-prefix", "", FC1, LINEAR, 4, 2, strength=0.6, prefix="lycoris", component="text_encoder")
    one("lora-ldm-attention", "LDM name", TO_Q, LINEAR, 4, 2, key="lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q")
    one("lora-ldm-upsampler", "LDM name of SD1.5's first upsampler", UPSAMPLE, SMALL, 4, 2, key="lora_unet_output_blocks_2_1_conv")
    one("lora-ldm-upsampler-lycoris", "what LyCORIS' converter calls that upsampler", UPSAMPLE, SMALL, 4, 2, key="lora_unet_output_blocks_2_2_conv")
    one("lora-ldm-downsampler", "", DOWNSAMPLE, SMALL, 4, 2, key="lora_unet_input_blocks_3_0_op")
    one("lora-ldm-resnet", "", TIME, LINEAR, 4, 2, key="lora_unet_input_blocks_7_0_emb_layers_1")
    one("lora-ldm-mid", "", FF, LINEAR, 4, 2, key="lora_unet_middle_block_1_transformer_blocks_0_ff_net_0_proj")
    # a LoRA for a Linear that a converter has left 4-d, as 1x1-convolution LoRAs of Linear projections are
    base = {q: b.random(*LINEAR)}
    file = {k: v.reshape(*v.shape, 1, 1) if v.ndim == 2 else v for k, v in lora_parts(b, flat(TO_Q), LINEAR, 4, 2).items()}
    b.add("lora-linear-4d", "4-d LoRA on a Linear", base, [(file, {"strength": 0.8})],
          libraries.lycoris(UNET, base, {k: v.squeeze() if v.ndim == 4 else v for k, v in file.items()}, 0.8), by="LyCORIS, squeezed")
    # ranks and alphas that vary within a file
    base = {q: b.random(*LINEAR), f: b.random(12, 10), f"{CONV1}.weight": b.random(*CONV), f"{TO_K}.weight": b.random(*LINEAR)}
    file = (lora_parts(b, flat(TO_Q), LINEAR, 2, 1) | lora_parts(b, flat(FF), (12, 10), 7, 7) | lora_parts(b, flat(CONV1), CONV, 4) | lora_parts(b, flat(TO_K), LINEAR, 3, 1))
    b.add("lora-varying-ranks", "ranks 2, 7, 4, 3; alphas 1, 7, none, 1", base, [(file, {"strength": 0.8})], libraries.lycoris(UNET, base, file, 0.8), by="LyCORIS",
          disagree=[("diffusers 0.42.1", attempt(lambda: libraries.diffusers_fused(base, file, None, 0.8)),
                     "gives a module without alpha the file's commonest alpha; alpha = rank is what kohya, LyCORIS and PEFT do")])
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        word = str(dtype).removeprefix("torch.")
        base = {q: b.random(*LINEAR)}
        file = {k: v.to(dtype) for k, v in lora_parts(b, flat(TO_Q), LINEAR, 4, 2).items()}
        b.add(f"lora-{word}", f"stored as {word}, alpha too", base, [(file, {"strength": 0.8})], libraries.lycoris(UNET, base, file, 0.8), by="LyCORIS")
    base = {q: b.random(*LINEAR)}
    file = lora_parts(b, flat(TO_Q), LINEAR, 4, 2)
    extra = {"bundle_emb.style.string_to_param.*": b.random(2, 8), "bundle_emb.other.emb_params": b.random(1, 8)}
    b.add("lora-bundle-emb", "textual inversions packed beside a LoRA (LyCORIS' pack_bundle): ignored by rule", base, [(file | extra, {"strength": 0.8})],
          libraries.lycoris(UNET, base, file, 0.8), by="LyCORIS", ignored=2)


def dotted_loras(b):
    base = {f"{TO_Q}.weight": b.random(*LINEAR), f"{TO_OUT}.weight": b.random(*LINEAR), f"{TO_OUT}.bias": b.random(12)}

    def pair(module, down, up, rank=4):
        return {f"{module}{down}": b.random(rank, 8), f"{module}{up}": b.random(12, rank)}

    def procs(prefix):
        file = {}
        for module, name in ((TO_Q, "to_q"), (TO_OUT, "to_out")):
            attention = module.rpartition(f".{name}")[0]
            file |= pair(f"{prefix}{attention}.processor.{name}_lora", ".down.weight", ".up.weight")
        return file

    for name, prefix, why in (("attn-procs", "", "diffusers before 0.17"), ("attn-procs-unet", "unet.", "diffusers 0.17")):
        file = procs(prefix)
        prefixed = {k if k.startswith("unet.") else f"unet.{k}": v for k, v in file.items()}
        b.add(name, why, base, [(file, {"strength": 0.8})], libraries.diffusers_fused(base, prefixed, None, 0.8), by="diffusers")
    file = pair(f"unet.{TO_Q}", ".lora.down.weight", ".lora.up.weight") | pair(f"unet.{TO_OUT}", ".lora.down.weight", ".lora.up.weight", 3)
    b.add("diffusers-lora-down", "diffusers 0.20 to 0.23", base, [(file, {"strength": 0.8})], libraries.diffusers_fused(base, file, None, 0.8), by="diffusers")
    file = pair(f"unet.{TO_Q}", ".lora_A.weight", ".lora_B.weight") | pair(f"unet.{TO_OUT}", ".lora_A.weight", ".lora_B.weight", 3)
    b.add("diffusers-peft", "diffusers since 0.24, no metadata: alpha = rank", base, [(file, {"strength": 0.8})], libraries.diffusers_fused(base, file, None, 0.8), by="diffusers")
    text = {f"{TEXT_Q}.weight": b.random(*LINEAR), f"{FC1}.weight": b.random(*LINEAR)}
    attention = TEXT_Q.removesuffix(".q_proj")
    for form, q_down, q_up in (("to_q_lora", f"{attention}.to_q_lora.down.weight", f"{attention}.to_q_lora.up.weight"),
                               ("lora_linear_layer", f"{TEXT_Q}.lora_linear_layer.down.weight", f"{TEXT_Q}.lora_linear_layer.up.weight"),
                               ("lora_A", f"{TEXT_Q}.lora_A.weight", f"{TEXT_Q}.lora_B.weight")):
        ending = (".lora_A.weight", ".lora_B.weight") if form == "lora_A" else (".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight")
        file = {f"text_encoder.{q_down}": b.random(4, 8), f"text_encoder.{q_up}": b.random(12, 4)} | pair(f"text_encoder.{FC1}", *ending)
        kohya = {"down": "lora_down", "lora_A": "lora_down", "up": "lora_up", "lora_B": "lora_up"}
        plain = {}
        for key, value in file.items():
            part = next(word for word in kohya if f".{word}." in key)
            plain[f"{flat(FC1 if 'mlp' in key else TEXT_Q)}.{kohya[part]}.weight"] = value
        b.add(f"diffusers-text-{form.replace('_', '-').lower()}", "text encoder keys of diffusers", text, [(file, {"strength": 0.6})],
              libraries.lycoris(UNET, text, plain, 0.6), "text_encoder", by="LyCORIS, renamed")


def at_strength(base, full, strength):
    """A library's merge at strength 1, at another: right wherever the adapter is additive, and for DoRA by definition."""
    return {k: base[k].double() + strength * (full[k].double() - base[k].double()) for k in base}


def peft_loras(b):
    base = {f"{TO_Q}.weight": b.random(*LINEAR), f"{CONV1}.weight": b.random(*CONV), f"{CONV1}.bias": b.random(8), f"{PROJ_IN}.weight": b.random(*POINT)}
    targets = [TO_Q, CONV1, PROJ_IN]
    file, merged = libraries.peft_file(LoraConfig(r=4, lora_alpha=4, target_modules=targets), base, b.generator)
    b.add("peft", "save_pretrained: base_model.model., no alpha in the file", base, [(file, {"strength": 0.8})], at_strength(base, merged, 0.8), by="PEFT")
    infix = {k.replace("lora_A.", "lora_A.default.").replace("lora_B.", "lora_B.default."): v for k, v in file.items()}
    b.add("peft-default-infix", "state_dict() of a PEFT model: .default.", base, [(infix, {"strength": 0.8})], at_strength(base, merged, 0.8), by="PEFT")
    dora = {f"{TO_Q}.weight": b.random(*LINEAR), f"{CONV1}.weight": b.random(6, 6, 3, 3)}
    file, merged = libraries.peft_file(LoraConfig(r=4, lora_alpha=4, target_modules=[TO_Q, CONV1], use_dora=True), dora, b.generator)
    b.add("peft-dora", "lora_magnitude_vector: always per output channel, though a convolution's is stored [1, out, 1, 1] (here out = in)", dora,
          [(file, {"strength": 1.0})], merged, by="PEFT")
    b.add("peft-dora-strength", "DoRA at strength s is W + s (W' - W)", dora, [(file, {"strength": 0.5})], at_strength(dora, merged, 0.5), by="PEFT, interpolated")
    bias = {f"{TO_OUT}.weight": b.random(*LINEAR), f"{TO_OUT}.bias": b.random(12)}
    file, merged = libraries.peft_file(LoraConfig(r=4, lora_alpha=4, target_modules=[TO_OUT], lora_bias=True), bias, b.generator)
    b.add("peft-bias", "lora_B.bias is added to the module's bias, times the same factor", bias, [(file, {"strength": 0.8})], at_strength(bias, merged, 0.8), by="PEFT")

    pattern = LoraConfig(r=4, lora_alpha=2, target_modules=targets, rank_pattern={"proj_in": 3, TO_Q: 2}, alpha_pattern={"proj_in": 6, "attn1.to_q": 1})
    file, metadata, merged = libraries.diffusers_saved(base, pattern, b.generator, bare=False)
    b.add("diffusers-metadata", "save_lora_weights: alpha, alpha_pattern and rank_pattern in the header", base, [(file, {"strength": 0.8, "metadata": metadata})],
          at_strength(base, merged, 0.8), by="PEFT", disagree=[])
    again = libraries.diffusers_fused(base, file, metadata, 0.8)
    assert difference(again, at_strength(base, merged, 0.8)) < TOLERANCE
    rslora = LoraConfig(r=4, lora_alpha=2, target_modules=targets, use_rslora=True)
    file, metadata, merged = libraries.diffusers_saved(base, rslora, b.generator, bare=False)
    b.add("diffusers-metadata-rslora", "use_rslora in the header: alpha / sqrt(rank)", base, [(file, {"strength": 0.8, "metadata": metadata})],
          at_strength(base, merged, 0.8), by="PEFT")
    file, metadata, merged = libraries.diffusers_saved(base, pattern, b.generator, bare=True)
    b.add("diffusers-adapter-metadata", "save_lora_adapter: keys and header without a prefix", base, [(file, {"strength": 0.8, "metadata": metadata})],
          at_strength(base, merged, 0.8), by="PEFT")
    alphas = {f"unet.{TO_Q}.lora_A.weight": b.random(4, 8), f"unet.{TO_Q}.lora_B.weight": b.random(12, 4), f"unet.{TO_Q}.alpha": torch.tensor(2.0)}
    b.add("diffusers-alpha-tensor", "an .alpha tensor beside lora_A and lora_B", {f"{TO_Q}.weight": base[f"{TO_Q}.weight"]}, [(alphas, {"strength": 0.8})],
          disagree=[("diffusers 0.42.1", attempt(lambda: libraries.diffusers_fused({f"{TO_Q}.weight": base[f"{TO_Q}.weight"]}, alphas, None, 0.8)), "leaves the tensor out without a word: alpha = rank")])


def hadamard_and_kronecker(b):
    double = "multiplies alpha/rank twice when it merges (get_weight and get_diff_weight); its own forward pass, PEFT and ComfyUI multiply it once"

    def case(name, about, module, shape, parts, strength=0.8, scale_is_one=False, **options):
        base = {f"{module}.weight": b.random(*shape)}
        file = {f"{flat(module)}.{k}": v for k, v in parts.items()}
        forward = lycoris_forward(base[f"{module}.weight"], file, flat(module), strength)
        merged = None if scale_is_one else attempt(lambda: libraries.lycoris(UNET, base, file, strength))
        b.add(name, about, base, [(file, {"strength": strength})], {f"{module}.weight": forward}, by="LyCORIS, forward pass",
              disagree=[("LyCORIS 4.1 merge", merged, double)] if merged else [], **options)

    def loha(shape, rank, alpha, tucker=False):
        out, inputs, *kernel = shape
        if tucker:
            parts = {f"hada_w{i}_a": b.random(rank, out) for i in (1, 2)} | {f"hada_w{i}_b": b.random(rank, inputs) for i in (1, 2)}
            parts |= {f"hada_t{i}": b.random(rank, rank, *kernel) for i in (1, 2)}
        else:
            wide = inputs * math.prod(kernel)
            parts = {f"hada_w{i}_a": b.random(out, rank) for i in (1, 2)} | {f"hada_w{i}_b": b.random(rank, wide) for i in (1, 2)}
        return parts | {"alpha": torch.tensor(float(alpha))}

    case("loha-linear", "", TO_Q, LINEAR, loha(LINEAR, 3, 1))
    case("loha-conv3x3", "flattened kernel", CONV1, CONV, loha(CONV, 3, 1))
    case("loha-conv1x1", "", PROJ_IN, POINT, loha(POINT, 3, 1))
    case("loha-tucker", "t1, t2", CONV1, CONV, loha(CONV, 3, 1, tucker=True))

    def lokr(w1, w2, rank=2, first=False, second=False, kernel=(), tucker=False, alpha=1.0):
        parts = {"lokr_w1_a": b.random(w1[0], rank), "lokr_w1_b": b.random(rank, w1[1])} if first else {"lokr_w1": b.random(*w1)}
        if tucker:
            parts |= {"lokr_t2": b.random(rank, rank, *kernel), "lokr_w2_a": b.random(rank, w2[0]), "lokr_w2_b": b.random(rank, w2[1])}
        elif second:
            parts |= {"lokr_w2_a": b.random(w2[0], rank), "lokr_w2_b": b.random(rank, w2[1] * math.prod(kernel))}
        else:
            parts |= {"lokr_w2": b.random(*w2, *kernel)}
        return parts | {"alpha": torch.tensor(alpha)}

    wide, kernel = (24, 20), (3, 3)  # LyCORIS' factorization: 24 = 4*6, 20 = 4*5
    case("lokr-full", "w1 and w2 both full: alpha does not count", FF, (12, 20), lokr((3, 4), (4, 5), alpha=3.0), scale_is_one=True)
    case("lokr-w2-factored", "", FF, wide, lokr((4, 4), (6, 5), second=True))
    case("lokr-both-factored", "", FF, (30, 25), lokr((5, 5), (6, 5), first=True, second=True))
    case("lokr-conv3x3", "full w2 with its kernel", CONV1, CONV, lokr((2, 2), (4, 2), kernel=kernel, alpha=3.0), scale_is_one=True)
    case("lokr-conv3x3-factored", "w2_b flattened over the kernel", CONV1, (4, 15, 3, 3), lokr((2, 3), (2, 5), rank=2, second=True, kernel=kernel))
    shape, parts = (6, 15, 3, 3), lokr((2, 3), (3, 5), rank=2, kernel=kernel, tucker=True)
    base = {f"{CONV1}.weight": b.random(*shape)}
    delta = kron_weight(parts["lokr_w1"], None, None, None, parts["lokr_w2_a"], parts["lokr_w2_b"], parts["lokr_t2"], scale=1 / 2).reshape(shape)
    file = {f"{flat(CONV1)}.{k}": v for k, v in parts.items()}
    assert attempt(lambda: libraries.lycoris(UNET, base, file, 0.8)) is None
    b.add("lokr-tucker", "t2; w2_a is [rank, out] here, so the rank is t2's and w2_b's first size", base, [(file, {"strength": 0.8})],
          {f"{CONV1}.weight": base[f"{CONV1}.weight"] + 0.8 * delta}, by="LyCORIS, functional",
          disagree=[("LyCORIS 4.1 merge", None, "takes w2_a's second size for the rank and then finds no place for the tensors (AttributeError)")])

    base = {f"{TO_Q}.weight": b.random(*LINEAR), f"{CONV1}.weight": b.random(*CONV)}
    conv = {f"{CONV1}.weight": b.random(*CONV)}
    file, merged = libraries.peft_file(LoHaConfig(r=3, alpha=3, target_modules=[TO_Q, CONV1]), base, b.generator)
    b.add("peft-loha", "save_pretrained of a LoHa: base_model.model.….hada_w1_a; alpha is in adapter_config.json only, so alpha = rank", base,
          [(file, {"strength": 0.8})], at_strength(base, merged, 0.8), by="PEFT")
    file, merged = libraries.peft_file(LoHaConfig(r=3, alpha=3, target_modules=[CONV1], use_effective_conv2d=True), conv, b.generator)
    b.add("peft-loha-tucker", "use_effective_conv2d", conv, [(file, {"strength": 0.8})], at_strength(conv, merged, 0.8), by="PEFT")
    base |= {f"{FF}.weight": b.random(30, 25)}
    file, merged = libraries.peft_file(LoKrConfig(r=2, alpha=2, target_modules=[TO_Q, CONV1, FF], decompose_both=True), base, b.generator)
    b.add("peft-lokr", "save_pretrained of a LoKr; alpha = rank", base, [(file, {"strength": 0.8})], at_strength(base, merged, 0.8), by="PEFT")
    file, merged = libraries.peft_file(LoKrConfig(r=2, alpha=2, target_modules=[CONV1], use_effective_conv2d=True), conv, b.generator)
    b.add("peft-lokr-effective", "use_effective_conv2d", conv, [(file, {"strength": 0.8})], at_strength(conv, merged, 0.8), by="PEFT")


def lycoris_forward(weight, file, key, strength):
    """The weight a LyCORIS module has in its own forward pass: the layer applied to unit vectors, or to unit impulses."""
    from lycoris.modules import get_module, make_module

    state = {k: v.float() for k, v in file.items()}
    module = make_module(*get_module(state, key), key, libraries.module_for(weight, None))
    with torch.no_grad():
        rebuilt = module.get_weight(weight.shape) * module.scalar
    if getattr(module, "wd", False):
        full = weight + rebuilt
        return weight + strength * (module.apply_weight_decompose(full, 1) - weight)
    return weight + strength * rebuilt


def differences(b):
    refuses = ("LyCORIS 4.1 merge", None, "cannot make an IA3 module from a file (TypeError: it passes on_input on); its trained module is what is compared here")
    for name, about, module, shape, value, on_input in (
            ("ia3-out", "per output", TO_Q, LINEAR, b.random(12), 0), ("ia3-in", "on_input: per input", FF, LINEAR, b.random(8), 1),
            ("ia3-conv", "", CONV1, CONV, b.random(1, 8, 1, 1), 0), ("ia3-conv-in", "", CONV1, CONV, b.random(1, 4, 1, 1), 1)):
        base = {f"{module}.weight": b.random(*shape)}
        file = {f"{flat(module)}.weight": value, f"{flat(module)}.on_input": torch.tensor(on_input)}
        assert attempt(lambda: libraries.lycoris(UNET, base, file, 0.8)) is None
        b.add(name, f"W (1 + s w), {about}", base, [(file, {"strength": 0.8})],
              {f"{module}.weight": libraries.lycoris_ia3(base[f"{module}.weight"], value, bool(on_input), 0.8)}, by="LyCORIS, trained module", disagree=[refuses])
    base = {f"{CONV1}.weight": b.random(*CONV), f"{CONV1}.bias": b.random(8), f"{TO_Q}.weight": b.random(*LINEAR)}
    file = {f"{flat(CONV1)}.diff": b.random(*CONV), f"{flat(CONV1)}.diff_b": b.random(8), f"{flat(TO_Q)}.diff": b.random(*LINEAR)}
    b.add("full", "diff, diff_b", base, [(file, {"strength": 0.8})], libraries.lycoris(UNET, base, file, 0.8), by="LyCORIS")
    base = {f"{NORM1}.weight": b.random(8), f"{NORM1}.bias": b.random(8)}
    file = {f"{flat(NORM1)}.w_norm": b.random(8), f"{flat(NORM1)}.b_norm": b.random(8)}
    b.add("norm", "w_norm, b_norm", base, [(file, {"strength": 0.8})], libraries.lycoris(UNET, base, file, 0.8), by="LyCORIS")

    def glora(name, about, module, shape, old, library=True):
        out, inputs, *kernel = shape
        rank, ones = 3, [1] * len(kernel)
        parts = {"a1": b.random(inputs, rank, *ones), "a2": b.random(rank, inputs, *ones), "b1": b.random(out, rank, *ones), "b2": b.random(rank, inputs, *kernel)}
        base = {f"{module}.weight": b.random(*shape)}
        new = {f"{flat(module)}.{k}.weight": v for k, v in parts.items()} | {f"{flat(module)}.alpha": torch.tensor(1.5)}
        merged = libraries.lycoris(UNET, base, new, 0.8)
        exchanged = {"a1": "a2", "a2": "a1", "b1": "b2", "b2": "b1"}
        file = {f"{flat(module)}.{exchanged[k]}.weight": v for k, v in parts.items()} | {f"{flat(module)}.alpha": torch.tensor(1.5)} if old else new
        disagree = [("LyCORIS 4.1", attempt(lambda: libraries.lycoris(UNET, base, file, 0.8)), "reads every file as the new layout")] if old else []
        b.add(name, about, base, [(file, {"strength": 0.8})], merged, by="LyCORIS" if not old else "LyCORIS, on the new layout", disagree=disagree)

    glora("glora-linear", "b1 b2 + (W a1) a2, times alpha/rank", TO_Q, LINEAR, False)
    glora("glora-conv3x3", "a1, a2 act on the input channels", CONV1, CONV, False)
    glora("glora-conv1x1", "", PROJ_IN, POINT, False)
    glora("glora-old-linear", "the layout before LyCORIS 2.0: b2 b1 + (W a2) a1", TO_Q, LINEAR, True)
    glora("glora-old-conv1x1", "", PROJ_IN, POINT, True)
    glora("glora-old-conv3x3", "", CONV1, CONV, True)


def rotations(b):
    rule = "keeps rescale at full strength, so that strength 0 still changes the weight; here it moves linearly from one, like every other factor"

    def oft(name, about, module, shape, blocks, alpha=0.0, rescale=False, strength=0.8, library="LyCORIS"):
        base = {f"{module}.weight": b.random(*shape)}
        file = {f"{flat(module)}.oft_blocks": b.random(*blocks, scale=0.15)}
        if alpha is not None:
            file[f"{flat(module)}.alpha"] = torch.tensor(alpha)
        if rescale:
            file[f"{flat(module)}.rescale"] = 1 + b.random(shape[0], *[1] * (len(shape) - 1), scale=0.2)
        theirs = libraries.lycoris(UNET, base, file if alpha is not None else file | {f"{flat(module)}.alpha": torch.tensor(0.0)}, strength)
        if rescale and strength != 1:
            b.add(name, about, base, [(file, {"strength": strength})], disagree=[("LyCORIS 4.1", theirs, rule)])
        else:
            b.add(name, about, base, [(file, {"strength": strength})], theirs, by=library)

    oft("oft", "diag-oft without constraint: R'W blockwise, R = (I+Q)(I-Q)^-1", TO_Q, LINEAR, (4, 3, 3))
    oft("oft-constraint", "kohya's: alpha is the constraint, times the output width, on the norm of all blocks together", TO_Q, LINEAR, (4, 3, 3), alpha=0.02)
    oft("oft-constraint-idle", "the norm is below the constraint", TO_Q, LINEAR, (4, 3, 3), alpha=1.0)
    oft("oft-full", "strength 1", TO_OUT, LINEAR, (4, 3, 3), alpha=0.02, strength=1.0)
    oft("oft-no-alpha", "", TO_OUT, LINEAR, (4, 3, 3), alpha=None)
    oft("oft-conv3x3", "", CONV1, CONV, (4, 2, 2), alpha=0.01)
    oft("oft-rescale", "diag-oft with rescale, strength 1", TO_Q, LINEAR, (4, 3, 3), rescale=True, strength=1.0)
    oft("oft-rescale-strength", "diag-oft with rescale, strength 0.8", CONV1, CONV, (4, 2, 2), rescale=True)
    oft("boft", "oft_blocks 4-d: butterfly; each stage moves from the identity by the strength", TO_Q, (16, 8), (3, 4, 4, 4))
    oft("boft-full", "strength 1, constraint", TO_Q, (16, 8), (3, 4, 4, 4), alpha=0.02, strength=1.0)
    oft("boft-conv3x3", "", CONV1, CONV, (2, 2, 4, 4))
    oft("boft-rescale", "strength 1", CONV1, CONV, (2, 2, 4, 4), rescale=True, strength=1.0)
    oft("boft-rescale-strength", "", TO_Q, (16, 8), (3, 4, 4, 4), rescale=True)


def decomposed(b):
    half = "scales W + dW by s (m/|W + dW| - 1) + 1: strength 0 leaves the whole LoRA in, strength 1 is the same as here"
    dropped = "drops dora_scale with a warning and merges the LoRA alone"

    def dora(name, about, module, shape, scale_shape, strength=1.0, mid=False):
        base = {f"{module}.weight": b.random(*shape)}
        weight = base[f"{module}.weight"]
        file = lora_parts(b, flat(module), shape, 4, 2, mid=mid)
        per_output = scale_shape[0] == shape[0]
        full = libraries.lycoris(UNET, base, file, 1.0)[f"{module}.weight"]
        size = full.square().sum(dim=[d for d in range(len(shape)) if d != (0 if per_output else 1)]).sqrt().view(scale_shape)
        file[f"{flat(module)}.dora_scale"] = size * (1 + b.random(*scale_shape, scale=0.4))
        disagree = []
        if per_output:
            whole = libraries.lycoris(UNET, base, {k: v.view(-1, *[1] * (len(shape) - 1)) if k.endswith("dora_scale") else v for k, v in file.items()}, 1.0)
            library, by = at_strength(base, whole, strength), "LyCORIS" if strength == 1 else "LyCORIS, interpolated"
            if strength != 1:
                disagree.append(("LyCORIS 4.1", libraries.lycoris(UNET, base, file, strength), half))
        else:
            library = {f"{module}.weight": libraries.lycoris_dora_in(weight, full - weight, file[f"{flat(module)}.dora_scale"], strength)}
            by = "LyCORIS, apply_dora_scale"
            disagree.append(("LyCORIS 4.1 merge", attempt(lambda: libraries.lycoris(UNET, base, file, strength)),
                             "reads every dora_scale as per output; the older files it wrote itself are per input, which their shape shows"))
        fused = attempt(lambda: libraries.diffusers_fused(base, file, None, strength)) if not mid else None
        disagree.append(("diffusers 0.42.1", fused, dropped if fused else "refuses the file"))
        b.add(name, about, base, [(file, {"strength": strength})], library, by=by, disagree=disagree)

    dora("dora-out", "[out, 1]", TO_Q, LINEAR, (12, 1))
    dora("dora-out-strength", "[out, 1] at strength 0.5: W + s (W' - W)", TO_Q, LINEAR, (12, 1), 0.5)
    dora("dora-out-negative", "[out, 1] at strength -0.5", TO_Q, LINEAR, (12, 1), -0.5)
    dora("dora-out-conv3x3", "[out, 1, 1, 1]", CONV1, CONV, (8, 1, 1, 1), 0.7)
    dora("dora-in", "[1, in]", TO_Q, LINEAR, (1, 8))
    dora("dora-in-strength", "", TO_K, LINEAR, (1, 8), 0.5)
    dora("dora-in-conv3x3", "[1, in, 1, 1]", CONV1, CONV, (1, 4, 1, 1), 0.7)

    def decomposed_product(name, about, parts, shape):
        base = {f"{FF}.weight": b.random(*shape)}
        file = {f"{flat(FF)}.{k}": v for k, v in parts.items()} | {f"{flat(FF)}.dora_scale": 1 + b.random(shape[0], 1, scale=0.3).abs()}
        b.add(name, about, base, [(file, {"strength": 0.7})], {f"{FF}.weight": lycoris_forward(base[f"{FF}.weight"], file, flat(FF), 0.7)},
              by="LyCORIS, forward pass, interpolated")

    decomposed_product("dora-loha", "", {f"hada_w{i}_{x}": b.random(*s) for i in (1, 2) for x, s in (("a", (12, 3)), ("b", (3, 8)))} | {"alpha": torch.tensor(1.5)}, LINEAR)
    decomposed_product("dora-lokr", "", {"lokr_w1": b.random(3, 4), "lokr_w2_a": b.random(4, 2), "lokr_w2_b": b.random(2, 5), "alpha": torch.tensor(1.0)}, (12, 20))


def pairs(b):
    """Kinds that depend on the weight see the running weight: the second file is merged into the first one's result."""

    def pair(name, about, module, shape, first, second, strengths=(0.8, 0.6)):
        base = {f"{module}.weight": b.random(*shape)}
        files = [{f"{flat(module)}.{k}": v for k, v in parts.items()} for parts in (first, second)]

        def merge(order):
            now = base
            for i in order:
                if "on_input" in str(files[i].keys()):
                    value = files[i][f"{flat(module)}.weight"]
                    now = {f"{module}.weight": libraries.lycoris_ia3(now[f"{module}.weight"], value, False, strengths[i])}
                elif "dora_scale" in str(files[i].keys()):
                    now = at_strength(now, libraries.lycoris(UNET, now, files[i], 1.0), strengths[i])
                else:
                    now = libraries.lycoris(UNET, now, files[i], strengths[i])
            return now

        b.add(name, about, base, [(file, {"strength": s}) for file, s in zip(files, strengths)], merge((0, 1)), by="LyCORIS, in turn",
              disagree=[("the other order", merge((1, 0)), "not the same weight: the recipe's order is the merge's")])

    def lora(rank=4):
        return {"lora_down.weight": b.random(rank, 8), "lora_up.weight": b.random(12, rank), "alpha": torch.tensor(2.0)}

    pair("pair-lora-dora", "LoRA, then DoRA", TO_Q, LINEAR, lora(), lora() | {"dora_scale": 1 + b.random(12, 1, scale=0.3).abs()})
    pair("pair-dora-dora", "two DoRAs", TO_Q, LINEAR, *(lora() | {"dora_scale": 1 + b.random(12, 1, scale=0.3).abs()} for _ in range(2)))
    pair("pair-lora-ia3", "LoRA, then IA3", TO_Q, LINEAR, lora(), {"weight": b.random(12), "on_input": torch.tensor(0)})
    pair("pair-lora-oft", "LoRA, then OFT", TO_Q, LINEAR, lora(), {"oft_blocks": b.random(4, 3, 3, scale=0.15), "alpha": torch.tensor(0.0)})
    pair("pair-oft-lora", "OFT, then LoRA", TO_Q, LINEAR, {"oft_blocks": b.random(4, 3, 3, scale=0.15), "alpha": torch.tensor(0.0)}, lora())
    pair("pair-lora-glora", "LoRA, then GLoRA", TO_Q, LINEAR, lora(),
         {"a1.weight": b.random(8, 3), "a2.weight": b.random(3, 8), "b1.weight": b.random(12, 3), "b2.weight": b.random(3, 8), "alpha": torch.tensor(1.5)})


if __name__ == "__main__":
    book = Book()
    for chapter in (loras, dotted_loras, peft_loras, hadamard_and_kronecker, differences, rotations, decomposed, pairs):
        chapter(book)
    book.write()

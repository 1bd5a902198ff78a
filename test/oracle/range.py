"""Golden numbers of models/tiny with activations a hundred times larger than usual: what diffusers computes in float32, and that it stays finite in float16.

Writes test/golden/range.json: every second element of UNetMotionModel's output for the merge of golden_graphs.py, once with the weight and bias of every layer that
ends a branch of the residual stream times 100 (rounded to float16), once with the noisy sample times 100. `half` is the relative RMS error of diffusers in float16.

    python test/oracle/range.py

needs: torch==2.13.0 diffusers==0.42.1 transformers safetensors pyyaml
"""
import copy
import json
from pathlib import Path

import torch

import reference_models as models
from golden_graphs import RECIPE, TINY
from merge_reference import MergeReference

OUT = Path(__file__).parents[1] / "golden/range.json"
FACTOR, TIMESTEP, STRIDE = 100, 499, 2
ENDS = (".conv2", ".to_out.0", ".net.2", ".proj_out")  # of resnets, attentions, feed-forwards, whole transformers
SHAPE = (1, 4, 4, 8, 8)  # B, 4, F, h, w
SAMPLE_SEED, STATES_SEED = 21, 22


def largest_of(model):
    """The largest value that a module of the model returns, collected while it runs."""
    found = {"value": 0.0}

    def note(_module, _inputs, output):
        if isinstance(output, torch.Tensor):
            found["value"] = max(found["value"], output.abs().max().item())

    for module in model.modules():
        module.register_forward_hook(note)
    return found


def main():
    reference = MergeReference(RECIPE, TINY)
    weights = reference.rounded("unet", torch.float16)
    enlarged = {name: (w * FACTOR).half().float() if name.removesuffix(".weight").removesuffix(".bias").endswith(ENDS) else w for name, w in weights.items()}
    width = reference.configs["unet"]["cross_attention_dim"]
    sample, states = (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed, shape in ((SAMPLE_SEED, SHAPE), (STATES_SEED, (1, 77, width))))
    cases = {}
    for name, parameters, factor in (("usual", weights, 1), ("branches", enlarged, 1), ("sample", weights, FACTOR)):
        model = models.unet_motion_model(reference, parameters, SHAPE[2])
        largest = largest_of(model)
        wanted = models.noise_prediction(model, sample * factor, TIMESTEP, states)
        half = models.noise_prediction(copy.deepcopy(model).half(), (sample * factor).half(), TIMESTEP, states.half()).float()
        if not torch.isfinite(half).all():
            raise ValueError(f"{name}: diffusers in float16 is not finite; this is no golden case")
        values = [float(f"{x:.7g}") for x in wanted.flatten()[::STRIDE].tolist()]
        cases[name] = {"sample_factor": factor, "weights_factor": FACTOR if name == "branches" else 1, "largest": round(largest["value"], 1), "half": float(f"{models.relative_rms(half, wanted):.3g}"), "values": values}
        print(name, {k: v for k, v in cases[name].items() if k != "values"})
    about = {"command": "python test/oracle/range.py", "timestep": TIMESTEP, "stride": STRIDE, "ends": ENDS, "sample": {"seed": SAMPLE_SEED, "shape": SHAPE}, "encoder_hidden_states": {"seed": STATES_SEED, "shape": (1, 77, width)}}
    OUT.write_text(json.dumps(about | {"cases": cases}) + "\n")


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()

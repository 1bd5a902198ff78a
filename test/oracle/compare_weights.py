"""Loads the `weights/` of a package (output.weights: true) with diffusers and transformers and holds them against its graphs, value for value.

    python test/oracle/compare_weights.py PACKAGE

needs: torch==2.13.0 diffusers==0.42.1 transformers safetensors onnx
"""
import hashlib
import json
import sys
from pathlib import Path

import onnx
import torch
from diffusers import UNetMotionModel
from onnx import numpy_helper
from safetensors import safe_open
from transformers import CLIPTextModel


def graph_parameters(path: Path) -> dict[str, torch.Tensor]:
    """Parameters of a graph in PyTorch's layout, by their diffusers names."""
    model = onnx.load(path, load_external_data=False)
    found = {}
    for tensor in model.graph.initializer:
        if not tensor.name.endswith((".weight", ".bias", ".pe")):
            continue
        value = torch.from_numpy(numpy_helper.to_array(tensor, str(path.parent)).copy())
        transposed = value.ndim == 2 and not tensor.name.endswith("embedding.weight")
        found[tensor.name] = value.T if transposed else value
    return found


def check_file(path: Path) -> None:
    with safe_open(str(path), "pt") as file:
        metadata = file.metadata()
    length = int.from_bytes(path.read_bytes()[:8], "little")
    digest = "0x" + hashlib.sha256(path.read_bytes()[8 + length :]).hexdigest()
    assert metadata["modelspec.hash_sha256"] == digest, (metadata["modelspec.hash_sha256"], digest)
    lock = json.loads(metadata["lcm_merge.lock"])
    print(path.name, metadata["modelspec.title"], metadata["modelspec.merged_from"], digest[:14], len(lock["inputs"]), "inputs")


def main() -> None:
    package = Path(sys.argv[1])
    models = {
        "unet": UNetMotionModel.from_pretrained(package / "weights/unet", torch_dtype=torch.float16, use_safetensors=True),
        "text_encoder": CLIPTextModel.from_pretrained(package / "weights/text_encoder", dtype=torch.float16),
    }
    for component, model in models.items():
        check_file(next((package / "weights" / component).glob("*.safetensors")))
        expected = graph_parameters(package / component / "model.onnx")
        state = model.state_dict()
        state = {k if component == "unet" or k.startswith("text_model.") else f"text_model.{k}": v for k, v in state.items()}
        names = {k for k in state if not k.endswith("position_ids")}
        assert names == set(expected), sorted(names ^ set(expected))[:5]
        wrong = [name for name in names if not torch.equal(state[name].half(), expected[name].half())]
        assert not wrong, wrong[:5]
        print(component, len(names), "tensors equal")


if __name__ == "__main__":
    main()

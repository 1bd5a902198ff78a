"""Holds the value_info of exported graphs against ONNX: checker with full_check, strict shape inference on the graph without it, and a load in onnxruntime
that must not warn. Prints one line per graph; any difference ends it with 1.

    node src/cli.ts bake recipes/tiny.yaml -o out/tiny && python test/oracle/value_info.py out/tiny

needs: onnx onnxruntime
"""
import argparse
import os
import sys
import tempfile
from pathlib import Path

import onnx
import onnxruntime


def shape_of(value):
    tensor = value.type.tensor_type
    return tensor.elem_type, [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in tensor.shape.dim]


def differences(path):
    """(values declared, lengths that inference finds too, sentences on what differs)"""
    model = onnx.load(path, load_external_data=False)
    declared = {value.name: shape_of(value) for value in model.graph.value_info}
    made = {name for node in model.graph.node for name in node.output} - {value.name for value in model.graph.output}
    faults = [f"{name} has no value_info" for name in made - declared.keys()]
    faults += [f"{name} is made by no node" for name in declared.keys() - made]
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    inferred = {value.name: shape_of(value) for value in onnx.shape_inference.infer_shapes(bare, check_type=True, strict_mode=True, data_prop=True).graph.value_info}
    found = 0
    for name, (kind, lengths) in inferred.items():
        ours = declared.get(name)
        if ours is None or name not in made:
            continue
        if ours[0] != kind or len(ours[1]) != len(lengths):
            faults.append(f"{name}: declared {ours}, inferred {(kind, lengths)}")
            continue
        for mine, theirs in zip(ours[1], lengths):
            if isinstance(theirs, int) and theirs != mine:
                faults.append(f"{name}: declared {ours[1]}, inferred {lengths}")
            found += isinstance(theirs, int)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)  # with it: a contradiction throws
    return len(declared), found, faults


def warnings_of_loading(path):
    """What onnxruntime prints at severity warning while it loads, its notes on casts that it puts in left out."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 2
    with tempfile.TemporaryFile() as log:
        kept = os.dup(2)
        os.dup2(log.fileno(), 2)
        try:
            onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        log.seek(0)
        return [line for line in log.read().decode().splitlines() if "hape" in line]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    broken = False
    for path in sorted(parser.parse_args().package.glob("*/model*.onnx")):
        onnx.checker.check_model(str(path), full_check=True)
        count, found, faults = differences(str(path))
        faults += warnings_of_loading(str(path))
        print(f"{path}: {path.stat().st_size} bytes, {count} values declared, {found} lengths inferred alike, {len(faults)} faults")
        for fault in faults[:5]:
            print(f"  {fault}")
        broken |= bool(faults)
    sys.exit(broken)


if __name__ == "__main__":
    main()

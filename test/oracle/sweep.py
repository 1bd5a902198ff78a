"""Random families of random files through the command line, each package held against the float64 oracle; one line per combination.

    python test/oracle/sweep.py --count 20 --seed 1                        # everything that family.py can make
    python test/oracle/sweep.py --count 10 --only adapters                 # nothing but adapters on a diffusers folder
    python test/oracle/sweep.py --each                                     # every kind and naming of adapter once

The same seed gives the same families. `ok` needs exit status 0 of `node src/cli.ts bake` and of compare_package.py; a failed combination keeps its folder,
with bake.log and compare.log in it. Exit status 1 if any failed.

needs: torch==2.13.0 diffusers==0.42.1 transformers safetensors onnx onnxruntime pyyaml; node >= 24
"""
import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT, HERE = Path(__file__).parents[2], Path(__file__).parent
SHAPES = (("16,32,48,48", 2, 4, 24), ("32,32,64,64", 4, 8, 32), ("24,40,40,56", 1, 4, 20))  # widths, heads, groups, cross
FEATURES = ("adapters", "base", "checkpoints", "motion", "blocks")


def adapters(family_adapters) -> list[str]:
    """Every kind in kohya's names, every naming that a kind has."""
    dotted = {"lora": family_adapters.PREFIXES, "dora": ("ldm", "peft", "peft-default", "diffusers"), "loha": ("lycoris", "peft"), "lokr": ("ldm", "peft"), "lokr-full": ("peft",)}
    return [*family_adapters.KINDS, *(f"{kind}:{prefix}" for kind, prefixes in dotted.items() for prefix in prefixes)]


def combination(rng: random.Random, features, wishes, blocks, base_layouts, checkpoints) -> list[str]:
    widths, heads, groups, cross = rng.choice(SHAPES)
    options = ["--widths", widths, "--heads", heads, "--groups", groups, "--cross", cross, "--dtype", rng.choice(("fp16", "fp32", "bf16")),
               "--scale", rng.choice(("alpha/rank", "raw", "rslora")), "--alpha", round(rng.uniform(-0.5, 1), 2), "--beta", round(rng.uniform(0.3, 1), 2),
               "--gamma", round(rng.uniform(0, 1.2), 2), "--mode", rng.choice(("residual", "weights")), "--motion-mid", rng.choice(("yes", "no")),
               "--out-dtype", rng.choice(("fp16", "fp16", "fp32"))]
    if "adapters" in features:
        for wish in rng.sample(wishes, rng.randint(1, 3)):
            options += ["--adapter", wish]
        options += ["--adapter-dtype", rng.choice(("fp16", "fp32", "bf16"))]
    if "base" in features:
        options += ["--base-layout", rng.choice(base_layouts)]
    if "checkpoints" in features and rng.random() < 0.4:
        options += ["--checkpoint", rng.choice(checkpoints)]
    if "motion" in features:
        options += ["--motion-loras", rng.choice((0, 1, 2)), "--layout", rng.choice(("animatelcm", "animatediff", "diffusers"))]
        options += ["--motion-base", "--mode", "residual"] if rng.random() < 0.3 else []
    if "blocks" in features:
        options += ["--blocks", rng.choice(blocks)] if rng.random() < 0.6 else []
        options += ["--motion-blocks", rng.choice(("25", "names"))] if rng.random() < 0.3 else []
    return [str(option) for option in options]


def logged(command, log: Path, **options) -> int:
    with log.open("w") as file:
        return subprocess.run([str(c) for c in command], stdout=file, stderr=subprocess.STDOUT, **options).returncode


def last_lines(log: Path) -> str:
    """What went wrong, in a line: the failed checks, or the last thing said."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    failed = [" ".join(line.split()) for line in lines if line.startswith("FAIL")]
    return " | ".join(failed[:3]) if failed else " ".join(lines[-3:])[:400] if lines else "no output"


def trial(seed: int, options: list[str], folder: Path, weights_only: bool) -> tuple[str, str]:
    folder.mkdir(parents=True)
    if logged([sys.executable, HERE / "family.py", folder / "family", "--seed", seed, *options], folder / "family.log"):
        return "FAMILY", last_lines(folder / "family.log")
    recipe, package = folder / "family/recipe.yaml", folder / "package"
    status = logged(["node", "src/cli.ts", "bake", recipe, "-o", package], folder / "bake.log", cwd=ROOT)
    if status:
        return f"BAKE {status}", last_lines(folder / "bake.log")
    command = [sys.executable, HERE / "compare_package.py", package, recipe, *(["--weights-only"] if weights_only else [])]
    if logged(command, folder / "compare.log"):
        return "COMPARE", last_lines(folder / "compare.log")
    return "ok", ""


def main() -> int:
    sys.path.insert(0, str(HERE))
    import family_adapters
    import family_files

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", choices=FEATURES, help="vary only these, beside sizes, types and strengths; repeatable")
    parser.add_argument("--each", action="store_true", help="a small family for every kind and naming of adapter, instead of --count random ones")
    parser.add_argument("--together", type=int, default=1, help="with --each: so many adapters to a family")
    parser.add_argument("--weights-only", action="store_true", help="leave out what runs the graphs")
    parser.add_argument("--keep", type=Path, help="keep every folder, under this one")
    parser.add_argument("--list", action="store_true", help="print the combinations and stop")
    options = parser.parse_args()
    wishes = adapters(family_adapters)
    if options.each:
        small = ["--widths", "8,16,24,24", "--heads", "2", "--groups", "4", "--cross", "12", "--dtype", "fp32", "--text-layers", "2"]
        groups = [wishes[i : i + options.together] for i in range(0, len(wishes), options.together)]
        trials = [(options.seed, [*small, *(word for wish in group for word in ("--adapter", wish))]) for group in groups]
    else:
        features = options.only or FEATURES
        trials = [(seed, combination(random.Random(seed), features, wishes, family_files.BLOCKS, family_files.BASE_LAYOUTS, family_files.CHECKPOINT_LAYOUTS))
                  for seed in range(options.seed, options.seed + options.count)]
    root, failed = options.keep or Path(tempfile.mkdtemp(prefix="sweep-")), 0
    for index, (seed, arguments) in enumerate(trials):
        line = " ".join(arguments)
        if options.list:
            print(f"{seed:4} {line}")
            continue
        folder, start = root / f"{index:03}-{seed}", time.monotonic()
        verdict, reason = trial(seed, arguments, folder, options.weights_only or options.each)
        failed += verdict != "ok"
        print(f"{verdict:9} {seed:4} {time.monotonic() - start:5.1f}s  {line}" + ("" if verdict == "ok" else f"\n          {folder}: {reason}"), flush=True)
        if verdict == "ok" and not options.keep:
            shutil.rmtree(folder)
    if not options.list:
        print(f"{len(trials)} combinations, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

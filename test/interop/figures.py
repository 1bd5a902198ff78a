"""What every comparison here says: one line of JSON per figure on stdout, which test/interop/run.ts gathers. The other lines of stdout are talk.

needs: numpy
"""
import json
import sys
from pathlib import Path

import numpy as np

failed = False


def figure(what: str, value: float, limit: float, unit: str = "") -> None:
    """A value that must not exceed its limit; one that is no number does."""
    global failed
    ok = bool(value <= limit)
    failed |= not ok
    print(json.dumps({"what": what, "value": float(value), "limit": limit, "unit": unit, "ok": ok}), flush=True)


def skipped(what: str, reason: str) -> None:
    print(json.dumps({"what": what, "skipped": reason}), flush=True)


def finish() -> None:
    sys.exit(1 if failed else 0)


def relative_rms(got, wanted) -> float:
    """||got - wanted|| / ||wanted||; infinite where the shapes differ."""
    got, wanted = np.asarray(got, np.float64), np.asarray(wanted, np.float64)
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted)) if got.shape == wanted.shape else float("inf")


def pixels(what: str, got: np.ndarray, wanted: np.ndarray, limits: dict) -> None:
    """Frames uint8 [F, H, W, 3]: how many values are off by more than one level of 255, and by how much at most."""
    if got.shape != wanted.shape:
        return figure(f"{what}, shape {got.shape} instead of {wanted.shape}", float("inf"), 0)
    off = np.abs(got.astype(int) - wanted.astype(int))
    figure(f"{what}, values off by more than a level", (off > 1).mean() * 100, limits["wrong"], "%")
    figure(f"{what}, largest difference", off.max(), limits["levels"], "levels")


# float16 packages: those that test/runtime holds the trajectory to; float32 ones: what two summations in float32 may differ by over 4 steps
LIMITS = {
    "fp16": {"graph": 3e-3, "latents": 3e-3, "wrong": 1.0, "levels": 8},
    "fp32": {"graph": 1e-5, "latents": 1e-4, "wrong": 0.0, "levels": 1},
}


class Case:
    """A baked package and what PyTorch gives for it: a folder that reference.py has filled."""

    def __init__(self, folder: str):
        self.folder = Path(folder)
        self.package = self.folder / "package"
        self.about = json.loads((self.folder / "case.json").read_text())
        self.reference = dict(np.load(self.folder / "reference.npz"))
        self.limits = LIMITS[self.about["dtype"]]

    @property
    def size(self):
        return tuple(self.about[name] for name in ("frames", "width", "height"))

    @property
    def arguments(self):
        return tuple(self.about[name] for name in ("prompt", "seed", "steps"))

"""Block weights: what a recipe's `blocks` makes of one parameter. Shares no code with the tool.

`blocks` is a map from block names, groups, path prefixes or globs to strengths, or a vector of 26, 25, 20, 17 or 12 values in the orders that SuperMerger
and kohya's LBW define. A block that is not named keeps 1.
"""
import fnmatch
import re

from sd15_names import block_of

INS, OUTS = [f"IN{i:02}" for i in range(12)], [f"OUT{i:02}" for i in range(12)]
VECTORS = {
    26: ["BASE", *INS, "M00", *OUTS],
    25: [*INS, "M00", *OUTS],
    20: ["BASE", *INS[:9], "M00", *OUTS[:9]],
    17: ["BASE", *(INS[i] for i in (1, 2, 4, 5, 7, 8)), "M00", *OUTS[3:]],
    12: ["BASE", *(INS[i] for i in (4, 5, 7, 8)), "M00", *OUTS[:6]],
}


def as_map(blocks) -> dict[str, float]:
    if not blocks:
        return {}
    if isinstance(blocks, dict):
        return {str(k): float(v) for k, v in blocks.items()}
    if len(blocks) not in VECTORS:
        raise ValueError(f"{len(blocks)} block weights; vectors have {sorted(VECTORS)}")
    return dict(zip(VECTORS[len(blocks)], map(float, blocks)))


def specificity(key: str, block: str, name: str) -> tuple[int, int] | None:
    """How closely `key` names this parameter, or None if it does not: THE precedence rule, in one place.

    A glob or path prefix on parameter names beats an exact block, which beats its group; of two patterns the longer wins.
    """
    if re.fullmatch(r"BASE|IN\d\d|M00|OUT\d\d", key):
        return (1, 0) if key == block else None
    if key in ("IN", "M", "OUT"):
        return (0, 0) if block.rstrip("0123456789") == key else None
    if key in ("down", "mid", "up"):
        key = {"down": "down_blocks", "mid": "mid_block", "up": "up_blocks"}[key]
    matches = fnmatch.fnmatchcase(name, key) if any(c in key for c in "*?[") else name == key or name.startswith(f"{key}.")
    return (2, len(key)) if matches else None


def block_weight(blocks: dict[str, float], component: str, name: str, layers: int) -> float:
    """`name` is the parameter's, as diffusers writes it."""
    if not blocks:
        return 1.0
    block = "BASE" if component == "text_encoder" else block_of(name, layers)
    found = [(rank, value) for key, value in blocks.items() if (rank := specificity(key, block, name))]
    return max(found)[1] if found else 1.0

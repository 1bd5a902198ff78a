"""Block weights: what a recipe's `blocks` makes of one parameter. Shares no code with the tool.

`blocks` is a map from block names, groups, path prefixes or globs to strengths, or a vector of 26, 25, 20, 17 or 12 values in the orders that SuperMerger
and kohya's LBW define. A block that is not named keeps 1.
"""
import math
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


def layer_path(name: str) -> str:
    """The path of a block's layer in a parameter's: `down_blocks.2.attentions.1`, `conv_in`."""
    found = re.match(r"(?:(?:down|up)_blocks\.\d+|mid_block)\.\w+\.\d+(?=\.)|conv_in|conv_norm_out|conv_out|time_embedding", name)
    return found[0] if found else ""


def specificity(key: str, block: str, name: str) -> tuple | None:
    """How much of this parameter's path `key` speaks of, or None if it does not describe it: THE precedence rule, in one place (docs/formats.md states it).

    A pattern speaks of the whole path, a path of itself, a block of the path down to its layer, a group of `down_blocks` only, BASE of nothing. Where two speak
    of equally much, a path beats a block and a block its group; of two patterns the one with more characters that are no stars counts.
    """
    if re.fullmatch(r"BASE|IN\d\d|M00|OUT\d\d", key):
        return (depth(layer_path(name)) if block != "BASE" else 0, 1) if key == block else None
    if key in ("IN", "M", "OUT"):
        return (1, 0) if block.rstrip("0123456789") == key else None
    if "*" in key or "?" in key:
        regex = "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in key)
        return (math.inf, len(key.replace("*", ""))) if re.fullmatch(regex, name) else None
    key = {"down": "down_blocks", "mid": "mid_block", "up": "up_blocks"}.get(key, key)
    return (depth(key), 2) if name == key or name.startswith(f"{key}.") else None


def depth(path: str) -> int:
    return len(path.split(".")) if path else 0


def block_weight(blocks: dict[str, float], component: str, name: str, layers: int) -> float:
    """`name` is the parameter's, as diffusers writes it."""
    if not blocks:
        return 1.0
    block = "BASE" if component == "text_encoder" else block_of(name, layers)
    found = [(rank, value) for key, value in blocks.items() if (rank := specificity(key, block, name)) is not None]
    return max(found, key=lambda entry: entry[0])[1] if found else 1.0  # of equals the first

"""How SD1.5's modules are called: LDM's names from diffusers' names, and the block (IN00 ... OUT11) each belongs to. Shares no code with the tool.

Sources: CompVis' openaimodel.py and diffusers' loaders/single_file_utils.py for the names; SuperMerger's block table for the blocks.
"""
import re

RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0", "conv2": "out_layers.3",
          "conv_shortcut": "skip_connection"}
OUTER = {"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2", "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0",
         "conv_out": "out.2", "mid_block.resnets.0": "middle_block.0", "mid_block.attentions.0": "middle_block.1", "mid_block.resnets.1": "middle_block.2"}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def ldm_unet_module(module: str, layers: int = 2) -> str:
    """`down_blocks.0.resnets.0.conv1` -> `input_blocks.1.0.in_layers.2`, for `layers` layers per block; raises KeyError for anything that LDM's UNet lacks."""
    found = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.+)", module)
    if found:
        index = int(found[2]) * (layers + 1) + int(found[4])
        place = f"input_blocks.{index + 1}" if found[1] == "down" else f"output_blocks.{index}"
        return f"{place}.0.{RESNET[found[5]]}" if found[3] == "resnets" else f"{place}.1.{found[5]}"
    found = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(?:down|up)samplers\.0\.conv", module)
    if found:
        block = int(found[2])
        if found[1] == "down":
            return f"input_blocks.{(block + 1) * (layers + 1)}.0.op"
        return f"output_blocks.{block * (layers + 1) + layers}.{1 if block == 0 else 2}.conv"  # the first up block has no attention
    for ours, ldm in OUTER.items():
        if module == ours:
            return ldm
        if module.startswith(f"{ours}."):
            rest = module.removeprefix(f"{ours}.")
            return f"{ldm}.{RESNET[rest] if 'resnets' in ours else rest}"
    raise KeyError(module)


def ldm_vae_module(module: str, blocks: int = 4) -> str:
    """`decoder.up_blocks.0.resnets.0.conv1` -> `decoder.up.3.block.0.conv1`."""
    found = re.fullmatch(r"(encoder|decoder)\.(down|up)_blocks\.(\d+)\.(resnets|downsamplers|upsamplers)\.(\d+)\.(.+)", module)
    if found:
        side, way, block, kind, index, rest = found.groups()
        place = f"{side}.{way}.{int(block) if way == 'down' else blocks - 1 - int(block)}"
        return f"{place}.block.{index}.{rest.replace('conv_shortcut', 'nin_shortcut')}" if kind == "resnets" else f"{place}.{way}sample.{rest}"
    found = re.fullmatch(r"(encoder|decoder)\.mid_block\.(resnets|attentions)\.(\d+)\.(.+)", module)
    if found:
        side, kind, index, rest = found.groups()
        return f"{side}.mid.block_{int(index) + 1}.{rest}" if kind == "resnets" else f"{side}.mid.attn_1.{VAE_ATTENTION[rest]}"
    return module.replace("conv_norm_out", "norm_out")


def block_of(module: str, layers: int = 2) -> str:
    """The block of a UNet module or parameter; the time embedding counts as IN00, as in SuperMerger."""
    if module.startswith(("conv_in", "time_embedding")):
        return "IN00"
    if module.startswith(("conv_norm_out", "conv_out")):
        return f"OUT{4 * (layers + 1) - 1:02}"
    if module.startswith("mid_block."):
        return "M00"
    side, block, kind, layer = re.match(r"(down|up)_blocks\.(\d+)\.(\w+?)\.(\d+)\.", module).groups()
    start = int(block) * (layers + 1)
    if side == "down":
        return f"IN{start + layers + 1 if kind == 'downsamplers' else start + int(layer) + 1:02}"
    return f"OUT{start + layers if kind == 'upsamplers' else start + int(layer):02}"

"""The family's networks at their size, LoRA layers for training, and the names under which LoRAs are saved.

Library of train.py, export.py and evaluate.py.

needs: torch==2.13.0 diffusers==0.42.1 transformers
"""
import math

import torch
import torch.nn as nn
from diffusers import AutoencoderKL, MotionAdapter, UNet2DConditionModel, UNetMotionModel
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from transformers import CLIPTextConfig, CLIPTextModel

WIDTHS = (32, 64, 96, 96)
HEADS = 4
GROUPS = 8
CROSS = 64


def _per_frame_forward(
    self, hidden_states, encoder_hidden_states=None, timestep=None, class_labels=None, num_frames=1,
    cross_attention_kwargs=None,
):
    """Normalises each frame on its own, as AnimateDiff v2 and AnimateLCM do; diffusers pools over frames."""
    bf, c, h, w = hidden_states.shape
    b = bf // num_frames
    x = self.norm(hidden_states)
    x = x.view(b, num_frames, c, h, w).permute(0, 3, 4, 1, 2).reshape(b * h * w, num_frames, c)
    x = self.proj_in(x)
    for block in self.transformer_blocks:
        x = block(x)
    x = self.proj_out(x)
    x = x.view(b, h, w, num_frames, c).permute(0, 3, 4, 1, 2).reshape(bf, c, h, w)
    return x + hidden_states


AnimateDiffTransformer3D.forward = _per_frame_forward


# ---------------------------------------------------------------- networks
def make_vae():
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=[16, 32, 48, 64],
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=GROUPS,
        sample_size=64,
        scaling_factor=0.18215,
    )


def make_unet():
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=2,
        block_out_channels=list(WIDTHS),
        down_block_types=["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
        cross_attention_dim=CROSS,
        attention_head_dim=HEADS,
        norm_num_groups=GROUPS,
    )


def make_text(vocabulary):
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=CROSS,
            intermediate_size=4 * CROSS,
            num_hidden_layers=2,
            num_attention_heads=HEADS,
            max_position_embeddings=77,
            hidden_act="quick_gelu",
            projection_dim=CROSS,
            bos_token_id=vocabulary - 2,
            eos_token_id=vocabulary - 1,
            pad_token_id=vocabulary - 1,
        )
    )


def make_adapter():
    return MotionAdapter(
        block_out_channels=WIDTHS,
        motion_layers_per_block=2,
        motion_mid_block_layers_per_block=1,
        motion_num_attention_heads=HEADS,
        motion_norm_num_groups=GROUPS,
        motion_max_seq_length=32,
        use_motion_mid_block=True,
    )


def motion_unet(unet, adapter):
    """A UNetMotionModel of which only the motion modules are trainable, and their parameters."""
    model = UNetMotionModel.from_unet2d(unet, adapter)
    model.requires_grad_(False)
    params = [p for name, p in model.named_parameters() if "motion_modules" in name]
    for p in params:
        p.requires_grad_(True)
    return model, params


# ---------------------------------------------------------------- LoRA
class LoRA(nn.Module):
    """Adds strength · alpha / rank · up(down(x)) to a layer in place; up starts at zero."""

    def __init__(self, base, rank, alpha):
        super().__init__()
        self.rank, self.alpha, self.strength = rank, alpha, 1.0
        if isinstance(base, nn.Conv2d):
            self.down = nn.Conv2d(base.in_channels, rank, base.kernel_size, base.stride, base.padding, bias=False)
            self.up = nn.Conv2d(rank, base.out_channels, 1, bias=False)
        else:
            self.down = nn.Linear(base.in_features, rank, bias=False)
            self.up = nn.Linear(rank, base.out_features, bias=False)
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        nn.init.zeros_(self.up.weight)
        self.base_forward = base.forward
        base.forward = self.forward

    def forward(self, x, *args, **kwargs):
        y = self.base_forward(x)
        if self.strength == 0:
            return y
        return y + self.strength * self.alpha / self.rank * self.up(self.down(x))


def wrap(model, rank, alpha, wanted):
    """LoRA layers on every Linear and convolution whose name is `wanted`, by kohya's name without its prefix."""
    layers = nn.ModuleDict()
    for name, module in model.named_modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)) and wanted(name):
            layers[name.replace(".", "_")] = LoRA(module, rank, alpha)
    return layers


ATTENTION_TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2")
LCM_TARGETS = (
    *ATTENTION_TARGETS, "conv1", "conv2", "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv", "time_emb_proj",
)


def lcm_wanted(name):
    return name.endswith(LCM_TARGETS) and "motion_modules" not in name


def style_wanted(name):
    return ".attentions." in name and name.endswith(ATTENTION_TARGETS) and "motion_modules" not in name


def text_wanted(name):
    return ".encoder.layers." in name or name.startswith("encoder.layers.")


def lora_state(layers, prefix):
    state = {}
    for name, layer in layers.items():
        state[f"{prefix}_{name}.lora_down.weight"] = layer.down.weight.detach().clone()
        state[f"{prefix}_{name}.lora_up.weight"] = layer.up.weight.detach().clone()
        state[f"{prefix}_{name}.alpha"] = torch.tensor(float(layer.alpha))
    return state


def load_lora_state(layers, prefix, state):
    for name, layer in layers.items():
        layer.down.weight.data.copy_(state[f"{prefix}_{name}.lora_down.weight"])
        layer.up.weight.data.copy_(state[f"{prefix}_{name}.lora_up.weight"])

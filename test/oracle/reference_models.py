"""diffusers and transformers models around merged weights, and the trajectory they give: what the exported graphs are held against.

Library of compare_package.py and golden_graphs.py; run either (python test/oracle/golden_graphs.py first holds it against models/tiny/reference.safetensors).

needs: torch==2.13.0 diffusers==0.42.1 transformers safetensors pyyaml
"""
import types

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    MotionAdapter,
    UNet2DConditionModel,
    UNetMotionModel,
)
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers.utils import logging

from merge_reference import VAE_PREFIXES, MergeReference

logging.set_verbosity_error()
torch.set_grad_enabled(False)


def _per_frame_forward(self, hidden_states, encoder_hidden_states=None, timestep=None, class_labels=None, num_frames=1, cross_attention_kwargs=None):
    """AnimateDiffTransformer3D with its GroupNorm over one frame at a time, as AnimateDiff v2 and AnimateLCM compute it; diffusers pools over frames."""
    frames, channels, height, width = hidden_states.shape
    batch = frames // num_frames
    x = self.norm(hidden_states)
    x = x.reshape(batch, num_frames, channels, height, width).permute(0, 3, 4, 1, 2).reshape(batch * height * width, num_frames, channels)
    x = self.proj_in(x)
    for block in self.transformer_blocks:
        x = block(x)
    x = self.proj_out(x)
    x = x.reshape(batch, height, width, num_frames, channels).permute(0, 3, 4, 1, 2).reshape(frames, channels, height, width)
    return hidden_states + x


def load_all(model, weights, absent=()):
    """Loads weights into model; every parameter must be given, but for names that start or end with one of `absent`."""
    result = model.load_state_dict(weights, strict=False)
    missing = [name for name in result.missing_keys if not name.startswith(absent) and not name.endswith(absent)]
    if missing or result.unexpected_keys:
        raise ValueError(f"{type(model).__name__}: {len(missing)} parameters missing {missing[:3]}, {len(result.unexpected_keys)} unexpected {result.unexpected_keys[:3]}")
    return model.eval()


def unet_motion_model(reference: MergeReference, weights: dict, frames: int = 32, norm: str | None = None) -> UNetMotionModel:
    """UNetMotionModel in float32, configured from the base (heads and groups of the motion modules are those of the base)."""
    config = reference.configs["unet"]
    adapter = MotionAdapter(
        block_out_channels=config["block_out_channels"], motion_layers_per_block=config["layers_per_block"], motion_num_attention_heads=config["attention_head_dim"],
        motion_norm_num_groups=config["norm_num_groups"], motion_max_seq_length=max(32, frames), use_motion_mid_block=reference.has_motion_mid_block)
    model = UNetMotionModel.from_unet2d(UNet2DConditionModel.from_config(config), adapter, load_weights=False)
    load_all(model, weights, absent=("pos_embed.pe",))
    if (norm or reference.norm) == "per-frame":
        for module in model.modules():
            if isinstance(module, AnimateDiffTransformer3D):
                module.forward = types.MethodType(_per_frame_forward, module)
    return model


def clip_text_model(reference: MergeReference, weights: dict) -> CLIPTextModel:
    model = CLIPTextModel(CLIPTextConfig(**reference.configs["text_encoder"]))
    if not any(name.startswith("text_model.") for name in model.state_dict()):
        weights = {name.removeprefix("text_model."): tensor for name, tensor in weights.items()}
    return load_all(model, weights, absent=("position_ids",))


def vae_half(reference: MergeReference, component: str, weights: dict) -> AutoencoderKL:
    """AutoencoderKL with the weights of its decoder or its encoder alone."""
    absent = tuple(prefix for other, prefixes in VAE_PREFIXES.items() if other != component for prefix in prefixes)
    return load_all(AutoencoderKL.from_config(reference.configs["vae_decoder"]), weights, absent=absent)


def load_tokenizer(reference: MergeReference) -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(reference.base / "tokenizer")


def token_ids(tokenizer, prompts):
    """int64 [N, 77]"""
    return tokenizer(prompts, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids


def noise_prediction(model, sample, timestep, states):
    """sample [B, 4, F, h, w], states [B, 77, D] -> [B, 4, F, h, w]; diffusers wants the states once per frame."""
    return model(sample, timestep, states.repeat_interleave(sample.shape[2], 0)).sample


SCHEDULERS = {
    "lcm": (LCMScheduler, {}),
    "ddim": (DDIMScheduler, {}),
    "dpmpp_2m": (DPMSolverMultistepScheduler, {"use_karras_sigmas": False}),
    "dpmpp_2m_karras": (DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
    "euler": (EulerDiscreteScheduler, {}),
}


def scheduler_of(reference: MergeReference, kind: str | None = None, **overrides):
    """Of the recipe's kind, or of another: the base's scheduler_config.json through from_config, with what the recipe says in its place."""
    sampler = reference.recipe.get("sampler") or {}
    settings = {
        "beta_schedule": sampler.get("beta_schedule", "linear"), "timestep_spacing": sampler.get("timestep_spacing", "leading"),
        "original_inference_steps": sampler.get("original_steps", 50), "clip_sample": False,
    }
    cls, karras = SCHEDULERS[kind or sampler.get("kind", "lcm")]
    return cls.from_config(LCMScheduler.from_config(reference.configs["scheduler"], **(settings | overrides)).config, **karras)


def trajectory(model, text_model, tokenizer, scheduler, *, prompt, negative="", seed=0, steps=4, guidance=1.0, frames=16, height=8, width=8):
    """Final latents, float32 [1, 4, F, h, w]. Initial and step noise come from one CPU generator; the sampler is float32 whatever the model's dtype;
    guidance above 1 is uncond + g (cond - uncond) over a batch of [negative, prompt]."""
    dtype = next(model.parameters()).dtype
    generator = torch.Generator().manual_seed(seed)
    noisy = {"generator": generator} if isinstance(scheduler, LCMScheduler) else {}
    states = text_model(token_ids(tokenizer, [negative, prompt] if guidance > 1 else [prompt]))[0].to(dtype)
    scheduler.set_timesteps(steps)
    x = torch.randn(1, 4, frames, height, width, generator=generator) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, t)
        noise = noise_prediction(model, scaled.expand(len(states), -1, -1, -1, -1).to(dtype), t, states).float()
        if guidance > 1:
            noise = noise[:1] + guidance * (noise[1:] - noise[:1])
        x = scheduler.step(noise, t, x, **noisy).prev_sample
    return x


def relative_rms(a, b) -> float:
    """||a - b|| / ||b||"""
    a, b = torch.as_tensor(a).double(), torch.as_tensor(b).double()
    return ((a - b).norm() / b.norm()).item()


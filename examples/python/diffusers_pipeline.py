"""diffusers' AnimateDiffPipeline with the graphs of a package in the place of its PyTorch models.

    python examples/python/diffusers_pipeline.py out/tiny --prompt "a blue square" --seed 3 -o square.gif

Everything that the pipeline does around its models stays: prompts, guidance, callbacks, schedulers, FreeInit. What reaches into a model does not:
LoRAs, IP adapters, FreeNoise. Needs torch, diffusers, transformers and onnxruntime (requirements.txt); `open_pipeline` is yours to copy.
"""
import argparse
import json
from pathlib import Path

import diffusers
import onnxruntime
import torch
from diffusers import AnimateDiffPipeline
from diffusers.configuration_utils import FrozenDict
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.models.unets.unet_motion_model import UNetMotionOutput
from diffusers.utils import export_to_gif
from transformers import CLIPTokenizer


class OnnxModel:
    """What the pipeline asks of every model: `config`, `dtype`, `device`."""

    dtype, device = torch.float32, torch.device("cpu")  # float32 at the boundary of the graph, whatever is inside

    def __init__(self, folder: Path, providers=("CPUExecutionProvider",)):
        self.config = FrozenDict(json.loads((folder / "config.json").read_text()))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # no warnings of the casts that a CPU puts around float16
        self.session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=list(providers))

    def run(self, rows: dict, **shared) -> torch.Tensor:
        """The first output for `rows` (inputs with a batch axis), as many at a time as the graph takes; the last ones are filled up by repetition."""
        count = len(next(iter(rows.values())))
        size = self.session.get_inputs()[0].shape[0]
        size = size if isinstance(size, int) else count
        parts = []
        for at in range(0, count, size):
            chosen = [min(i, count - 1) for i in range(at, at + size)]
            feeds = {name: value[chosen].cpu().numpy() for name, value in rows.items()} | {name: value.cpu().numpy() for name, value in shared.items()}
            parts.append(torch.from_numpy(self.session.run(None, feeds)[0]))
        return torch.cat(parts)[:count]


class OnnxUNet(OnnxModel):
    def __call__(self, sample, timestep, encoder_hidden_states, cross_attention_kwargs=None, added_cond_kwargs=None, return_dict=True, **unknown):
        """sample [B, 4, F, h, w]; encoder_hidden_states [B·F, 77, D] as diffusers repeats them for every frame: the graph wants them once."""
        if cross_attention_kwargs or added_cond_kwargs or unknown:
            raise ValueError(f"The graph takes sample, timestep and text states alone, not {cross_attention_kwargs or added_cond_kwargs or unknown}.")
        states = encoder_hidden_states[:: sample.shape[2]]
        timestep = torch.as_tensor(timestep, dtype=torch.int64).reshape(())
        out = self.run({"sample": sample.float(), "encoder_hidden_states": states.float()}, timestep=timestep)
        return UNetMotionOutput(sample=out) if return_dict else (out,)


class OnnxTextEncoder(OnnxModel):
    def __call__(self, input_ids, attention_mask=None, **unknown):
        if unknown.get("output_hidden_states"):
            raise ValueError("clip_skip needs the text encoder's hidden states, which the graph does not give.")
        return (self.run({"input_ids": input_ids}),)


class OnnxVae(OnnxModel):
    def decode(self, latents, return_dict=True):
        sample = self.run({"latent_sample": latents.float()})
        return DecoderOutput(sample=sample) if return_dict else (sample,)


def open_scheduler(folder: Path):
    """The sampler that the package was baked for: the class that its scheduler_config.json names."""
    config = json.loads((folder / "scheduler_config.json").read_text())
    return getattr(diffusers, config["_class_name"]).from_config(config)


def open_pipeline(package: Path, providers=("CPUExecutionProvider",)) -> AnimateDiffPipeline:
    return AnimateDiffPipeline(
        vae=OnnxVae(package / "vae_decoder", providers),
        text_encoder=OnnxTextEncoder(package / "text_encoder", providers),
        tokenizer=CLIPTokenizer.from_pretrained(package / "tokenizer"),
        unet=OnnxUNet(package / "unet", providers),
        motion_adapter=None,  # it is in the UNet
        scheduler=open_scheduler(package / "scheduler"),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("--prompt", default="a red circle")
    parser.add_argument("--negative", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--size", type=int, nargs=3, default=(16, 512, 512), metavar=("F", "W", "H"), help="frames and pixels, where the graph leaves them open")
    parser.add_argument("-o", "--out", type=Path, default=Path("frames.gif"))
    options = parser.parse_args()
    pipeline = open_pipeline(options.package)
    frames, width, height = options.size
    fixed = pipeline.unet.session.get_inputs()[0].shape[2:]
    frames, height, width = (unit * size if isinstance(size, int) else asked for unit, size, asked in zip((1, 8, 8), fixed, (frames, height, width)))
    result = pipeline(
        options.prompt, negative_prompt=options.negative, num_frames=frames, width=width, height=height, num_inference_steps=options.steps,
        guidance_scale=options.guidance, generator=torch.Generator().manual_seed(options.seed))
    export_to_gif(result.frames[0], str(options.out), fps=8)
    print(f"{options.out}: {len(result.frames[0])} frames of {width}x{height}, prompt {options.prompt!r}, seed {options.seed}, {options.steps} steps")


if __name__ == "__main__":
    main()

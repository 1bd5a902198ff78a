"""From a prompt to moving frames with onnxruntime and numpy, without lcm-merge, PyTorch or diffusers.

    python examples/python/onnxruntime_only.py out/tiny --prompt "a blue square" --seed 3 -o square.webp

A seed gives the noise of `torch.randn` on the CPU, so frames and latents are those of `lcm-merge run` and of diffusers for the same seed.
Guidance is left out: an LCM model works without. Needs onnxruntime, numpy, pillow and tokenizers (requirements.txt).
"""
import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers


def open_graph(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # no warnings of the casts that a CPU puts around float16
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def token_ids(folder, prompt, length=77):
    """CLIP's ids of a prompt, int64 [1, 77]: start, words, end, padding."""
    special = json.loads((folder / "special_tokens_map.json").read_text())
    clip = Tokenizer(models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt"), end_of_word_suffix="</w>", unk_token=special["unk_token"]))
    clip.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+")
    clip.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(words, "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    start, end, pad = (clip.token_to_id(special[name]) for name in ("bos_token", "eos_token", "pad_token"))
    ids = [start, *clip.encode(prompt).ids[: length - 2], end]
    return np.array([ids + [pad] * (length - len(ids))], np.int64)


def torch_randn(random, shape):
    """`torch.randn` on the CPU, from 16 values on: Box-Muller over blocks of 16 uniforms; the last 16 are drawn anew where the blocks leave a rest."""
    def normals(count):
        radius, angle = (random.randint(0, 1 << 24, count, np.uint32) / (1 << 24))[: count // 16 * 16].reshape(-1, 2, 8).transpose(1, 0, 2)
        radius, angle = np.sqrt(-2 * np.log(1 - radius)), 2 * np.pi * angle
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).ravel()
    count = int(np.prod(shape))
    values = normals(count)
    return (values if count % 16 == 0 else np.append(values[: count - 16], normals(16))).reshape(shape).astype(np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("--prompt", default="a red circle")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--size", type=int, nargs=3, default=(16, 512, 512), metavar=("F", "W", "H"), help="frames and pixels, where the graph leaves them open")
    parser.add_argument("--save-latents", type=Path, help="also write the final latents as .npy")
    parser.add_argument("-o", "--out", type=Path, default=Path("frames.webp"))
    options = parser.parse_args()
    folder = options.package

    text_encoder, unet, vae_decoder = (open_graph(folder / name / "model.onnx") for name in ("text_encoder", "unet", "vae_decoder"))

    config = json.loads((folder / "scheduler/scheduler_config.json").read_text())
    ends, train_steps = (config["beta_start"], config["beta_end"]), config["num_train_timesteps"]
    if config["_class_name"] != "LCMScheduler":
        parser.error(f"{folder} was baked for {config['_class_name']}; this example has the LCM sampler alone")
    betas = np.linspace(*ends, train_steps) if config["beta_schedule"] == "linear" else np.linspace(*np.sqrt(ends), train_steps) ** 2
    alphas = np.cumprod(1 - betas)
    original = config["original_inference_steps"]
    indices = np.floor(np.linspace(0, original, options.steps, endpoint=False)).astype(int)
    timesteps = (original - indices) * (train_steps // original) - 1

    frames, width, height = options.size
    wanted = (1, 4, frames, height // 8, width // 8)
    shape = [fixed if isinstance(fixed, int) else size for fixed, size in zip(unet.get_inputs()[0].shape, wanted)]
    if shape[0] != 1:
        parser.error(f"{folder} was baked for guidance, with a batch of {shape[0]}; this example samples without")
    (states,) = text_encoder.run(None, {"input_ids": token_ids(folder / "tokenizer", options.prompt)})
    random = np.random.RandomState(options.seed)
    latents = torch_randn(random, shape)
    for t, following in zip(timesteps, [*timesteps[1:], None]):
        (noise,) = unet.run(None, {"sample": latents, "timestep": np.array(t), "encoder_hidden_states": states})
        clean = (latents - np.sqrt(1 - alphas[t]) * noise) / np.sqrt(alphas[t])
        scaled = t * config["timestep_scaling"]
        latents = clean * scaled / np.sqrt(scaled**2 + 0.25) + latents * 0.25 / (scaled**2 + 0.25)  # the consistency model's boundary condition
        if following is not None:
            latents = np.sqrt(alphas[following]) * latents + np.sqrt(1 - alphas[following]) * torch_randn(random, shape)
        latents = latents.astype(np.float32)

    scaling = json.loads((folder / "vae_decoder/config.json").read_text())["scaling_factor"]
    pictures = [vae_decoder.run(None, {"latent_sample": latents[:, :, frame] / np.float32(scaling)})[0][0] for frame in range(shape[2])]
    images = [Image.fromarray((255 * np.clip(picture.transpose(1, 2, 0) / 2 + 0.5, 0, 1)).round().astype(np.uint8)) for picture in pictures]
    images[0].save(options.out, save_all=True, append_images=images[1:], duration=125, loop=0, lossless=True)
    if options.save_latents:
        np.save(options.save_latents, latents)
    print(f"{options.out}: {len(images)} frames of {images[0].width}x{images[0].height}, prompt {options.prompt!r}, seed {options.seed}, {options.steps} steps")


if __name__ == "__main__":
    main()

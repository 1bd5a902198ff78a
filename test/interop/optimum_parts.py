"""examples/python/optimum_parts.py against PyTorch: the parts that optimum's ONNX Runtime classes load, one by one, and the clip that they make.

    python test/interop/optimum_parts.py CASE

needs: requirements-optimum.txt
"""
import sys

import numpy as np
import torch
from figures import Case, figure, finish, pixels, relative_rms, skipped
from optimum.onnxruntime import ORTModelForFeatureExtraction

sys.path.insert(0, __file__.rsplit("/test/", 1)[0] + "/examples/python")
from optimum_parts import open_pipeline  # noqa: E402


def main():
    case = Case(sys.argv[1])
    prompt, seed, steps = case.arguments
    frames, width, height = case.size
    pipeline, reference = open_pipeline(case.package), case.reference
    pipeline.set_progress_bar_config(disable=True)
    ids = pipeline.tokenizer(prompt, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
    figure("token ids that differ", (ids.numpy() != reference["ids"]).sum(), 0)
    figure("ORTTextEncoder", relative_rms(pipeline.text_encoder(ids)[0], reference["states"]), case.limits["graph"])
    alone = ORTModelForFeatureExtraction.from_pretrained(case.package / "text_encoder")
    states = alone(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    figure("ORTModelForFeatureExtraction", relative_rms(states, reference["states"]), case.limits["graph"])
    if (case.package / "vae_encoder").is_dir():
        moments = pipeline.vae.encode(torch.from_numpy(reference["picture"])).latent_dist.parameters
        figure("ORTVaeEncoder", relative_rms(moments, reference["moments"]), case.limits["graph"])
    else:
        skipped("ORTVaeEncoder", "the package has no vae_encoder/")

    def sample(output):
        generator = torch.Generator().manual_seed(seed)
        return pipeline(prompt, num_frames=frames, width=width, height=height, num_inference_steps=steps, guidance_scale=1.0, generator=generator, output_type=output).frames

    figure("latents of ORTUnet and the package's scheduler", relative_rms(sample("latent"), reference["latents"]), case.limits["latents"])
    pixels("frames of ORTVaeDecoder", (sample("np")[0] * 255).round().astype(np.uint8), reference["frames"], case.limits)
    finish()


if __name__ == "__main__":
    main()

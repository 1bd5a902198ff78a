"""Golden numbers of prompts on models/tiny: text states of long, weighted and travelling prompts, and UNetMotionModel under them.

Writes test/golden/prompts.safetensors. Its header entry `cases`, a JSON string, says for every tensor what it is; tensors are every STRIDE-th element of what
they were sampled from. Inputs that are noise are torch.randn of a shape after manual_seed.

* unet.*: diffusers' UNetMotionModel (GroupNorm per frame) in float32 on weights rounded to fp16, with text states of every frame, [B·F, T, D], or of T = 154 and 231.
* states.*: chunks of 75 tokens through transformers' CLIPTextModel, concatenated. Weights as stable-diffusion-webui applies them to a chunk (modules/sd_hijack_clip.py): times the
  weight of each token, then times old mean / new mean. A prompt of one chunk is first held against `get_weighted_text_embeddings` of diffusers' community pipeline lpw_stable_diffusion,
  a longer one without weights against the same and, where it is installed, against compel.
* travel.*: AnimateDiffPipeline._encode_prompt_free_noise.
* trajectory.*: four LCM steps over such states.
* `parsed`: what `parse_prompt_attention` of lpw_stable_diffusion makes of a prompt; `dropped`: what diffusers says of a prompt that is too long.

    python test/oracle/prompts.py LPW    # examples/community/lpw_stable_diffusion.py of the diffusers repository, at 58eb52c080 (its functions are run, nothing is kept of it)

needs: torch==2.13.0 diffusers==0.42.1 transformers safetensors pyyaml; compel==2.5.1 if you like
"""
import ast
import json
import re
import sys
import types
import typing
from pathlib import Path

import torch
from diffusers import AnimateDiffPipeline
from safetensors.torch import save_file

import reference_models as models
from golden_graphs import GOLDEN, RECIPE, TINY, noise
from merge_reference import MergeReference

SEED_SAMPLE, SEED_STATES, STRIDE, CHUNK, WIDTH = 21, 22, 7, 77, 64
UNETS = (  # B, F, T, per frame
    (1, 4, 77, True), (2, 3, 77, True), (2, 3, 154, True), (1, 4, 154, False), (2, 3, 231, False),
)
WORDS = "a red circle on a white background, moving right, in the style of ink and paper, "
LONG = WORDS * 4 + "nothing but a circle"
PROMPTS = (  # prompt, weighted, chunks it is filled up to
    ("a red circle", False, 1), ("a red circle", False, 3), (LONG, False, 2), (LONG, False, 4),
    ("a (red:1.4) circle", True, 1), ("a (red) [circle], ((large)) and (blue square:0.3)", True, 1), (r"a \(red\) circle (moving:1.2", True, 1),
    ("a red circle, " * 14 + "(a blue square:1.5), " * 9, True, 3), ("plain words", True, 1),
)
TRAVELS = (
    {"keyframes": {0: "a red circle", 5: "a blue square"}, "frames": 8},
    {"keyframes": {0: "a red circle", 2: "a blue square", 6: "a green triangle"}, "frames": 7},
)
TRAJECTORIES = (
    {"keyframes": {0: "a red circle", 3: "a blue square"}, "negative": "", "seed": 5, "steps": 4, "guidance": 1.0, "frames": 4},
    {"keyframes": {0: "a red circle", 3: "a blue square"}, "negative": "blurry", "seed": 6, "steps": 2, "guidance": 2.0, "frames": 4},
)
PARSED = (
    "", "normal text", "an (important) word", "(unbalanced", r"\(literal\]", "(unnecessary)(parens)", "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).", "[[less]] and (more",
    "a) b] c", "(a [b) c]", "(a:1.2)(b:-0.5)(c:.5)(d:2.)", "time 12:30 and (ratio 16:9:1.5)", r"back\slash \\ and \[", "(:1.3)", "([a:1.2])", "a:1.2) b",
)
DROPPED = (LONG, "An ORANGE square, naïve café 🎈 " * 8)


def functions(path):
    """The functions of a Python file, without what it imports."""
    tree = ast.parse(Path(path).read_text())
    pattern = [n for n in tree.body if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == "re_attention"]
    tree.body = pattern + [n for n in tree.body if isinstance(n, ast.FunctionDef)]
    logger = types.SimpleNamespace(warning=lambda *_: None)
    space = {name: getattr(typing, name) for name in ("Any", "Callable", "Dict", "List", "Optional", "Union")} | {
        "re": re, "torch": torch, "logger": logger, "DiffusionPipeline": object, "StableDiffusionLoraLoaderMixin": type(None), "USE_PEFT_BACKEND": False}
    for node in tree.body:
        try:
            exec(compile(ast.Module([node], []), str(path), "exec"), space)
        except (NameError, AttributeError):
            pass  # what its signature names was imported: a function that is not wanted here
    return types.SimpleNamespace(**space)


def encode(pipe, ids):
    return pipe.text_encoder(torch.tensor([ids]))[0][0]


def states(pipe, parse, prompt, weighted, count):
    """[77 · count, D]"""
    parts = parse(prompt) if weighted else [[prompt, 1.0]]
    tokens = [(i, w) for text, w in parts for i in pipe.tokenizer(text).input_ids[1:-1]]
    bos, eos, pad = pipe.tokenizer.bos_token_id, pipe.tokenizer.eos_token_id, pipe.tokenizer.pad_token_id
    chunks = []
    for at in range(0, 75 * count, 75):
        own = tokens[at : at + 75]
        z = encode(pipe, [bos, *(i for i, _ in own), eos, *[pad] * (75 - len(own))])
        before = z.mean()
        z = z * torch.tensor([1.0, *(w for _, w in own), *[1.0] * (76 - len(own))])[:, None]
        chunks.append(z * (before / z.mean()))
    return torch.cat(chunks)


def hold(name, ours, theirs):
    error = models.relative_rms(ours, theirs)
    print(f"{name:60} relative RMS {error:.1e}")
    assert error < 1e-5, "the oracle disagrees with an implementation that is in use"


def check_against_others(pipe, lpw, prompt, weighted, count, ours):
    length = len(pipe.tokenizer(prompt).input_ids) - 2
    needed = max(1, -(-length // 75))
    if weighted and count > 1:
        return  # lpw has one mean for all chunks
    theirs, _ = lpw.get_weighted_text_embeddings(pipe, prompt, max_embeddings_multiples=count, skip_parsing=not weighted)
    hold(f"lpw: {prompt[:40]!r} of {length} tokens", ours[: CHUNK * min(count, needed)], theirs[0])
    if weighted:
        return
    try:
        from compel import Compel, SplitLongTextMode
    except ImportError:
        return
    compel = Compel(tokenizer=pipe.tokenizer, text_encoder=pipe.text_encoder, truncate_long_prompts=False, split_long_text_mode=SplitLongTextMode.BRUTAL)
    made = compel.pad_conditioning_tensors_to_same_length([compel(prompt), torch.zeros(1, CHUNK * count, WIDTH)])[0]
    hold(f"compel: {prompt[:40]!r} in {count} chunks", ours, made[0])


def main():
    lpw = functions(sys.argv[1])
    reference = MergeReference(RECIPE, TINY)
    unet = models.unet_motion_model(reference, reference.rounded("unet", torch.float16))
    text = models.clip_text_model(reference, reference.rounded("text_encoder", torch.float16))
    tokenizer = models.load_tokenizer(reference)
    pipe = types.SimpleNamespace(tokenizer=tokenizer, text_encoder=text, device="cpu")
    if not hasattr(text, "text_model"):  # what transformers 5 has merged into it, lpw still looks for
        object.__setattr__(text, "text_model", text)
    tensors, cases = {}, {}

    def put(name, tensor, **case):
        tensors[name], cases[name] = tensor.flatten()[::STRIDE].clone(), case | {"stride": STRIDE}

    for batch, frames, tokens, per_frame in UNETS:
        sample_shape, states_shape = (batch, 4, frames, 8, 8), (batch * (frames if per_frame else 1), tokens, WIDTH)
        given = noise(SEED_STATES, *states_shape)
        out = unet(noise(SEED_SAMPLE, *sample_shape), 499, given if per_frame else given.repeat_interleave(frames, 0)).sample
        put(f"unet.b{batch}f{frames}t{tokens}{'.per_frame' if per_frame else ''}", out, kind="unet", timestep=499, per_frame=per_frame,
            sample={"seed": SEED_SAMPLE, "shape": sample_shape}, encoder_hidden_states={"seed": SEED_STATES, "shape": states_shape})

    for i, (prompt, weighted, count) in enumerate(PROMPTS):
        made = states(pipe, lpw.parse_prompt_attention, prompt, weighted, count)
        check_against_others(pipe, lpw, prompt, weighted, count, made)
        put(f"states.{i}", made, kind="states", prompt=prompt, weighted=weighted, chunks=count, shape=made.shape)

    free_noise = AnimateDiffPipeline(vae=None, text_encoder=text, tokenizer=tokenizer, unet=None, motion_adapter=None, scheduler=None)
    free_noise._free_noise_prompt_interpolation_callback = free_noise._lerp

    def travel(keyframes, frames):
        return free_noise._encode_prompt_free_noise(keyframes, frames, torch.device("cpu"), 1, False)[0]

    for i, case in enumerate(TRAVELS):
        made = travel(dict(case["keyframes"]), case["frames"])
        listed = [{"frame": frame, "prompt": prompt} for frame, prompt in case["keyframes"].items()]
        put(f"travel.{i}", made, kind="travel", keyframes=listed, frames=case["frames"], shape=made.shape)

    for i, case in enumerate(TRAJECTORIES):
        frames, guidance = case["frames"], case["guidance"]
        listed = [{"frame": frame, "prompt": prompt} for frame, prompt in case["keyframes"].items()]
        given = travel(dict(case["keyframes"]), frames)
        if guidance > 1:
            given = torch.cat([states(pipe, None, case["negative"], False, 1).expand(frames, -1, -1), given])
        generator, scheduler = torch.Generator().manual_seed(case["seed"]), models.scheduler_of(reference, "lcm")
        x = torch.randn(1, 4, frames, 8, 8, generator=generator)
        scheduler.set_timesteps(case["steps"])
        for t in scheduler.timesteps:
            out = unet(x.expand(len(given) // frames, -1, -1, -1, -1), t, given).sample
            out = out[:1] + guidance * (out[1:] - out[:1]) if guidance > 1 else out
            x = scheduler.step(out, t, x, generator=generator).prev_sample
        put(f"trajectory.{i}", x, kind="trajectory", **(case | {"keyframes": listed}))

    cases["parsed"] = [[prompt, lpw.parse_prompt_attention(prompt)] for prompt in PARSED]
    cases["dropped"] = [[prompt, tokenizer.batch_decode(tokenizer(prompt, return_tensors="pt").input_ids[:, 76:-1])[0]] for prompt in DROPPED]
    path = GOLDEN / "prompts.safetensors"
    save_file(tensors, path, metadata={"command": "python test/oracle/prompts.py LPW", "cases": json.dumps(cases)})
    print(f"{path.name}: {len(tensors)} tensors, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()

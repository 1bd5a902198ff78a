"""Writes test/golden/tokenizer.json: awkward strings and the ids that transformers' CLIPTokenizer gives them; and
test/golden/clip-tokenizer.json: the same for CLIP's own tokenizer, whose vocabulary is made here as OpenAI's clip/simple_tokenizer.py makes it.

Run as `python test/oracle/tokenizer.py` (needs transformers==5.23.0; no network).
The variants share vocab.json and merges.txt of models/tiny/base/tokenizer unless they bring their own in `files`.
"""

import gzip
import hashlib
import json
import random
import tempfile
import unicodedata
from collections import Counter
from pathlib import Path

from transformers import CLIPTokenizer

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "models/tiny/base/tokenizer"
START, END = "<|startoftext|>", "<|endoftext|>"

PROMPTS = [
    "", " ", "  \t\n ", "a red circle", "A Red CIRCLE moving right", "an orange square, a purple triangle", "a  red\tcircle\n\nmoving   left ",
    "masterpiece, best quality, (ink:1.2), [blurry], {dark}", "photo of a cat, 8k uhd, dslr, soft lighting, f/1.8",
    "don't", "DON'T", "don’t", "it's we're they've I'm she'll he'd", "IT'S WE'RE THEY'VE I'M SHE'LL HE'D", "rock'n'roll 'tis o'clock y'all'd've",
    "''s 's's ''' 'x 'S'T", "'", "\"quoted\"", "a.b,c;d:e!f?g", "!!!", "...", "?!?!", "--", "a-b_c", "hello_world", "snake_case_2", "@user #tag $5 50% a&b a*b",
    "1", "12", "1234567890", "3.14159", "1,000,000", "2x4", "v1.5", "16x9", "½ ¼ ² ³ ₁", "Ⅷ ⅷ", "٣٤٥", "１２３", "一二三", "1st 2nd 3rd",
    "<lora:ink:0.8>", "(a:1.1) [b|c] {d}", "\\(escaped\\)", "C:\\path\\file", "https://example.org/a?b=c&d=e#f", "a/b//c", "x = y + z - 1", "a<b>c", "<b>bold</b>",
    "é", "e\u0301", "café cafe\u0301", "ÀÉÎÕÜ", "A\u0300E\u0301I\u0302", "ñ n\u0303", "Å Å A\u030a", "ﬁ ﬂ ﬀ", "q\u0307\u0323", "q\u0323\u0307", "\u1e9b\u0323", "\u0344", "가 가", "\u1100\u1161\u11a8",
    "İstanbul ISTANBUL ı", "ΣΑΣ ΟΔΟΣ Σ ς", "ẞ ß SS", "ǅ ǆ Ǆ", "K Å Ω", "ſtreet", "Ⓐ ⓐ", "𝐀𝒜𝔸", "ＡＢＣ", "Ꭰ ꭰ", "Ა ა", "ᾈ ᾀ",
    "日本語", "日本語のテキスト", "中文 提示词", "한국어 프롬프트", "漢字かな交じり文、句読点。", "「括弧」", "๑๒๓ ภาษาไทย", "हिन्दी पाठ", "नमस्ते", "தமிழ்", "বাংলা", "ລາວ", "ខ្មែរ", "မြန်မာ", "አማርኛ", "ქართული", "հայերեն",
    "שלום עולם", "مرحبا بالعالم", "שָׁלוֹם", "العَرَبِيَّة", "\u202eabc\u202c", "a\u200fb\u200ec", "ﷺ", "ﻻ",
    "Привет мир", "Ёлка ёлка Е\u0308лка", "Київ їжак", "Ελληνικά", "Ελλη\u0301νικα",
    "😀", "😀😁😂", "a😀b", "red 🔴 circle", "👨‍👩‍👧‍👦", "👩🏽‍🚀", "🏳️‍🌈", "🇩🇪🇯🇵", "❤️", "❤", "☺︎ ☺️", "1️⃣2️⃣", "©®™", "←↑→↓", "∀x∈ℝ: x²≥0", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "𠀀𠀁", "🫠🫡", "✨masterpiece✨",
    "\x00", "a\x00b", "\x00\x00", "\x01\x02\x03", "a\x1bb", "\x1b[31mred\x1b[0m", "a\x7fb", "a\x08b", "a\x1cb\x1dc\x1ed\x1fe", "a\x80b\x9fc",
    "a\x0bb\x0cc", "a\x85b", "a\u00a0b", "a\u1680b", "a\u2000b\u200ac", "a\u2028b\u2029c", "a\u202fb\u205fc", "a\u3000b", "a\u200bb", "a\u2060b", "a\ufeffb", "\ufeffa", "a\u180eb", "a\r\nb\rc",
    "a\u00adb", "\ufffd", "\ufffe\uffff", "\U0010ffff", "\ue000", "\U000f0000", "a\u034fb", "\u0301", "\u0301a", " \u0301", "a\u0301\u0301\u0301", "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!",
    START, END, f"{START}{END}", f"a{END}b", f"a {END} b", f"{END}{END}{END}", f"{END} a red circle", f"a red circle {START}", "<|ENDOFTEXT|>", "<|EndOfText|>x", "a<|ENDOFTEXT|>!b", "!<|ENDOFTEXT|>!", "<|STARTOFTEXT|><|startofTEXT|>",
    "<|endoftext|", "|endoftext|>", "<|endoftext |>", "<| endoftext|>", "<|endoftext|>>", "<<|endoftext|>", "<|pad|>", "<pad>", "<|end\noftext|>", f"{END}\u0301", f"e{END}\u0301", "<|ſtartoftext|>",
    "!", "a!", "!a", "! a !", "!!a!!", "hi! there !", f"!{END}!",
    "a " * 100, "red circle " * 50, "x" * 500, "red" * 60, "!" * 300, "1" * 120, "é" * 100, "日" * 50, "😀" * 30, "a b c d e f g h i j k l m n o p q r s t u v w x y z " * 4, "a 😀 " * 40, f"{END} " * 90,
    " ".join(["word"] * 74), " ".join(["a"] * 74), " ".join(["a"] * 75), " ".join(["a"] * 76), " ".join(["a"] * 77),
    "supercalifragilisticexpialidocious", "Donaudampfschifffahrtsgesellschaftskapitän", "aaaaabaaaabaaab", "blurblackbluebluerblurry", "purplepurplered", "rightrighteous", "thethethe",
    "a\u0958b", "\u2126\u212a\u212b", "\ufb1d \u2adc", "\U0001d15e", "\u0f43", "Ⅳ+Ⅵ", "a\u0308\u0323", "\u1fbe", "\u037e\u0387", "\u1f71", "㎏ ㍿", "①②③", "۱۲۳", "߁߂", "𞥐", "𝟙𝟚",
]  # fmt: skip
ALPHABET = list("abcxyzABCXYZ0123 \t'!?.,-_<>|") + [
    "'s", "'LL", "the", "red", "é", "e\u0301", "\u0323", "\u0345", "İ", "Σ", "ß", "日", "ア", "가", "\u1100", "\u1161", "\u11a8",
    "😀", "\u200d", "\ufe0f", "🏽", "ש", "\u05c1", "م", "\u0651", "\u00a0", "\u2003", "\u200b", "\x00", "\x85", "½", "٣", "Ⅷ", "ा", END, START, "<|ENDOFTEXT|>",
]  # fmt: skip


def random_strings(count):
    rng = random.Random(20260101)
    return ["".join(rng.choices(ALPHABET, k=rng.randint(1, 24))) for _ in range(count)]


def bytes_alphabet():
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = [b for b in range(256) if b not in printable]
    return {**{b: chr(b) for b in printable}, **{b: chr(256 + n) for n, b in enumerate(other)}}


def train(strings, count):
    """Plain byte-pair training on the words of `strings`: a vocabulary and merges in the order of their frequency."""
    symbols = bytes_alphabet()
    words = Counter(w for s in strings for w in unicodedata.normalize("NFC", s).lower().split())
    splits = {w: [symbols[b] for b in w.encode()] for w in words}
    for parts in splits.values():
        parts[-1] += "</w>"
    merges = []
    while len(merges) < count:
        pairs = Counter()
        for word, parts in splits.items():
            for pair in zip(parts, parts[1:]):
                pairs[pair] += words[word]
        best = max(pairs, key=lambda p: (pairs[p], p))
        merges.append(best)
        for parts in splits.values():
            i = 0
            while i < len(parts) - 1:
                if (parts[i], parts[i + 1]) == best:
                    parts[i : i + 2] = ["".join(best)]
                i += 1
    tokens = [*symbols.values(), *(c + "</w>" for c in symbols.values()), *("".join(m) for m in merges)]
    vocab = {t: i for i, t in enumerate(dict.fromkeys([*tokens, START, END]))}
    return vocab, merges


def with_merges(vocab, merges):
    return {
        "vocab.json": json.dumps(vocab),
        "merges.txt": "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges),
    }


def config(**fields):
    return json.dumps({"model_max_length": 77, **fields})


def added(content, normalized=True):
    return {"content": content, "lstrip": False, "normalized": normalized, "rstrip": False, "single_word": False}


def typed(content):
    return {"__type": "AddedToken", **added(content)}


def golden(files, strings):
    with tempfile.TemporaryDirectory() as folder:
        for name in ("vocab.json", "merges.txt"):
            (Path(folder) / name).write_bytes((TINY / name).read_bytes())
        for name, text in files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8", newline="")
        tokenizer = CLIPTokenizer.from_pretrained(folder)
    return cases(tokenizer, files, strings)


def cases(tokenizer, files, strings):
    out = []
    for text in dict.fromkeys(strings):
        ids = tokenizer(text).input_ids
        padded = tokenizer(text, padding="max_length", truncation=True, max_length=tokenizer.model_max_length).input_ids
        # Padded ids are the ids, then one repeated pad: only the truncated ones and the pad itself are worth storing.
        assert len(padded) == tokenizer.model_max_length
        if len(ids) <= len(padded):
            assert padded == ids + [tokenizer.pad_token_id] * (len(padded) - len(ids))
            out.append([text, ids])
        else:
            out.append([text, ids, padded])
    return {"files": files, "maxLength": tokenizer.model_max_length, "pad": tokenizer.pad_token_id, "cases": out}


def clip():
    """OpenAI's tokenizer from the merges in assets/, as transformers reads it, held to ids that everybody knows."""
    lines = gzip.decompress((ROOT / "assets/sd15/tokenizer/merges.txt.gz").read_bytes()).decode().split("\n")
    merges = [tuple(line.split()) for line in lines[1 : 49152 - 256 - 2 + 1]]
    symbols = list(bytes_alphabet().values())
    tokens = symbols + [s + "</w>" for s in symbols] + ["".join(m) for m in merges] + [START, END]
    files = with_merges({t: i for i, t in enumerate(tokens)}, merges) | {
        "tokenizer_config.json": config(bos_token=START, eos_token=END, unk_token=END, pad_token=END)}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text, encoding="utf-8", newline="")
        tokenizer = CLIPTokenizer.from_pretrained(folder)
    assert tokenizer("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert len(tokenizer.get_vocab()) == len(tokens) == 49408
    digest = hashlib.sha256("\n".join(tokens).encode()).hexdigest()
    strings = ["a photo of a cat", *PROMPTS, *random_strings(60)]
    return cases(tokenizer, None, strings) | {"tokens_sha256": digest}


def main():
    plain = {"bos_token": START, "eos_token": END, "unk_token": END}
    objects = {"bos_token": added(START), "eos_token": added(END), "unk_token": added(END)}
    typed_objects = {"bos_token": typed(START), "eos_token": typed(END), "unk_token": typed(END)}
    some = [s for s in PROMPTS if "!" in s or "<" in s] + random_strings(20)
    every = PROMPTS + random_strings(60)
    short = [s for s in PROMPTS if len(s) < 60]
    vocab, merges = train(short, 300)
    shuffled = random.Random(7).sample(merges, len(merges))
    tiny_vocab = json.loads((TINY / "vocab.json").read_text(encoding="utf-8"))
    start, end = str(tiny_vocab[START]), str(tiny_vocab[END])
    without_bytes = {t: i for t, i in tiny_vocab.items() if t not in ("b", "X", "X</w>", "Ã", "ĸ</w>")}
    keep = [m for m in (TINY / "merges.txt").read_text(encoding="utf-8").splitlines() if "b" not in m.split(" ")]
    variants = {
        "tiny": cases(CLIPTokenizer.from_pretrained(TINY), None, every),
        # As runwayml/stable-diffusion-v1-5 writes it: normalized objects, and a plain string for the pad token.
        "stable-diffusion-v1-5": golden(
            {"tokenizer_config.json": config(**typed_objects, pad_token=END),
             "special_tokens_map.json": json.dumps({**objects, "pad_token": END})}, some),
        # As stable-diffusion-2 writes it: the pad token of special_tokens_map.json wins.
        "stable-diffusion-2": golden(
            {"tokenizer_config.json": config(**typed_objects, pad_token=END),
             "special_tokens_map.json": json.dumps({**objects, "pad_token": "!"})}, some),
        # As newer releases save it: added_tokens_decoder describes the tokens and the map is not read.
        "added_tokens_decoder": golden(
            {"tokenizer_config.json": config(**plain, pad_token="!", added_tokens_decoder={
                "0": {**added("!", normalized=False), "special": True},
                start: {**added(START), "special": True}, end: {**added(END), "special": True}}),
             "special_tokens_map.json": json.dumps({**objects, "pad_token": END})}, some),
        "a shorter text encoder": golden({"tokenizer_config.json": config(model_max_length=32)}, some[:20]),
        "many merges": golden({**with_merges(vocab, merges), "tokenizer_config.json": config(**plain)}, short),
        "merges in a random order": golden({**with_merges(vocab, shuffled), "tokenizer_config.json": config(**plain)}, short + ["xxxx" * 90]),
        "bytes missing from the vocabulary": golden(
            {"vocab.json": json.dumps(without_bytes), "merges.txt": "\r\n".join(keep), "tokenizer_config.json": config(**plain)},
            ["abXb Xa b", "é à", "X", "bb", "😸 ø", "blue black"]),
    }  # fmt: skip
    path = ROOT / "test/golden/tokenizer.json"
    text = json.dumps({"command": "python test/oracle/tokenizer.py", "variants": variants}, separators=(",", ":"))
    path.write_text(text + "\n", encoding="utf-8")
    (ROOT / "test/golden/clip-tokenizer.json").write_text(json.dumps(clip(), separators=(",", ":")) + "\n", encoding="utf-8")
    print(path, path.stat().st_size, {k: len(v["cases"]) for k, v in variants.items()})


if __name__ == "__main__":
    main()

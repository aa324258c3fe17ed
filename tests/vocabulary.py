"""A small vocabulary of CLIP's kind, learned from text: bytes, bytes that end a word, joined pairs, start and end."""

import json
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from stablediff_edu.tokenizers.clip_bpe import BOS, EOS, PRETOKENIZE_REGEX

TEXT = """A photograph of an astronaut riding a horse, and the horse's shadow on the red sand. It's what they'd drawn
before, isn't it? We've seen ships, a blue sofa in a white room, oil paintings of the sea at night: they're lovely,
and I'll paint 2024 of them! Ein schönes Bild über Käse; une forêt d'été; Москва и море; 東京の夜; 😀😀 👍🏽."""


def write_vocabulary(folder: Path, merges: int = 150) -> tuple[Path, Path]:
    """Write vocab.json and merges.txt into a folder, and return them."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=10_000, initial_alphabet=letters, end_of_word_suffix="</w>", show_progress=False
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    pairs = [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]][:merges]
    pieces = [*letters, *(letter + "</w>" for letter in letters), *(first + second for first, second in pairs)]
    files = folder / "vocab.json", folder / "merges.txt"
    folder.mkdir(parents=True, exist_ok=True)
    numbers = {piece: number for number, piece in enumerate([*dict.fromkeys(pieces), BOS, EOS])}
    files[0].write_text(json.dumps(numbers), encoding="utf-8")
    files[1].write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in pairs), encoding="utf-8")
    return files

"""The course's word tokenizer on disk, as a `tokenizer.json` that the libraries tokenizers and transformers read."""

import json
from pathlib import Path
from typing import Any

from stablediff_edu.tokenizers.words import WORD, WordTokenizer

BOS, EOS = "<|startoftext|>", "<|endoftext|>"


def save_word_tokenizer(folder: Path, tokenizer: WordTokenizer) -> None:
    """Write tokenizer.json, which splits and numbers words as `WordTokenizer` does, and tokenizer_config.json."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    vocabulary = {word: index for index, word in enumerate((*tokenizer.words, BOS, EOS))}
    written = Tokenizer(models.WordLevel(vocabulary, unk_token=EOS))
    written.normalizer = normalizers.Lowercase()
    written.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), "removed", invert=True)  # keep what matches
    written.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A {EOS}", special_tokens=[(token, vocabulary[token]) for token in (BOS, EOS)]
    )
    written.add_special_tokens([BOS, EOS])
    folder.mkdir(parents=True, exist_ok=True)
    written.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": tokenizer.length,
        "bos_token": BOS,
        **dict.fromkeys(("eos_token", "pad_token", "unk_token"), EOS),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def load_word_tokenizer(model: dict[str, Any], length: int) -> WordTokenizer | None:
    """Return the tokenizer of a tokenizer.json's "model" entry; None if it is of another kind, such as CLIP's."""
    if not isinstance(model, dict) or model.get("type") != "WordLevel":
        return None
    vocabulary = model.get("vocab", {})
    words = sorted(vocabulary, key=vocabulary.get)
    return WordTokenizer([word for word in words if word not in (BOS, EOS)], length)

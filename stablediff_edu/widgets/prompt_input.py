"""A text box for prompts: it offers the words of the vocabulary, and says which typed words are not in it."""

import difflib
from collections import Counter, defaultdict
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import traitlets

from stablediff_edu.data.scenes.captions import random_caption
from stablediff_edu.data.scenes.labels import sample_labeled_scene
from stablediff_edu.tokenizers.words import split_words
from stablediff_edu.widgets.controls import Control, script

MAX_CHARS = 10_000  # of a text that is read at all
MAX_UNKNOWN = 3  # unknown words that the note names
EMPTY = "With no known word left, it generates without a prompt."


class ParsedPrompt(NamedTuple):
    """The part of a text that a network can read, and a note on the rest, or ""."""

    text: str
    note: str


def parse_prompt(text: str, tokenizer: Any) -> ParsedPrompt:
    """Return the part of a text that can be read: known words, as many as fit. No text is refused.

    A last word that could still become a known one is left out silently: somebody is typing it.

    Args:
        text: any text.
        tokenizer: a `WordTokenizer`; or CLIP's, which reads every word.
    """
    if not hasattr(tokenizer, "words"):
        return ParsedPrompt(text, "")
    typed, words = split_words(text[:MAX_CHARS]), tokenizer.words
    if typed and text[-1].isalnum() and typed[-1] not in words and any(word.startswith(typed[-1]) for word in words):
        typed.pop()
    known = [word for word in typed if word in tokenizer.numbers]
    unknown = list(dict.fromkeys(word for word in typed if word not in tokenizer.numbers))
    limit = tokenizer.length - 2
    note = []
    for word in unknown[:MAX_UNKNOWN]:
        near = difflib.get_close_matches(word, words, n=1)
        hint = f"; did you mean “{near[0]}”?" if near else "."
        note.append(f"“{word[:30]}” is not in the vocabulary{hint}")
    if len(unknown) > MAX_UNKNOWN:
        note.append(f"{len(unknown) - MAX_UNKNOWN} more words are not in the vocabulary.")
    if unknown:
        note.append(f"The prompt is read as “{' '.join(known[:limit])}”." if known else EMPTY)
    if len(known) > limit:
        note.append(f"The prompt is truncated to {limit} words: {len(known) - limit} are left out.")
    return ParsedPrompt(" ".join(known[:limit]), " ".join(note))


@cache
def next_words(captions: int = 1000) -> dict[str, list[str]]:
    """Return the words that follow each word in captions, the most frequent first; those of "" begin a caption."""
    rng = np.random.default_rng(0)
    seen: dict[str, Counter] = defaultdict(Counter)
    for _ in range(captions):
        words = split_words(random_caption(sample_labeled_scene(rng), rng))
        for before, word in zip(["", *words], words, strict=False):
            seen[before][word] += 1
    return {word: [after for after, _ in counts.most_common()] for word, counts in seen.items()}


class PromptInput(Control):
    """A text box; below it, the words that may come next, as buttons, and a note on unknown words.

    Attributes:
        value: what is typed, as it is typed.
        parsed: the part of it that the network can read; `note`, a line on the rest.
        words, next_words: the vocabulary, and for each word those that often follow it.
    """

    _esm, changes = script("prompt_input"), "parsed"
    value = traitlets.Unicode().tag(sync=True)
    words: traitlets.List = traitlets.List().tag(sync=True)
    next_words: traitlets.Dict = traitlets.Dict().tag(sync=True)
    note = traitlets.Unicode().tag(sync=True)
    parsed = traitlets.Unicode()

    def __init__(self, name: str, tokenizer: Any, value: str) -> None:
        self.tokenizer = tokenizer
        words = list(getattr(tokenizer, "words", ()))
        super().__init__(name, value, words=words, next_words=next_words() if words else {})
        self._parse()
        self.observe(self._parse, "value")

    def _parse(self, _change: object = None) -> None:
        self.parsed, self.note = parse_prompt(self.value, self.tokenizer)

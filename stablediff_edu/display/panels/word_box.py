"""A text box for prompts: it offers the words that a network has learned, and says kindly which it does not know."""

import difflib
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import anywidget
import numpy as np
import traitlets

from stablediff_edu.datasets.captions import tell
from stablediff_edu.datasets.scene_words import worded_scene
from stablediff_edu.tokenizers.words import split_words

SCRIPT, STYLE = (Path(__file__).with_name(f"word_box.{kind}") for kind in ("js", "css"))
MOST_LETTERS = 10_000  # of a text that is read at all
MOST_TOLD = 3  # unknown words of which the note speaks
ALIKE = 0.6  # how alike two spellings must be, for one to be meant by the other


class Understood(NamedTuple):
    """What a network can read of a text, and a kind word on what it cannot; "" if there is nothing to say."""

    text: str
    note: str


def understood(text: str, tokenizer: Callable) -> Understood:
    """Return the part of a text that can be read: known words, as many as fit. No text is refused.

    A last word that could still become a known one is left out without a word: somebody is typing it.

    Args:
        text: any text at all.
        tokenizer: a `WordTokenizer`; every other one is taken to read everything.
    """
    if not hasattr(tokenizer, "words"):
        lost = tokenizer.left_out(text) if hasattr(tokenizer, "left_out") else ""
        return Understood(text, f"The text is too long; left out: {lost[:200]}" if lost else "")
    typed = split_words(text[:MOST_LETTERS])
    if typed and text[-1].isalnum() and _may_become_known(typed[-1], tokenizer.words):
        typed.pop()
    known = [word for word in typed if word in tokenizer.numbers]
    unknown = list(dict.fromkeys(word for word in typed if word not in tokenizer.numbers))
    most = tokenizer.length - 2
    said = [_unknown(word, tokenizer.words) for word in unknown[:MOST_TOLD]]
    if len(unknown) > MOST_TOLD:
        said.append(f"{len(unknown) - MOST_TOLD} more words are new to it, too.")
    if unknown:
        said.append(f"It draws what it knows: “{' '.join(known[:most])}”." if known else "So it draws what it likes.")
    elif not known and text.strip() and not typed:
        said.append("There is no word in this, so it draws what it likes.")
    if len(known) > most:
        said.append(f"It reads {most} words at most, and leaves out the last {len(known) - most}.")
    return Understood(" ".join(known[:most]), " ".join(said))


def _may_become_known(word: str, words: tuple[str, ...]) -> bool:
    return word not in words and any(known.startswith(word) for known in words)


def _unknown(word: str, words: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(word, words, n=1, cutoff=ALIKE)
    hint = f"; did you mean “{near[0]}”?" if near else ", and no word that is spelled like it."
    return f"It has not learned “{word[:30]}”{hint}"


@cache
def followers(captions: int = 1000) -> dict[str, list[str]]:
    """Return the words that follow each word in captions, the most frequent first; those of "" begin a caption."""
    random = np.random.default_rng(0)
    seen: dict[str, Counter] = defaultdict(Counter)
    for _ in range(captions):
        words = split_words(tell(worded_scene(random), random))
        for before, word in zip(["", *words], words, strict=False):
            seen[before][word] += 1
    return {word: [after for after, _ in counts.most_common()] for word, counts in seen.items()}


class WordBox(anywidget.AnyWidget):
    """A text box; below it, the words that may come next, as buttons, and a kind word on those not known.

    Attributes:
        name: its label.
        value: what is typed, as it is typed.
        words: that can be offered; `follow`, word -> those that often stand behind it, says in which order.
        text: what the network can read of the value, and `note`, a line on the rest.
    """

    _esm, _css = SCRIPT, STYLE
    name = traitlets.Unicode().tag(sync=True)
    value = traitlets.Unicode().tag(sync=True)
    words = traitlets.List().tag(sync=True)
    follow = traitlets.Dict().tag(sync=True)
    note = traitlets.Unicode().tag(sync=True)
    text = traitlets.Unicode()

    def __init__(self, name: str, tokenizer: Callable, value: str = "") -> None:
        self.tokenizer = tokenizer
        words = list(getattr(tokenizer, "words", ()))
        super().__init__(name=name, value=value, words=words, follow=followers() if words else {})
        self._read()
        self.observe(self._read, "value")

    def _read(self, _change: object = None) -> None:
        self.text, self.note = understood(self.value, self.tokenizer)

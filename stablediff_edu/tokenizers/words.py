"""Sentences to numbers: one token a word, with CLIP's start, end and padding."""

import difflib
import re
from collections.abc import Sequence

import torch

from stablediff_edu.errors import UserError

WORD = r"[^\W_]+(?:['’-][^\W_]+)*"  # letters and digits, apostrophes and hyphens inside


class WordTokenizer:
    """Turns sentences into rows of `length` numbers: start, one a word, end, and the end again as padding.

    CLIP's own tokenizer cuts rare words into pieces and has 49,408 of these; here every word is one. As in CLIP, start
    and end are the last two numbers, and capital letters and punctuation make no difference.

    Args:
        words: all that it knows.
        length: of every row.
    """

    def __init__(self, words: Sequence[str], length: int = 32) -> None:
        self.words, self.length = tuple(words), length
        self.numbers = {word: number for number, word in enumerate(self.words)}
        self.start, self.end = len(self.words), len(self.words) + 1

    def __len__(self) -> int:
        """How many different tokens there are."""
        return len(self.words) + 2

    def __call__(self, sentences: str | Sequence[str]) -> torch.Tensor:
        """Return the tokens of sentences, (B, length) int64; the empty sentence is the prompt that asks for nothing.

        Raises:
            UserError: there is a word that it does not know, or a sentence with more words than fit.
        """
        sentences = [sentences] if isinstance(sentences, str) else sentences
        rows = []
        for sentence in sentences:
            numbers = [self._number(word) for word in split_words(sentence)]
            if len(numbers) > self.length - 2:
                raise UserError(
                    f"The sentence has {len(numbers)} words, and {self.length - 2} fit; say it in fewer words."
                )
            rows.append([self.start, *numbers, *[self.end] * (self.length - 1 - len(numbers))])
        return torch.tensor(rows, dtype=torch.int64).view(len(rows), self.length)

    def _number(self, word: str) -> int:
        if word in self.numbers:
            return self.numbers[word]
        near = difflib.get_close_matches(word, self.words, n=1, cutoff=0.0)
        raise UserError(
            f"{word[:30]!r} is not among the {len(self.words)} words that this network has learned; nearest spelling: "
            f"{', '.join(map(repr, near)) or 'none'}."
        )


def split_words(sentence: str) -> list[str]:
    """Return the words of a sentence in small letters, without its punctuation."""
    return re.findall(WORD, sentence.lower())

"""Reading text of any length: words in blocks, and the vocabulary that turns them into numbers.

A word is a run of letters, in lower case; whatever stands between words is a space. Nothing is ever held but one block,
so a text may be larger than the memory.
"""

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from pathlib import Path

import numpy as np

from stablediff_edu.errors import CourseError

_BLOCK = 1 << 20  # characters read at a time
_LETTERS = re.compile(r"[^\W\d_]+")
# the same for plain English text, ten times as fast: capitals become small, all but letters become spaces
_PLAIN = {code: chr(code).lower() if chr(code).isalpha() else " " for code in range(128)}
_PLAIN_BYTES = bytes(ord(_PLAIN.get(code, " ")) for code in range(256))


def split_words(text: str) -> list[str]:
    """Return the words of a text: "The KING's 2 men." → the, king, s, men."""
    if text.isascii():
        return text.encode("ascii").translate(_PLAIN_BYTES).decode("ascii").split()
    return _LETTERS.findall(text.lower())


def read_words(path: str | Path, most: int | None = None) -> Iterator[list[str]]:
    """Give the words of a text file, plain or packed (.gz), block by block.

    Args:
        path: the file, in UTF-8.
        most: read only so many characters from the beginning.

    Raises:
        CourseError: there is no such file, it is not UTF-8, or it is a broken .gz file.
    """
    path, begun, left = Path(path).expanduser(), "", most
    try:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig") as file:
            while block := file.read(_BLOCK if left is None else min(_BLOCK, left)):
                left = None if left is None else left - len(block)
                block = begun + block
                end = max(block.rfind(" "), block.rfind("\n")) + 1  # the last word may go on in the next block
                begun = block[end:]
                yield split_words(block[:end])
        yield split_words(begun)
    except UnicodeDecodeError as error:
        raise CourseError(
            f"{path.name} is not text in UTF-8 (byte {error.object[error.start]:#x} does not fit); save it as UTF-8."
        ) from error
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise CourseError(f"{path.name} is not a whole .gz file ({error}); fetch or pack it again.") from error
    except OSError as error:
        raise CourseError(f"{path} cannot be read ({error.strerror or error}); name a text file.") from error


@dataclass(frozen=True)
class Vocabulary:
    """The words that are learned, the most frequent first; a word's number is its place.

    Attributes:
        words: V different words.
        counts: (V,) how often each stands in the text.
    """

    words: tuple[str, ...]
    counts: np.ndarray

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """word → its number."""
        return {word: number for number, word in enumerate(self.words)}

    @property
    def total(self) -> int:
        """How many words of the text belong to the vocabulary, each counted as often as it stands there."""
        return int(self.counts.sum())

    def encode(self, words: list[str]) -> np.ndarray:
        """Return the numbers of those words that are known: N words -> (M,) int64, M ≤ N."""
        numbers = np.fromiter(map(self.numbers.get, words, repeat(-1)), np.int64, len(words))
        return numbers[numbers >= 0]

    def keep(self, threshold: float = 1e-3) -> np.ndarray:
        """Return with what probability each word is kept: (V,) in (0, 1].

        A word with the share f of the text is kept with √(t/f) + t/f, at most 1, where t is the threshold: "the" and
        "of" say little about their neighbours (Mikolov et al., 2013; the formula of their program, and of gensim).
        """
        share = threshold * self.total / self.counts
        return np.minimum(1.0, np.sqrt(share) + share)

    def noise(self, power: float = 0.75) -> np.ndarray:
        """Return how likely each word is drawn as a negative, its count to the power of 0.75: (V,), sum 1."""
        weights = self.counts**power
        return weights / weights.sum()


def count_words(blocks: Iterable[list[str]], min_count: int = 5, name: str = "the text") -> Vocabulary:
    """Count the words of a text and return those that stand there at least ``min_count`` times.

    Raises:
        CourseError: no words at all, or fewer than two that are frequent enough.
    """
    counter: Counter[str] = Counter()
    for block in blocks:
        counter.update(block)
    if not counter:
        raise CourseError(f"There are no words in {name}; give a text with some thousand words.")
    frequent = [(word, count) for word, count in counter.items() if count >= min_count]
    if len(frequent) < 2:
        different = f"{len(counter)} different word{'s' * (len(counter) > 1)}"
        raise CourseError(
            f"{name[0].upper()}{name[1:]} has {different}, of which {len(frequent)} stand there {min_count} times or "
            "more; two are needed at least: give a longer text or a smaller min_count."
        )
    frequent.sort(key=lambda pair: (-pair[1], pair[0]))
    return Vocabulary(tuple(word for word, _ in frequent), np.array([count for _, count in frequent]))

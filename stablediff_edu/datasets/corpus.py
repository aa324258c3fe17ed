"""Text to learn word vectors from: the drawn corpus, text8 once it is fetched, or a text of one's own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stablediff_edu.datasets import text8
from stablediff_edu.datasets.text import Vocabulary, count_words, read_words, split_words


@dataclass(frozen=True)
class Corpus:
    """A text as numbers.

    Attributes:
        vocabulary: the words that are learned.
        read: gives the text from its beginning, block by block: (N,) int64 numbers of the words, rare ones left out.
        source: a line that says what text it is.
        licence: whose it is.
    """

    vocabulary: Vocabulary
    read: Callable[[], Iterator[np.ndarray]]
    source: str
    licence: str

    def __len__(self) -> int:
        """How many words long the text is, rare ones left out."""
        return self.vocabulary.total


def load_corpus(source: str | Path = "drawn", min_count: int = 5, most: int | None = None, seed: int = 0) -> Corpus:
    """Open a text and count its words.

    Args:
        source: "drawn" for the drawn corpus, "text8" for 17 million words of Wikipedia, or the path of a text file
            (see `open_text`), which is read anew in every epoch and never held as a whole.
        min_count: words that stand there less often are left out.
        most: read only so many characters of a file.
        seed: of the drawn corpus.

    Raises:
        CourseError: there is no such text, it cannot be read, or it holds no two frequent words.
    """
    if source == "drawn":
        from stablediff_edu.datasets.drawn_corpus import draw_corpus

        text = split_words(draw_corpus(seed=seed))
        vocabulary = count_words([text], min_count, "the drawn corpus")
        numbers = vocabulary.encode(text)
        return Corpus(vocabulary, lambda: iter([numbers]), "drawn corpus", "drawn by this package (MIT)")
    if source == "text8":
        path, licence = text8.find(), text8.LICENCE
    else:
        path, licence = Path(source).expanduser(), "your own text"
    vocabulary = count_words(read_words(path, most), min_count, path.name)
    return Corpus(vocabulary, lambda: map(vocabulary.encode, read_words(path, most)), path.name, licence)

"""Reading text of any length: words in blocks, and the vocabulary that turns them into numbers.

A word is a run of letters of any script with their marks, in lower case; whatever stands between words is a space.
Nothing is ever held but one block, so a text may be larger than the memory.
"""

import bz2
import codecs
import gzip
import io
import lzma
import re
import sys
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import repeat
from pathlib import Path
from typing import IO, Any, TextIO

import numpy as np

from stablediff_edu.errors import UserError

_BLOCK = 1 << 20  # characters read at a time
_HEAD = 4096  # bytes that tell what kind of file it is
_PACKED: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
_DOCUMENTS = {
    b"%pdf": "a PDF document", b"{\\rtf": "an RTF document", b"\xd0\xcf\x11\xe0": "an Office document",
    b"<!doctype": "a web page", b"<html": "a web page", b"<?xml": "an XML document",
}  # fmt: skip
# plain English text is split ten times as fast: capitals become small, all but letters become spaces
_PLAIN = {code: chr(code).lower() if chr(code).isalpha() else " " for code in range(128)}
_PLAIN_BYTES = bytes(ord(_PLAIN.get(code, " ")) for code in range(256))
# Thai, Lao, Burmese, Khmer, Japanese and Chinese letters: these scripts do not put spaces between words
_NO_SPACES = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]")


def split_words(text: str) -> list[str]:
    """Return the words of a text: "The KING's 2 men." → the, king, s, men."""
    if text.isascii():
        return text.encode("ascii").translate(_PLAIN_BYTES).decode("ascii").split()
    return _letters().findall(unicodedata.normalize("NFC", text.lower().replace("i\u0307", "i")))  # Turkish İ is i


@cache
def _letters() -> re.Pattern[str]:
    """Return what matches a word: letters, with vowel signs, accents and joiners behind them."""
    marks = "".join(chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in ("Mn", "Mc"))
    return re.compile(rf"[^\W\d_]+(?:[{marks}\u200c\u200d]+[^\W\d_]*)*")


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """Open a text file; how it is packed (gz, bz2, xz, zip) and encoded is recognized by its content.

    Raises:
        UserError: there is no such file, it is broken, or no plain text in UTF-8 or UTF-16.
    """
    try:
        with ExitStack() as stack:
            file: IO[bytes] = stack.enter_context(open(path, "rb"))
            head = _head(file)
            if head.startswith(b"PK\3\4"):
                file = stack.enter_context(_only_member(path, stack.enter_context(zipfile.ZipFile(file))))
            for magic, unpack in _PACKED.items():
                if head.startswith(magic):
                    file = stack.enter_context(unpack(file))
            yield stack.enter_context(io.TextIOWrapper(file, encoding=_encoding(path, _head(file))))
    except UnicodeError as error:
        which = f" (byte {error.object[error.start]:#x} does not fit)" if isinstance(error, UnicodeDecodeError) else ""
        raise UserError(f"{path.name} is not text in UTF-8{which}; save it as UTF-8.") from error
    except (gzip.BadGzipFile, zlib.error, EOFError, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise UserError(f"{path.name} is not a whole {path.suffix} file ({error}); fetch or pack it again.") from error
    except (OSError, RuntimeError) as error:  # a zip file with a password
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be read ({reason}); name a text file.") from error


def _head(file: IO[bytes]) -> bytes:
    head = file.read(_HEAD)
    file.seek(0)
    return head


def _only_member(path: Path, archive: zipfile.ZipFile) -> IO[bytes]:
    names = [member.filename for member in archive.infolist() if not member.is_dir()]
    if {"[Content_Types].xml", "mimetype"} & set(names):
        raise UserError(f"{path.name} is an Office document or an e-book, not plain text; save it as text in UTF-8.")
    if len(names) != 1:
        raise UserError(f"{path.name} holds {len(names)} files; unpack it and name one of them.")
    return archive.open(names[0])


def _encoding(path: Path, head: bytes) -> str:
    """Return the encoding of a text that begins so: by its byte order mark, else by its zero bytes."""
    for magic, what in _DOCUMENTS.items():
        if head.removeprefix(codecs.BOM_UTF8).lstrip().lower().startswith(magic):
            raise UserError(f"{path.name} is {what}, not plain text; save it as text in UTF-8.")
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if 0 not in head:
        return "utf-8-sig"
    for encoding in ("utf-16-le", "utf-16-be"):
        text = head.decode(encoding, "ignore")  # in the wrong one, a space is U+2000
        if "\u2000" not in text and all(unicodedata.category(c) not in ("Cc", "Cn", "Co") or c.isspace() for c in text):
            return encoding
    raise UserError(f"{path.name} is not plain text (it holds zero bytes); save it as text in UTF-8.")


def iter_words(path: str | Path, max_chars: int | None = None) -> Iterator[list[str]]:
    """Give the words of a text file block by block.

    Args:
        path: the file, see `open_text`.
        max_chars: read only so many characters from the beginning.
    """
    begun, left = "", max_chars
    with open_text(Path(path).expanduser()) as file:
        while block := file.read(_BLOCK if left is None else min(_BLOCK, left)):
            left = None if left is None else left - len(block)
            block = begun + block
            end = max(block.rfind(" "), block.rfind("\n")) + 1  # the last word may go on in the next block
            begun = block[end:]
            yield split_words(block[:end])
    yield split_words(begun)


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
        "of" say little about their neighbors (Mikolov et al., 2013; the formula of their program, and of gensim).
        """
        share = threshold * self.total / self.counts
        return np.minimum(1.0, np.sqrt(share) + share)

    def noise(self, power: float = 0.75) -> np.ndarray:
        """Return how likely each word is sampled as a negative, its count to the power of 0.75: (V,), sum 1."""
        weights = self.counts**power
        return weights / weights.sum()


def build_vocabulary(blocks: Iterable[list[str]], min_count: int = 5, name: str = "the text") -> Vocabulary:
    """Count the words of a text and return those that stand there at least ``min_count`` times.

    Raises:
        UserError: no words at all, or fewer than two that are frequent enough.
    """
    counter: Counter[str] = Counter()
    for block in blocks:
        counter.update(block)
    if not counter:
        raise UserError(f"There are no words in {name}; give a text with some thousand words.")
    letters, joined = sum(map(len, counter)), sum(len(_NO_SPACES.findall(word)) for word in counter)
    if joined > letters / 2 and letters > 8 * len(counter):
        raise UserError(
            f"{name} has no spaces between its words; put them in with a word segmenter, such as jieba (Chinese), "
            "fugashi (Japanese) or pythainlp (Thai)."
        )
    frequent = [(word, count) for word, count in counter.items() if count >= min_count]
    if len(frequent) < 2:
        different = f"{len(counter)} different word{'s' * (len(counter) > 1)}"
        raise UserError(
            f"In {name} there are {different}, of which {len(frequent)} stand there {min_count} times or more; two are "
            "needed at least: give a longer text or a smaller min_count."
        )
    frequent.sort(key=lambda pair: (-pair[1], pair[0]))
    return Vocabulary(tuple(word for word, _ in frequent), np.array([count for _, count in frequent]))

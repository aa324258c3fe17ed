"""Your own captioned images: any folder of images, each with its caption, becomes a training set.

Captions stand in NAME.txt beside NAME.png, one a line, or in `metadata.csv` or `metadata.jsonl` with `file_name` and
`text` (the convention of Hugging Face's image folders); else they are the names of the files: "red_car_03.png" is
"red car", and "red car/03.png" as well.
"""

import csv
import io
import json
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from stablediff_edu.data.image_files import read_squares
from stablediff_edu.data.words.vocabulary import open_text
from stablediff_edu.errors import UserError
from stablediff_edu.tokenizers.words import split_words

METADATA = ("metadata.csv", "metadata.jsonl")
CAPTION_FILES = {".txt", ".csv", ".json", ".jsonl"}  # endings of files that hold captions, not images
VOCABULARY = 10_000  # the most words that a text encoder of this size should learn


@dataclass
class CaptionedImages:
    """Square images with their captions.

    Attributes:
        pixels: (N, 3, S, S) uint8.
        captions: for each image one caption or several.
        names: the files, relative to the folder.
        left_out: for each file that was left out its name and the reason, "a.png: the same image as b.png".
        source: where the captions come from, for one line of text.
    """

    pixels: torch.Tensor
    captions: list[tuple[str, ...]]
    names: list[str]
    left_out: list[str] = field(default_factory=list)
    source: str = ""

    def __len__(self) -> int:
        return len(self.names)

    def vocabulary(self, most: int = VOCABULARY) -> list[str]:
        """Return the words of the captions in alphabetical order; the most frequent ones, if there are too many."""
        counts = Counter(word for texts in self.captions for text in texts for word in split_words(text))
        return sorted(word for word, _ in counts.most_common(most))

    def unique_share(self) -> float:
        """Return the share of the images whose first caption no other image has."""
        counts = Counter(" ".join(split_words(texts[0])) for texts in self.captions)
        return sum(count == 1 for count in counts.values()) / max(1, len(self))


def load_captioned_folder(folder: str | Path, size: int = 64, background: str = "white") -> CaptionedImages:
    """Read all images of a folder and of the folders in it, with their captions.

    They are made square as in `load_image_folder`. Files that are no images or cannot be read, images without a
    caption, and second copies of an image are left out, and `left_out` names them. A copy with another caption adds
    that caption to the first one.

    Args:
        folder: where they lie.
        size: side of the result in pixels.
        background: what shows through transparent pixels, a name such as "white" or "#ffcc00".

    Raises:
        UserError: the folder is missing, holds no captioned image, or its captions cannot be read.
    """
    folder = Path(folder)
    squares, left_out = read_squares(folder, size, background)
    left_out = [line for line in left_out if not line.endswith(tuple(f"{end}: not an image" for end in CAPTION_FILES))]
    names = [file.relative_to(folder) for file, _ in squares]
    captions, source = _captions(folder, names)
    pixels: list[np.ndarray] = []
    found: dict[str, tuple[str, ...]] = {}  # name → its captions
    first_of: dict[bytes, str] = {}  # pixels → the first name that has them
    for name, (_, image) in zip(map(Path.as_posix, names), squares, strict=True):
        texts = tuple(text for text in captions.get(name, ()) if split_words(text))
        first = first_of.setdefault(image.tobytes(), name) if texts else name
        if not texts:
            left_out.append(f"{name}: no caption")
        elif first != name:
            left_out.append(f"{name}: the same image as {first}")
            found[first] += tuple(text for text in texts if text not in found[first])
        elif name in found:
            left_out.append(f"{name}: its further pages")
        else:
            pixels.append(image)
            found[name] = texts
    missing = sorted(name for name in captions if not (folder / name).exists())
    left_out += [f"{name}: named in {source}, but not there" for name in missing]
    if len(found) < 2:
        raise UserError(
            f"There are {len(found)} images with a caption in {folder}, too few to train on"
            f"{'; for instance ' + left_out[0] if left_out else ''}. Put a file NAME.txt with the caption beside each "
            "NAME.png, or a metadata.csv with the columns file_name and text into the folder."
        )
    rows = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()  # (N, S, S, 3) -> (N, 3, S, S)
    return CaptionedImages(rows, list(found.values()), list(found), left_out, source)


def _captions(folder: Path, names: list[Path]) -> tuple[dict[str, list[str]], str]:
    """Return the captions of each file, by its name relative to the folder, and where they come from.

    One kind of caption counts for the whole folder: a name such as IMG_0001 is no caption where others have one.
    """
    beside = {
        name: folder / name.with_suffix(".txt") for name in names if (folder / name.with_suffix(".txt")).is_file()
    }
    if beside:
        return {name.as_posix(): _read(text).splitlines() for name, text in beside.items()}, "NAME.txt files"
    tables = sorted(path for name in METADATA for path in folder.rglob(name))
    if not tables:
        return {name.as_posix(): [caption_of_name(name)] for name in names}, "the names of the files"
    listed: dict[str, list[str]] = {}
    for table in tables:
        for name, texts in _table_rows(table):
            place = Path(os.path.normpath((table.parent / name).relative_to(folder))).as_posix()
            listed.setdefault(place, []).extend(texts)
    return listed, ", ".join(table.relative_to(folder).as_posix() for table in tables)


def caption_of_name(path: Path) -> str:
    """Return the caption in a file's name, without the number at its end; for a mere number the folder's name."""
    for part in (path.stem, *(folder.name for folder in path.parents)):
        words = re.sub(r"[\W_]*\(?\d+\)?$", "", part)
        if split_words(words):
            return re.sub(r"[\s_.-]+", " ", words).strip()
    return ""


def _table_rows(table: Path) -> Iterable[tuple[str, list[str]]]:
    """Give the rows of metadata.csv or metadata.jsonl: a file's name and its captions."""
    text = _read(table)
    try:
        rows = (
            list(csv.DictReader(io.StringIO(text)))
            if table.suffix == ".csv"
            else [json.loads(line) for line in text.splitlines() if line.strip()]
        )
        columns = set().union(*rows)
    except (csv.Error, ValueError, TypeError) as error:
        raise UserError(f"{table} cannot be read ({error}); give file_name and text of one image a row.") from error
    if not {"file_name", "text"} <= columns:
        named = ", ".join(sorted(map(str, columns))) or "none"
        raise UserError(f"{table} needs the columns file_name and text, and has: {named}; rename its columns.")
    for row in rows:
        texts = row.get("text") or []
        texts = texts if isinstance(texts, list) else [texts]
        yield str(row.get("file_name") or ""), list(map(str, texts))


def _read(path: Path) -> str:
    with open_text(path) as file:
        return file.read()

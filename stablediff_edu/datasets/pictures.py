"""Plain pictures, without masks or words: what a diffusion model learns from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from stablediff_edu.datasets.folder import open_picture, picture_files
from stablediff_edu.errors import CourseError


@dataclass
class Pictures:
    """Pictures of one size.

    Attributes:
        pictures: (N, 3, S, S) float32 in [-1, 1].
        source: one line for figures, such as "drawn ships".
    """

    pictures: torch.Tensor
    source: str

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def size(self) -> int:
        """Side of the pictures in pixels."""
        return self.pictures.shape[-1]

    def take(self, indices: Sequence[int] | torch.Tensor) -> "Pictures":
        """Return the pictures at ``indices``, in that order."""
        return replace(self, pictures=self.pictures[torch.as_tensor(indices, dtype=torch.int64)])

    def first(self, n: int) -> "Pictures":
        """Return the first ``n`` pictures (all of them, if there are fewer)."""
        return replace(self, pictures=self.pictures[:n])


def load_pictures(folder: str | Path, size: int = 32, most: int | None = None) -> Pictures:
    """Read the pictures of a folder and of the folders in it: the learner's own.

    They may be grey or coloured, and of different sizes and shapes: of each the middle square is taken and made
    ``size`` pixels wide.

    Args:
        folder: where they lie, as png, jpg, tif, ….
        size: side of the squares in pixels.
        most: at most so many, the first ones by name.

    Raises:
        CourseError: the folder is missing or empty, holds one picture only, or a file is broken or has 16 bits.
    """
    if size < 1:
        raise CourseError(f"Pictures of {size}×{size} pixels cannot be made; ask for at least 1×1.")
    files = picture_files(Path(folder), "pictures")
    if len(files) < 2:
        raise CourseError(
            f"{folder} holds one picture only, and a network trained on it could draw nothing else; add more pictures."
        )
    squares, kinds = [], set()
    for file in files[:most]:
        picture = open_picture(file)
        kinds.add((picture.size, picture.mode))
        squares.append(_square(picture, size))
    mixed = f", of {len(kinds)} sizes or modes, each cut to its middle square" if len(kinds) > 1 else ""
    return Pictures(to_tensor(np.stack(squares)), f"own pictures ({len(squares):,}{mixed})")


def read_square(file: Path, size: int) -> np.ndarray:
    """Read one picture's middle square, made ``size`` pixels wide: (S, S, 3) uint8."""
    return _square(open_picture(file), size)


def _square(picture: Image.Image, size: int) -> np.ndarray:
    return np.asarray(ImageOps.fit(picture.convert("RGB"), (size, size), Image.Resampling.BICUBIC))


def to_tensor(pictures: np.ndarray) -> torch.Tensor:
    """Turn bytes, (N, S, S, 3) in 0 … 255, into the pictures of the course, (N, 3, S, S) float32 in [-1, 1]."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).contiguous().float().div_(127.5).sub_(1)

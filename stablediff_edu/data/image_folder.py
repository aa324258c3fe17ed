"""Images without masks or captions, to train diffusion models on."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from stablediff_edu.data.columns import Columns
from stablediff_edu.data.image_files import read_squares
from stablediff_edu.errors import UserError


@dataclass
class ImageDataset(Columns):
    """Images of one size.

    Attributes:
        images: (N, 3, S, S) float32 in [-1, 1].
        source: one line for figures, such as "synthetic ships".
        left_out: files that were not used, each with the reason.
    """

    columns = ("images",)
    images: torch.Tensor
    source: str
    left_out: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.images.shape[-1]


def load_image_folder(
    folder: str | Path, size: int = 32, limit: int | None = None, background: str = "white"
) -> ImageDataset:
    """Read your own images of any mode, size and shape: all pages of all files of a folder and of the folders in it.

    Opaque images are cropped to their middle square, transparent ones are padded to a square on the background.

    Args:
        folder: where they lie, as png, jpg, tif, ….
        size: side of the squares in pixels.
        limit: at most so many files, the first ones by name.
        background: what shows through transparent pixels, a name such as "white" or "#ffcc00".

    Raises:
        UserError: the folder is missing or empty, or holds one image only.
    """
    squares, left_out = read_squares(Path(folder), size, background, limit)
    if len(squares) < min(2, limit or 2):
        reason = f"; {left_out[0]}" if left_out else ""
        raise UserError(
            f"{folder} holds {'one image' if squares else 'no image'} that can be read{reason}. A network trained on "
            "one image could generate nothing else; add more."
        )
    source = f"own images ({len(squares):,}, made square, transparent parts {background})"
    pixels = np.stack([pixels for _, pixels in squares])
    return ImageDataset(normalize_images(pixels), source, left_out)


def normalize_images(images: np.ndarray) -> torch.Tensor:
    """Turn bytes, (N, S, S, 3) in 0 … 255, into the images of the course, (N, 3, S, S) float32 in [-1, 1]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().float().div_(127.5).sub_(1)

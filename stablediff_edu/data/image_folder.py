"""Images without masks or captions, to train diffusion models on."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from stablediff_edu.data.image_files import as_rgb, list_images, not_images, open_pages, read_rgb
from stablediff_edu.errors import UserError


@dataclass
class ImageDataset:
    """Images of one size.

    Attributes:
        images: (N, 3, S, S) float32 in [-1, 1].
        source: one line for figures, such as "synthetic ships".
        left_out: files that were not used, each with the reason.
    """

    images: torch.Tensor
    source: str
    left_out: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """Side of the images in pixels."""
        return self.images.shape[-1]

    def take(self, indices: Sequence[int] | torch.Tensor) -> "ImageDataset":
        """Return the images at ``indices``, in that order."""
        return replace(self, images=self.images[torch.as_tensor(indices, dtype=torch.int64)])

    def first(self, n: int) -> "ImageDataset":
        """Return the first ``n`` images (all of them, if there are fewer)."""
        return replace(self, images=self.images[:n])


def load_image_folder(
    folder: str | Path, size: int = 32, limit: int | None = None, background: str = "white"
) -> ImageDataset:
    """Read the images of a folder and of the folders in it: your own.

    They may be of any mode, size and shape: of each the middle square is taken and resized to ``size`` pixels. Every
    page of a file with several is an image.

    Args:
        folder: where they lie, as png, jpg, tif, ….
        size: side of the squares in pixels.
        limit: at most so many files, the first ones by name.
        background: what shows through transparent pixels, a name such as "white" or "#ffcc00".

    Raises:
        UserError: the folder is missing or empty, or holds one image only.
    """
    if size < 1:
        raise UserError(f"Images of {size}×{size} pixels cannot be made; ask for at least 1×1.")
    folder = Path(folder)
    files, others = list_images(folder)
    left_out = not_images(others, folder)
    squares, kinds, transparent = [], set(), 0
    for file in files[:limit]:
        try:
            pages = open_pages(file)
        except UserError as error:
            left_out.append(str(error))
            continue
        for page in pages:
            kinds.add((page.size, page.mode))
            transparent += page.has_transparency_data
            squares.append(_square(as_rgb(page, background), size))
    if len(squares) < min(2, limit or 2):
        reason = f"; {left_out[0]}" if left_out else ""
        raise UserError(
            f"{folder} holds {'one image' if squares else 'no image'} that can be read{reason}. A network trained on "
            "one image could generate nothing else; add more."
        )
    mixed = f", of {len(kinds)} sizes or modes, each cut to its middle square" if len(kinds) > 1 else ""
    mixed += f", {transparent:,} transparent ones on {background}" if transparent else ""
    return ImageDataset(normalize_images(np.stack(squares)), f"own images ({len(squares):,}{mixed})", left_out)


def load_center_crop(file: Path, size: int) -> np.ndarray:
    """Read one image's middle square, resized to ``size`` pixels: (S, S, 3) uint8."""
    return _square(read_rgb(file), size)


def _square(image: Image.Image, size: int) -> np.ndarray:
    return np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC))


def normalize_images(images: np.ndarray) -> torch.Tensor:
    """Turn bytes, (N, S, S, 3) in 0 … 255, into the images of the course, (N, 3, S, S) float32 in [-1, 1]."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().float().div_(127.5).sub_(1)

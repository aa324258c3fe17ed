"""Images on disk, and several in one grid."""

import math
from pathlib import Path

import torch
from PIL import Image

from stablediff_edu.errors import UserError
from stablediff_edu.io import checkpoint


def make_grid(images: torch.Tensor) -> torch.Tensor:
    """Lay images out in rows, as square as can be, on white: (B, 3, H, W) -> (3, rows · H, columns · W)."""
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    filled = images.new_ones(rows * columns, *images.shape[1:])
    filled[: len(images)] = images
    return filled.unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)


def save_image(image: torch.Tensor, out: Path) -> None:
    """Write an image (3 or 1, H, W) in [-1, 1] to a file, which is either whole or not there."""
    if not image.isfinite().all():
        raise UserError("The image holds values that are not numbers; load the weights without half=True.")
    pixels = ((image.expand(3, -1, -1) + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
    kind = {".jpg": "jpeg"}.get(out.suffix.lower(), out.suffix[1:].lower())
    with checkpoint.atomic_write(out) as temporary:
        Image.fromarray(pixels).save(temporary, format=kind)

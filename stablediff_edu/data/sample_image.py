"""The one real photograph of the course, available without a download: it comes with matplotlib.

It shows Grace Hopper, a pioneer of programming: an official portrait of the United States Navy, in the public domain.
"""

import importlib.util
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from stablediff_edu.errors import UserError


def sample_image(size: int = 256, *, gray: bool = False) -> torch.Tensor:
    """Return the photograph, cropped square and scaled.

    Args:
        size: pixels a side; the file itself has 512.
        gray: one channel of brightness instead of red, green and blue.

    Returns:
        (3, size, size), or (1, size, size) if gray: float32 in [-1, 1], black to white.

    Raises:
        UserError: the file is not there, which says that matplotlib is not installed as it should be.
    """
    path = _photo_path()
    if not path.is_file():
        raise UserError("The sample photograph of matplotlib is missing; run: pip install --force-reinstall matplotlib")
    with Image.open(path) as file:
        side = min(file.size)
        image = file.convert("L" if gray else "RGB").crop((0, 0, side, side))  # the upper square holds the head
    image = image.resize((size, size), Image.Resampling.LANCZOS)
    values = np.atleast_3d(np.asarray(image, dtype=np.float32))  # (size, size, 3) or (size, size, 1)
    return torch.from_numpy(values).permute(2, 0, 1).contiguous() / 127.5 - 1  # (3, size, size) or (1, size, size)


def _photo_path() -> Path:
    """Find the file beside matplotlib without importing it: only ``plotting`` does that."""
    package = importlib.util.find_spec("matplotlib")
    if package is None or not package.submodule_search_locations:
        return Path("matplotlib is not installed")
    return Path(package.submodule_search_locations[0], "mpl-data", "sample_data", "grace_hopper.jpg")

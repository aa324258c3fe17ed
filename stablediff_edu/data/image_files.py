"""Image files of any kind: which files of a folder are images, and how one is read upright, opaque and in 8 bits."""

import os
import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageOps

from stablediff_edu.errors import UserError

# What Pillow can open but nobody keeps images in: vector graphics that need another program, video, scientific data
_OTHER_KINDS = frozenset(
    {".bufr", ".emf", ".eps", ".fit", ".fits", ".grib", ".h5", ".hdf", ".mpeg", ".mpg", ".ps", ".wmf"}
)
_NEEDS = {".heic": "pillow-heif", ".heif": "pillow-heif", ".jxl": "pillow-jxl-plugin"}  # read where installed


def image_endings() -> frozenset[str]:
    """Return the endings of file names that Pillow, with the plugins installed here, reads."""
    for module, function in (("pillow_heif", "register_heif_opener"), ("pillow_jxl", "")):
        try:
            getattr(__import__(module), function, lambda: None)()
        except ImportError:
            continue
    Image.init()
    return frozenset(ending for ending, kind in Image.EXTENSION.items() if kind in Image.OPEN) - _OTHER_KINDS


def list_images(folder: str | Path, what: str = "images") -> tuple[list[Path], list[Path]]:
    """Return the image files of a folder and of the folders in it, sorted by name, and all other files.

    Links to folders are followed, each folder once. Hidden files and folders do not count.

    Raises:
        UserError: the folder is missing or holds no images.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"The folder of {what}, {folder}, is not there; check its name.")
    endings = image_endings()
    images: list[Path] = []
    others: list[Path] = []
    visited = set()
    for here, inside, files in os.walk(folder, followlinks=True):
        place = os.path.realpath(here)
        if place in visited:
            inside[:] = []
            continue
        visited.add(place)
        inside[:] = sorted(name for name in inside if not name.startswith((".", "__")))  # .git, __MACOSX
        for name in files:
            if not name.startswith(".") and name != "Thumbs.db":
                (images if Path(name).suffix.lower() in endings else others).append(Path(here) / name)
    if not images:
        seen = f"; it holds {len(others)} other files, such as {not_images(others[:1], folder)[0]}" if others else ""
        raise UserError(f"There are no {what} in {folder}{seen}; name the folder that holds them (png, jpg, tif, …).")
    return sorted(images, key=lambda path: path.relative_to(folder).as_posix()), others


def not_images(others: list[Path], folder: Path) -> list[str]:
    """Return why each of the other files of a folder was left out."""
    left_out = []
    for path in others:
        plugin = _NEEDS.get(path.suffix.lower())
        reason = f"needs another package: python -m pip install {plugin}" if plugin else "not an image"
        left_out.append(f"{path.relative_to(folder).as_posix()}: {reason}")
    return left_out


def open_image(path: Path) -> Image.Image:
    """Read an image file of one page as it is stored, with its mode.

    Raises:
        UserError: it cannot be read, or has more than one page.
    """
    pages = open_pages(path)
    if len(pages) > 1:
        raise UserError(f"{path} has {len(pages)} pages; save each page as a file of its own.")
    return pages[0]


def open_pages(path: Path) -> list[Image.Image]:
    """Read all pages of an image file, or frames of an animation, as they are stored."""
    try:
        with Image.open(path) as opened:
            pages = []
            for number in range(getattr(opened, "n_frames", 1)):
                opened.seek(number)
                page = opened.copy()
                page.info["orientation"] = opened.getexif().get(0x0112, 1)
                pages.append(page)
    except PermissionError as error:
        raise UserError(f"{path} may not be read; change its permissions.") from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise UserError(f"{path} is broken or not an image ({error}); replace it or take it away.") from error
    return pages


def upright(image: Image.Image, orientation: int | None = None) -> Image.Image:
    """Turn an image as its EXIF orientation says, or as another one's does."""
    orientation = image.info.get("orientation", 1) if orientation is None else orientation
    turned = image.copy()
    turned.getexif()[0x0112] = orientation
    return ImageOps.exif_transpose(turned)


def as_rgb(image: Image.Image, background: str = "white") -> Image.Image:
    """Return an upright image with 8 bits a channel: RGB, with `background` behind transparent pixels."""
    image = upright(image)
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(eight_bits(np.asarray(image)))
    if image.has_transparency_data:
        canvas = Image.new("RGBA", image.size, background)
        image = Image.alpha_composite(canvas, image.convert("RGBA"))
    return image.convert("RGB")


def square(image: Image.Image, size: int, background: str = "white") -> np.ndarray:
    """Return an image as (size, size, 3) uint8: its middle square, or all of a transparent one on `background`."""
    opaque = as_rgb(image, background)
    if image.has_transparency_data:
        return np.asarray(ImageOps.pad(opaque, (size, size), Image.Resampling.BICUBIC, color=background))
    return np.asarray(ImageOps.fit(opaque, (size, size), Image.Resampling.BICUBIC))


def read_squares(
    folder: Path, size: int, background: str = "white", limit: int | None = None
) -> tuple[list[tuple[Path, np.ndarray]], list[str]]:
    """Read the images of a folder and of the folders in it as squares.

    Args:
        folder: where they lie.
        size: side of the squares in pixels.
        background: what shows through transparent pixels, a name such as "white" or "#ffcc00".
        limit: at most so many files, the first ones by name.

    Returns:
        (file, (size, size, 3) uint8) for each page of each file, and the files that were left out with the reasons.

    Raises:
        UserError: the folder is missing or holds no images, or the background is not a color.
    """
    try:
        ImageColor.getrgb(background)
    except ValueError as error:
        raise UserError(f"{background!r} is not a color; use a name such as white, or #ffcc00.") from error
    files, others = list_images(folder)
    squares, left_out = [], not_images(others, folder)
    for file in files[:limit]:
        try:
            squares += [(file, square(page, size, background)) for page in open_pages(file)]
        except UserError as error:
            left_out.append(f"{file.relative_to(folder).as_posix()}: {error}")
    return squares, left_out


def eight_bits(values: np.ndarray) -> np.ndarray:
    """Return uint8 for values of 16 or 32 bits: whole numbers up to 255, 4095 or 65535, or fractions up to 1.

    Cameras and microscopes store 12 bits in 16: the smallest of these ranges that holds all values counts.
    """
    values = values.astype(np.float64)
    largest = next((limit for limit in (1, 255, 4095, 65535) if values.max() <= limit), values.max())
    if largest == 1 and np.array_equal(values, values.round()):
        largest = 255  # the whole numbers 0 and 1 are labels or an almost black image, not fractions
    return (np.clip(values / largest, 0, 1) * 255).round().astype(np.uint8)

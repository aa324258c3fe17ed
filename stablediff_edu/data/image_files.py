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
_PLUGINS = {"pillow_heif": ("register_heif_opener",), "pillow_jxl": ()}  # read .heic and .jxl where they are installed
_NEEDS = {".heic": "pillow-heif", ".heif": "pillow-heif", ".jxl": "pillow-jxl-plugin"}


def image_endings() -> frozenset[str]:
    """Return the endings of file names that Pillow, with the plugins installed here, reads."""
    for module, functions in _PLUGINS.items():
        try:
            plugin = __import__(module)
        except ImportError:
            continue
        for function in functions:
            getattr(plugin, function)()
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
    endings, images, others, visited = image_endings(), [], [], set()
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
    needs = [_NEEDS.get(path.suffix.lower()) for path in others]
    reasons = [f"needs another package: python -m pip install {name}" if name else "not an image" for name in needs]
    names = [path.relative_to(folder).as_posix() for path in others]
    return [f"{name}: {reason}" for name, reason in zip(names, reasons, strict=True)]


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
        try:
            canvas = Image.new("RGBA", image.size, ImageColor.getrgb(background))
        except ValueError as error:
            raise UserError(f"{background!r} is not a color; use a name such as white, or #ffcc00.") from error
        image = Image.alpha_composite(canvas, image.convert("RGBA"))
    return image.convert("RGB")


def read_rgb(path: Path, background: str = "white") -> Image.Image:
    """Read an image file of one page: upright, RGB, with `background` behind transparent pixels."""
    return as_rgb(open_image(path), background)


def eight_bits(values: np.ndarray) -> np.ndarray:
    """Return uint8 for values of 16 or 32 bits: whole numbers up to 255, 4095 or 65535, or fractions up to 1.

    Cameras and microscopes store 12 bits in 16: the smallest of these ranges that holds all values counts.
    """
    values = values.astype(np.float64)
    largest = next((limit for limit in (1, 255, 4095, 65535) if values.max() <= limit), values.max())
    if largest == 1 and np.array_equal(values, values.round()):
        largest = 255  # the whole numbers 0 and 1 are labels or an almost black image, not fractions
    return (np.clip(values / largest, 0, 1) * 255).round().astype(np.uint8)

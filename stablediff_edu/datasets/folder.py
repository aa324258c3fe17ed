"""Pictures with masks from two folders: the learner's own, and the way every other masked data set is read."""

import os
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from stablediff_edu.errors import CourseError

PICTURE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
# What people append to a name to say "this is the mask of": 7_mask.png, 7-GT.png, "7 label.png", 7_segmentation.png
_MASK_WORD = re.compile(r"[\s_.-]+(masks?|gt|ground[\s_-]?truth|labels?|seg|segmentation)$", re.IGNORECASE)
_DEEPER_THAN_8_BIT = ("I", "F")  # Pillow's modes I, I;16, I;16B, F: pictures of 16 or 32 bits a number


@dataclass
class MaskedPictures:
    """Pictures, the mask of each, and which of them are copies of one original.

    Attributes:
        pictures: (N, 3, S, S) float32 in [-1, 1].
        masks: (N, 1, S, S) float32, 1 where the thing is and 0 elsewhere.
        groups: (N,) int64; turned or flipped copies of one original carry the same number.
        names: a short name for each picture.
        source: one line for figures, such as "drawn fish".
    """

    pictures: torch.Tensor
    masks: torch.Tensor
    groups: torch.Tensor
    names: list[str]
    source: str

    def __post_init__(self) -> None:
        lengths = {len(self.pictures), len(self.masks), len(self.groups), len(self.names)}
        if len(lengths) != 1:
            raise ValueError(f"pictures, masks, groups and names must be equally many, not {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.names)

    def take(self, indices: Sequence[int] | torch.Tensor) -> "MaskedPictures":
        """Return the pictures at ``indices``, in that order."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        names = [self.names[index] for index in chosen.tolist()]
        return replace(
            self, pictures=self.pictures[chosen], masks=self.masks[chosen], groups=self.groups[chosen], names=names
        )

    def first(self, n: int) -> "MaskedPictures":
        """Return the first ``n`` pictures (all of them, if there are fewer)."""
        return self.take(range(min(n, len(self))))

    def split(self, held_out: float = 0.2, seed: int = 0) -> tuple["MaskedPictures", "MaskedPictures"]:
        """Split into pictures to learn from and pictures held out to test on.

        Whole groups go to one side: a network that has seen one copy of an original must not be tested on another.

        Args:
            held_out: the part to hold out, between 0 and 1; it is met as nearly as whole groups allow.
            seed: which groups are held out.

        Returns:
            (train, held_out); neither is empty.

        Raises:
            CourseError: there is only one group, or ``held_out`` is no fraction.
        """
        if not 0 < held_out < 1:
            raise CourseError(f"held_out is {held_out}; give the part to hold out as a fraction, such as 0.2.")
        kinds, sizes = self.groups.unique(return_counts=True)
        if len(kinds) < 2:
            raise CourseError(
                f"These {len(self)} pictures cannot be split: they come from {len(kinds)} original(s) and a split "
                "needs two at least, so add pictures."
            )
        order = torch.randperm(len(kinds), generator=torch.Generator().manual_seed(seed))
        so_far = sizes[order].cumsum(0)[:-1]  # pictures held out after 1, 2, … groups; never all of the groups
        count = 1 + int((so_far - held_out * len(self)).abs().argmin())
        is_held_out = torch.isin(self.groups, kinds[order[:count]])
        return self.take((~is_held_out).nonzero().flatten()), self.take(is_held_out.nonzero().flatten())


def load_masked_folder(images: str | Path, masks: str | Path, size: int = 128) -> MaskedPictures:
    """Read the learner's own pictures and masks.

    A picture and its mask have the same name, and the mask may add a word: ``7.jpg`` goes with ``7.png``,
    ``7_mask.png``, ``7-GT.tif`` or ``7 label.png``. Both folders may have folders inside (then these must agree too),
    and may be one and the same. Masks without a picture are ignored.

    Pictures may be grey or coloured and of any size, different ones too; they are stretched to squares. In a mask the
    larger of two values is the thing (0 and 255, 0 and 1, …); of more than two, all but 0 are. If your pictures are
    tiles or frames of a few originals, set ``groups`` yourself, or a split will leak.

    Args:
        images: the folder of pictures (png, jpg, bmp, tif or webp, with 8 bits a number).
        masks: the folder of masks.
        size: side of the result in pixels.

    Returns:
        The pictures sorted by name, each a group of its own.

    Raises:
        CourseError: a folder or a mask is missing, a file is broken or has 16 bits, a mask's size differs.
    """
    pairs = find_pairs(Path(images), Path(masks))
    pictures = np.empty((len(pairs), size, size, 3), np.uint8)
    foregrounds = np.empty((len(pairs), size, size), np.uint8)
    for index, (picture, mask) in enumerate(pairs):
        pictures[index], foregrounds[index] = shrink(*read_pair(picture, mask), size)
    names = [picture.relative_to(images).with_suffix("").as_posix() for picture, _ in pairs]
    return as_masked_pictures(pictures, foregrounds, np.arange(len(pairs)), names, f"own pictures ({len(pairs)})")


def as_masked_pictures(
    pictures: np.ndarray, masks: np.ndarray, groups: np.ndarray, names: list[str], source: str
) -> MaskedPictures:
    """Turn bytes, (N, S, S, 3) in 0 … 255 and (N, S, S) in 0 or 1, into the tensors of the course."""
    channels_first = torch.from_numpy(pictures).permute(0, 3, 1, 2)  # (N, S, S, 3) -> (N, 3, S, S)
    return MaskedPictures(
        pictures=channels_first.contiguous().float().div_(127.5).sub_(1),
        masks=torch.from_numpy(masks).unsqueeze(1).float(),  # (N, S, S) -> (N, 1, S, S)
        groups=torch.from_numpy(groups).long(),
        names=list(names),
        source=source,
    )


# --- which mask belongs to which picture ---------------------------------------------------------------------------


def find_pairs(images: Path, masks: Path) -> list[tuple[Path, Path]]:
    """Return (picture, mask) for every picture in ``images``, sorted by name; see :func:`load_masked_folder`."""
    pictures_there, mask_files = picture_files(images, "pictures"), picture_files(masks, "masks")
    if images.resolve() == masks.resolve():
        pictures_there = [path for path in pictures_there if not _MASK_WORD.search(path.stem)]
        mask_files = [path for path in mask_files if _MASK_WORD.search(path.stem)]
    elif masks.resolve().is_relative_to(images.resolve()):
        pictures_there = [path for path in pictures_there if not path.resolve().is_relative_to(masks.resolve())]
    elif images.resolve().is_relative_to(masks.resolve()):
        mask_files = [path for path in mask_files if not path.resolve().is_relative_to(images.resolve())]
    if not pictures_there:
        raise CourseError(f"There are no pictures in {images}; name the folder that holds them (png, jpg, tif, …).")
    partner = pair_names(
        [path.relative_to(images).as_posix() for path in pictures_there],
        [path.relative_to(masks).as_posix() for path in mask_files],
    )
    return [(images / picture, masks / mask) for picture, mask in partner.items()]


def pair_names(pictures: Sequence[str], masks: Sequence[str]) -> dict[str, str]:
    """Find the mask of each picture by name alone: the same name first, then the same but for a word such as _mask.

    Args:
        pictures: names such as ``"a/7.jpg"``, relative to their folder.
        masks: names such as ``"a/7_mask.png"``, relative to theirs.

    Returns:
        picture name -> mask name, in the order of the pictures.

    Raises:
        CourseError: a picture has no mask, or it cannot be told which of two is meant.
    """
    exact, loose = _by_key(masks, _plain_key), _by_key(masks, _loose_key)
    partner, taken = {}, {}
    missing = []
    for picture in pictures:
        key = _plain_key(picture)
        candidates = exact.get(key) or loose.get(key) or []
        if not candidates:
            missing.append(picture)
            continue
        if len(candidates) > 1:
            raise CourseError(f"Two masks fit {picture}: {candidates[0]} and {candidates[1]}; take one of them away.")
        if candidates[0] in taken:
            raise CourseError(
                f"{taken[candidates[0]]} and {picture} would share the mask {candidates[0]}; rename one of the two."
            )
        partner[picture] = candidates[0]
        taken[candidates[0]] = picture
    if missing:
        others = f" (and for {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise CourseError(
            f"There is no mask for {missing[0]}{others}; give it the same name, with or without _mask, "
            "in the folder of masks."
        )
    return partner


def _by_key(names: Sequence[str], key) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(key(name), []).append(name)
    return found


def _plain_key(name: str) -> str:
    return name.rpartition(".")[0].casefold()


def _loose_key(name: str) -> str:
    return "/".join(_MASK_WORD.sub("", part) for part in _plain_key(name).split("/"))


def picture_files(folder: Path, what: str) -> list[Path]:
    if not folder.is_dir():
        raise CourseError(f"The folder of {what}, {folder}, is not there; check its name.")
    found = []
    for here, inside, files in os.walk(folder):
        inside[:] = [name for name in inside if not name.startswith((".", "__"))]  # such as .git and __MACOSX
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in PICTURE_ENDINGS:
                found.append(Path(here) / name)
    if not found:
        raise CourseError(f"There are no {what} in {folder}; name the folder that holds them (png, jpg, tif, …).")
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


# --- reading one picture and its mask ------------------------------------------------------------------------------


def read_pair(picture: Path, mask: Path) -> tuple[Image.Image, Image.Image]:
    """Read a picture (mode RGB) and its mask (mode L, 0 or 255) in their own size, which must be the same."""
    colours, foreground = open_picture(picture).convert("RGB"), _as_foreground(open_picture(mask))
    if colours.size != foreground.size:
        (width, height), (mask_width, mask_height) = colours.size, foreground.size
        raise CourseError(
            f"{picture.name} is {width}×{height} pixels but its mask {mask.name} is {mask_width}×{mask_height}; "
            "a mask must have the size of its picture."
        )
    return colours, foreground


def shrink(picture: Image.Image, mask: Image.Image, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Stretch both to squares: the picture smoothly, (S, S, 3) uint8; the mask by majority, (S, S) uint8 of 0 and 1."""
    small = picture.resize((size, size), Image.Resampling.BICUBIC)  # Pillow filters as wide as it shrinks: no aliasing
    share = np.asarray(mask.resize((size, size), Image.Resampling.BOX))  # part of each new pixel that is foreground
    return np.asarray(small), (share >= 128).astype(np.uint8)


def open_picture(path: Path) -> Image.Image:
    try:
        with Image.open(path) as opened:
            opened.load()
            upright = ImageOps.exif_transpose(opened)
    except PermissionError as error:
        raise CourseError(f"{path} may not be read; change its permissions.") from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise CourseError(f"{path} is broken or no picture ({error}); replace it or take it away.") from error
    if upright.mode.startswith(_DEEPER_THAN_8_BIT):
        raise CourseError(
            f"{path} has 16 bits or more a pixel (mode {upright.mode}); convert it to 8 bits first, for instance "
            f"with ImageMagick: magick {path.name} -auto-level -depth 8 {path.stem}.png."
        )
    if upright.has_transparency_data:  # whatever is hidden by transparency counts as black
        see_through = upright.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", see_through.size, "black"), see_through).convert("RGB")
    return upright


def _as_foreground(mask: Image.Image) -> Image.Image:
    # (H, W, 3) -> (H, W) by the brightest channel, not by lightness: no dark colour may count as black
    grey = np.asarray(mask) if mask.mode == "L" else np.asarray(mask.convert("RGB")).max(axis=2)
    values = np.unique(grey)
    threshold = 0  # labels: everything but 0 is the thing
    if len(values) == 2:
        threshold = values[0]
    elif len(values) > 16 and (grey > 230).sum() > 0.8 * (grey > 24).sum():
        threshold = 127  # black and white, blurred at the edges by JPEG or by an earlier change of size
    return Image.fromarray(np.where(grey > threshold, 255, 0).astype(np.uint8))

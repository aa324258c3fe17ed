"""Images with masks from two folders: your own, and the way every other masked data set is read."""

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from stablediff_edu.data.columns import Columns
from stablediff_edu.data.image_files import as_rgb, image_endings, list_images, not_images, open_image
from stablediff_edu.data.image_folder import normalize_images
from stablediff_edu.data.masks import MaskRule, decide
from stablediff_edu.errors import UserError

_WORDS = r"(masks?|gt|ground[\s_-]?truth|labels?|seg|segmentation|annotations?)"
# What people add to a name to say "this is a mask of": 7_mask.png, 7-GT.png, "7 label.png", 7_mask_2.png, mask_7.png
_MASK_WORD = re.compile(rf"^{_WORDS}[\s_.-]+|[\s_.-]+{_WORDS}([\s_.-]*\d+)?$", re.IGNORECASE)
_IMAGE_WORD = re.compile(r"^(ima?ge?|photo|sat|rgb)[\s_.-]+|[\s_.-]+(ima?ge?|photo|sat|rgb)$", re.IGNORECASE)


@dataclass
class SegmentationDataset(Columns):
    """Images, the mask of each, and which of them are copies of one original.

    Attributes:
        images: (N, 3, S, S) float32 in [-1, 1].
        masks: (N, 1, S, S) float32, 1 where the object is and 0 elsewhere.
        groups: (N,) int64; turned or flipped copies of one original carry the same number.
        names: a short name for each image.
        source: one line for figures, such as "synthetic fish".
        left_out: files that were not used, each with the reason.
    """

    columns = ("images", "masks", "groups", "names")
    images: torch.Tensor
    masks: torch.Tensor
    groups: torch.Tensor
    names: list[str]
    source: str
    left_out: list[str] = field(default_factory=list)

    def split(self, held_out: float = 0.2, seed: int = 0) -> tuple["SegmentationDataset", "SegmentationDataset"]:
        """Split into a training set and a test set: (train, held_out), neither of them empty.

        Whole groups go to one side: a network that has seen one copy of an original must not be tested on another.

        Args:
            held_out: the part to hold out, between 0 and 1; it is met as nearly as whole groups allow.
            seed: which groups are held out.

        Raises:
            UserError: there is only one group.
        """
        kinds, sizes = self.groups.unique(return_counts=True)
        if len(kinds) < 2:
            raise UserError(
                f"These {len(self)} images cannot be split: they come from {len(kinds)} original(s) and a split "
                "needs two at least, so add images."
            )
        order = torch.randperm(len(kinds), generator=torch.Generator().manual_seed(seed))
        so_far = sizes[order].cumsum(0)[:-1]  # images held out after 1, 2, … groups; never all of the groups
        count = 1 + int((so_far - held_out * len(self)).abs().argmin())
        is_held_out = torch.isin(self.groups, kinds[order[:count]])
        return self.take((~is_held_out).nonzero().flatten()), self.take(is_held_out.nonzero().flatten())


def load_segmentation_folder(
    images: str | Path, masks: str | Path, size: int = 128, foreground: Collection[int] | str = (), invert: bool = False
) -> SegmentationDataset:
    """Read your own images and masks.

    An image and its mask have the same name, and the mask may add a word: ``7.jpg`` goes with ``7.png``,
    ``7_mask.png``, ``mask_7.gif``, ``7.jpg.png`` or ``7 label.tif``; ``7_mask_1.png`` and ``7_mask_2.png`` are united.
    Both folders may have folders inside (then these must agree too), and may be one and the same.

    Images may be of any mode and size; they are stretched to squares. `masks.decide` says how masks are read. If your
    images are tiles or frames of a few originals, set ``groups`` yourself, or a split will leak.

    Args:
        images: the folder of images.
        masks: the folder of masks.
        size: side of the result in pixels.
        foreground: the mask values that are foreground, where the files do not tell.
        invert: the masks mark the background.

    Returns:
        The images sorted by name, each a group of its own.

    Raises:
        UserError: a folder or a mask is missing, a file is broken, a mask's size differs or its meaning is not clear.
    """
    images, masks = Path(images), Path(masks)
    pairs, left_out = match_masks(images, masks)
    rule = decide([mask for _, found in pairs for mask in found], foreground, invert)
    pixels, areas = zip(*(resize_pair(*read_pair(image, found, rule), size) for image, found in pairs), strict=True)
    names = [image.relative_to(images).with_suffix("").as_posix() for image, _ in pairs]
    source = f"your own images ({len(pairs)}; {rule})"
    groups = np.arange(len(pairs))
    return to_segmentation_dataset(np.stack(pixels), np.stack(areas), groups, names, source, left_out)


def to_segmentation_dataset(
    images: np.ndarray,
    masks: np.ndarray,
    groups: np.ndarray,
    names: list[str],
    source: str,
    left_out: Sequence[str] = (),
) -> SegmentationDataset:
    """Turn bytes, (N, S, S, 3) in 0 … 255 and (N, S, S) in 0 or 1, into the tensors of the course."""
    foreground = torch.from_numpy(masks).unsqueeze(1).float()  # (N, S, S) -> (N, 1, S, S)
    return SegmentationDataset(
        normalize_images(images), foreground, torch.from_numpy(groups).long(), names, source, list(left_out)
    )


# --- which mask belongs to which image -----------------------------------------------------------------------------


def match_masks(images: Path, masks: Path) -> tuple[list[tuple[Path, list[Path]]], list[str]]:
    """Return (image, its masks) for every image, sorted by name, and what was left out.

    See `load_segmentation_folder` for how names are paired.
    """
    (image_files, others), (mask_files, _) = list_images(images), list_images(masks, "masks")
    if images.resolve() == masks.resolve():
        image_files = [path for path in image_files if not _MASK_WORD.search(_stem(path.name))]
        mask_files = [path for path in mask_files if _MASK_WORD.search(_stem(path.name))]
    elif masks.resolve().is_relative_to(images.resolve()):
        image_files = [path for path in image_files if not path.resolve().is_relative_to(masks.resolve())]
    elif images.resolve().is_relative_to(masks.resolve()):
        mask_files = [path for path in mask_files if not path.resolve().is_relative_to(images.resolve())]
    if not image_files:
        raise UserError(f"There are no images in {images}; name the folder that holds them (png, jpg, tif, …).")
    names = [path.relative_to(masks).as_posix() for path in mask_files]
    partners = pair_names([path.relative_to(images).as_posix() for path in image_files], names)
    used = {mask for found in partners.values() for mask in found}
    left_out = not_images(others, images) + [f"{name}: a mask without an image" for name in names if name not in used]
    return [(images / image, [masks / mask for mask in found]) for image, found in partners.items()], left_out


def pair_names(images: Sequence[str], masks: Sequence[str]) -> dict[str, list[str]]:
    """Find the masks of each image by name alone: the same name first, then the same but for a word such as _mask.

    Args:
        images: names such as ``"a/7.jpg"``, relative to their folder.
        masks: names such as ``"a/7_mask.png"``, relative to theirs.

    Returns:
        image name -> mask names, in the order of the images.

    Raises:
        UserError: an image has no mask, or it is not clear which of two is meant.
    """
    partners: dict[str, list[str]] = {}
    unused = list(masks)
    for key in (_plain_key, _loose_key, _number_key):  # what a stricter rule has paired is not paired again
        there: dict[str, list[str]] = {}
        for mask in unused:
            there.setdefault(key(mask), []).append(mask)
        owners: dict[str, str] = {}
        for image in [name for name in images if name not in partners]:
            found = there.get(key(image), [])
            if len({_word(name) for name in found}) > 1:
                raise UserError(f"Two masks fit {image}: {found[0]} and {found[1]}; take one of them away.")
            if found and found[0] in owners:
                both = f"{owners[found[0]]} and {image}"
                raise UserError(f"{both} would share the mask {found[0]}; rename one of the two.")
            if found:
                partners[image], owners[found[0]] = found, image
        unused = [mask for mask in unused if not any(mask in found for found in partners.values())]
    missing = [name for name in images if name not in partners]
    if missing:
        others = f" (and for {len(missing) - 1} more)" if len(missing) > 1 else ""
        stem = _stem(missing[0].rpartition("/")[2])
        raise UserError(
            f"There is no mask for {missing[0]}{others}; in the folder of masks it may be called {stem}.png, "
            f"{stem}_mask.png or mask_{stem}.png."
        )
    return {name: partners[name] for name in images}


def _stem(name: str) -> str:
    """Return a file's name without its ending, or without both in "7.jpg.png"."""
    stem, _, _ = name.rpartition(".")
    inner, _, ending = stem.rpartition(".")
    return inner if inner and f".{ending.lower()}" in image_endings() else stem


def _plain_key(name: str) -> str:
    return unicodedata.normalize("NFC", _stem(name)).casefold()


def _loose_key(name: str) -> str:
    return "/".join(_IMAGE_WORD.sub("", _MASK_WORD.sub("", part)) for part in _plain_key(name).split("/"))


def _number_key(name: str) -> str:
    return re.sub(r"(?<!\d)0+(?=\d)", "", _loose_key(name))


def _word(name: str) -> str:
    """Return which word makes a name that of a mask; ".png" and ".gif" of one name differ, too."""
    found = _MASK_WORD.search(_plain_key(name))
    return found[1] or found[2] if found else name


# --- reading one image and its masks -------------------------------------------------------------------------------


def read_pair(image: Path, masks: Sequence[Path], rule: MaskRule) -> tuple[Image.Image, Image.Image]:
    """Read an image (mode RGB) and the union of its masks (mode L, 0 or 255), upright, in their own size."""
    stored = open_image(image)
    colors = as_rgb(stored)
    union = np.zeros(colors.size[::-1], np.uint8)
    for mask in masks:
        read = rule.read(mask, stored)
        if colors.size != read.size:
            (width, height), (mask_width, mask_height) = colors.size, read.size
            raise UserError(
                f"{image.name} is {width}×{height} pixels but its mask {mask.name} is {mask_width}×{mask_height}; "
                "a mask must have the size of its image."
            )
        union = np.maximum(union, np.asarray(read))
    return colors, Image.fromarray(union)


def resize_pair(image: Image.Image, mask: Image.Image, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Stretch both to squares: the image smoothly, (S, S, 3) uint8; the mask by majority, (S, S) uint8 of 0 and 1."""
    small = image.resize((size, size), Image.Resampling.BICUBIC)  # Pillow filters as wide as it shrinks: no aliasing
    share = np.asarray(mask.resize((size, size), Image.Resampling.BOX))  # part of each new pixel that is foreground
    return np.asarray(small), (share >= 128).astype(np.uint8)

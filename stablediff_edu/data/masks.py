"""Mask files of any kind: which of their values are the foreground, decided once for a whole set and then reported.

A mask may be black and white in any mode, the alpha channel of an image, blurred by JPEG, or a map of labels. What the
values do not decide is refused, with the option that decides it.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from stablediff_edu.data.image_files import open_image, upright
from stablediff_edu.errors import UserError


@dataclass(frozen=True)
class MaskRule:
    """How the masks of one set are read.

    Attributes:
        channel: what carries the mask: "alpha", "index" (of a palette, where it has one) or "brightness".
        above: values above this one are foreground, if `values` is empty.
        values: the labels that are foreground.
        invert: whether foreground and background are exchanged.
        area: mean share of the foreground in the set.
    """

    channel: str
    above: float = 0.0
    values: tuple[int, ...] = ()
    invert: bool = False
    area: float = 0.0

    def __str__(self) -> str:
        which = f"in {', '.join(map(str, self.values))}" if self.values else f"above {self.above:g}"
        background = "background" if self.invert else "foreground"
        return (
            f"{background} = {self.channel} values {which}; the foreground is {self.area:.1%} of the images on average"
        )

    def read(self, path: Path, of: Image.Image | None = None) -> Image.Image:
        """Read a mask file: mode L, 0 or 255, upright.

        Args:
            path: the file.
            of: the image that it belongs to, as stored. A mask of the same stored size, but without an EXIF
                orientation, was made from the stored pixels: it is turned as the image is.
        """
        file = open_image(path)
        chosen = self.foreground(_channel(file, self.channel))
        mask = Image.fromarray(np.where(chosen, 255, 0).astype(np.uint8))
        own = file.info["orientation"]
        return upright(mask, of.info["orientation"] if own == 1 and of and of.size == mask.size else own)

    def foreground(self, channel: np.ndarray) -> np.ndarray:
        """Return which values of a channel are foreground: bool."""
        chosen = np.isin(channel, self.values) if self.values else channel > self.above
        return ~chosen if self.invert else chosen


def decide(
    paths: Sequence[Path], foreground: Collection[int] | str = (), invert: bool = False, bright: bool = False
) -> MaskRule:
    """Read all masks of a set and decide how they are read.

    Args:
        paths: the files.
        foreground: the values that are foreground, where the files do not tell, or "nonzero".
        invert: the files mark the background.
        bright: the brighter of two values is the foreground by convention, however much of the image it covers.

    Raises:
        UserError: the masks are empty or full throughout, or it is not clear which values are the foreground.
    """
    channel = _common_channel(paths, bool(foreground))
    counts: Counter[float] = Counter()
    borders = []
    black_and_white = True  # every file has only 0 and 1, or only 0 and 255
    for path in paths:
        pixels = _channel(open_image(path), channel)
        found, numbers = np.unique(pixels, return_counts=True)
        counts.update(dict(zip(found.tolist(), numbers.tolist(), strict=True)))
        black_and_white &= set(found.tolist()) in ({0}, {1}, {255}, {0, 1}, {0, 255})
        borders.append(np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]))
    values = np.array(sorted(counts))
    rule = MaskRule(channel, invert=invert)
    if not isinstance(foreground, str) and foreground:
        rule = replace(rule, values=tuple(sorted(foreground)))
    elif not foreground and not (black_and_white and len(values) == 3):
        rule = replace(rule, above=_threshold(values, np.array([counts[value] for value in values.tolist()])))
    chosen = rule.foreground(values)
    if chosen.all() or not chosen.any():
        raise UserError(
            f"{paths[0].name} and all other masks are {'full' if chosen.all() else 'empty'} (values: {_list(values)}); "
            "check --foreground and --invert."
        )
    area = sum(counts[value] for value in values[chosen].tolist()) / counts.total()
    if not (foreground or invert or bright) and np.median([rule.foreground(rim).mean() for rim in borders]) > 0.8:
        raise UserError(
            f"The larger value covers {area:.0%} of the masks and most of their border, as a background does; give "
            f"--invert, or --foreground {values[-1]:g} if it is the foreground."
        )
    return replace(rule, area=area)


def _threshold(values: np.ndarray, counts: np.ndarray) -> float:
    """Return the value above which the foreground begins; a map of more than two labels is refused."""
    low, high = values[0], values[-1]
    if len(values) <= 2:
        return float(low)
    # soft edges and JPEG: many values, most pixels at two far ones or near them
    share = (values - low) / (high - low)
    below, above, between = share < 0.1, share > 0.9, (share >= 0.1) & (share <= 0.9)
    peaked = all(counts[part].max() > counts[part].sum() / 2 for part in (below, above))
    many = len(values) > 8 and (above.sum() > 1 or between.any())  # else labels, and 255 for what is ignored
    if many and (high - low >= 64 or (values % 1).any()) and peaked and counts[between].sum() < counts[above].sum():
        return float((low + high) / 2)
    raise UserError(
        f"The masks have {len(values)} values ({_list(values)}); say which are the foreground, for instance "
        f"--foreground {values[1]:g}{'' if high == 255 else ', or --foreground nonzero'}; or save black and white."
    )


def _list(values: np.ndarray) -> str:
    """Return the first values in words."""
    shown = ", ".join(f"{value:g}" for value in values[:6])
    return shown if len(values) <= 6 else f"{shown}, … {values[-1]:g}"


# --- what carries the mask --------------------------------------------------------------------------------------------


def _common_channel(paths: Sequence[Path], labels: bool) -> str:
    """Return what carries the masks of a set; `labels`: their values were given."""
    first: dict[str, Path] = {}  # kind → the first file of this kind
    for path in paths:
        first.setdefault(_kind(open_image(path), path.name, labels), path)
    if "alpha" in first and len(first.keys() - {"plain"}) > 1:
        other = next(path for kind, path in first.items() if kind not in ("alpha", "plain"))
        raise UserError(f"{first['alpha'].name} has transparency, {other.name} none; save all masks alike.")
    return next((kind for kind in ("alpha", "index") if kind in first), "brightness")


def _kind(image: Image.Image, name: str, labels: bool) -> str:
    """Return what carries one mask; "plain" for an image of one color, which may be full or empty by its alpha.

    Alpha, if it varies and the colors agree with it, do not vary, or are a photograph's; else the indices of a palette
    of several colors.
    """
    alpha, color = _channel(image, "alpha"), _channel(image, "brightness")
    if alpha.min() < alpha.max():
        visible = np.where(alpha > 127, color, 0)
        is_photo = len(np.unique(visible)) > 64  # cut out by its alpha
        if color.min() == color.max() or is_photo or np.array_equal(visible > visible.max() / 2, alpha > 127):
            return "alpha"
        raise UserError(
            f"In {name} the transparency and the brightness mark different pixels; save the masks without "
            "transparency, or only their transparency as a gray image."
        )
    colors = _main_colors(image)
    if np.ptp(colors, axis=1).max() >= 16:
        if image.mode == "P" and (len(colors) > 2 or labels):
            return "index"
        bright = colors[colors.max(axis=1) > colors.max() / 2]
        tint = bright / bright.max(axis=1, keepdims=True)
        if image.mode != "P" and np.ptp(tint, axis=0).max() >= 0.3:  # they are not shades of one color
            raise UserError(f"{name} has several colors; save masks in black and white, or as label numbers.")
    return "plain" if color.min() == color.max() and (color.any() or image.has_transparency_data) else "brightness"


def _channel(image: Image.Image, which: str) -> np.ndarray:
    """Return what may be the mask, (H, W): alpha, indices of a palette, or the largest color channel."""
    if which == "alpha":
        opaque = not image.has_transparency_data
        return np.full(image.size[::-1], 255) if opaque else np.asarray(image.convert("RGBA"))[..., 3]
    if which == "index" and image.mode == "P":
        return np.asarray(image)
    if _is_gray(image):
        values = np.asarray(image.convert("L") if image.mode == "1" else image)
        return values[..., 0] if values.ndim == 3 else values
    return np.asarray(image.convert("RGBA"))[..., :3].max(axis=2)  # no dark color may count as black


def _is_gray(image: Image.Image) -> bool:
    return image.mode in ("1", "L", "LA", "La") or image.mode.startswith(("I", "F"))


def _main_colors(image: Image.Image) -> np.ndarray:
    """Return the colors of more than 0.2 % of the pixels, in steps of 8, (N, 3); black for a gray image or noise."""
    if _is_gray(image):
        return np.zeros((1, 3), int)
    codes = (np.asarray(image.convert("RGB")) // 8 @ np.array([1024, 32, 1])).ravel()
    counts = np.bincount(codes)
    code = np.flatnonzero(counts > 0.002 * counts.sum())
    code = code if len(code) else np.zeros(1, int)
    return np.stack([code // 1024, code // 32 % 32, code % 32], 1) * 8

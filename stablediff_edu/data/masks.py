"""Mask files of any kind: which of their values are the foreground, decided once for a whole set and then said.

A mask may be black and white in any mode, the alpha channel of an image, blurred by JPEG, or a map of labels. What the
values do not decide is refused, with the option that decides it.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
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
    """Look at all masks of a set and decide how they are read.

    Args:
        foreground: the values that are foreground, where the files do not tell, or "nonzero".
        invert: the files mark the background.
        bright: the brighter of two values is the foreground by convention, however much of the image it covers.

    Raises:
        UserError: the masks are empty or full throughout, or it cannot be told which values are the foreground.
    """
    channel = _which_channel(paths, bool(foreground))
    counts, flat = Counter(), Counter()  # of all pixels; of those that equal their neighbors
    kinds: set[float] = set()  # the largest values of the files
    for path in paths:
        pixels = _channel(open_image(path), channel)
        corner = pixels[:-1, :-1]
        counts.update(found := _count(pixels))
        flat.update(_count(corner[(corner == pixels[1:, :-1]) & (corner == pixels[:-1, 1:])]))
        kinds.add(max(found) if len(found) < 3 else -1)
    values = np.array(sorted(counts))
    if foreground == "nonzero":
        rule = MaskRule(channel, invert=invert)
    elif foreground:
        rule = MaskRule(channel, values=tuple(sorted(foreground)), invert=invert)
        if not np.isin(values, rule.values).any():
            raise UserError(f"No mask has the value {_list(rule.values)}; there are: {_list(values)}.")
    elif len(values) == 1:
        which = f"All {len(paths)} masks have" if len(paths) > 1 else f"{paths[0].name} has"
        raise UserError(f"{which} the same value {values[0]:g} everywhere, so nothing is marked; give another mask.")
    elif kinds <= {0, 1, 255} and values[0] == 0:  # some files with 0 and 1, others with 0 and 255
        rule = MaskRule(channel, invert=invert)
    else:
        rule = MaskRule(channel, above=_threshold(values, counts, flat), invert=invert)
    areas, rims = zip(
        *(_area_and_rim(rule.foreground(_channel(open_image(path), channel))) for path in paths), strict=True
    )
    area = float(np.mean(areas))
    if area in (0, 1):
        raise UserError(f"All {len(paths)} masks are {'full' if area else 'empty'}; check --foreground and --invert.")
    if not (foreground or invert or bright) and np.median(rims) > 0.8:
        raise UserError(
            f"The larger value covers {area:.0%} of the masks and most of their border, as a background does; give "
            f"--invert, or --foreground {values[-1]:g} if it is the foreground."
        )
    return MaskRule(channel, rule.above, rule.values, invert, area)


def _which_channel(paths: Sequence[Path], labels: bool) -> str:
    """Return what carries the masks of a set; `labels`: their numbers were given.

    Alpha, if it varies and the colors agree with it, do not vary, or are a photograph's; else the indices of
    a palette of several colors.
    """
    with_alpha, without, index = [], [], False
    for path in paths:
        image = open_image(path)
        alpha, color = (_channel(image, which) for which in ("alpha", "brightness"))
        visible = np.where(alpha > 127, color, 0)
        plain = color.min() == color.max()
        if alpha.min() < alpha.max():
            photo = len(np.unique(visible)) > 64  # cut out by its alpha
            with_alpha.append((path, plain or photo or np.array_equal(visible > visible.max() / 2, alpha > 127)))
        elif not plain or not (color.any() or image.has_transparency_data):  # else it may be full or empty by its alpha
            without.append(path)
        colors = _colors(image)
        gray = bool((np.ptp(colors, axis=1) < 16).all())
        index |= image.mode == "P" and not gray and (len(colors) > 2 or labels)
        if image.mode != "P" and not gray and not with_alpha and _hues(colors) > 1:
            raise UserError(f"{path.name} has several colors; save masks in black and white, or as label numbers.")
    if not with_alpha:
        return "index" if index else "brightness"
    if without:
        raise UserError(f"{with_alpha[0][0].name} has transparency, {without[0].name} none; save all masks alike.")
    for path, agree in with_alpha:
        if not agree:
            raise UserError(
                f"In {path.name} the transparency and the brightness mark different pixels; save the masks without "
                "transparency, or only their transparency as a gray image."
            )
    return "alpha"


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


def _colors(image: Image.Image) -> np.ndarray:
    """Return the colors of more than 0.2 % of the pixels, in steps of 8, (N, 3); black for a gray image."""
    if _is_gray(image):
        return np.zeros((1, 3), int)
    red, green, blue = np.moveaxis(np.asarray(image.convert("RGB")).astype(int) // 8, 2, 0)
    counts = np.bincount((red * 1024 + green * 32 + blue).ravel(), minlength=32**3)
    code = np.flatnonzero(counts > 0.002 * counts.sum())
    return np.stack([code // 1024, code // 32 % 32, code % 32], 1) * 8


def _hues(colors: np.ndarray) -> int:
    """Return how many hues the brighter ones of some colors have, (N, 3) -> 1 if all are shades of one."""
    bright = colors[colors.max(axis=1) > colors.max() / 2]
    tint = bright / bright.max(axis=1, keepdims=True)
    return 1 if np.ptp(tint, axis=0).max() < 0.3 else len(bright)


def _count(pixels: np.ndarray) -> dict[float, int]:
    values, counts = np.unique(pixels, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _threshold(values: np.ndarray, counts: dict[float, int], flat: dict[float, int]) -> float:
    """Return the value above which the foreground begins; a map of more than two labels is refused."""
    low, high = values[0], values[-1]
    middle = (low + high) / 2
    if len(values) == 2:
        return float(low)
    # soft edges and JPEG: most pixels lie at one of two far values or near it, and what lies between is not flat
    share = (values - low) / (high - low)
    weights, areas = (np.array([of[value] for value in values.tolist()], float) for of in (counts, flat))
    below, above, between = share < 0.1, share > 0.9, (share >= 0.1) & (share <= 0.9)
    peaked = min(weights[part].max() / weights[part].sum() for part in (below, above)) > 0.5
    soft = above.sum() > 1 or between.any()  # else labels, and 255 for what is ignored
    edges = weights[between].sum() < 2 * weights[above].sum() and areas[between].sum() < 0.1 * weights[above].sum()
    if (high - low >= 64 or (values % 1).any()) and len(values) > 8 and soft and peaked and edges:
        return float(middle)
    raise UserError(
        f"The masks have {len(values)} values ({_list(values)}); say which are the foreground, for instance "
        f"--foreground {values[1]:g}{'' if high == 255 else ', or --foreground nonzero'}; or save black and white."
    )


def _area_and_rim(mask: np.ndarray) -> tuple[float, float]:
    """Return the share of the foreground in a mask, and along its border."""
    rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return float(mask.mean()), float(rim.mean())


def _list(values: Sequence[float] | np.ndarray) -> str:
    """Return the first values in words."""
    shown = ", ".join(f"{value:g}" for value in values[:6])
    return shown if len(values) <= 6 else f"{shown}, … {values[-1]:g}"

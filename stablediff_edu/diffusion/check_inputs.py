"""Validation of the pipeline's arguments: each function returns the completed value, or raises UserError."""

import math
from collections.abc import Sequence

import torch

from stablediff_edu.errors import UserError

Size = int | Sequence[int]  # pixels: a square's side, or height and width


def check_size(size: Size, shrink: int, image: torch.Tensor | None = None) -> tuple[int, int]:
    """Return height and width in pixels: multiples of `shrink`, and those of the image if there is one."""
    sides = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 and side % shrink == 0 for side in sides):
        pixels = "×".join(map(str, sides))
        raise UserError(f"Images of {pixels} pixels cannot be generated: both sides must be multiples of {shrink}.")
    if image is not None and image.shape[-2:] != sides:
        theirs = "×".join(map(str, image.shape[-2:]))
        raise UserError(f"The image has {theirs} pixels, not {sides[0]}×{sides[1]}: resize it, or leave size away.")
    return sides


def check_inputs(count: int, guidance: float, seed: int | torch.Generator) -> None:
    """Check that there is at least one image to generate, that guidance is a number, and that there is a seed."""
    if not isinstance(count, int) or count < 1:
        raise UserError(f"{count!r} images cannot be generated; count must be a whole number from 1 up.")
    if not isinstance(guidance, int | float) or not math.isfinite(guidance):
        raise UserError(f"guidance must be a number, such as 7.5, and {guidance!r} is none.")
    if not isinstance(seed, torch.Generator) and not (isinstance(seed, int) and 0 <= seed < 2**32):
        raise UserError(f"seed must be a whole number from 0 to {2**32 - 1}, and {seed!r} is none.")


def check_image(image: torch.Tensor | None, strength: float | None, mask: torch.Tensor | None) -> None:
    """Check that the image is an image, and that the mask fits it."""
    if image is None:
        if strength is not None or mask is not None:
            raise UserError("strength and mask are about an image; give image=, the image to begin with, too.")
        return
    if not _has_channels(image, 3) or not image.is_floating_point() or not image.abs().max() <= 1.01:
        raise UserError("image must be a tensor (3, H, W), or several (B, 3, H, W), with numbers from -1 to 1.")
    if mask is None:
        return
    if not _has_channels(mask, 1) or mask.shape[-2:] != image.shape[-2:] or not ((mask == 0) | (mask == 1)).all():
        raise UserError(
            "mask must be a tensor (H, W) as large as the image: 1 where it is generated again, 0 elsewhere."
        )


def get_start_step(steps: int, strength: float | None, mask: torch.Tensor | None) -> int:
    """Return how many first steps are skipped: strength is the share of the steps that are run, 1 all of them."""
    if strength is None:
        strength = 0.8 if mask is None else 1.0
    if not isinstance(strength, int | float) or not 0 < strength <= 1:
        raise UserError(f"strength must be more than 0 and at most 1, and it is {strength!r}.")
    return steps - max(1, int(steps * strength))


def expand_to_batch(images: torch.Tensor, batch: int, count: int) -> torch.Tensor:
    """Expand one image, or one for each prompt, to a batch with `count` of each, (batch, …)."""
    if len(images) not in (1, batch // count):
        raise UserError(f"{len(images)} images or masks for {batch // count} prompts: give one, or one for each.")
    return images.repeat_interleave(batch // len(images), 0)


def _has_channels(x: torch.Tensor, channels: int) -> bool:
    """Tell whether x is (channels, H, W) or (B, channels, H, W); with one channel it may also be (H, W)."""
    if not isinstance(x, torch.Tensor) or not x.numel():
        return False
    return (x.ndim in (3, 4) and x.shape[-3] == channels) or (x.ndim == 2 and channels == 1)

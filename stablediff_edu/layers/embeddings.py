"""Sinusoidal embedding of positions and timesteps (Vaswani et al., 2017, "Attention is all you need", section 3.5)."""

import math

import torch


def sinusoidal_embedding(
    positions: torch.Tensor,
    dim: int,
    max_period: float = 10_000.0,
    flip_sin_to_cos: bool = False,
    downscale_freq_shift: float = 0.0,
) -> torch.Tensor:
    """Embed positions as sines and cosines of decreasing frequency: (N,) -> (N, dim).

    Every value lies between -1 and 1, near positions get similar vectors, and no two of the first `max_period`
    positions get the same one.

    Args:
        positions: whole numbers or not; the waves are computed in their precision (whole numbers: float32).
        dim: length of a vector; half sines, half cosines.
        max_period: the slowest wave takes 2π · `max_period` ** (1 - 2 / features) positions to come round.
        flip_sin_to_cos: put the cosines first, as Stable Diffusion does.
        downscale_freq_shift: taken off the number of waves in the exponent: with 1 the slowest takes 2π ·
            `max_period` positions.
    """
    if dim < 2 or dim % 2:
        raise ValueError(f"features must be even and at least 2, not {dim}")
    if not positions.is_floating_point():
        positions = positions.float()
    waves = dim // 2
    # multiplied before divided, as diffusers does: float32 rounds the two orders differently
    exponents = -math.log(max_period) * torch.arange(waves, device=positions.device, dtype=positions.dtype)
    # (N, 1) · (waves,) -> (N, waves)
    angles = positions[:, None] * torch.exp(exponents / max(waves - downscale_freq_shift, 1e-9))
    parts = [angles.cos(), angles.sin()] if flip_sin_to_cos else [angles.sin(), angles.cos()]
    return torch.cat(parts, dim=1)  # (N, features)

"""Positions as vectors: the sinusoidal encoding (Vaswani et al., 2017, "Attention is all you need", section 3.5)."""

import math

import torch


def sinusoidal_encoding(
    positions: torch.Tensor,
    features: int,
    longest: float = 10_000.0,
    cosine_first: bool = False,
    shift: float = 0.0,
) -> torch.Tensor:
    """Write each position as a vector of sines and cosines of slower and slower waves: (N,) -> (N, features).

    Every number lies between -1 and 1, near positions get similar vectors, and no two of the first `longest` positions
    get the same one.

    Args:
        positions: whole numbers or not; the waves are computed in their precision (whole numbers: float32).
        features: how many numbers a vector has; half of them sines, half cosines.
        longest: the slowest wave takes 2π · `longest` ** (1 - 2 / features) positions to come round.
        cosine_first: put the cosines first, as Stable Diffusion does.
        shift: taken off the number of waves in the exponent: with 1 the slowest takes 2π · `longest` positions.
    """
    if features < 2 or features % 2:
        raise ValueError(f"features must be even and at least 2, not {features}")
    if not positions.is_floating_point():
        positions = positions.float()
    waves = features // 2
    # multiplied before divided, as diffusers does: float32 rounds the two orders differently
    exponents = -math.log(longest) * torch.arange(waves, device=positions.device, dtype=positions.dtype)
    angles = positions[:, None] * torch.exp(exponents / max(waves - shift, 1e-9))  # (N, 1) · (waves,) -> (N, waves)
    parts = [angles.cos(), angles.sin()] if cosine_first else [angles.sin(), angles.cos()]
    return torch.cat(parts, dim=1)  # (N, features)

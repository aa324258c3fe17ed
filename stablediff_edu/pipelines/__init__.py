"""Models that work together: Stable Diffusion."""

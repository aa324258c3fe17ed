"""Diffusion: how noise is added (schedule) and taken away again (samplers)."""

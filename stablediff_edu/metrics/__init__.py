"""Measures of images: pure functions of tensors."""

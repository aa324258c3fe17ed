"""Layers and blocks that the models share."""

"""Fish with masks (chapters 2 and 3)."""

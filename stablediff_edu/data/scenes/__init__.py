"""Captioned scenes: rendering, captions and labels (chapters 7 and 8)."""

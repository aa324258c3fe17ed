"""Sentences with negations (chapter 7)."""

"""Figures, flashcards and exercises."""

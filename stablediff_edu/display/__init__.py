"""Figures, panels, flashcards and exercises: the only room that imports matplotlib or ipywidgets."""

"""Figures; only this folder and widgets import matplotlib."""

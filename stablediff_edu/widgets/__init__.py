"""Panels and their controls: one file per panel, named after its chapter."""

"""Saving and loading trained weights."""

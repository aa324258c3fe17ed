"""Digits: MNIST or synthetic (chapter 5)."""

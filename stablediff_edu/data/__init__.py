"""Data sets: the real ones where they are there, synthetic ones where they are not, and your own images."""

"""The training loop and what it needs; it knows no data set."""

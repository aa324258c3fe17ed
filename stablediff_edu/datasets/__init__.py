"""Pictures to learn from: real where they are there, drawn where they are not."""

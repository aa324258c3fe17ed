"""What `python -m stablediff_edu` can do, one command a file."""

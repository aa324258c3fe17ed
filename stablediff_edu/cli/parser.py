"""A command line answered in plain words; it needs nothing but Python, for `doctor` runs where torch is broken."""

import argparse
from typing import NoReturn


class ConciseParser(argparse.ArgumentParser):
    """A parser that says in one sentence what is wrong, without a page of usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"stablediff_edu: {message}; {self.prog} --help lists what can be said.\n")


def positive_int(text: str) -> int:
    """Read a whole number from 1 up."""
    if not text.strip().isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 up")
    return int(text)


def seed(text: str) -> int:
    """Read a seed: what numpy and torch both take."""
    if not text.strip().isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 0 to {2**32 - 1}")
    return int(text)

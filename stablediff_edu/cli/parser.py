"""A command line answered in plain words; it needs nothing but Python, for `doctor` runs where torch is broken."""

import argparse
from typing import NoReturn


class ConciseParser(argparse.ArgumentParser):
    """A parser that says in one sentence what is wrong, without a page of usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"stablediff_edu: {message}; {self.prog} --help lists what can be said.\n")

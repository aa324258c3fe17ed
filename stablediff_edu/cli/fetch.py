"""``python -m stablediff_edu fetch NAME`` (or ``download NAME``): download a real data set into data/."""

import argparse
from functools import partial
from pathlib import Path

from stablediff_edu.data import real_data
from stablediff_edu.data.archive import unpack
from stablediff_edu.data.download import data_dir
from stablediff_edu.data.real_data import REAL_DATA
from stablediff_edu.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``fetch``."""
    listed = "; ".join(f"{name}: {data.what}, {data.origin}" for name, data in REAL_DATA.items())
    parser.add_argument("name", choices=[*REAL_DATA, "all"], help=listed)
    parser.add_argument("--force", action="store_true", help="fetch it again, even if it is there")
    parser.add_argument(
        "--from", dest="file", type=Path, metavar="FILE", help="take it from here: a file that a browser has downloaded"
    )


def run(arguments: argparse.Namespace) -> int:
    """Fetch one data set, or all of them; one that cannot be had does not keep the next from being fetched."""
    if arguments.file:
        return _take(arguments.name, arguments.file, arguments.force)
    failures = 0
    for name in REAL_DATA if arguments.name == "all" else [arguments.name]:
        try:
            print(f"{name}: {real_data.fetch(name, arguments.force)}")
        except UserError as error:
            print(f"if a browser can download it: python -m stablediff_edu download {name} --from FILE")
            if arguments.name != "all":
                raise
            print(f"{name}: not fetched: {error}")
            failures += 1
    return 2 if failures else 0


def _take(name: str, file: Path, force: bool) -> int:
    """Unpack a file or folder that was downloaded otherwise."""
    if name == "all" or not file.exists():
        raise UserError(f"--from names the file or folder of one data set; there is no {file} for one.")
    folder = data_dir(name)
    if not force and any(inside.is_file() for inside in folder.rglob("*")):
        raise UserError(f"There are files in {folder} already; --force replaces them.")
    unpack([file], folder, partial(real_data.check, name))
    print(f"{name}: complete, in {folder}")
    return 0

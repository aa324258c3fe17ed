"""The real data sets: where each is published and the hashes of its files; all are fetched and found in one way."""

import gzip
import hashlib
import os
import re
import zlib
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from stablediff_edu.data.archive import MANIFEST, BadArchiveError, is_complete, unpack
from stablediff_edu.data.download import data_dir, download
from stablediff_edu.data.kaggle_client import download_dataset
from stablediff_edu.errors import UserError


@dataclass(frozen=True)
class RealDataset:
    """One published data set.

    Attributes:
        title: its name in a sentence.
        what: what it holds.
        origin: who publishes it, how much is to be downloaded, and under which license.
        mirrors: addresses to which the name of an archive is appended, the best one first; or "kaggle:owner/name".
        archives: what is downloaded: name → hash ("md5:…" or "sha256:…"), empty where none is published.
        files: what is in it: name → MD5 of the unpacked file; empty where no hashes are published.
        folder: how the folder in the archive is called, if people unpack it beside the data set's own folder.
    """

    title: str
    what: str
    origin: str
    mirrors: tuple[str, ...]
    archives: dict[str, str]
    files: dict[str, str] = field(default_factory=dict)
    folder: str = ""


REAL_DATA = {
    "fish": RealDataset(  # Ulucan, Karakaya and Turkan, 2020: 9 species, 1,000 images of each
        "Kaggle fish",
        "9,000 photographs of fish with masks",
        "from Kaggle, about 3 GB, under its terms",
        ("kaggle:crowww/a-large-scale-fish-dataset",),
        {"fish.zip": ""},
    ),
    "cifar10": RealDataset(  # Krizhevsky, 2009
        "CIFAR-10",
        "60,000 photographs of 32×32 pixels, 6,000 of ships",
        "from the University of Toronto, 170 MB, no formal license",
        ("https://www.cs.toronto.edu/~kriz/",),
        {"cifar-10-python.tar.gz": "md5:c58f30108f718f92721af3b95e74349a"},
        {
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            "test_batch": "40351d587109b95175f43aff81a1287e",
        },
        folder="cifar-10-batches-py",
    ),
    "mnist": RealDataset(  # LeCun, Cortes and Burges, 1998
        "MNIST",
        "70,000 scanned digits of 28×28 pixels",
        "from PyTorch's mirror, 12 MB, CC BY-SA 3.0",
        ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
        {
            "train-images-idx3-ubyte.gz": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "md5:d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "md5:9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "md5:ec29112dd5afa0611ce80d1b7f02629c",
        },
        {
            "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
            "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
            "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
            "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
        },
    ),
    "text8": RealDataset(  # Mahoney, 2006
        "text8",
        "17 million words of Wikipedia",
        "from mattmahoney.net, 31 MB, CC BY-SA 3.0",
        ("https://mattmahoney.net/dc/",),
        {"text8.zip": "sha256:a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232"},
        {"text8": "3bea1919949baf155f99411df5fada7e"},
    ),
}


def fetch_command(name: str) -> str:
    """Return the command that fetches a data set."""
    return f"python -m stablediff_edu fetch {name}"


def describe(name: str, what: str, there: int, wanted: int, synthetic: str) -> str:
    """Return one line on which data will be used, real ones (``there`` many) or synthetic ones, and how to get more."""
    if there >= wanted:
        return f"{REAL_DATA[name].title}, {there:,} {what} in {data_dir(name)}"
    some = f" (only {there:,} there)" if there else ""
    return f"{synthetic} (built in) · real ones{some}: {fetch_command(name)}"


# --- files that are here ----------------------------------------------------------------------------------------------


def find_files(name: str, folder: Path | None = None) -> dict[str, Path]:
    """Return where the files of a data set are, as far as they are here: name → path.

    Files put there by hand count as well, packed with gzip or not, however deep, in the spellings that browsers and
    Kaggle give them.

    Args:
        name: of the data set.
        folder: where to look; by default data/NAME, or the unpacked folder beside it.
    """
    data = REAL_DATA[name]
    wanted = {_key(file): file for file in data.files}
    places = [folder] if folder else [data_dir(name), *([data_dir(data.folder)] if data.folder else [])]
    found: dict[str, Path] = {}
    for place in places:
        for here, _, files in sorted(os.walk(place)):
            for file in files:
                if _key(file) in wanted:
                    found.setdefault(wanted[_key(file)], Path(here) / file)
    return found


def _key(name: str) -> str:
    """Return what the spellings of a name share: train-images.idx3-ubyte, train-images-idx3-ubyte.gz."""
    return re.sub(r"[\W_]", "", name.removesuffix(".gz").lower())


def read_file(name: str, file: str) -> bytes:
    """Return the contents of one file of a data set, unpacked, whose hash is checked.

    Raises:
        UserError: the data set is not here, or this file is missing or damaged.
    """
    found = find_files(name)
    title, again = REAL_DATA[name].title, fetch_command(name)
    if not found:
        raise UserError(f"{title} is not in {data_dir(name)}; get it with: {again}.")
    contents = _contents(found.get(file))
    if hashlib.md5(contents).hexdigest() != REAL_DATA[name].files[file]:
        what = f"{found[file]} is damaged (its MD5 differs)" if file in found else f"{file} is missing"
        raise UserError(f"{title} is not complete: {what}; get it again with: {again}.")
    return contents


def _contents(path: Path | None) -> bytes:
    """Return what is in a file, unpacked; nothing if it is missing or broken."""
    if path is None:
        return b""
    try:
        contents = path.read_bytes()
        return gzip.decompress(contents) if contents[:2] == b"\x1f\x8b" else contents
    except (OSError, zlib.error, EOFError):
        return b""


def _bad_file(name: str, folder: Path | None = None) -> str | None:
    """Return the first file of a data set that is missing or damaged."""
    found = find_files(name, folder)
    hashes = {file: hashlib.md5(_contents(found.get(file))).hexdigest() for file in REAL_DATA[name].files}
    return next((file for file, md5 in REAL_DATA[name].files.items() if hashes[file] != md5), None)


def check(name: str, folder: Path) -> None:
    """Raise BadArchiveError if a folder does not hold the whole data set."""
    if bad := _bad_file(name, folder):
        raise BadArchiveError(f"What came is not {REAL_DATA[name].title}: {bad} is missing or its MD5 differs.")
    if name == "fish" and not any(folder.rglob("*GT/*")):
        raise BadArchiveError("There are no fish photographs with masks in what came; look for Fish_Dataset.")


# --- fetching ---------------------------------------------------------------------------------------------------------


def fetch(name: str, force: bool = False) -> str:
    """Download and unpack a data set if it is not here (or if forced); return what is here now, in words.

    What was here before is replaced only by a whole and checked data set.

    Raises:
        UserError: it cannot be had, what came is something else, or the disk is full.
    """
    data, folder = REAL_DATA[name], data_dir(name)
    if not force:
        if is_complete(folder) if not data.files else _bad_file(name) is None:
            return f"complete, {data.what} in {folder}"
        if not (folder / MANIFEST).exists() and any(file.suffix in (".png", ".jpg") for file in folder.rglob("*")):
            return f"images in {folder}, not put there by this command (--force replaces them)"
    archives = [folder.with_name(file) for file in data.archives]
    for archive in archives:
        if force or not archive.is_file():  # one that could not be unpacked for want of space is used now
            _download_from_any(name, archive)
    try:
        unpack(archives, folder, partial(check, name))
    except BadArchiveError:
        _remove(archives)  # the next try must not find them
        raise
    _remove(archives)
    return f"fetched, {data.what} in {folder}"


def _remove(archives: list[Path]) -> None:
    for archive in archives:
        archive.unlink(missing_ok=True)


def _download_from_any(name: str, archive: Path) -> None:
    """Download an archive from the first mirror that has it."""
    errors = []
    for mirror in REAL_DATA[name].mirrors:
        try:
            if mirror.startswith("kaggle:"):
                download_dataset(mirror.removeprefix("kaggle:"), archive)
            else:
                download(mirror + archive.name, archive, REAL_DATA[name].archives[archive.name])
            return
        except UserError as error:
            errors.append(error)
    raise errors[0]

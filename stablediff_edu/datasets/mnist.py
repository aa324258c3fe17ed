"""MNIST (LeCun, Cortes and Burges, 1998): 70,000 scanned digits of 28×28 pixels, 60,000 of them to learn from.

Four files, where torchvision has them too (`mnist/MNIST/raw`), whose hashes are checked after unpacking and whenever
they are read: torchvision alone takes a file that was cut off for a whole one, for ever.
"""

import gzip
import hashlib
import zlib
from pathlib import Path

import torch

from stablediff_edu.datasets.download import data_folder, disk_errors, download
from stablediff_edu.errors import CourseError
from stablediff_edu.vision import import_torchvision

FETCH = "python -m stablediff_edu fetch mnist"
# the MD5 of each file as it is unpacked; torchvision knows those of the packed ones
FILES = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def raw_folder() -> Path:
    """Return where the four files belong."""
    return data_folder("mnist") / "MNIST" / "raw"


def is_there() -> bool:
    """Tell whether MNIST has been fetched, whole or in part; `load` says which file is damaged or missing."""
    return any((raw_folder() / name).exists() for name in FILES)


def count() -> int:
    """Return how many digits there are to learn from, by the size of their file."""
    images = raw_folder() / "train-images-idx3-ubyte"
    return max(0, images.stat().st_size - 16) // 28**2 if images.is_file() else 0


def load(train: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """Read the digits to learn from, or those to test on: (N, 28, 28) uint8, white on black, and labels (N,) int64.

    Raises:
        CourseError: MNIST is not here, or a file that is to be read is missing or has other contents than it should.
    """
    folder, part = raw_folder(), "train" if train else "t10k"
    if not is_there():
        raise CourseError(f"MNIST is not in {folder}; get it with: {FETCH}.")
    images, labels = folder / f"{part}-images-idx3-ubyte", folder / f"{part}-labels-idx1-ubyte"
    for file in (images, labels):
        if not is_intact(file):
            what = "is damaged (its MD5 differs)" if file.exists() else "is missing"
            raise CourseError(f"MNIST's file {file.name} {what} in {folder}; get it again with: {FETCH}.")
    read = import_torchvision().datasets.mnist
    return read.read_image_file(images), read.read_label_file(labels)


def is_intact(file: Path) -> bool:
    """Tell whether one of the four files is there with the right contents."""
    try:
        return hashlib.md5(file.read_bytes()).hexdigest() == FILES[file.name]
    except OSError:
        return False


def fetch(force: bool = False) -> int:
    """Download those of the four files that are not there or damaged (all, if forced); return how many came.

    Each is unpacked under another name, checked, and only then renamed; whatever fails, good files stay.

    Raises:
        CourseError: no address has the file, what came is not MNIST, or the disk is full.
    """
    wanted = [raw_folder() / name for name in FILES]
    wanted = [file for file in wanted if force or not is_intact(file)]
    for file in wanted:
        _fetch_from_any(file)
    return len(wanted)


def _fetch_from_any(file: Path) -> None:
    known, first = import_torchvision().datasets.MNIST, None
    for address in known.mirrors:
        try:
            return _fetch_one(f"{address}{file.name}.gz", file, dict(known.resources)[f"{file.name}.gz"])
        except CourseError as error:
            print(f"{address} failed: {error}")
            first = first or error
    raise first


def _fetch_one(url: str, file: Path, md5: str) -> None:
    packed, fresh = file.with_name(f"{file.name}.gz"), file.with_name(f"{file.name}.unpacking")
    download(url, packed, md5=md5)
    try:
        with disk_errors(file):
            contents = _unpack(packed)
            if hashlib.md5(contents).hexdigest() != FILES[file.name]:
                raise CourseError(f"What came as {packed.name} is not MNIST's (its MD5 differs); try again later.")
            fresh.write_bytes(contents)
            fresh.replace(file)
    finally:
        packed.unlink(missing_ok=True)
        fresh.unlink(missing_ok=True)


def _unpack(packed: Path) -> bytes:
    try:
        return gzip.decompress(packed.read_bytes())  # 47 MB at most
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise CourseError(f"{packed.name} is broken ({error}); try again later.") from error

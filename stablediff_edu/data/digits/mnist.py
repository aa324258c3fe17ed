"""MNIST (LeCun, Cortes and Burges, 1998): 70,000 scanned digits of 28×28 pixels, 60,000 of them to learn from.

Four files, where torchvision has them too (`mnist/MNIST/raw`), whose hashes are checked after unpacking and whenever
they are read: torchvision alone takes a file that was cut off for a whole one, for ever. Files put there by hand count
as well, packed or not, in the spellings that browsers and Kaggle give them.
"""

import gzip
import hashlib
import re
import zlib
from pathlib import Path

import numpy as np
import torch

from stablediff_edu.data.download import data_dir, download, translate_os_errors
from stablediff_edu.errors import UserError
from stablediff_edu.vision import import_torchvision

FETCH_COMMAND = "python -m stablediff_edu fetch mnist"
# the MD5 of each file as it is unpacked; torchvision knows those of the packed ones
FILES = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def raw_dir() -> Path:
    """Return where the four files belong."""
    return data_dir("mnist") / "MNIST" / "raw"


def is_downloaded() -> bool:
    """Tell whether MNIST is there, whole or in part; `load` says which file is damaged or missing."""
    return any((raw_dir() / name).exists() or is_intact(find(name)) for name in FILES)


def find(name: str, folder: Path | None = None) -> Path:
    """Return where one of the four files is: in its place, or in another spelling below ``folder`` (data/mnist)."""
    place = raw_dir() / name
    if folder is None and place.exists():
        return place
    spelled = [file for file in (folder or data_dir("mnist")).rglob("*ubyte*") if _key(file) == _key(place)]
    return next((file for file in sorted(spelled) if is_intact(file)), spelled[0] if spelled else place)


def _key(file: Path) -> str:
    """Return what the spellings of a name share: train-images.idx3-ubyte, train-images-idx3-ubyte.gz."""
    return re.sub(r"[\W_]", "", file.name.removesuffix(".gz").lower())


def count() -> int:
    """Return how many digits there are to learn from."""
    try:
        return max(0, len(_contents(find("train-images-idx3-ubyte"))) - 16) // 28**2
    except (OSError, UserError):
        return 0


def load(train: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """Read the digits to train on, or those to test on: (N, 28, 28) uint8, white on black, and labels (N,) int64.

    Raises:
        UserError: MNIST is not here, or a file that is to be read is missing or has other contents than it should.
    """
    folder, part = raw_dir(), "train" if train else "t10k"
    if not is_downloaded():
        raise UserError(f"MNIST is not in {folder}; get it with: {FETCH_COMMAND}.")
    arrays = []
    for name, header in ((f"{part}-images-idx3-ubyte", 16), (f"{part}-labels-idx1-ubyte", 8)):
        if not is_intact(find(name)):
            what = "is damaged (its MD5 differs)" if find(name).exists() else "is missing"
            raise UserError(f"MNIST's file {name} {what} in {folder}; get it again with: {FETCH_COMMAND}.")
        arrays.append(torch.from_numpy(np.frombuffer(_contents(find(name)), np.uint8, offset=header).copy()))
    return arrays[0].view(-1, 28, 28), arrays[1].long()


def is_intact(file: Path) -> bool:
    """Tell whether one of the four files is there with the right contents."""
    try:
        return hashlib.md5(_contents(file)).hexdigest() == {_key(Path(name)): FILES[name] for name in FILES}[_key(file)]
    except (OSError, UserError):
        return False


def _contents(file: Path) -> bytes:
    contents = file.read_bytes()
    return _unpack(contents, file.name) if contents[:2] == b"\x1f\x8b" else contents


def fetch(force: bool = False) -> int:
    """Download those of the four files that are not there or damaged (all, if forced); return how many came.

    Each is unpacked under another name, checked, and only then renamed; whatever fails, good files stay.

    Raises:
        UserError: no address has the file, what came is not MNIST, or the disk is full.
    """
    wanted = [raw_dir() / name for name in FILES if force or not is_intact(find(name))]
    for file in wanted:
        _fetch_from_any(file)
    return len(wanted)


def _fetch_from_any(file: Path) -> None:
    known, first = import_torchvision().datasets.MNIST, None
    for address in known.mirrors:
        try:
            return _fetch_one(f"{address}{file.name}.gz", file, dict(known.resources)[f"{file.name}.gz"])
        except UserError as error:
            print(f"{address} failed: {error}")
            first = first or error
    raise first


def _fetch_one(url: str, file: Path, md5: str) -> None:
    packed, fresh = file.with_name(f"{file.name}.gz"), file.with_name(f"{file.name}.unpacking")
    download(url, packed, md5=md5)
    try:
        with translate_os_errors(file):
            contents = _unpack(packed.read_bytes(), packed.name)
            if hashlib.md5(contents).hexdigest() != FILES[file.name]:
                raise UserError(f"What came as {packed.name} is not MNIST's (its MD5 differs); try again later.")
            fresh.write_bytes(contents)
            fresh.replace(file)
    finally:
        packed.unlink(missing_ok=True)
        fresh.unlink(missing_ok=True)


def _unpack(packed: bytes, name: str) -> bytes:
    try:
        return gzip.decompress(packed)  # 47 MB at most
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise UserError(f"{name} is broken ({error}); try again later.") from error

"""``python -m stablediff_edu fetch NAME`` (or ``download NAME``): download a real data set into data/."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stablediff_edu.data.archive import MANIFEST, BadArchiveError, extract_tar, extract_zip, is_complete, unpack_any
from stablediff_edu.data.digits import mnist
from stablediff_edu.data.download import data_dir, download
from stablediff_edu.data.fish import dataset as fish_dataset
from stablediff_edu.data.kaggle_client import download_dataset
from stablediff_edu.data.ships import cifar10
from stablediff_edu.data.words import text8
from stablediff_edu.errors import UserError


@dataclass(frozen=True)
class RealDataset:
    """One data set that can be fetched: what it is, and a function that fetches it and says what is there now."""

    what: str
    fetch: Callable[[bool], str]
    expect: Callable[[Path], None] | None = None  # raises BadArchiveError if a folder does not hold it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what may stand behind ``fetch``."""
    listed = "; ".join(f"{name}: {data.what}" for name, data in REAL_DATA.items())
    parser.add_argument("name", choices=[*REAL_DATA, "all"], help=listed)
    parser.add_argument("--force", action="store_true", help="fetch it again, even if it is there")
    parser.add_argument(
        "--from", dest="file", type=Path, metavar="FILE", help="take it from here: a file that a browser has downloaded"
    )


def run(arguments: argparse.Namespace) -> int:
    """Fetch one data set, or all of them; one that cannot be had does not keep the next from being fetched."""
    if arguments.file:
        if arguments.name == "all" or not arguments.file.exists():
            raise UserError(f"--from names the file or folder of one data set; there is no {arguments.file} for one.")
        folder = data_dir(arguments.name)
        if not arguments.force and any(file.is_file() for file in folder.rglob("*")):
            raise UserError(f"There are files in {folder} already; --force replaces them.")
        unpack_any(arguments.file, folder, REAL_DATA[arguments.name].expect)
        print(f"{arguments.name}: complete, in {folder}")
        return 0
    if arguments.name != "all":
        try:
            print(f"{arguments.name}: {REAL_DATA[arguments.name].fetch(arguments.force)}")
        except UserError:
            print(f"if a browser can download it: python -m stablediff_edu download {arguments.name} --from FILE")
            raise
        return 0
    results, failures = {}, 0
    for name, data in REAL_DATA.items():
        try:
            results[name] = data.fetch(arguments.force)
        except UserError as error:
            results[name] = f"not fetched: {error}"
            failures += 1
    width = max(map(len, results))
    print()
    for name, result in results.items():
        print(f"{name:{width}}  {result}")
    return 2 if failures else 0


def fetch_fish(force: bool) -> str:
    """Fetch the fish photographs from Kaggle; they replace the old ones only when all of them are unpacked."""
    folder = data_dir("fish")
    if not force:
        if is_complete(folder):
            return f"complete, {fish_dataset.num_images(folder):,} photographs in {folder}"
        if not (folder / MANIFEST).exists() and (there := fish_dataset.num_images(folder)):
            return f"{there:,} photographs in {folder}, not put there by this command (--force replaces them)"
    archive = folder.with_name("fish.zip")
    if force or not archive.is_file():
        download_dataset(fish_dataset.DATASET, archive)
    _unpack(archive, folder, extract_zip, expect_fish)
    return f"fetched, {fish_dataset.num_images(folder):,} photographs in {folder}"


def expect_fish(unpacked: Path) -> None:
    """Raise BadArchiveError if a folder does not hold the fish photographs."""
    if not fish_dataset.num_images(unpacked):
        raise BadArchiveError(
            "There are no fish photographs with masks in it, or its layout has changed; look for Fish_Dataset."
        )


def fetch_cifar10(force: bool) -> str:
    """Fetch CIFAR-10 from its author's page; what is there is replaced only by files with the right hashes."""
    folder = data_dir("cifar10")
    if not force:
        if cifar10.verify_checksums(folder):
            return f"complete, 60,000 photographs in {folder}"
        if (folder / "train").is_dir():
            return f"photographs in {folder}, not put there by this command (--force replaces them)"
    known = cifar10.torchvision_class()
    archive = folder.with_name(known.filename)
    if force or not archive.is_file():
        download(known.url, archive, md5=known.tgz_md5)
    _unpack(archive, folder, extract_tar, expect_cifar10)
    return f"fetched, 60,000 photographs in {folder}"


def expect_cifar10(unpacked: Path) -> None:
    """Raise BadArchiveError if a folder does not hold all of CIFAR-10."""
    if not cifar10.verify_checksums(unpacked):
        raise BadArchiveError("What came is not CIFAR-10: a file is missing or its MD5 differs; fetch it again.")


def fetch_mnist(force: bool) -> str:
    """Fetch those of MNIST's four files that are missing or damaged; the good ones stay."""
    fetched = mnist.fetch(force)
    return f"{'fetched' if fetched else 'complete'}, 70,000 scanned digits in {data_dir('mnist')}"


def expect_mnist(unpacked: Path) -> None:
    """Raise BadArchiveError if a folder does not hold all of MNIST, in whatever spelling."""
    if not all(mnist.is_intact(mnist.find(name, unpacked)) for name in mnist.FILES):
        raise BadArchiveError(f"It does not hold MNIST's four files whole: {', '.join(mnist.FILES)}.")


def fetch_text8(force: bool) -> str:
    """Fetch 100 MB of Wikipedia as bare words; the archive and the text in it must have the right hashes."""
    fetched = text8.fetch(force)
    return f"{'fetched' if fetched else 'complete'}, 17 million words in {text8.text_file()}"


def _unpack(archive: Path, folder: Path, unpack: Callable[..., Path], check: Callable[[Path], None]) -> None:
    """Unpack an archive and remove it, unless it is good and something else went wrong, such as a full disk."""
    print(f"unpacking {archive.name} …")
    try:
        unpack(archive, folder, check=check)
    except BadArchiveError:
        archive.unlink(missing_ok=True)  # the next try must not find it
        raise
    archive.unlink(missing_ok=True)


REAL_DATA = {
    "fish": RealDataset("9,000 photographs of fish with masks, from Kaggle, about 3 GB", fetch_fish, expect_fish),
    "cifar10": RealDataset(
        "60,000 small photographs, 6,000 of ships, from the University of Toronto, 170 MB",
        fetch_cifar10,
        expect_cifar10,
    ),
    "mnist": RealDataset("70,000 scanned digits, from torchvision's mirrors, 12 MB", fetch_mnist, expect_mnist),
    "text8": RealDataset(
        "17 million words of Wikipedia, from mattmahoney.net, 31 MB to fetch, 100 MB here", fetch_text8, text8.expect
    ),
}

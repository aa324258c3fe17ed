"""text8 (Mahoney, 2006): the first 100 MB of the English Wikipedia as bare words, 17 million of them."""

import hashlib
from pathlib import Path

from stablediff_edu.data.archive import BadArchiveError, extract_zip, is_complete
from stablediff_edu.data.download import data_dir, download
from stablediff_edu.errors import UserError

FETCH_COMMAND = "python -m stablediff_edu fetch text8"
URL = "https://mattmahoney.net/dc/text8.zip"
SHA256 = "a6640522afe85d1963ad56c05b0ede0a0c000dddc9671758a6cc09b7a38e5232"  # of the archive
MD5 = "3bea1919949baf155f99411df5fada7e"  # of the text, as its author states it
LICENCE = "Wikipedia, CC BY-SA 3.0"


def text_file() -> Path:
    """Return where the text belongs."""
    return data_dir("text8") / "text8"


def find() -> Path:
    """Return the text.

    Raises:
        UserError: it has not been fetched.
    """
    if not text_file().is_file():
        raise UserError(f"text8 is not in {text_file().parent}; get it with: {FETCH_COMMAND}.")
    return text_file()


def fetch(force: bool = False) -> bool:
    """Download and unpack text8 if it is not there (or if forced); return whether it came.

    Raises:
        UserError: no network, or what came is not text8; what was there before stays.
    """
    folder = text_file().parent
    if not force and is_complete(folder):
        return False
    archive = folder.with_name("text8.zip")
    download(URL, archive, sha256=SHA256)
    try:
        extract_zip(archive, folder, check=expect)
    finally:
        archive.unlink(missing_ok=True)
    return True


def expect(unpacked: Path) -> None:
    """Raise UserError if a folder does not hold text8."""
    file = unpacked / text_file().name
    if not file.is_file() or hashlib.md5(file.read_bytes()).hexdigest() != MD5:
        raise BadArchiveError("What came is not text8: its text is missing or has another MD5; fetch it again.")

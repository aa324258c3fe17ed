"""Unpacking an archive that came from elsewhere: nothing outside its folder, and all of it or nothing."""

import gzip
import json
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from stablediff_edu.data.download import translate_os_errors
from stablediff_edu.errors import UserError

MANIFEST = "unpacked.json"  # says how much was unpacked, so that a later run can tell whether all of it is still there
_BOMB_RATIO = 200  # an archive of images hardly shrinks; text shrinks 3 to 10 times
_BOMB_BYTES = 100 << 20  # below this nobody's disk is in danger, whatever the ratio
# what zipfile and tarfile raise, each in its own way, when an archive is not as it should be
_BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error,
    EOFError, LookupError, ValueError, FileExistsError, RuntimeError,
)  # fmt: skip


class BadArchiveError(UserError):
    """The archive itself is at fault, not the disk: delete it."""


# One file of an archive: its name, its size in bytes, and a function that opens it.
Member = tuple[str, int, Callable[[], BinaryIO]]


def extract_zip(archive: Path, folder: Path, check: Callable[[Path], object] | None = None) -> Path:
    """Unpack the zip file ``archive`` into ``folder``, which is replaced as a whole.

    The files are written into a temporary folder beside ``folder``, each checked against its CRC; only when all are
    there the two are exchanged. On any failure ``folder`` stays as it was.

    Args:
        archive: the zip file; it is left alone.
        folder: where its contents go.
        check: called with the temporary folder before the exchange; it may raise a UserError.

    Returns:
        ``folder``.

    Raises:
        UserError: a broken archive, one that is dangerous (paths that lead out, links, a zip bomb), a full disk.
    """
    return _unpack(archive, folder, check, _unpack_zip_into)


def extract_tar(archive: Path, folder: Path, check: Callable[[Path], object] | None = None) -> Path:
    """Do what :func:`extract_zip` does with a tar.gz file; its members carry no CRCs, so let ``check`` look at them."""
    return _unpack(archive, folder, check, _unpack_tar_into)


def unpack_any(archive: Path, folder: Path, check: Callable[[Path], object] | None = None) -> Path:
    """Do what :func:`extract_zip` does with a zip file, a tar file, a folder or a plain file, told by its content."""
    if archive.is_file() and zipfile.is_zipfile(archive):
        return extract_zip(archive, folder, check)
    if archive.is_file() and tarfile.is_tarfile(archive):
        return extract_tar(archive, folder, check)
    return _unpack(archive, folder, check, _copy_into)


def _copy_into(source: Path, folder: Path) -> None:
    files = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
    names = [path.relative_to(source.parent).as_posix() for path in files]
    members = zip(names, files, strict=True)
    _write(source, folder, [(name, file.stat().st_size, partial(file.open, "rb")) for name, file in members])


def _unpack(
    archive: Path, folder: Path, check: Callable[[Path], object] | None, unpack_into: Callable[[Path, Path], None]
) -> Path:
    fresh, old = folder.with_name(folder.name + ".unpacking"), folder.with_name(folder.name + ".old")
    with translate_os_errors(folder):
        if old.exists() and not folder.exists():  # an earlier run was killed between its two renames
            old.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            fresh.mkdir(parents=True)
            try:
                unpack_into(archive, fresh)
            except _BROKEN as error:
                raise BadArchiveError(f"{archive.name} is broken ({error}); delete it and fetch it again.") from error
            if check is not None:
                check(fresh)
            _exchange(folder, fresh, old)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return folder


def _exchange(folder: Path, fresh: Path, old: Path) -> None:
    if not folder.exists():
        fresh.rename(folder)
        return
    folder.rename(old)
    try:
        fresh.rename(folder)
    except OSError:
        old.rename(folder)
        raise


def is_complete(folder: Path) -> bool:
    """Tell whether ``folder`` still holds every file that was unpacked there."""
    try:
        record = json.loads((folder / MANIFEST).read_text())
        return all((folder / name).stat().st_size == size for name, size in record["files"].items())
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return False


def safe_path(name: str) -> PurePosixPath:
    """Return the path of an archive's member, relative and pointing inwards.

    Raises:
        UserError: it leads out of the folder (``..``, ``/etc``, ``C:\\``), or no file system could hold it.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    hostile = path.is_absolute() or ".." in path.parts or not path.parts
    if hostile or any(":" in part or any(ord(letter) < 32 for letter in part) for part in path.parts):
        raise BadArchiveError(f"The archive holds a dangerous path, {name!r}; nothing was unpacked, do not trust it.")
    return path


def _unpack_zip_into(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        _write(archive, folder, _members_of_zip(archive, opened))


def _unpack_tar_into(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as opened:
        _write(archive, folder, _members_of_tar(opened))


def _members_of_zip(archive: Path, opened: zipfile.ZipFile) -> Iterable[Member]:
    for member in opened.infolist():
        if stat.S_ISLNK(member.external_attr >> 16):
            raise _link_error(member.filename)
        if member.flag_bits & 1:
            raise UserError(f"{archive.name} is locked with a password; unpack it by hand.")
        if not member.is_dir():
            yield member.filename, member.file_size, lambda member=member: opened.open(member)


def _members_of_tar(opened: tarfile.TarFile) -> Iterable[Member]:
    for member in opened:
        if not (member.isfile() or member.isdir()):  # a link, or a device
            raise _link_error(member.name)
        if member.isfile():
            yield member.name, member.size, lambda member=member: opened.extractfile(member)


def _link_error(name: str) -> BadArchiveError:
    return BadArchiveError(f"The archive holds a link, {name!r}; nothing was unpacked, do not trust it.")


def _write(archive: Path, folder: Path, members: Iterable[Member]) -> None:
    """Write the members as plain files, once all of them have been found harmless."""
    members = [(safe_path(name), size, open_member) for name, size, open_member in members]
    files = {str(path): size for path, size, _ in members}
    _check_size(archive, sum(size for _, size, _ in members), folder)
    for path, _, open_member in members:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with open_member() as source, open(target, "xb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
    (folder / MANIFEST).write_text(json.dumps({"archive": archive.name, "files": files}))


def _check_size(archive: Path, total: int, folder: Path) -> None:
    if archive.is_file() and total > max(_BOMB_BYTES, _BOMB_RATIO * archive.stat().st_size):
        raise BadArchiveError(
            f"{archive.name} claims to unpack to {total / 1e9:.1f} GB, far too much; do not trust it."
        )
    free = shutil.disk_usage(folder).free
    if total > free:
        raise UserError(
            f"{archive.name} unpacks to {total / 1e9:.1f} GB, but only {free / 1e9:.1f} GB of the disk are free; "
            "free some space."
        )

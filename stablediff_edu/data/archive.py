"""Unpacking archives that came from elsewhere: nothing outside the folder, and all of it or nothing."""

import json
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from stablediff_edu.data.download import check_space, translate_os_errors
from stablediff_edu.errors import UserError

MANIFEST = "unpacked.json"  # the sizes of all files, so that a later run can tell whether they are still there
_BOMB_RATIO = 200  # an archive of images hardly shrinks; text shrinks 3 to 10 times
_BOMB_BYTES = 100 << 20  # below this nobody's disk is in danger, whatever the ratio
# what zipfile and tarfile raise when an archive is damaged (RuntimeError: it needs a password)
_BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, LookupError, ValueError, FileExistsError, RuntimeError,
)  # fmt: skip


class BadArchiveError(UserError):
    """The archive itself is at fault, not the disk: delete it."""


class _Member(NamedTuple):
    """One file of an archive, its size in bytes, and how to open it."""

    name: str
    size: int
    open: Callable[[], IO[bytes] | None]


def unpack(sources: Sequence[Path], folder: Path, check: Callable[[Path], object] = lambda _: None) -> None:
    """Unpack zip files, tar files, folders or plain files, told by their content, into ``folder``.

    The files are written into a temporary folder beside ``folder``; only when all are there the two are exchanged. On
    any failure ``folder`` stays as it was. The sources are left alone.

    Args:
        sources: what to unpack.
        folder: where the contents go; it is replaced as a whole.
        check: called with the temporary folder before the exchange; it may raise a UserError.

    Raises:
        UserError: a broken archive, a dangerous one (paths that lead out, links, a zip bomb), a full disk.
    """
    fresh, old = folder.with_name(folder.name + ".unpacking"), folder.with_name(folder.name + ".old")
    names = ", ".join(source.name for source in sources)
    with translate_os_errors(folder):
        if old.exists() and not folder.exists():  # an earlier run was killed between its two renames
            old.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            fresh.mkdir(parents=True)
            try:
                with ExitStack() as opened:
                    _write([member for source in sources for member in _members(source, opened)], fresh)
            except _BROKEN as error:
                raise BadArchiveError(f"{names} is broken ({error}); delete it and fetch it again.") from error
            check(fresh)
            _exchange(folder, fresh, old)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _exchange(folder: Path, fresh: Path, old: Path) -> None:
    if folder.exists():
        folder.rename(old)
    try:
        fresh.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise


def is_complete(folder: Path) -> bool:
    """Return whether ``folder`` still holds every file that was unpacked there."""
    try:
        sizes = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return False


def safe_path(name: str) -> PurePosixPath:
    """Return the path of an archive's member, relative and pointing inwards.

    Raises:
        BadArchiveError: it leads out of the folder (``..``, ``/etc``, ``C:\\``), or no file system could hold it.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    hostile = path.is_absolute() or ".." in path.parts or not path.parts
    if hostile or any(":" in part or any(ord(letter) < 32 for letter in part) for part in path.parts):
        raise BadArchiveError(f"The archive holds a dangerous path, {name!r}; nothing was unpacked, do not trust it.")
    return path


def _members(source: Path, opened: ExitStack) -> list[_Member]:
    """Return the files of a zip file, a tar file or a folder, or the one file itself; links are refused."""
    if source.is_dir():
        files = sorted(path for path in source.rglob("*") if path.is_file())
        return [_Member(path.relative_to(source.parent).as_posix(), *_plain(path)) for path in files]
    if zipfile.is_zipfile(source) or source.suffix == ".zip":
        zip_file = opened.enter_context(zipfile.ZipFile(source))
        members = list(_members_of_zip(zip_file))
    elif tarfile.is_tarfile(source) or ".tar" in source.suffixes:
        tar_file = opened.enter_context(tarfile.open(source))  # noqa: SIM115  the stack closes it
        members = list(_members_of_tar(tar_file))
    else:
        return [_Member(source.name, *_plain(source))]
    total = sum(member.size for member in members)
    if total > max(_BOMB_BYTES, _BOMB_RATIO * source.stat().st_size):
        raise BadArchiveError(f"{source.name} claims to unpack to {total / 1e9:.1f} GB, far too much; do not trust it.")
    return members


def _plain(path: Path) -> tuple[int, Callable[[], IO[bytes]]]:
    return path.stat().st_size, lambda: path.open("rb")


def _members_of_zip(archive: zipfile.ZipFile) -> Iterator[_Member]:
    for member in archive.infolist():
        if stat.S_ISLNK(member.external_attr >> 16):
            raise _link_error(member.filename)
        if not member.is_dir():
            yield _Member(member.filename, member.file_size, partial(archive.open, member))


def _members_of_tar(archive: tarfile.TarFile) -> Iterator[_Member]:
    for member in archive:
        if not (member.isfile() or member.isdir()):  # a link, or a device
            raise _link_error(member.name)
        if member.isfile():
            yield _Member(member.name, member.size, partial(archive.extractfile, member))


def _link_error(name: str) -> BadArchiveError:
    return BadArchiveError(f"The archive holds a link, {name!r}; nothing was unpacked, do not trust it.")


def _write(members: Sequence[_Member], folder: Path) -> None:
    """Write the members as plain files, once all of them have been found harmless."""
    paths = [safe_path(member.name) for member in members]
    check_space(folder.stem, folder, sum(member.size for member in members))
    for path, member in zip(paths, members, strict=True):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        source = member.open()
        assert source is not None  # only plain files of a tar archive are opened
        with source, open(target, "xb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
    sizes = {str(path): member.size for path, member in zip(paths, members, strict=True)}
    (folder / MANIFEST).write_text(json.dumps({"files": sizes}), encoding="utf-8")

"""Unpacking archives: hostile, broken and too large ones leave the old folder, and nothing beside it."""

import errno
import io
import json
import os
import stat
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from local_server import FullDisk

from stablediff_edu.data import archive as archive_module
from stablediff_edu.data import download as download_module
from stablediff_edu.data.archive import MANIFEST, BadArchiveError, is_complete, safe_path, unpack
from stablediff_edu.errors import UserError


def make_zip(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def make_tar(path, *members):
    """A tar file with these members: (name, kind, link)."""
    with tarfile.open(path, "w:gz") as archive:
        for name, kind, link in [("fine.txt", tarfile.REGTYPE, ""), *members]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, link, 4 if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(b"evil"))
    return path


@pytest.fixture
def old_folder(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "good.txt").write_text("good old file")
    return folder


def stays(match, archive, folder, kind=UserError, **options):
    """Unpacking fails with one sentence; the old folder stands, and nothing lies beside it."""
    before = sorted(item.name for item in folder.parent.iterdir())
    with pytest.raises(kind, match=match) as error:
        unpack([archive], folder, **options)
    assert str(error.value).count("\n") == 0 and str(error.value).endswith(".")
    assert [item.name for item in folder.iterdir()] == ["good.txt"]
    assert (folder / "good.txt").read_text() == "good old file"
    assert sorted(item.name for item in folder.parent.iterdir()) == before
    assert not list(folder.parent.rglob("*evil*")) and not Path("/tmp/evil").exists()


def test_archives_folders_and_files_replace_the_folder(tmp_path, old_folder):
    archive = make_zip(tmp_path / "set.zip", {"a/b/1.txt": "one", "a/2.txt": "two", "empty/": ""})
    (tmp_path / "more").mkdir()
    (tmp_path / "more/3.txt").write_text("three")
    (tmp_path / "4.gz").write_text("four")
    unpack([archive, make_tar(tmp_path / "set.tar.gz"), tmp_path / "more", tmp_path / "4.gz"], old_folder)
    sizes = {path.relative_to(old_folder).as_posix(): path.stat().st_size for path in old_folder.rglob("*.*")}
    assert json.loads((old_folder / MANIFEST).read_text())["files"] == {
        name: size for name, size in sizes.items() if name != MANIFEST
    }
    assert set(sizes) == {"a/b/1.txt", "a/2.txt", "fine.txt", "more/3.txt", "4.gz", MANIFEST}
    assert is_complete(old_folder)
    (old_folder / "a/2.txt").write_text("other length")
    assert not is_complete(old_folder)
    (old_folder / "a/2.txt").unlink()
    assert not is_complete(old_folder)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"files": 3}', '{"files": {"a": null}}', "\x00"])
def test_a_broken_record_means_incomplete(tmp_path, text):
    assert not is_complete(tmp_path)
    (tmp_path / MANIFEST).write_text(text)
    assert not is_complete(tmp_path)


HOSTILE = ["../evil", "a/../../evil", "/tmp/evil", "\\evil", "..\\evil", "C:\\evil", "C:evil", "a/C:/evil", "//h/evil"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_paths_are_refused(tmp_path, old_folder, name):
    archive = make_zip(tmp_path / "set.zip", {"fine.txt": "fine", name: "evil"})
    stays("dangerous path", archive, old_folder, BadArchiveError)
    stays("dangerous path", make_tar(tmp_path / "set.tgz", (name, tarfile.REGTYPE, "")), old_folder, BadArchiveError)


parts = st.sampled_from(
    ["..", ".", "", "a", "b c", "é", "C:", "con", "\\", "..\\..", "\x00", "\n", "~", "...", "a.png"]
)


@given(st.lists(parts, min_size=1, max_size=6).map("/".join))
@example("a/..")
def test_no_path_leads_out(name):
    try:
        path = safe_path(name)
    except BadArchiveError:
        return
    inside = os.path.normpath(os.path.join("/folder", path))
    assert inside.startswith("/folder/") and ".." not in path.parts and not path.is_absolute()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@settings(max_examples=40, deadline=None)
@given(names=st.lists(st.lists(parts, min_size=1, max_size=4).map("/".join), min_size=1, max_size=4))
def test_no_archive_writes_outside(tmp_path_factory, names):
    home = tmp_path_factory.mktemp("unpack")
    archive = home / "set.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for name in dict.fromkeys(names):
            opened.writestr(zipfile.ZipInfo(name or "x"), b"evil")
    try:
        unpack([archive], home / "set")
    except UserError:
        assert sorted(item.name for item in home.iterdir()) == ["set.zip"]
    else:
        assert sorted(item.name for item in home.iterdir()) == ["set", "set.zip"]


def test_links_and_devices_are_refused(tmp_path, old_folder):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr(link, "/etc")
    stays("holds a link", tmp_path / "set.zip", old_folder, BadArchiveError)
    for kind, target in ((tarfile.SYMTYPE, "/etc/passwd"), (tarfile.LNKTYPE, "../../evil"), (tarfile.CHRTYPE, "")):
        stays("holds a link", make_tar(tmp_path / "set.tgz", ("evil", kind, target)), old_folder, BadArchiveError)


def test_what_is_too_large_is_refused(tmp_path, old_folder, monkeypatch):
    archive = make_zip(tmp_path / "set.zip", {f"{i}": bytes(30 << 20) for i in range(4)})
    stays("far too much", archive, old_folder, BadArchiveError)
    archive = make_zip(tmp_path / "set.zip", {"a": os.urandom(3 << 20), "b": "b"}, zipfile.ZIP_STORED)
    with monkeypatch.context() as patched:
        patched.setattr(archive_module, "open", FullDisk(1), raising=False)
        stays("The disk is full", archive, old_folder)
    monkeypatch.setattr(download_module.shutil, "disk_usage", lambda _: SimpleNamespace(free=4000))
    stays("only 0.0 GB are free", archive, old_folder)


def test_broken_archives(tmp_path, old_folder):
    archive = make_zip(tmp_path / "set.zip", {"a": os.urandom(50_000), "b": "text"})
    whole = archive.read_bytes()
    locked = bytearray(make_zip(tmp_path / "locked.zip", {"a": "1"}).read_bytes())
    locked[6] |= 1
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    for data in (
        b"",
        b"<html>sign in</html>",
        whole[: len(whole) // 2],
        whole[:-10],
        whole[:20_000] + bytes([whole[20_000] ^ 1]) + whole[20_001:],
        bytes(locked),
    ):
        archive.write_bytes(data)
        stays(r"set.zip is broken .*; delete it and fetch it again", archive, old_folder, BadArchiveError)
        assert archive.exists()
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("a", "1")
        opened.writestr("a", "2")
    stays("is broken", archive, old_folder, BadArchiveError)
    stays("is broken", make_zip(archive, {"a": "1", "a/b": "2"}), old_folder, BadArchiveError)
    packed = make_tar(tmp_path / "set.tar.gz")
    packed.write_bytes(packed.read_bytes()[:-20])
    stays("is broken", packed, old_folder, BadArchiveError)


def test_the_old_folder_stays_until_the_new_one_is_in_its_place(tmp_path, old_folder, monkeypatch):
    def check(folder):
        assert (folder / "a").read_text() == "1"
        raise UserError("No fish.")

    archive = make_zip(tmp_path / "set.zip", {"a": "1"})
    stays("No fish", archive, old_folder, check=check)
    rename = Path.rename

    def refuse_the_new_one(self, target):
        if self.name.endswith(".unpacking"):
            raise OSError(errno.EACCES, "refused")
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", refuse_the_new_one)
        stays("may not be written to", archive, old_folder)
    old_folder.rename(tmp_path / "set.old")  # a run was killed between its two renames
    (tmp_path / "set.unpacking").mkdir()
    with pytest.raises(UserError):
        unpack([tmp_path / "nothing.zip"], old_folder)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["set", "set.zip"] and (old_folder / "good.txt").exists()

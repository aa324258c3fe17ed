"""Downloading one file and unpacking one archive, from servers, disks and archives that misbehave."""

import errno
import hashlib
import json
import os
import shutil
import socket
import stat
import subprocess
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from local_server import Answer, LocalServer, closed_port

from stablediff_edu.data import archive as unpack
from stablediff_edu.data import download as download_module
from stablediff_edu.data.archive import BadArchiveError, extract_zip, is_complete, safe_path
from stablediff_edu.data.download import data_dir, download, project_root
from stablediff_edu.errors import UserError

BODY = bytes(range(256)) * 12_000  # 3 MB, three chunks
SHA = hashlib.sha256(BODY).hexdigest()


@pytest.fixture(scope="module")
def running_server():
    with LocalServer() as server:
        yield server


@pytest.fixture
def server(running_server, monkeypatch):
    running_server.routes.clear()
    running_server.requests.clear()
    monkeypatch.setattr(download_module, "RETRY_DELAY", 0.0)
    return running_server


@pytest.fixture
def good(tmp_path):
    """A good old file where the new one is to come."""
    path = tmp_path / "set.bin"
    path.write_bytes(b"good old file")
    return path


def fails(match, path, url, left=(), **options):
    """The download fails with one sentence; the old file stands, and nothing but ``left`` lies beside it."""
    with pytest.raises(UserError, match=match) as error:
        download(url, path, progress=False, **options)
    assert str(error.value).count("\n") == 0 and str(error.value).endswith(".")
    assert path.read_bytes() == b"good old file"
    assert sorted(item.name for item in path.parent.iterdir()) == sorted([path.name, *left])


# --- where data lives ----------------------------------------------------------------------------------------------


def test_data_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("STABLEDIFF_DATA", raising=False)
    assert data_dir("fish") == project_root() / "data" / "fish"
    assert (project_root() / "pyproject.toml").is_file()
    monkeypatch.setenv("STABLEDIFF_DATA", str(tmp_path))
    assert data_dir("fish") == tmp_path / "fish"
    monkeypatch.setenv("STABLEDIFF_DATA", "~/sets")
    assert data_dir("fish") == Path.home() / "sets" / "fish"


# --- download ------------------------------------------------------------------------------------------------------


def test_a_file_arrives_and_replaces_the_old_one(server, good):
    server.routes["/set"] = Answer(BODY)
    assert download(f"{server.url}/set", good, size=len(BODY), sha256=SHA.upper(), progress=False) == good
    assert good.read_bytes() == BODY
    assert [item.name for item in good.parent.iterdir()] == ["set.bin"]


def test_folders_are_made_and_a_bar_is_shown(server, tmp_path, capsys):
    server.routes["/set"] = Answer(BODY)
    path = download(f"{server.url}/set", tmp_path / "new" / "deep" / "set.bin")
    assert path.read_bytes() == BODY
    assert "100%" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "match"),
    [
        (401, "login"),
        (403, r"forbids it \(403\)"),
        (404, "no longer at its address"),
        (410, "no longer"),
        (407, "proxy asks for a password"),
        (429, "too many requests"),
        (509, "reached its quota"),
        (511, "asks you to sign in first"),
        (500, r"in trouble \(500\)"),
        (503, r"in trouble \(503\)"),
    ],
)
def test_refusals(server, good, status, match):
    server.routes["/set"] = Answer(b"<html>no</html>", status=status)
    fails(match, good, f"{server.url}/set")
    assert len(server.requests) == 1


def test_a_quota_and_a_sign_in_page_are_named(server, good):
    server.routes["/set"] = Answer(b"The daily Quota of this file is exceeded", status=403)
    fails("reached its quota for today", good, f"{server.url}/set")
    server.routes["/set"] = Answer(b"\n<!DOCTYPE HTML><title>Welcome to our WLAN</title>")
    fails("A web page came instead of set.bin", good, f"{server.url}/set", sha256=SHA)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxies_are_named(server, good, monkeypatch, scheme):
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    server.routes["far.invalid:443"] = server.routes["http://far.invalid/set"] = Answer(status=407)
    monkeypatch.setenv(f"{scheme}_proxy", server.url)
    fails("proxy asks for a password", good, f"{scheme}://far.invalid/set")
    monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{closed_port()}")
    if scheme == "https":
        server.routes["far.invalid:443"] = Answer(status=403)
        monkeypatch.setenv("https_proxy", server.url)
        fails(r"the proxy does not let it through \(403\)", good, "https://far.invalid/set")
        monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{closed_port()}")
    fails("the proxy does not answer; correct HTTP_PROXY", good, f"{scheme}://far.invalid/set")


def test_a_name_that_cannot_be_resolved_is_named(good, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    fails("the name far.invalid cannot be resolved; check the network and its DNS", good, "http://far.invalid/set")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl to make a certificate with")
def test_a_certificate_that_nobody_signed_is_named(good, tmp_path_factory):
    pem = tmp_path_factory.mktemp("certificate") / "own.pem"
    options = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    subprocess.run(["openssl", *options, "-keyout", pem, "-out", f"{pem}.crt"], check=True, capture_output=True)
    pem.write_text(pem.read_text() + Path(f"{pem}.crt").read_text())
    with LocalServer(pem) as server:
        fails("the certificate of 127.0.0.1 cannot be verified .* REQUESTS_CA_BUNDLE", good, f"{server.url}/set")


def test_nobody_answers(good):
    fails("does not answer; check the network", good, f"http://127.0.0.1:{closed_port()}/set")


def test_wrong_length_and_wrong_hash(server, good):
    server.routes["/set"] = Answer(BODY)
    fails(r"3,072,000 bytes instead of 7", good, f"{server.url}/set", size=7)
    fails("SHA-256 differs", good, f"{server.url}/set", sha256="0" * 64)


def test_cut_connection_goes_on_where_it_stopped(server, good):
    server.routes["/set"] = Answer(BODY, headers={"ETag": '"1"'}, ranges=True, cut_at=2_000_000, cuts=1)
    download(f"{server.url}/set", good, sha256=SHA, progress=False)
    assert good.read_bytes() == BODY
    first, second = (headers for _, _, headers in server.requests)
    assert "Range" not in first and second["If-Range"] == '"1"'
    assert 0 < int(second["Range"].removeprefix("bytes=").removesuffix("-")) <= 2_000_000


@pytest.mark.parametrize("headers", [{}, {"ETag": '"1"'}, {"ETag": 'W/"1"'}, {"Last-Modified": "yesterday"}])
def test_cut_connection_without_ranges_begins_anew(server, good, headers):
    server.routes["/set"] = Answer(BODY, headers=headers, cut_at=2_000_000, cuts=1)
    download(f"{server.url}/set", good, sha256=SHA, progress=False)
    assert good.read_bytes() == BODY and len(server.requests) == 2


def test_half_a_download_is_kept_for_later_but_never_in_the_place_of_the_file(server, good):
    server.routes["/set"] = Answer(BODY, headers={"ETag": '"1"'}, cut_at=2_000_000)
    left = ("set.bin.part", "set.bin.part.tag")
    fails("cut 5 times before set.bin was complete; run the same command again", good, f"{server.url}/set", left=left)
    server.routes["/set"] = Answer(BODY, headers={"ETag": '"1"'}, ranges=True)
    server.requests.clear()
    download(f"{server.url}/set", good, progress=False)
    assert good.read_bytes() == BODY and "Range" in server.requests[0][2]
    assert [item.name for item in good.parent.iterdir()] == ["set.bin"]


def test_half_a_download_that_could_not_be_resumed_is_thrown_away(server, good):
    server.routes["/set"] = Answer(BODY, cut_at=2_000_000)
    fails("cut 5 times", good, f"{server.url}/set")


def test_half_a_download_of_an_older_version_is_thrown_away(server, good):
    good.with_name("set.bin.part").write_bytes(b"old " * 300_000)
    good.with_name("set.bin.part.tag").write_text('"0"')
    server.routes["/set"] = Answer(BODY, headers={"ETag": '"1"'}, ranges=True)
    download(f"{server.url}/set", good, progress=False)
    assert good.read_bytes() == BODY


def test_a_part_longer_than_the_file_begins_anew(server, good):
    good.with_name("set.bin.part").write_bytes(BODY + b"more")
    good.with_name("set.bin.part.tag").write_text('"1"')
    server.routes["/set"] = Answer(BODY, headers={"ETag": '"1"'}, ranges=True)
    download(f"{server.url}/set", good, progress=False)
    assert good.read_bytes() == BODY


def test_a_part_without_a_tag_proves_nothing(server, good):
    good.with_name("set.bin.part").write_bytes(b"whose?")
    server.routes["/set"] = Answer(BODY, ranges=True)
    download(f"{server.url}/set", good, progress=False)
    assert good.read_bytes() == BODY


def test_a_server_that_states_no_length(server, good):
    server.routes["/set"] = Answer(BODY, states_length=False)
    download(f"{server.url}/set", good, progress=False)
    assert good.read_bytes() == BODY
    good.write_bytes(b"good old file")
    server.routes["/set"] = Answer(BODY, states_length=False, cut_at=2_000_000)
    fails("2,000,000 bytes instead of 3,072,000", good, f"{server.url}/set", size=len(BODY))


class FullDisk:
    """Replaces ``open``: its files can hold a number of writes."""

    def __init__(self, writes):
        self.writes = writes

    def __call__(self, path, mode):
        self.file = open(path, mode)  # noqa: SIM115  it is closed in __exit__
        return self

    def write(self, data):
        if self.writes == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.writes -= 1
        return self.file.write(data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


@pytest.mark.parametrize("chunks", [0, 2])
def test_full_disk_gives_its_space_back(server, good, monkeypatch, chunks):
    server.routes["/set"] = Answer(BODY, headers={"ETag": '"1"'}, ranges=True)
    monkeypatch.setattr(download_module, "open", FullDisk(chunks), raising=False)
    fails("The disk is full, so set.bin could not be written", good, f"{server.url}/set")
    assert len(server.requests) == 1


def test_a_disk_too_full_is_noticed_before_the_download(server, good, monkeypatch):
    server.routes["/set"] = Answer(BODY)
    monkeypatch.setattr(download_module.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    fails("The disk is too full: set.bin needs", good, f"{server.url}/set")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_no_write_permission(server, good, monkeypatch, code):
    def refuse(path, mode="r"):
        raise OSError(code, os.strerror(code), str(path))

    server.routes["/set"] = Answer(BODY)
    monkeypatch.setattr(download_module, "open", refuse, raising=False)
    fails("may not be written to; change its permissions, or set STABLEDIFF_DATA", good, f"{server.url}/set")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="permission bits do not bind root")
def test_no_write_permission_for_real(server, good):
    server.routes["/set"] = Answer(BODY)
    good.parent.chmod(0o555)
    try:
        fails("may not be written to", good, f"{server.url}/set")
    finally:
        good.parent.chmod(0o755)


def test_the_folder_is_a_file(server, tmp_path):
    (tmp_path / "data").write_text("a file")
    server.routes["/set"] = Answer(BODY)
    with pytest.raises(UserError, match="could not be written"):
        download(f"{server.url}/set", tmp_path / "data" / "set.bin", progress=False)


def test_ctrl_c_leaves_the_old_file(server, good, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    server.routes["/set"] = Answer(BODY)
    monkeypatch.setattr(download_module, "_check", interrupt)
    with pytest.raises(KeyboardInterrupt):
        download(f"{server.url}/set", good, progress=False)
    assert good.read_bytes() == b"good old file"


# --- unpack --------------------------------------------------------------------------------------------------------


def make_zip(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
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
        extract_zip(archive, folder, **options)
    assert str(error.value).count("\n") == 0 and str(error.value).endswith(".")
    assert [item.name for item in folder.iterdir()] == ["good.txt"]
    assert (folder / "good.txt").read_text() == "good old file"
    assert sorted(item.name for item in folder.parent.iterdir()) == before


def test_an_archive_replaces_the_folder(tmp_path, old_folder):
    archive = make_zip(tmp_path / "set.zip", {"a/b/1.txt": "one", "a/2.txt": "two", "empty/": ""})
    assert extract_zip(archive, old_folder) == old_folder
    assert (old_folder / "a/b/1.txt").read_text() == "one" and not (old_folder / "good.txt").exists()
    assert sorted(item.name for item in tmp_path.iterdir()) == ["set", "set.zip"]
    assert is_complete(old_folder)
    (old_folder / "a/2.txt").write_text("other length")
    assert not is_complete(old_folder)
    (old_folder / "a/2.txt").unlink()
    assert not is_complete(old_folder)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"files": 3}', '{"files": {"a": null}}', "\x00"])
def test_a_broken_record_means_incomplete(tmp_path, text):
    assert not is_complete(tmp_path)
    (tmp_path / unpack.MANIFEST).write_text(text)
    assert not is_complete(tmp_path)


HOSTILE = [
    "../evil",
    "a/../../evil",
    "/etc/evil",
    "\\evil",
    "..\\evil",
    "C:\\evil",
    "C:evil",
    "a/C:/evil",
    "//host/evil",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_paths_are_refused(tmp_path, old_folder, name):
    archive = make_zip(tmp_path / "set.zip", {"fine.txt": "fine", name: "evil"})
    stays("dangerous path", archive, old_folder, BadArchiveError)
    assert not list(tmp_path.rglob("*evil*"))


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
        extract_zip(archive, home / "set")
    except UserError:
        assert sorted(item.name for item in home.iterdir()) == ["set.zip"]
    else:
        assert sorted(item.name for item in home.iterdir()) == ["set", "set.zip"]


def test_links_are_refused(tmp_path, old_folder):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr(link, "/etc")
    stays("holds a link", tmp_path / "set.zip", old_folder, BadArchiveError)


def test_zip_bombs_are_refused(tmp_path, old_folder):
    archive = make_zip(tmp_path / "set.zip", {f"{i}": bytes(30 << 20) for i in range(4)})
    stays("far too much", archive, old_folder, BadArchiveError)


def test_too_little_space_is_noticed_before(tmp_path, old_folder, monkeypatch):
    archive = make_zip(tmp_path / "set.zip", {"a": bytes(5000)})
    monkeypatch.setattr(unpack.shutil, "disk_usage", lambda _: SimpleNamespace(free=4000))
    stays("only 0.0 GB of the disk are free", archive, old_folder)


def test_full_disk_while_unpacking(tmp_path, old_folder, monkeypatch):
    archive = make_zip(tmp_path / "set.zip", {"a": os.urandom(3 << 20), "b": "b"}, zipfile.ZIP_STORED)
    monkeypatch.setattr(unpack, "open", FullDisk(1), raising=False)
    stays("The disk is full", archive, old_folder)


def test_broken_archives(tmp_path, old_folder):
    archive = make_zip(tmp_path / "set.zip", {"a": os.urandom(50_000), "b": "text"})
    whole = archive.read_bytes()
    for name, data in {
        "empty": b"",
        "page": b"<html>sign in</html>",
        "half": whole[: len(whole) // 2],
        "no end": whole[:-10],
        "flipped": whole[:20_000] + bytes([whole[20_000] ^ 1]) + whole[20_001:],
    }.items():
        archive.write_bytes(data)
        stays(r"set.zip is broken .*; delete it and fetch it again", archive, old_folder, BadArchiveError)
        assert archive.exists(), name


def test_a_member_twice_or_both_file_and_folder(tmp_path, old_folder):
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("a", "1")
        archive.writestr("a", "2")
    stays("is broken", tmp_path / "set.zip", old_folder, BadArchiveError)
    make_zip(tmp_path / "set.zip", {"a": "1", "a/b": "2"})
    stays("is broken", tmp_path / "set.zip", old_folder, BadArchiveError)


def test_a_locked_archive(tmp_path, old_folder):
    archive = make_zip(tmp_path / "set.zip", {"a": "1"})
    locked = bytearray(archive.read_bytes())
    locked[6] |= 1
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(locked)
    stays("locked with a password", archive, old_folder)


def test_what_the_check_refuses_is_not_put_in_place(tmp_path, old_folder):
    def check(folder):
        assert (folder / "a").read_text() == "1"
        raise UserError("No fish.")

    stays("No fish", make_zip(tmp_path / "set.zip", {"a": "1"}), old_folder, check=check)


def test_a_failed_exchange_puts_the_old_folder_back(tmp_path, old_folder, monkeypatch):
    archive = make_zip(tmp_path / "set.zip", {"a": "1"})
    rename = Path.rename

    def refuse_the_new_one(self, target):
        if self.name.endswith(".unpacking"):
            raise OSError(errno.EACCES, "refused")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_the_new_one)
    stays("may not be written to", archive, old_folder)


def test_an_exchange_that_was_killed_half_way_is_mended(tmp_path, old_folder):
    old_folder.rename(tmp_path / "set.old")
    (tmp_path / "set.unpacking").mkdir()
    with pytest.raises(UserError):
        extract_zip(tmp_path / "nothing.zip", old_folder)
    assert [item.name for item in tmp_path.iterdir()] == ["set"] and (old_folder / "good.txt").exists()


def test_the_record_lists_every_file(tmp_path):
    extract_zip(make_zip(tmp_path / "set.zip", {"a/b": "12", "c": "123"}), tmp_path / "set")
    assert json.loads((tmp_path / "set" / unpack.MANIFEST).read_text())["files"] == {"a/b": 2, "c": 3}

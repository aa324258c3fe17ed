"""Downloading one file, from servers, networks and disks that misbehave."""

import errno
import hashlib
import os
import shutil
import socket
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from local_server import Answer, FullDisk, LocalServer, closed_port

from stablediff_edu.data import download as download_module
from stablediff_edu.data.download import data_dir, download, project_root
from stablediff_edu.errors import UserError

BODY = bytes(range(256)) * 12_000  # 3 MB, three chunks
SHA = f"sha256:{hashlib.sha256(BODY).hexdigest()}"
TAG = {"ETag": '"1"'}


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


def test_data_folder(monkeypatch, tmp_path):
    assert data_dir("fish") == project_root() / "data" / "fish"
    assert (project_root() / "pyproject.toml").is_file()
    monkeypatch.setenv("STABLEDIFF_DATA", "~/sets")
    assert data_dir("fish") == Path.home() / "sets" / "fish"


def test_a_file_arrives_and_replaces_the_old_one(server, good, capsys):
    server.routes["/set"] = Answer(BODY)
    assert download(f"{server.url}/set", good, SHA.replace(SHA[7:], SHA[7:].upper())) == good
    assert "100%" in capsys.readouterr().err
    assert good.read_bytes() == BODY and [item.name for item in good.parent.iterdir()] == ["set.bin"]
    assert download(f"{server.url}/set", good.parent / "new/deep/set.bin", progress=False).read_bytes() == BODY


# --- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "match"),
    [
        (401, "login"),
        (403, r"forbids it \(403\)"),
        (404, "no longer at its address"),
        (407, "proxy asks for a password"),
        (429, "too many requests"),
        (509, "reached its quota"),
        (511, "asks you to sign in first"),
        (503, r"in trouble \(503\)"),
    ],
)
def test_refusals(server, good, status, match):
    server.routes["/set"] = Answer(b"<html>no</html>", status=status)
    fails(match, good, f"{server.url}/set")
    assert len(server.requests) == 1


def test_other_contents_are_named(server, good):
    server.routes["/set"] = Answer(b"The daily Quota of this file is exceeded", status=403)
    fails("reached its quota for today", good, f"{server.url}/set")
    server.routes["/set"] = Answer(b"\n<!DOCTYPE HTML><title>Welcome to our WLAN</title>")
    fails("A web page came instead of set.bin", good, f"{server.url}/set", known_hash=SHA)
    server.routes["/set"] = Answer(BODY)
    fails("its SHA256 differs", good, f"{server.url}/set", known_hash="sha256:" + "0" * 64)
    fails("its MD5 differs", good, f"{server.url}/set", known_hash="md5:" + "0" * 32)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxies_are_named(server, good, monkeypatch, scheme):
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    server.routes["far.invalid:443"] = server.routes["http://far.invalid/set"] = Answer(status=407)
    monkeypatch.setenv(f"{scheme}_proxy", server.url)
    fails("proxy asks for a password", good, f"{scheme}://far.invalid/set")
    if scheme == "https":
        server.routes["far.invalid:443"] = Answer(status=403)
        fails(r"the proxy does not let it through \(403\)", good, "https://far.invalid/set")
    monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{closed_port()}")
    fails("the proxy does not answer; correct HTTP_PROXY", good, f"{scheme}://far.invalid/set")


def test_no_answer_is_explained(good, monkeypatch):
    fails("does not answer; check the network", good, f"http://127.0.0.1:{closed_port()}/set")

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


# --- cuts ----------------------------------------------------------------------------------------------------------


def test_a_cut_connection_is_resumed(server, good):
    server.routes["/set"] = Answer(BODY, headers=TAG, ranges=True, cut_at=2_000_000, cuts=1)
    download(f"{server.url}/set", good, SHA, progress=False)
    assert good.read_bytes() == BODY
    first, second = (headers for _, _, headers in server.requests)
    assert "Range" not in first and second["If-Range"] == '"1"'
    assert 0 < int(second["Range"].removeprefix("bytes=").removesuffix("-")) <= 2_000_000


@pytest.mark.parametrize("headers", [{}, TAG, {"ETag": 'W/"1"'}, {"Last-Modified": "yesterday"}])
def test_a_cut_connection_without_ranges_begins_again(server, good, headers):
    server.routes["/set"] = Answer(BODY, headers=headers, cut_at=2_000_000, cuts=1)
    download(f"{server.url}/set", good, SHA, progress=False)
    assert good.read_bytes() == BODY and len(server.requests) == 2


def test_half_a_download_is_kept_for_later_but_never_in_the_place_of_the_file(server, good):
    server.routes["/set"] = Answer(BODY, cut_at=2_000_000)  # it could not be resumed
    fails("cut 5 times", good, f"{server.url}/set")
    server.routes["/set"] = Answer(BODY, headers=TAG, cut_at=2_000_000)
    left = ("set.bin.part", "set.bin.part.tag")
    fails("cut 5 times before set.bin was complete; run the same command again", good, f"{server.url}/set", left=left)
    server.routes["/set"] = Answer(BODY, headers=TAG, ranges=True)
    server.requests.clear()
    download(f"{server.url}/set", good, progress=False)
    assert good.read_bytes() == BODY and "Range" in server.requests[0][2]
    assert [item.name for item in good.parent.iterdir()] == ["set.bin"]


@pytest.mark.parametrize(("part", "tag"), [(b"old " * 300_000, '"0"'), (BODY + b"more", '"1"'), (b"whose?", None)])
def test_a_part_of_another_file_is_thrown_away(server, good, part, tag):
    good.with_name("set.bin.part").write_bytes(part)
    if tag:
        good.with_name("set.bin.part.tag").write_text(tag)
    server.routes["/set"] = Answer(BODY, headers=TAG, ranges=True)
    download(f"{server.url}/set", good, progress=False)
    assert good.read_bytes() == BODY


def test_a_server_that_states_no_length(server, good):
    server.routes["/set"] = Answer(BODY, states_length=False, cut_at=2_000_000)
    fails("SHA256 differs", good, f"{server.url}/set", known_hash=SHA)
    server.routes["/set"] = Answer(BODY, states_length=False)
    assert download(f"{server.url}/set", good, progress=False).read_bytes() == BODY


# --- disks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [0, 2])
def test_full_disk_gives_its_space_back(server, good, monkeypatch, chunks):
    server.routes["/set"] = Answer(BODY, headers=TAG, ranges=True)
    monkeypatch.setattr(download_module, "open", FullDisk(chunks), raising=False)
    fails("The disk is full, so set.bin could not be written", good, f"{server.url}/set")
    assert len(server.requests) == 1
    monkeypatch.setattr(download_module.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    fails("The disk is too full: set.bin needs", good, f"{server.url}/set")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_no_write_permission(server, good, monkeypatch, code):
    def refuse(path, mode="r"):
        raise OSError(code, os.strerror(code), str(path))

    server.routes["/set"] = Answer(BODY)
    monkeypatch.setattr(download_module, "open", refuse, raising=False)
    fails("may not be written to; change its permissions, or set STABLEDIFF_DATA", good, f"{server.url}/set")


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

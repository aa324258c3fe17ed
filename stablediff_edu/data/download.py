"""Where data lives, and how one file gets there: under a temporary name, resumed, checked, and only then renamed."""

import contextlib
import errno
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from stablediff_edu.errors import UserError

if TYPE_CHECKING:
    import requests

ATTEMPTS = 5  # a connection that is cut is resumed where it stopped
RETRY_DELAY = 2.0  # seconds between two attempts
TIMEOUT = 60.0  # seconds without a single byte
_CHUNK = 1 << 18  # what a cut can lose

# open_at(offset, tag) requests the file from byte ``offset`` on, provided that it still carries ``tag``.
OpenAt = Callable[[int, str], "requests.Response"]


class _CutError(Exception):
    """The connection ended before the file did."""


def project_root() -> Path:
    """Return the folder that holds pyproject.toml (the working folder, if the package is installed elsewhere)."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() else Path.cwd()


def data_dir(name: str) -> Path:
    """Return where the data set ``name`` belongs: in ``STABLEDIFF_DATA`` if that is set, else in the project's data."""
    elsewhere = os.environ.get("STABLEDIFF_DATA", "").strip()
    return (Path(elsewhere).expanduser() if elsewhere else project_root() / "data") / name


def download(source: str | OpenAt, path: Path, known_hash: str = "", progress: bool = True) -> Path:
    """Download a file to ``path``.

    Until it is complete and checked the file is called ``NAME.part``; whatever stood at ``path`` stays there on any
    failure. A download that was cut is resumed, in this run or a later one, if the server allows that and still
    has the same file; otherwise it starts again.

    Args:
        source: an address, or a function that requests the file from some byte on.
        path: where to put it; its folder is made.
        known_hash: "sha256:…" or "md5:…" in hexadecimal; an MD5 finds accidents, not attacks.
        progress: show a progress bar.

    Raises:
        UserError: no network, a refusal (401, 403, 404, 5xx), a cut, a wrong hash, full disk, no permission.
    """
    import requests

    open_at = (lambda offset, tag: request_range(source, offset, tag)) if isinstance(source, str) else source
    part, tag_file = path.with_name(path.name + ".part"), path.with_name(path.name + ".part.tag")
    with translate_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                _transfer(open_at, part, tag_file, progress)
                break
            except requests.HTTPError as error:
                raise UserError(f"{path.name} cannot be fetched: {_refusal(error.response)}.") from error
            except (_CutError, requests.RequestException) as error:
                if attempt == 1 and isinstance(error, requests.RequestException):  # no network, or a wrong address
                    raise UserError(f"{path.name} cannot be fetched: {_no_answer(error)}.") from error
                if attempt == ATTEMPTS:
                    if not tag_file.exists():  # what came so far could never be resumed
                        _remove(part)
                    raise UserError(
                        f"The connection was cut {ATTEMPTS} times before {path.name} was complete; "
                        "run the same command again to go on."
                    ) from error
                time.sleep(RETRY_DELAY)
            except OSError:  # a full disk: give the space back
                _remove(part, tag_file)
                raise
        try:
            _check(part, path.name, known_hash)
        except UserError:
            _remove(part, tag_file)
            raise
        os.replace(part, path)
        _remove(tag_file)
    return path


def request_range(url: str, offset: int = 0, tag: str = "") -> "requests.Response":
    """Request ``url`` from byte ``offset`` on; a file that no longer carries ``tag`` is sent from its beginning."""
    import requests

    headers = {"Accept-Encoding": "identity"}  # a compressed transfer could be neither measured nor resumed
    if offset:
        headers |= {"Range": f"bytes={offset}-", "If-Range": tag}
    return requests.get(url, headers=headers, stream=True, timeout=TIMEOUT)


def _transfer(open_at: OpenAt, part: Path, tag_file: Path, progress: bool) -> None:
    """Write the (rest of the) file to ``part``."""
    import requests
    from tqdm import tqdm

    can_resume = part.is_file() and tag_file.is_file()
    done, tag = (part.stat().st_size, tag_file.read_text(encoding="utf-8")) if can_resume else (0, "")
    with open_at(done, tag) as response:
        if response.status_code == 416:  # no such range: what we have is longer than what is there now
            _remove(part, tag_file)
            raise _CutError
        if response.status_code == 403:
            _ = response.content  # for `_refusal`: the reason stands in it, and the connection is about to be closed
        response.raise_for_status()
        if not response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            done = 0  # the server sends the whole file
        length = response.headers.get("Content-Length", "")
        is_packed = response.headers.get("Content-Encoding", "identity") != "identity"
        total = done + int(length) if length.isdigit() and not is_packed else None
        check_space(part.stem, part.parent, 0 if total is None else total - done)
        tag = _etag(response)
        try:
            with (
                open(part, "ab" if done else "wb") as file,
                tqdm(total=total, initial=done, unit="B", unit_scale=True, disable=not progress) as bar,
            ):
                if tag:  # only now: a new tag must never stand beside an old part
                    tag_file.write_text(tag, encoding="utf-8")
                for chunk in response.iter_content(_CHUNK):
                    file.write(chunk)
                    bar.update(len(chunk))
        except requests.RequestException as error:
            raise _CutError from error
        finally:
            if not tag:  # nothing would prove that a later answer continues this file
                _remove(tag_file)
    if total is not None and part.stat().st_size < total:
        raise _CutError


def check_space(name: str, folder: Path, needed: int) -> None:
    """Raise UserError if a folder has no space for so many bytes of ``name``."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"The disk is too full: {name} needs {needed / 1e9:.1f} GB in {folder}, and only {free / 1e9:.1f} GB are "
            "free; free some space."
        )


def _etag(response: "requests.Response") -> str:
    """Return what identifies this version of the file, to resume only the same one: a strong ETag, or the date."""
    etag = response.headers.get("ETag", "")
    return response.headers.get("Last-Modified", "") if etag.startswith("W/") or not etag else etag


def _check(part: Path, name: str, known_hash: str) -> None:
    with part.open("rb") as file:
        if file.read(512).lstrip().lower().startswith((b"<!doctype html", b"<html")):
            raise UserError(
                f"A web page came instead of {name}, such as the sign-in page of a network; sign in with a browser, or "
                "download the file there."
            )
        kind, _, expected = known_hash.partition(":")
        file.seek(0)
        if kind and hashlib.file_digest(file, kind).hexdigest() != expected.lower():
            raise UserError(
                f"{name} came with other contents than expected (its {kind.upper()} differs) and was thrown away; "
                "try again later."
            )


def _remove(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


_REFUSALS = {
    401: "the server asks for a login or does not accept yours (401)",
    403: "the server forbids it (403), perhaps until you accept its terms",
    404: "it is no longer at its address (404); look for a new release",
    407: "the proxy asks for a password (407); set HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT",
    429: "too many requests just now (429); try again in some minutes",
    509: "its server has reached its quota (509); try again tomorrow",
    511: "this network asks you to sign in first (511); open any page in a browser and sign in",
}


def _refusal(response: "requests.Response | None") -> str:
    """Say what a server's refusal means."""
    if response is None:
        return "the server refuses"
    code = response.status_code
    if code == 403 and b"quota" in response.content[:2000].lower():
        return "its server has reached its quota for today (403); try again tomorrow"
    return _REFUSALS.get(code, f"its server is in trouble ({code}); try again later")


def _no_answer(error: "requests.RequestException") -> str:
    """Say why no answer came at all: the certificate, the proxy, the name of the host, or the time."""
    import requests

    text, request = str(error), getattr(error, "request", None)
    host = urlparse(request.url).hostname if request is not None else "the server"
    if isinstance(error, requests.exceptions.ProxyError):
        if refused := re.search(r"Tunnel connection failed: (\d+)", text):
            return _REFUSALS[407] if refused[1] == "407" else f"the proxy does not let it through ({refused[1]})"
        return "the proxy does not answer; correct HTTP_PROXY and HTTPS_PROXY, or unset them"
    if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE" in text:
        return (
            f"the certificate of {host} cannot be verified (an office network or a wrong clock are the usual reasons); "
            "set REQUESTS_CA_BUNDLE to your network's certificate file"
        )
    if "NameResolutionError" in text or "getaddrinfo" in text:
        return f"the name {host} cannot be resolved; check the network and its DNS"
    return "its server does not answer; check the network and try again"


@contextlib.contextmanager
def translate_os_errors(path: Path) -> Iterator[None]:
    """Turn what a disk can answer while ``path`` is written into one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            sentence = f"The disk is full, so {path.name} could not be written to {path.parent}; free some space."
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            sentence = f"{path.parent} may not be written to; change its permissions, or set STABLEDIFF_DATA elsewhere."
        else:
            sentence = f"{path} could not be written ({error.strerror or error}); check the disk and the folder's name."
        raise UserError(sentence) from error

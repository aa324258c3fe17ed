"""The Hub, huggingface.co, where published weights lie: what is wanted is downloaded once and kept.

It is asked only for weights that are named and are not on this computer. `HF_ENDPOINT` points to another server that
speaks the same language, `HF_HOME` to another place for what is kept, and `HF_HUB_OFFLINE=1` forbids the network.
"""

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from stablediff_edu.errors import UserError


class Address(NamedTuple):
    """What is meant on the Hub: "owner/name", a revision (branch, tag or commit), and a file if only that is meant."""

    name: str
    revision: str | None = None
    file: str | None = None


def parse(source: str) -> Address | None:
    """Read "owner/name", "owner/name@revision", "owner/name/file.safetensors", or a web address on the Hub.

    Raises:
        UserError: it is the web address of another place.
    """
    hosts = "|".join(("huggingface.co", "hf.co", re.sub(r"^https?://", "", endpoint() or "hf.co")))
    source = re.sub(rf"^(https?://)?(www\.)?({hosts})/(models/)?", "", source.strip().rstrip("/"))
    if "://" in source:
        raise UserError(
            f"{source} is not an address on the Hub (huggingface.co/owner/name); download the file in a browser, and "
            "give its path."
        )
    match = re.fullmatch(
        r"(\w[\w.-]*/\w[\w.-]*)(?:@((?:refs/pr/)?[\w.-]+)|/(?:tree|blob|resolve)/([^/?#]+))?"
        r"(?:/([^?#]+\.(?:ckpt|safetensors)))?(?:[?#].*)?",
        source,
    )
    return Address(match[1], match[2] or match[3], match[4]) if match else None


def list_repo_files(address: Address) -> tuple[list[str], Callable[[list[str]], Path]]:
    """Return the files at an address, and a function that makes some of them be here and returns their folder.

    Where the Hub does not answer, these are the files that were downloaded before.

    Raises:
        UserError: there is no such name, it is not for everybody, or the Hub does not answer. The function, too: a
            download was cut, or the disk is full.
    """
    from huggingface_hub import HfApi

    with friendly_errors(address):
        try:
            info = HfApi(endpoint=endpoint()).model_info(address.name, revision=address.revision, files_metadata=True)
        except Exception as error:
            kept = cached_snapshot(address) if is_connection_error(error) else None
            if kept is None:
                raise
            return [file.relative_to(kept).as_posix() for file in kept.rglob("*") if file.is_file()], lambda _: kept
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
    return list(sizes), lambda files: download_files(address, {file: sizes.get(file, 0) for file in files}, info.sha)


def download_files(address: Address, sizes: dict[str, int], commit: str | None = None) -> Path:
    """Download those files that are not here yet, with a progress bar for each, and return the folder they lie in.

    Raises:
        UserError: they are no longer those of the `commit` that was listed.
    """
    from huggingface_hub import constants, hf_hub_download
    from tqdm import tqdm  # the library's own bars hide in notebooks

    name, revision = address.name, address.revision
    with friendly_errors(address):
        needed = sum(size for file, size in sizes.items() if cached_file(address, file) is None)
        place = Path(constants.HF_HUB_CACHE)
        free = shutil.disk_usage(next(folder for folder in [place, *place.parents] if folder.exists())).free
        if needed > free:
            raise UserError(
                f"The disk is too full: {name} needs {needed / 1e9:.1f} GB more in {place}, and only {free / 1e9:.1f} "
                "GB are free; free some space, or set HF_HOME to a folder on another disk."
            )
        if needed > 1e6:
            print(f"Fetching {needed / 1e6:,.0f} MB of {name} into {place}")
        options = dict(revision=revision, endpoint=endpoint(), tqdm_class=tqdm)
        paths = [Path(hf_hub_download(name, file, **options)) for file in sizes]
    folders = {path.parents[file.count("/")] for file, path in zip(sizes, paths, strict=True)}  # named by commit
    if commit and {folder.name for folder in folders} != {commit}:
        raise UserError(f"{name} was changed on the Hub during the download; try again.")
    return folders.pop()


def endpoint() -> str | None:
    """Return the server that stands in for the Hub, if there is one."""
    return os.environ.get("HF_ENDPOINT") or None


def cached_file(address: Address, file: str) -> Path | None:
    """Return where a file lies that was downloaded before."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(address.name, file, revision=address.revision)
    return Path(path) if isinstance(path, str) else None


def cached_snapshot(address: Address) -> Path | None:
    """Return the folder of what was downloaded before."""
    file = address.file or "unet/config.json"
    path = cached_file(address, file)
    return path and path.parents[file.count("/")]


def is_connection_error(error: Exception) -> bool:
    """Tell whether nobody answered, or only somebody who could not help."""
    code = status(error)
    return code is None or code >= 500


def status(error: BaseException | None) -> int | None:
    """Return what the server answered, such as 404, if it did."""
    return getattr(getattr(error, "response", None), "status_code", None)


@contextmanager
def friendly_errors(address: Address) -> Iterator[None]:
    """Turn what the Hub, the network and the disk may answer into one sentence."""
    from huggingface_hub import errors
    from huggingface_hub.errors import GatedRepoError, OfflineModeIsEnabled, RepositoryNotFoundError

    name = address.name
    try:
        yield
    except UserError:
        raise
    except GatedRepoError as error:
        raise UserError(
            f"{name} is only for those who accept its terms: do so on its page https://huggingface.co/{name}, then run "
            "`hf auth login` here, and try again."
        ) from error
    except RepositoryNotFoundError as error:
        raise UserError(
            f"There is no {name}, neither as a folder or file here nor on the Hub; check how it is spelt, or, if it is "
            "private, run `hf auth login` first."
        ) from error
    except (errors.RevisionNotFoundError, errors.RemoteEntryNotFoundError) as error:
        what = f"revision {address.revision}" if isinstance(error, errors.RevisionNotFoundError) else "such file"
        raise UserError(f"{name} has no {what} on the Hub; see https://huggingface.co/{name}/tree/main.") from error
    except OfflineModeIsEnabled as error:
        raise UserError(
            f"{name} is not on this computer, and HF_HUB_OFFLINE forbids the network; unset it and try again."
        ) from error
    except Exception as error:  # each release of the library has its own family of errors
        raise UserError(explain(name, error)) from error


def explain(name: str, error: Exception) -> str:
    """Word an error that has no class of its own."""
    code = status(error) or status(error.__cause__)  # the library wraps what a download ran into
    if code in (401, 403):
        return f"The Hub refuses {name} ({code}); run `hf auth login` here as somebody who may have it, and try again."
    if code:
        return f"The Hub cannot send {name} just now ({code}); try again in some minutes."
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full, so {name} could not be kept; free some space, or set HF_HOME to another disk."
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        place = getattr(error, "filename", None) or name
        return f"{place} may not be written to; change its permissions, or set HF_HOME to another folder."
    if "Consistency check" in str(error):
        return f"The download of {name} was cut off, and what had come of that file was thrown away; try again."
    return (
        f"{name} is neither a folder or file here, nor does the Hub answer to send it ({type(error).__name__}); check "
        "the network and try again."
    )

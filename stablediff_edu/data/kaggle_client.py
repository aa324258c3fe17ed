"""Data sets of Kaggle, through its official client, with the learner's key or without any."""

import contextlib
import io
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stablediff_edu.data.download import http_error_message, request_range, stream_to_file
from stablediff_edu.errors import UserError

if TYPE_CHECKING:
    import requests

_KEYS = "https://www.kaggle.com/settings"  # where a key is made
_NOT_SIGNED_IN = "without a key"


def download_dataset(dataset: str, archive: Path, progress: bool = True) -> Path:
    """Download a whole data set as one zip file; it is resumed, checked and renamed as in :mod:`.download`.

    Args:
        dataset: owner and name, such as ``"crowww/a-large-scale-fish-dataset"``.
        archive: where to put the zip file.
        progress: show a progress bar.

    Returns:
        ``archive``.

    Raises:
        UserError: what Kaggle, the network or the disk answered, in one sentence.
    """
    import requests

    owner, _, name = dataset.partition("/")
    try:
        api, account = authenticate()
        if progress:
            print(f"Kaggle: {dataset}, {account}")

        def open_at(offset: int, tag: str) -> "requests.Response":
            from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

            request = ApiDownloadDatasetRequest()
            request.owner_slug, request.dataset_slug = owner, name
            with api.build_kaggle_client() as client:
                response = client.datasets.dataset_api_client.download_dataset(request)
                if not response.history:  # the answer is the file itself, from its beginning
                    return response
                response.close()
            return request_range(response.url, offset, tag)  # Kaggle only says where the file is; its store can resume

        # Not the client's own download_file: it also repeats five times, with pauses of up to a minute, when the disk
        # is full; and its unzip=True unpacks in place.
        return stream_to_file(open_at, archive, lambda error: _explain(error, dataset, account), progress=progress)
    except requests.RequestException as error:  # from signing in
        raise _explain(error, dataset, "with the key that is set up") from error


def authenticate() -> tuple[Any, str]:
    """Return Kaggle's client (a ``KaggleApi``) and how it is signed in, in words; nothing is printed.

    The client looks for a key in ``KAGGLE_API_TOKEN``, ``KAGGLE_USERNAME`` and ``KAGGLE_KEY``, and kaggle.json. Without
    one it can still fetch public data sets.

    Raises:
        UserError: the client cannot be imported, or chokes on the key.
        requests.RequestException: it asked Kaggle about a token and got no answer, or a refusal.
    """
    import requests

    api = _import_client()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            api.authenticate()
    except SystemExit:  # its way to say that there is no key
        return api, _NOT_SIGNED_IN + _why_key_is_unusable(Path(api.config))
    except requests.RequestException:
        raise
    except Exception as error:  # a token too long for a file name, a credentials file of another version, …
        raise UserError(f"Kaggle's client cannot use the key that is set up ({error}); make one at {_KEYS}.") from error
    return api, f"signed in as {api.config_values.get('username', 'unknown')}"


def _import_client() -> Any:
    """Import ``kaggle``, which prints 15 lines without a key, makes a folder in the home and fails if it cannot."""
    settings = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    places = [os.environ.get("KAGGLE_CONFIG_DIR"), "~/.kaggle", f"{settings}/kaggle"]
    has_folder = any(place and Path(place).expanduser().is_dir() for place in places)
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        if not has_folder:  # then nothing can be read from it, and an empty one that is forgotten again does as well
            before = os.environ.get("KAGGLE_CONFIG_DIR")
            os.environ["KAGGLE_CONFIG_DIR"] = stack.enter_context(tempfile.TemporaryDirectory())
            stack.callback(_restore, "KAGGLE_CONFIG_DIR", before)
        try:
            import kaggle
        except (ImportError, OSError) as error:
            raise UserError(f"Kaggle's client cannot be used here ({error}); run: make lab.") from error
    return kaggle.api


def _restore(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _why_key_is_unusable(config: Path) -> str:
    """Say what is wrong with kaggle.json, since the client passes over a broken one in silence."""
    try:
        text = config.read_text()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError):
        return f" ({config} cannot be read)"
    try:
        json.loads(text)["username"]
    except (ValueError, TypeError, KeyError):
        return f" ({config} is broken)"
    return ""


def _explain(error: "requests.RequestException", dataset: str, account: str) -> UserError:
    code = getattr(error.response, "status_code", None)
    what = f"The data set {dataset} cannot be fetched from Kaggle"
    if code == 401:
        return UserError(f"{what}, {account} (401): the key is stale or missing; make a new one at {_KEYS}.")
    if code == 403:
        return UserError(
            f"{what}, {account} (403): sign in there, accept the data set's rules, confirm your phone number, and try "
            f"again with a key from {_KEYS}."
        )
    if code == 404:
        return UserError(f"{what} (404): it is no longer there under this name.")
    return http_error_message(error, f"The data set {dataset}")

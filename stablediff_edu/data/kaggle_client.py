"""Data sets of Kaggle, through its official client, with the learner's key or without any."""

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stablediff_edu.data.download import download, request_range
from stablediff_edu.errors import UserError

if TYPE_CHECKING:
    import requests

_KEYS = "https://www.kaggle.com/settings"  # where a key is made


def download_dataset(dataset: str, archive: Path, progress: bool = True) -> Path:
    """Download a whole data set as one zip file; it is resumed, checked and renamed by `download`.

    The client's own download_file would also repeat five times, with pauses of up to a minute, when the disk is full,
    and its unzip=True unpacks in place.

    Args:
        dataset: owner and name, such as ``"crowww/a-large-scale-fish-dataset"``.
        archive: where to put the zip file.
        progress: show a progress bar.

    Raises:
        UserError: what Kaggle, the network or the disk answered, in one sentence.
    """

    owner, _, name = dataset.partition("/")

    def open_at(offset: int, tag: str) -> "requests.Response":
        from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest

        request = ApiDownloadDatasetRequest()
        request.owner_slug, request.dataset_slug = owner, name
        with _signed_in_client().build_kaggle_client() as client:
            response = client.datasets.dataset_api_client.download_dataset(request)
            if not response.history:  # the answer is the file itself, from its beginning
                return response
            response.close()
        return request_range(response.url, offset, tag)  # Kaggle only says where the file is; its store can resume

    try:
        return download(open_at, archive, progress=progress)
    except UserError as error:
        response = getattr(error.__cause__, "response", None)
        if response is None or response.status_code not in (401, 403):
            raise
        raise UserError(
            f"Kaggle refuses the data set {dataset} ({response.status_code}): sign in there, accept the data set's "
            f"rules, confirm your phone number, and try again with a new key from {_KEYS}."
        ) from error


def _signed_in_client() -> Any:
    """Return Kaggle's client (a ``KaggleApi``), signed in if there is a key; without a key it fetches public data.

    It looks for a key in ``KAGGLE_API_TOKEN``, ``KAGGLE_USERNAME`` and ``KAGGLE_KEY``, and kaggle.json.
    """
    import requests

    output = io.StringIO()  # without a key it prints 15 lines
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            import kaggle

            with contextlib.suppress(SystemExit):  # its way to say that there is no key
                kaggle.api.authenticate()
        except requests.RequestException:
            raise
        except Exception as error:  # not installed, an unwritable home, a key file or token that it chokes on, …
            raise UserError(
                f"Kaggle's client cannot be used here ({error}); install it with make lab, or make a key at {_KEYS}."
            ) from error
    return kaggle.api

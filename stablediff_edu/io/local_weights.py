"""Finds the published weights of Stable Diffusion v1 on this computer, without any download."""

import os
from pathlib import Path

from stablediff_edu.errors import UserError
from stablediff_edu.io import checkpoint, hub
from stablediff_edu.io.diffusers_config import V1_NAME
from stablediff_edu.io.from_pretrained import read_parts

FOLDER = "stable-diffusion-v1-5"  # below data/
DATA = checkpoint.PRETRAINED.parent


def find_local_weights() -> Path | None:
    """Return the folder or file of Stable Diffusion v1's weights, for `StableDiffusion.from_pretrained`, or None.

    `STABLEDIFF_WEIGHTS` may name a folder or a file; else data/stable-diffusion-v1-5/ is tried, and then what the
    Hub's own library has kept of an earlier download.

    Raises:
        UserError: `STABLEDIFF_WEIGHTS` names nothing that is here, or what lies in data/ cannot be read.
    """
    if named := os.environ.get("STABLEDIFF_WEIGHTS", "").strip():
        path = Path(named).expanduser()
        if not path.exists():
            raise UserError(
                f"STABLEDIFF_WEIGHTS is {named!r}, and nothing is there; set it to a folder or a file of Stable "
                "Diffusion's weights, or unset it."
            )
        return path
    if (own := DATA / FOLDER).exists():
        read_parts(own)  # says in a sentence what is missing
        return own
    kept = hub.cached_snapshot(hub.Address(V1_NAME))
    try:
        return kept if kept and read_parts(kept) else None
    except UserError:  # the download did not come to its end
        return None

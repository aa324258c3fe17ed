"""Trained weights on disk: safetensors, with metadata on how they were trained.

The card is the file's metadata: text to text, read without loading a single tensor. No weights without their config:
`save_checkpoint` refuses metadata that does not say which command, data and licence made them.
"""

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from stablediff_edu.errors import UserError

REQUIRED_METADATA = ("command", "seed", "steps", "seconds", "device", "data", "licence", "result")
_PACKAGE = Path(__file__).resolve().parents[1]
_CLONE = _PACKAGE.parent / "data" / "checkpoints"
PRETRAINED = _CLONE if _CLONE.is_dir() else _PACKAGE / "included" / "checkpoints"  # the latter in a wheel, see setup.py


def checkpoint_path(name: str | Path) -> Path:
    """Return the file of a pretrained checkpoint ("fish") or the path itself."""
    path = Path(name)
    return path if path.suffix else PRETRAINED / f"{name}.safetensors"


def save_checkpoint(path: str | Path, model: nn.Module, card: dict[str, object], half: bool = True) -> Path:
    """Write the model's weights and its metadata, and return the file.

    The file is written beside its place under a temporary name, then renamed: an interrupted save leaves the old one.

    Args:
        path: a file, or the name of a pretrained checkpoint.
        model: its `config` attribute, if there is one, goes into the metadata, so that `load_checkpoint` can rebuild
            it.
        card: everything in `REQUIRED_METADATA`, and more if you like.
        half: store floating-point weights in half precision, which takes half the space.
    """
    from safetensors.torch import save_file

    missing = [name for name in REQUIRED_METADATA if name not in card]
    if missing:
        raise ValueError(f"the card of a checkpoint must also say: {', '.join(missing)}")
    path = checkpoint_path(path)
    tensors = {
        name: tensor.detach().to("cpu", torch.float16 if half and tensor.is_floating_point() else None).contiguous()
        for name, tensor in model.state_dict().items()
    }
    metadata = {name: str(value) for name, value in card.items()}
    metadata["config"] = json.dumps(getattr(model, "config", {}), default=asdict)
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata)
    return path


class atomic_write:
    """Context manager: write to a temporary name beside `path`; rename it into place only if all went well."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> str:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, self.temporary = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        except OSError as error:
            raise UserError(
                f"Cannot write {self.path} ({error.strerror}); choose another file or free the folder."
            ) from error
        os.close(handle)
        return self.temporary

    def __exit__(self, kind, error, trace) -> None:
        if kind is None:
            os.chmod(self.temporary, 0o644)
            os.replace(self.temporary, self.path)
            return
        Path(self.temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise UserError(
                f"Cannot write {self.path} ({error.strerror or error}); free some space or choose another file."
            ) from error


def check_writable(path: Path) -> None:
    """Raise the sentence of a file that cannot be written before hours of training, rather than after."""
    Path(atomic_write(path).__enter__()).unlink()


def read_metadata(name: str | Path) -> dict[str, str]:
    """Return a checkpoint's card without loading its weights."""
    return _open(checkpoint_path(name), tensors=False)[1]


def load_checkpoint(
    name: str | Path, device: torch.device | str = "cpu"
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return the weights (floating-point ones in single precision) and the metadata of a pretrained checkpoint or of a
    file.

    Raises:
        UserError: there is no such file, or it is not whole; the sentence says what to do.
    """
    tensors, metadata = _open(checkpoint_path(name), tensors=True)
    single = {key: torch.float32 if tensor.is_floating_point() else None for key, tensor in tensors.items()}
    return {key: tensor.to(device, single[key]) for key, tensor in tensors.items()}, metadata


def load_into(model: nn.Module, name: str | Path) -> dict[str, str]:
    """Load a checkpoint into `model`, every key of it and nothing else, and return the metadata."""
    tensors, metadata = load_checkpoint(name)
    own = {key: value.shape for key, value in model.state_dict().items()}
    theirs = {key: value.shape for key, value in tensors.items()}
    if own != theirs:
        differing = sorted(set(own.items()) ^ set(theirs.items()))[:2]
        config = metadata.get("config", "unknown sizes")
        raise UserError(
            f"{checkpoint_path(name).name} does not fit this model (for instance {differing[0][0]}); "
            f"build the model with the sizes of its card: {config}."
        )
    model.load_state_dict(tensors)
    return metadata


def _open(path: Path, tensors: bool) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        names = ", ".join(sorted(file.stem for file in PRETRAINED.glob("*.safetensors"))) or "none"
        raise UserError(
            f"There are no weights at {path.name}; give a .safetensors file or a pretrained name ({names})."
        )
    try:
        with safe_open(path, framework="pt") as file:
            loaded = {key: file.get_tensor(key) for key in file.keys()} if tensors else {}  # noqa: SIM118
            return loaded, dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{path.name} is not a whole safetensors file ({error}); it was probably cut off or is another kind of "
            f"file: download or train it again."
        ) from error

"""Files of tensors from anywhere, read so that nothing in them can run and nothing is in memory before it is needed.

There are two kinds. A safetensors file is a list of names and the numbers. A .ckpt or .bin is a Python pickle, a small
program that builds what it holds: PyTorch's restricted reader refuses all but tensors, and we never let it do more.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError

import torch

from stablediff_edu.errors import CourseError


class _Ignored:
    """What stands for the training's bookkeeping in the first published files: it does nothing."""


# sd-v1-4.ckpt, which half the world has, mentions this class of its training beside the tensors
HARMLESS = [(_Ignored, "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint")]


class TensorFile:
    """The tensors of one file: their names and shapes at once, their numbers only when asked for.

    Attributes:
        shapes: name -> shape.
        note: the text to text that a safetensors file may carry; empty for the other kind.

    Raises:
        CourseError: there is no such file, it is cut off, it is something else, or it wants to run something.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        start = _first_bytes(self.path)
        with _one_sentence(self.path, start):
            if start[8:9] == b"{":  # after the length of the list, the list; the name of the file may say anything
                from safetensors import safe_open

                file = safe_open(self.path, framework="pt")
                self._get, self.note = file.get_tensor, dict(file.metadata() or {})
                self.shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            else:
                tensors = _unpickled(self.path, start)
                self._get, self.note = tensors.__getitem__, {}
                self.shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}

    def __getitem__(self, name: str) -> torch.Tensor:
        """Return a tensor, still lying in the file: the system reads the numbers when they are first used."""
        with _one_sentence(self.path, b""):
            return self._get(name)


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(512)
    except OSError as error:
        raise CourseError(f"{path} cannot be read ({error.strerror}); check the name and its permissions.") from error


def _unpickled(path: Path, start: bytes) -> dict[str, torch.Tensor]:
    """Return the tensors of a pickle; a training's file has them, among other things, under "state_dict"."""
    can_stay_on_disk = start.startswith(b"PK")  # all but the oldest are zip archives
    with torch.serialization.safe_globals(HARMLESS), warnings.catch_warnings(action="ignore"):
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=can_stay_on_disk)
    if isinstance(found, dict):
        found = found.get("state_dict", found)
    if not isinstance(found, dict):
        raise ValueError(f"it holds a {type(found).__name__}, no tensors with names")
    return {str(name): tensor for name, tensor in found.items() if isinstance(tensor, torch.Tensor)}


@contextmanager
def _one_sentence(path: Path, start: bytes) -> Iterator[None]:
    """Turn whatever a broken or hostile file leads to into one sentence."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # a damaged pickle can lead to any
        raise CourseError(_why(path, start, error)) from error


def _why(path: Path, start: bytes, error: Exception) -> str:
    text = start.lstrip().lower()
    if not start:
        return f"{path.name} is empty; download it again."
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return (
            f"{path.name} is a web page, not weights: the download was answered with a page, perhaps one that asks for "
            "a login; open its address in a browser and download the file itself."
        )
    if text.startswith(b"version https://git-lfs"):
        return f"{path.name} only says where the weights are (git-lfs): run git lfs pull, or download the file itself."
    if asked := re.search(r"GLOBAL (\S+)", str(error)):  # PyTorch goes on to advise switching its guard off
        return (
            f"{path.name} asks to run {asked[1]}, which weights never need; it was closed, and nothing in it was run: "
            "delete it, and get the same weights as a .safetensors file, which cannot hold code."
        )
    first = str(error).partition("\n")[0].partition(". ")[0]
    reason = f" ({first})" if first and not isinstance(error, UnpicklingError) else ""
    return f"{path.name} is cut off, or is no file of weights at all{reason}; download it again."

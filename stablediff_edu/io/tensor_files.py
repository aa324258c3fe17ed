"""Files of tensors from anywhere, read so that nothing in them can run and nothing is in memory before it is needed.

There are two kinds. A safetensors file is a list of names and values. A .ckpt or .bin is a Python pickle, a small
program that builds what it holds. PyTorch's restricted reader builds tensors only; what a training has left beside them
is replaced by an empty stand-in. What runs programs, and unknown functions, are refused: nothing is ever run.
"""

import re
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from stablediff_edu.errors import UserError

# how PyTorch names what it refuses, and an object that is filled like a dictionary or a list
_ASKED = re.compile(r"GLOBAL (\S+)")
_FILLED = re.compile(r"Can only (SETITEM|append|extend).* got <class '(.+)'>")


class _StandIn:
    """Replaces what is no tensor: accepts any arguments and state, and does nothing."""

    made: type | None = None  # the type of an object that is filled afterwards

    def __new__(cls, *_, **__):
        return cls.made() if cls.made else object.__new__(cls)

    def __init__(self, *_, **__) -> None: ...

    __setstate__ = __init__


# modules whose functions run programs, open files or find other functions: weights never need them
_RUNS = re.compile(
    r"(?:__builtin__|_pickle|_posixsubprocess|asyncio|builtins|codeop?|commands|ctypes|http|imp|importlib|inspect|io"
    r"|marshal|multiprocessing|nt|operator|os|pdb|pickle|pip|pkgutil|posix|profile|pty|runpy|shelve|shutil|signal|site|socket"
    r"|ssl|subprocess|sys|tempfile|threading|timeit|trace|urllib|webbrowser|zipimport)\..+|[a-z_]+"  # eval, exec, …
)
# plain types, how known libraries store values, and classes of any module
_DATA = re.compile(
    r"bool|bytes|dict|float|frozenset|int|list|object|range|slice|str|tuple|type|(?:.+\.)?_*[A-Z]\w*"
    r"|(?:argparse|collections|copyreg|datetime|decimal|enum|fractions|numpy|omegaconf|pathlib|types|uuid)\..+"
)


class TensorFile:
    """The tensors of one file: their names and shapes at once, their numbers only when asked for.

    Attributes:
        shapes: name -> shape.
        note: the text to text that a safetensors file may carry; empty for the other kind.

    Raises:
        UserError: there is no such file, it is cut off, it is something else, or it wants to run something.
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
        raise UserError(f"{path} cannot be read ({error.strerror}); check the name and its permissions.") from error


def _unpickled(path: Path, start: bytes) -> dict[str, torch.Tensor]:
    """Return the tensors of a pickle; a training's file has them, among others, under "state_dict"."""
    can_stay_on_disk = start.startswith(b"PK")  # all but the oldest are zip archives
    stand_ins: dict[str, Any] = {}
    while True:  # the reader names the first class that it does not know
        safe: list[Any] = [
            (stand_in, prefix + name) for name, stand_in in stand_ins.items() for prefix in ("", "builtins.")
        ]
        try:
            with torch.serialization.safe_globals(safe), warnings.catch_warnings(action="ignore"):
                found = torch.load(path, map_location="cpu", weights_only=True, mmap=can_stay_on_disk)
            break
        except UnpicklingError as error:
            asked, filled = _ASKED.search(str(error)), _FILLED.search(str(error))
            if asked and asked[1] not in stand_ins and _is_data(asked[1]):
                name, made = asked[1], None
            elif filled and filled[2] in stand_ins and not stand_ins[filled[2]].made:
                name, made = filled[2], OrderedDict if filled[1] == "SETITEM" else list
            else:
                raise
            stand_ins[name] = type(name, (_StandIn,), {"made": made, "__module__": "builtins"})
    if isinstance(found, dict):
        found = found.get("state_dict", found)
    if not isinstance(found, dict):
        raise ValueError(f"it holds a {type(found).__name__}, no tensors with names")
    return {str(name): tensor for name, tensor in found.items() if isinstance(tensor, torch.Tensor)}


def _is_data(name: str) -> bool:
    """Tell whether a name in a pickle stands for data; "eval" or "int" are builtins."""
    return bool(_DATA.fullmatch(name)) and ("." not in name or not _RUNS.fullmatch(name))


@contextmanager
def _one_sentence(path: Path, start: bytes) -> Iterator[None]:
    """Turn whatever a broken or hostile file leads to into one sentence."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # a damaged pickle can lead to any
        raise UserError(_reason(path, start, error)) from error


def _reason(path: Path, start: bytes, error: Exception) -> str:
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
    if asked := _ASKED.search(str(error)):  # PyTorch goes on to advise switching its guard off
        if _RUNS.fullmatch(asked[1]):
            return (
                f"{path.name} asks to run {asked[1]}, which weights never need, so it is hostile; it was closed, and "
                "nothing in it was run: delete it, and get the weights as a .safetensors file, which cannot hold code."
            )
        return (
            f"{path.name} holds {asked[1]}, which is not allowed here, though it may be harmless; nothing in it was "
            "run: get the same weights as a .safetensors file, which holds tensors only."
        )
    first = str(error).partition("\n")[0].partition(". ")[0]
    reason = f" ({first})" if first and not isinstance(error, UnpicklingError) else ""
    return f"{path.name} is cut off, or is no file of weights at all{reason}; download it again."

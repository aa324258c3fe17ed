"""The checkpoint of a training: everything that it needs to go on as if it had not been stopped."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import torch

from stablediff_edu.errors import UserError
from stablediff_edu.io.checkpoint import atomic_write


def fingerprint(config: Any, *data: torch.Tensor | str, version: int = 1) -> dict[str, str]:
    """Return what identifies a training; two trainings with equal ones do the same.

    Args:
        config: a dataclass with the numbers of the training.
        data: the tensors that it learns from, whose content counts, or what these are made of.
        version: of the code; to be raised when batches or loss change their meaning.
    """
    digest = hashlib.sha256()
    for part in data:
        if isinstance(part, torch.Tensor):
            digest.update(f"{tuple(part.shape)} {part.dtype}".encode())
            digest.update(part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        else:
            digest.update(part.encode())
    numbers = {field.name: repr(getattr(config, field.name)) for field in dataclasses.fields(config)}
    return numbers | dict(task=f"{type(config).__name__} {version}", data=digest.hexdigest())


def save(path: Path, plan: dict[str, str], state: dict) -> None:
    """Write a checkpoint; if that fails, the one before stays, and a line says so: no training ends for it."""
    try:
        with atomic_write(path) as temporary:
            torch.save(_on_cpu(state) | dict(plan=plan), temporary)
    except (UserError, RuntimeError) as error:  # torch's own writer says "file write failed" in a RuntimeError
        what = error if isinstance(error, UserError) else f"Cannot write {path} ({str(error).splitlines()[0]})."
        print(f"\nThe progress was not saved: {what} The training goes on.", flush=True)


def _on_cpu(state: Any) -> Any:
    """Return the state with all of its tensors on the CPU, so that a training can go on on another device."""
    if isinstance(state, torch.Tensor):
        return state.cpu()
    if isinstance(state, dict):
        return {key: _on_cpu(value) for key, value in state.items()}
    return type(state)(map(_on_cpu, state)) if type(state) in (list, tuple) else state


def load(path: Path, plan: dict[str, str]) -> dict | None:
    """Return the state of a checkpoint, on the CPU, or None if there is none.

    Raises:
        UserError: it cannot be read, or belongs to another training; the sentence names what differs.
    """
    if not path.exists():
        return None
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        other = dict(state["plan"])
    except Exception as error:  # torch raises a dozen kinds here
        raise broken(path) from error
    differing = [name for name in other | plan if other.get(name) != plan.get(name)]
    if differing:
        shown = ", ".join(
            name if name == "data" else f"{name} {other.get(name)} instead of {plan.get(name)}" for name in differing
        )
        raise UserError(
            f"{path.name} belongs to another training, with other {shown}; resume that one, or delete it to start "
            "again."
        )
    return state


def broken(path: Path) -> UserError:
    """Return the error of a file that is no checkpoint."""
    return UserError(
        f"{path.name} is not a checkpoint of this training; delete it to begin again, or name another file."
    )

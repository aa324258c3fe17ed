"""Where to compute, how big to go, and how to get the same image twice."""

import html
import os
import random
import sys
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from stablediff_edu.errors import UserError


def pick_device() -> torch.device:
    """Return the device named by ``STABLEDIFF_DEVICE``, else the best one here: cuda, then mps, then cpu.

    Raises:
        UserError: the variable names a device that this machine does not have, or that torch cannot compute on.
    """
    counts = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available()), "cpu": 1}
    available = [name for name, count in counts.items() if count]
    requested = os.environ.get("STABLEDIFF_DEVICE", "").strip().lower()
    if not requested:
        return torch.device(next(name for name in available if name == "cpu" or runs_kernels(name)))
    name, colon, index = requested.partition(":")
    exists = name in available and (not colon or (index.isdecimal() and int(index) < counts[name]))
    if not exists or (name != "cpu" and not runs_kernels(requested)):
        reason = "for which this torch has no kernels" if exists else "which this machine does not have"
        raise UserError(f"STABLEDIFF_DEVICE is {requested!r}, {reason}; set it to one of: {', '.join(available)}.")
    return torch.device(requested)


@cache
def runs_kernels(name: str) -> bool:
    """Return whether a device computes at all; torch sees GPUs that are too old or too new for its kernels, too."""
    try:
        ones = torch.ones(2, 2, device=name)
        return (ones @ ones + 1).sum().item() == 12
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        print(f"torch cannot compute on {name} here ({reason}); another torch build may", file=sys.stderr)
        return False


def device_of(model: object) -> torch.device:
    """Return the device of a network's weights; a function without weights computes on the CPU."""
    weight = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    return torch.device("cpu") if weight is None else weight.device


def to_device(x: torch.Tensor, device: torch.device | str, **options: Any) -> torch.Tensor:
    """Move a tensor to a device; on CUDA the copy goes through pinned memory, and the CPU does not wait for it."""
    device = torch.device(device)
    if x.device.type != "cpu" or device.type in ("cpu", "mps"):  # there the copy could be read before it is done
        return x.to(device, **options)
    return (x.pin_memory() if device.type == "cuda" else x).to(device, non_blocking=True, **options)


def randn_like(x: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
    """Return noise with the shape, precision and device of `x`.

    It is sampled where the generator is, on the CPU by default: one seed then gives the same noise on every device.
    """
    source = "cpu" if generator is None else generator.device
    return to_device(torch.randn(x.shape, generator=generator, dtype=x.dtype, device=source), x.device)


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all of its work: only then does a clock show how long it took."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def set_num_threads() -> int:
    """Let torch use ``STABLEDIFF_THREADS`` threads if that is set, and return how many it uses."""
    wanted = os.environ.get("STABLEDIFF_THREADS", "").strip()
    if wanted:
        if not wanted.isdigit() or int(wanted) < 1:
            raise UserError(f"STABLEDIFF_THREADS is {wanted!r}; set it to a whole number of threads, such as 2.")
        torch.set_num_threads(int(wanted))
    return torch.get_num_threads()


def seed_everything(seed: int = 0) -> torch.Generator:
    """Seed Python, numpy and torch, and return a CPU generator with the same seed.

    On a CPU the same machine, seed, preset and number of threads then give the same images twice, bit for bit. On CUDA
    convolutions are deterministic, but not the gradients of attention; on MPS nothing is enforced.
    """
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    return torch.Generator().manual_seed(seed)


def preset() -> str:
    """Return ``"quick"`` (two CPU cores, a minute or two) or ``"full"`` (a GPU; the video's own sizes).

    ``STABLEDIFF_PRESET`` decides; without it the preset is quick. The tests of the course set it to ``"test"``: quick,
    with trainings too short to learn anything.
    """
    name = os.environ.get("STABLEDIFF_PRESET", "quick").strip().lower() or "quick"
    if name not in ("quick", "full", "test"):
        raise UserError(f"STABLEDIFF_PRESET is {name!r}; set it to quick or full.")
    return name


def setup_notebook(
    quick: dict[str, Any], full: dict[str, Any], data: str = "", seed: int = 0, test: dict[str, Any] | None = None
) -> SimpleNamespace:
    """Open a notebook: seed everything, print where and how large it will run, and return the preset's values.

    Args:
        quick: the values of the quick preset; ``minutes`` (expected, for the whole notebook) must be among them.
        full: the same names with the full preset's values. Presets differ in values, never in code.
        data: one line on which data the notebook uses.
        seed: for :func:`seed_everything`.
        test: those values that differ from quick where the course is tested.

    Returns:
        A namespace with the chosen values, and with ``preset`` and ``device``.
    """
    from IPython.display import display

    if quick.keys() != full.keys():
        raise ValueError(f"quick and full must have the same names, not {sorted(quick.keys() ^ full.keys())}")
    seed_everything(seed)
    if colab := sys.modules.get("google.colab"):
        colab.output.enable_custom_widget_manager()  # without it, Colab does not show the panels
    name, device = preset(), pick_device()
    print(f"device   {device} · {set_num_threads()} CPU threads · torch {torch.__version__.partition('+')[0]}")
    print(f"preset   {name}   (STABLEDIFF_PRESET=quick|full)")
    if data:
        print(f"data     {data}")
    print(f"expected {quick['minutes']} min quick on 2 CPU cores · {full['minutes']} min full on a GPU")
    rows = [key for key in quick if key != "minutes"]
    width = max(map(len, rows), default=0)
    lines = [f"{'':{width}}  {'quick':<24} full"]
    lines += [f"{key:{width}}  {quick[key]!s:<24} {full[key]!s}" for key in rows]
    table = "\n".join(lines)
    folded = f"<details><summary>settings of the presets</summary><pre>{html.escape(table)}</pre></details>"
    display({"text/html": folded, "text/plain": table}, raw=True)
    values = {"quick": quick, "full": full, "test": quick | (test or {})}[name]
    return SimpleNamespace(preset=name, device=device, **values)

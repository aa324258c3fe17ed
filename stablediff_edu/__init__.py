"""stablediff_edu: Stable Diffusion built from nothing.

``import stablediff_edu as sd`` is cheap: each name below is imported from its room when it is first used.
"""

import importlib

__version__ = "0.1.0"

# name -> the module (below stablediff_edu) where it lives
_ROOMS = {
    "CourseError": "errors",
    "begin": "device",
    "pick_device": "device",
    "seed_everything": "device",
    "show": "display.figures",
}
_MODULES = ("layers", "models", "datasets", "training", "weights", "display")


def __getattr__(name: str):
    if name in _ROOMS:
        return getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_ROOMS, *_MODULES])

"""torchvision, also where its compiled part does not fit torch.

With a CPU-only torch and a torchvision built for CUDA (the package index may hand out this pair) ``import torchvision``
dies with ``operator torchvision::nms does not exist``. The course needs its data sets, transforms and utilities only.
They are pure Python, so it is enough to declare the two operators that the import asks about.
"""

import importlib
import sys
from types import ModuleType

from stablediff_edu.errors import UserError

_OPERATORS = ("nms", "qnms")  # non-maximum suppression of boxes; nothing in the course calls it
_library = None  # declarations last as long as this object does


def import_torchvision() -> ModuleType:
    """Return ``torchvision`` with datasets, transforms and utils working; always import it through this.

    Raises:
        UserError: torchvision is missing or fails for another reason.
    """
    global _library
    try:
        return importlib.import_module("torchvision")
    except ImportError as error:
        raise UserError("torchvision cannot be imported; set the course up again with: make lab.") from error
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise UserError(f"torchvision does not fit this torch ({error}); run: make lab.") from error
    import torch

    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # what the failed import left behind
    _library = torch.library.Library("torchvision", "DEF")
    for name in _OPERATORS:
        _library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return importlib.import_module("torchvision")

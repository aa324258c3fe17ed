"""stablediff_edu: Stable Diffusion built from scratch.

``import stablediff_edu as sd`` is cheap: a public name (``__init__.pyi`` lists them) is imported at its first use.
"""

import contextlib

__version__ = "0.1.0"

with contextlib.suppress(ImportError):  # so that `doctor` can say that it is missing
    import lazy_loader

    __getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""A pretended accelerator: tensors on a device "lazy:0" that compute on the CPU, and refuse what a GPU refuses.

    with accelerator() as device, device.counted() as synchronizations: ...

Values and gradients are real; only speed and rounding are the CPU's. Tensors of two devices cannot be mixed, a CPU
generator draws no tensor there, and every operation that makes the CPU wait for a GPU is counted. With `mps` float64
raises as well, as on Apple silicon. torch makes tensors of the device "lazy" on a CPU build, autograd runs them in the
calling thread, and the index 0 keeps it from asking for a driver.

It sees one thread: the one that has entered it.
"""

import importlib
import pkgutil
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import ClassVar

import torch
import torch.utils._device
from torch.utils._python_dispatch import TorchDispatchMode

DEVICE = torch.device("lazy:0")
aten = torch.ops.aten
COPIES = {aten._to_copy.default, aten.copy_.default}
INDEXING = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default}
WAITING = {  # the result's value, or its shape, is needed on the CPU
    aten._local_scalar_dense.default, aten.is_nonzero.default, aten.nonzero.default, aten.equal.default,
    aten.masked_select.default, aten._unique2.default, aten.bincount.default, aten.repeat_interleave.Tensor,
}  # fmt: skip
MIXED = "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"


class Accelerated(torch.Tensor):
    """A tensor of the accelerator; `values` is the CPU tensor behind it."""

    @staticmethod
    def __new__(cls, values: torch.Tensor):
        made = torch.Tensor._make_wrapper_subclass(
            cls, values.size(), strides=values.stride(), storage_offset=values.storage_offset(), dtype=values.dtype,
            layout=values.layout, device=DEVICE, requires_grad=False,
        )  # fmt: skip
        made.values = values
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    def __getitem__(self, index):
        return super().__getitem__(_indices(index))

    def tolist(self):
        Accelerator.current.counter["tolist"] += 1
        return self.values.tolist()

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.dim() == 0 else repr(self)

    def numpy(self, **_):
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor first.")

    __array__ = numpy

    def new_tensor(self, data, **options):
        return torch.tensor(data, **dict(dtype=self.dtype, device=DEVICE) | options)

    def __setitem__(self, index, value):
        super().__setitem__(_indices(index), value)

    def __repr__(self, *, tensor_contents=None) -> str:
        return f"Accelerated({self.values!r})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return Accelerator.current._run(func, args, kwargs or {})


class Accelerator(TorchDispatchMode):
    """The mode in which the device is there."""

    current: "Accelerator"

    def __init__(self, mps: bool = False) -> None:
        super().__init__()
        self.mps, self.counter = mps, Counter()
        Accelerator.current = self

    def __enter__(self):
        torch.utils._device._device_constructors()  # caches torch.tensor for `with torch.device(...)`
        self.replaced = {name: getattr(torch, name) for name in ("tensor", "as_tensor")}
        for name, make in self.replaced.items():
            setattr(torch, name, partial(_made_and_moved, make))
        torch.__future__.set_overwrite_module_params_on_conversion(True)  # `parameter.data = …` would leave the values
        return super().__enter__()

    def __exit__(self, *error) -> None:
        for name, make in self.replaced.items():
            setattr(torch, name, make)
        torch.__future__.set_overwrite_module_params_on_conversion(False)
        super().__exit__(*error)

    @contextmanager
    def counted(self) -> Iterator[Counter]:
        """Count the synchronizations of a block: name of the operation -> how many."""
        before, self.counter = self.counter, Counter()
        try:
            yield self.counter
        finally:
            self.counter = before

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return self._run(func, args, kwargs or {})

    def _run(self, func, args: tuple, kwargs: dict):
        tensors: list[torch.Tensor] = []
        plain_args, plain_kwargs = _plain(args, tensors), _plain(kwargs, tensors)
        there = [x for x in tensors if isinstance(x, Accelerated)]
        target = kwargs.get("device")
        result_there = bool(there) if target is None else torch.device(target).type == DEVICE.type
        if there or result_there or kwargs.get("generator") is not None:
            self._refuse(func, args, kwargs, tensors, there, result_there)
            self._count(func, args, kwargs, tensors, there, result_there)
        if target is not None and result_there:
            plain_kwargs["device"] = torch.device("cpu")
        if kwargs.get("pin_memory"):
            plain_kwargs["pin_memory"] = False
        result = func(*plain_args, **plain_kwargs)
        if func is aten.copy_.default:
            return args[0]
        if func is aten._to_copy.default and result_there and any(result is x for x in plain_args):
            result = result.clone()
        known = {id(x.values): x for x in there}  # in place, or out=
        if isinstance(result, tuple | list):
            return type(result)(self._wrap(x, known, result_there) for x in result)
        return self._wrap(result, known, result_there)

    def _wrap(self, x: object, known: dict, result_there: bool):
        if not isinstance(x, torch.Tensor) or isinstance(x, Accelerated):
            return x
        if id(x) in known:
            return known[id(x)]
        if result_there and self.mps and x.dtype in (torch.float64, torch.complex128):
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return Accelerated(x) if result_there else x

    def _refuse(self, func, args, kwargs, tensors, there, result_there) -> None:
        generator = kwargs.get("generator")
        if generator is not None and result_there != (generator._cdata in Generator.made):
            raise RuntimeError(f"Expected a {'cuda' if result_there else 'cpu'!r} device type for generator")
        if func is aten._to_copy.default and self.mps and there and kwargs.get("dtype") == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")  # also on its way to the CPU
        if not there or func in COPIES:
            return
        others = [x for x in tensors if not isinstance(x, Accelerated) and x.dim() > 0]
        if others and not (func in INDEXING and isinstance(args[0], Accelerated)):
            raise RuntimeError(f"{MIXED} ({func}, {[tuple(x.shape) for x in others]})")

    def _count(self, func, args, kwargs, tensors, there, result_there) -> None:
        waits = func in WAITING
        if func in INDEXING:
            indices = [x for x in args[1] if isinstance(x, torch.Tensor)]
            waits = any(not isinstance(x, Accelerated) or x.dtype in (torch.bool, torch.uint8) for x in indices)
        if func is aten._to_copy.default and bool(there) != result_there:
            waits = bool(there) or not kwargs.get("non_blocking")
        if func is aten.copy_.default and len(there) == 1:
            non_blocking = args[2] if len(args) > 2 else kwargs.get("non_blocking")
            waits = isinstance(args[1], Accelerated) or not non_blocking
        if waits:
            self.counter[str(func)] += 1


def _plain(x, tensors: list[torch.Tensor]):
    """Return arguments with the CPU tensors behind those of the device, and note all tensors."""
    if isinstance(x, torch.Tensor):
        tensors.append(x)
        return x.values if isinstance(x, Accelerated) else x
    if isinstance(x, dict):
        return {key: _plain(value, tensors) for key, value in x.items()}
    return type(x)([_plain(value, tensors) for value in x]) if type(x) in (list, tuple) else x


def _indices(index):
    """Turn lists into tensors of the device: torch would do it where no mode is asked."""
    if isinstance(index, tuple):
        return tuple(map(_indices, index))
    return torch.tensor(index).to(DEVICE) if isinstance(index, list) else index


def _made_and_moved(make, data, *, device=None, **options) -> torch.Tensor:
    """`torch.tensor` makes tensors where no mode is asked: make them on the CPU, then move them."""
    if isinstance(data, Accelerated) or device is None:
        return make(data, **options) if device is None else make(data, device=device, **options)
    return make(data, **options).to(device)


class Generator(torch.Generator):
    """A generator of the accelerator."""

    device = DEVICE  # torch itself makes none
    made: ClassVar[dict] = {}  # a dispatch mode is given another object for the same generator; these stay alive

    def __init__(self) -> None:
        super().__init__()
        self.made[self._cdata] = self


def use(replace=setattr, imported: bool = True) -> None:
    """Let the package pick this device, and torch's fused optimizers believe in it.

    Args:
        replace: (object, name, value), such as the method of pytest's `monkeypatch`.
        imported: False where no other module of the package is imported yet: they will be given the new function.
    """

    import stablediff_edu.config

    if imported:
        for module in pkgutil.walk_packages(stablediff_edu.__path__, "stablediff_edu."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    for name, module in list(sys.modules.items()):
        if name.startswith("stablediff_edu") and "pick_device" in vars(module):
            replace(module, "pick_device", lambda: DEVICE)
        if name.startswith("torch.") and "_get_fused_kernels_supported_devices" in vars(module):
            replace(module, "_get_fused_kernels_supported_devices", lambda: ["cpu", DEVICE.type])

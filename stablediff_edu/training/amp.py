"""Half precision where the device computes faster with it; weights, sums and losses stay in float32."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel


def has_bfloat16(device: torch.device) -> bool:
    """Return whether the device computes faster in bfloat16 than in float32.

    A CPU needs matrix units for it (Intel's AMX): with AVX-512 alone bfloat16 takes 1.4 times the time of float32.
    """
    if device.type == "cpu":
        return torch.cpu._is_amx_tile_supported()
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return False


def half_dtype(device: torch.device) -> torch.dtype | None:
    """Return the half precision that the device is fast with: bfloat16, on GPUs before 2020 float16, or none.

    bfloat16 has float32's range. float16 has not: its gradients must be scaled, or small ones become 0.
    """
    if has_bfloat16(device):
        return torch.bfloat16
    if device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0):  # V100 and T4
        return torch.float16
    return None


@contextmanager
def autocast_half(wanted: bool, device: torch.device) -> Iterator[None]:
    """Compute convolutions and matrix products in the device's half precision, if wanted and if it has one."""
    dtype = half_dtype(device) if wanted else None
    slow = dtype is not None and device.type == "cpu"  # there attention in one piece is slow, in steps it is not
    attention = sdpa_kernel(SDPBackend.MATH) if slow else nullcontext()
    with torch.autocast(device.type, dtype, enabled=True) if dtype else nullcontext(), attention:
        yield


def make_scaler(wanted: bool, device: torch.device) -> torch.amp.GradScaler:
    """Return what scales the gradients of float16 (Micikevicius et al., 2018); for other precisions it does nothing."""
    return torch.amp.GradScaler(device.type, enabled=wanted and half_dtype(device) is torch.float16)


def to_fast_layout(model: nn.Module, device: torch.device, half: bool = False, cpu: bool = True) -> None:
    """Move a network to the device, in the layout with which it is fastest there, see `memory_format`."""
    model.to(device=device, memory_format=memory_format(device, half, cpu))  # type: ignore[call-overload]  # torch's stub lacks it


def memory_format(device: torch.device, half: bool = False, cpu: bool = True) -> torch.memory_format:
    """Return the layout with which convolutions are fastest: channels last on CUDA, and on a CPU in float32.

    Args:
        half: whether they are computed in half precision.
        cpu: False for networks that are slower with it on a CPU, such as the autoencoder (by a tenth).
    """
    fast = device.type == "cuda" or (device.type == "cpu" and cpu and not (half and half_dtype(device)))
    return torch.channels_last if fast else torch.contiguous_format

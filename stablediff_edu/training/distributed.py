"""Several processes that train one network together, as `torchrun` starts them; alone, all of this does nothing.

Every process draws the same batch, computes the gradient of its share, and follows the mean of all gradients. So the
networks stay the same, and the training is that of one process with the whole batch.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as together
from torch import nn


@contextmanager
def processes() -> Iterator[None]:
    """Join the other processes that `torchrun` has started, and part from them at the end."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    together.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        together.destroy_process_group()


def count() -> int:
    """Return how many processes train."""
    return together.get_world_size() if together.is_initialized() else 1


def is_first() -> bool:
    """Tell whether this is the process that speaks and writes files."""
    return count() == 1 or together.get_rank() == 0


def own_share(rows: torch.Tensor) -> torch.Tensor:
    """Return this process' share of a batch; all shares must be of the same size."""
    return rows if count() == 1 else rows.chunk(count())[together.get_rank()]


def average_gradients(model: nn.Module) -> None:
    """Put the mean over all processes in the place of each gradient: one message, for many small ones wait longer."""
    if count() > 1:
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        whole = torch.cat([gradient.flatten() for gradient in gradients])
        together.all_reduce(whole)
        whole /= count()
        for gradient, mean in zip(gradients, whole.split([gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(mean.view(gradient.shape))


def average(value: torch.Tensor) -> torch.Tensor:
    """Return the mean of a number over all processes."""
    value = value.detach()
    if count() > 1:
        value = value.clone()
        together.all_reduce(value)
        value /= count()
    return value

"""Several processes that train one network together, as `torchrun` starts them; alone, all of this does nothing.

Every process draws the same batch and its noise, computes the gradient of its share, and follows the mean of all
gradients. So the networks stay the same, and the training is that of one process with the whole batch.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as together
from torch import nn

from stablediff_edu.config import pick_device, to_device
from stablediff_edu.errors import UserError

LONGEST_WAIT = timedelta(hours=2)  # of one process for another, which renders scenes or evaluates samples


def launched_processes() -> int:
    """Return how many processes `torchrun` has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", 1))


def require_single_process(what: str) -> None:
    """Raise the sentence of a training that one process does alone."""
    if launched_processes() > 1:
        raise UserError(f"{what} is trained by one process; start it with python, without torchrun.")


def check_batch(*batch_sizes: int) -> None:
    """Raise the sentence of a batch that cannot be shared out equally among the processes."""
    for size in batch_sizes:
        if size % launched_processes():
            raise UserError(
                f"A batch of {size} cannot be shared out among {launched_processes()} processes; start another "
                f"number of them."
            )


@contextmanager
def distributed() -> Iterator[None]:
    """Join the other processes that `torchrun` has started, and part from them at the end.

    Raises:
        UserError: the device does not serve several processes.
    """
    if launched_processes() == 1 or together.is_initialized():  # a part of a training that has joined them
        yield
        return
    device, own = pick_device(), int(os.environ["LOCAL_RANK"])
    if device.type not in ("cuda", "cpu"):
        raise UserError(f"Several processes cannot train on {device.type}; set STABLEDIFF_DEVICE=cpu, or start one.")
    if device.type == "cuda":
        if device.index is not None:
            raise UserError(f"STABLEDIFF_DEVICE is {device}, one GPU for all processes; set it to cuda.")
        if own >= torch.cuda.device_count():
            raise UserError(
                f"There are {torch.cuda.device_count()} GPUs for {os.environ['LOCAL_WORLD_SIZE']} processes; start one "
                "process a GPU."
            )
        torch.cuda.set_device(own)
    together.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=LONGEST_WAIT)
    try:
        yield
    finally:
        together.destroy_process_group()


def world_size() -> int:
    """Return how many processes train."""
    return together.get_world_size() if together.is_initialized() else 1


def is_main_process() -> bool:
    """Tell whether this is the process that speaks and writes files."""
    return world_size() == 1 or together.get_rank() == 0


def shard_batch(rows: torch.Tensor) -> torch.Tensor:
    """Return this process' share of a batch; `check_batch` has seen to it that all are of one size."""
    return rows if world_size() == 1 else rows.chunk(world_size())[together.get_rank()]


class _Gather(torch.autograd.Function):
    """All shares, one below the other; the gradient of the own one is the sum of what all processes find for it."""

    @staticmethod
    def forward(ctx, share: torch.Tensor) -> torch.Tensor:
        shares = [torch.empty_like(share) for _ in range(world_size())]
        together.all_gather(shares, share.contiguous())
        return torch.cat(shares)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
        whole = gradient.contiguous().clone()
        together.all_reduce(whole)
        return shard_batch(whole)


def gather(share: torch.Tensor) -> torch.Tensor:
    """Return the rows of all processes, for a loss that compares every row of a batch with every other."""
    return share if world_size() == 1 else _Gather.apply(share)


def sharded_noise(share: torch.Tensor) -> torch.Tensor:
    """Return noise like this process' share of a batch: drawn for the whole batch by all, so that shares differ."""
    whole = (len(share) * world_size(), *share.shape[1:])
    return to_device(shard_batch(torch.randn(whole, dtype=share.dtype)), share.device)


def broadcast_state(model: nn.Module) -> None:
    """Give all processes the first one's weights and the state of its generator."""
    if world_size() > 1:
        for tensor in model.state_dict().values():
            together.broadcast(tensor, 0)
        torch.set_rng_state(broadcast_result(torch.get_rng_state))


def all_reduce_gradients(model: nn.Module) -> None:
    """Put the mean over all processes instead of each gradient: one message, for many small ones wait longer."""
    if world_size() > 1:
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        whole = torch.cat([gradient.flatten() for gradient in gradients])
        together.all_reduce(whole)
        whole /= world_size()
        for gradient, mean in zip(gradients, whole.split([gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(mean.view(gradient.shape))


def all_reduce_mean(value: torch.Tensor) -> torch.Tensor:
    """Return the mean of numbers over all processes."""
    value = value.detach()
    if world_size() > 1:
        value = value.clone()
        together.all_reduce(value)
        value /= world_size()
    return value


def in_turn(make: Callable[[], Any]) -> Any:
    """Return what `make` returns, in the first process of each machine before the others: they find its files."""
    if world_size() == 1:
        return make()
    first = os.environ["LOCAL_RANK"] == "0"
    made = make() if first else None
    together.barrier()
    return made if first else make()


def broadcast_result(make: Callable[[], Any]) -> Any:
    """Return in every process what `make` returns in the first; a UserError is raised in all of them."""
    if world_size() == 1:
        return make()
    found: list = [None]
    if is_main_process():
        try:
            found = [make()]
        except UserError as error:
            found = [error]
    together.broadcast_object_list(found)
    if isinstance(found[0], UserError):
        raise found[0]
    return found[0]

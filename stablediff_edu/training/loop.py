"""The one training loop of the course: every network in it, large or small, is trained by `train`."""

import copy
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from stablediff_edu.config import device_of
from stablediff_edu.errors import UserError
from stablediff_edu.training import distributed, progress
from stablediff_edu.training.amp import make_scaler
from stablediff_edu.training.interrupts import stop_requests
from stablediff_edu.training.optimizers import make_optimizer

READ_EVERY = 20  # steps between two looks at the loss on a GPU, where each look waits for all work so far


class Callback(Protocol):
    """What a training reports to: a bar in the terminal, a live image in a notebook."""

    def begin(self, steps: int, first: int) -> None: ...
    def step(self, step: int, loss: float) -> None: ...
    def snapshot(self, step: int, image: torch.Tensor) -> None: ...
    def end(self, training: "TrainResult") -> None: ...


@dataclass
class TrainResult:
    """What a training leaves behind.

    Attributes:
        losses: one number a step.
        snapshots: (step, tensor) pairs from the `snapshot` function, for replay sliders.
        steps: how many steps were made, those before a resume included.
        seconds: how long they took, those before a resume included.
        interrupted: True if Ctrl-C ended it early. The model then holds what was learned until then.
    """

    losses: list[float] = field(default_factory=list)
    snapshots: list[tuple[int, torch.Tensor]] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def loss(self) -> float:
        """The mean loss of the last steps: steadier than the last one."""
        recent = self.losses[-50:]
        return sum(recent) / max(1, len(recent))


def train(
    model: nn.Module,
    batches: Iterator[Any],
    loss: Callable[[Any, Any], torch.Tensor],
    *,
    steps: int,
    learning_rate: float = 1e-3,
    beta2: float = 0.999,
    warmup: int = 20,
    weight_decay: float = 0.0,
    clip: float = 1.0,
    optimizer: str = "adamw",
    ema: float | None = 0.999,
    half: bool = False,
    snapshot: Callable[[nn.Module], torch.Tensor] | None = None,
    snapshot_at: Callable[[int], bool] | None = None,
    callback: Callback | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = 120.0,
    about: dict[str, str] | None = None,
) -> TrainResult:
    """Train `model` in place and return the record; Ctrl-C ends it after the step, with what was learned.

    Each step takes a batch, computes the loss, and lets AdamW follow the gradient (clipped to length `clip`), with a
    learning rate that warms up and then falls along a cosine to 0. At the end the model holds the exponential moving
    average of its weights (EMA), which is steadier than the last step's.

    A training that was stopped and resumed ends with the same weights as one that was not, if `batches` and `loss`
    take all their chance from torch's own generator, or `batches` has `state_dict` and `load_state_dict`, and
    `snapshot` takes none of it. SIGTERM saves the progress and ends the process. Where `torchrun` has started several
    processes, each passes its share of the batch (`distributed.shard_batch`), and one of them writes the files.

    Args:
        model: any network; it stays on its device.
        batches: gives a batch whenever asked; anything that `loss` understands.
        loss: (model, batch) -> one number.
        steps: how many steps in all, those before a resume included.
        learning_rate: AdamW's, at its highest; with "muon" the matrices inside have one of their own, `MUON_LR`.
        beta2: how slowly AdamW's measure of the gradients' size changes; 0.99 suits runs of some hundred steps.
        optimizer: "adamw", or "muon" for the matrices inside (see `optimizers`): dearer a step, but far fewer steps.
        ema: the highest decay of the average; at step n it is min(ema, (1 + n) / (10 + n)), so that short runs work.
            None trains without an average.
        half: whether `loss` computes with `autocast_half`.
        snapshot: (averaged model) -> tensor to keep; called without gradients.
        snapshot_at: which steps to take a snapshot at; by default about 20 steps, dense at the beginning.
        callback: what to report to; a bar in the terminal if not given.
        checkpoint: a file to save progress to and to resume from if it is there. It also holds the end: whoever
            calls removes it once the weights are safe.
        checkpoint_seconds: how often.
        about: the `fingerprint` of the training; a checkpoint with another one is refused.

    Raises:
        UserError: the loss is no longer a number, or the checkpoint belongs to another training.
    """
    callback = callback or (ProgressBar() if distributed.is_main_process() else NullCallback())
    snapshot_at = snapshot_at or sample_steps(steps)
    plan = dict(about or {}, steps=str(steps))
    path = Path(checkpoint) if checkpoint else None
    state = distributed.broadcast_result(lambda: progress.load(path, plan) if path else None)
    device = device_of(model)
    calmer = f"a lower learning rate than {learning_rate:g}" + (", or AdamW" if optimizer == "muon" else "")
    updates, scaler = make_optimizer(optimizer, model, learning_rate, beta2, weight_decay), make_scaler(half, device)
    rates = [group["lr"] for group in updates.param_groups]
    distributed.broadcast_state(model)
    average = copy.deepcopy(model).requires_grad_(False) if ema is not None else model
    training = TrainResult()
    parts: dict[str, Any] = dict(model=model, average=average, optimizer=updates, scaler=scaler)
    if hasattr(batches, "state_dict"):  # it has chance and a position of its own
        parts["batches"] = batches
    if state and path:
        _restore(path, state, training, parts)
    started, saved = time.monotonic() - training.seconds, time.monotonic()
    every = 1 if device.type == "cpu" else READ_EVERY
    unread: list[torch.Tensor] = []  # losses that are still on the device
    rng = rng_state(parts)  # as it was after the last whole step

    def read_losses() -> None:
        """Read what the loss was since the last time: nothing else in a step makes the CPU wait for the device."""
        asked = torch.full_like(unread[0], bool(request.signal))  # all processes stop where one is asked to
        *losses, asked = distributed.all_reduce_mean(torch.stack([*unread, asked])).tolist()
        unread.clear()
        training.interrupted = asked > 0
        training.seconds = time.monotonic() - started
        first = len(training.losses)
        for step, value in enumerate(losses, first):
            if not math.isfinite(value):
                raise UserError(f"The loss is {value} at step {step}; use {calmer}.")
        training.losses += losses
        for step, value in enumerate(losses, first + 1):
            callback.step(step, value)

    def stop_now() -> bool:
        """One process stops after any step; of several all after the same one, when they have read the losses."""
        return training.interrupted or (distributed.world_size() == 1 and bool(request.signal))

    def take_snapshot() -> None:
        assert snapshot is not None
        average.eval()
        with torch.no_grad():
            image = snapshot(average)
        training.snapshots.append((training.steps, image.cpu()))
        callback.snapshot(training.steps, image)
        average.train(average is model)

    def snapshot_due() -> bool:
        taken = training.snapshots and training.snapshots[-1][0] == training.steps  # before a resume
        return snapshot is not None and not taken and (training.steps == 0 or snapshot_at(training.steps))

    def save(path: Path) -> None:
        states = {name: part.state_dict() for name, part in parts.items()} | rng
        progress.save(path, plan, vars(training) | states)

    callback.begin(steps, training.steps)
    model.train()
    with stop_requests() as request:
        try:
            if snapshot_due():
                take_snapshot()
            while training.steps < steps and not stop_now():
                for group, rate in zip(updates.param_groups, rates, strict=True):
                    group["lr"] = rate * lr_factor(training.steps, steps, warmup)
                value = loss(model, next(batches))
                updates.zero_grad(set_to_none=True)
                scaler.scale(value).backward()
                distributed.all_reduce_gradients(model)
                scaler.unscale_(updates)
                nn.utils.clip_grad_norm_(model.parameters(), clip)
                scaler.step(updates)
                scaler.update()
                if ema is not None:
                    update_ema(average, model, min(ema, (1 + training.steps) / (10 + training.steps)))
                training.steps += 1
                unread.append(value.detach())
                rng, look = rng_state(parts), snapshot_due()
                if training.steps % every == 0 or training.steps == steps or look or stop_now():
                    read_losses()
                if look:
                    take_snapshot()
                if (
                    path
                    and distributed.is_main_process()
                    and not unread
                    and time.monotonic() - saved > checkpoint_seconds
                ):
                    save(path)
                    saved = time.monotonic()
        except KeyboardInterrupt:  # raised by the batches, the loss or the observer: the step does not count
            training.interrupted = True
        interrupted = training.interrupted or stop_now()
        if unread:
            read_losses()
        training.interrupted = interrupted and training.steps < steps
        if path and distributed.is_main_process():
            save(path)
    if request.signal == signal.SIGTERM:
        raise SystemExit(128 + signal.SIGTERM)
    if average is not model:
        model.load_state_dict(average.state_dict())
    model.eval()
    callback.end(training)
    return training


def lr_factor(step: int, steps: int, warmup: int) -> float:
    """Return the share of the learning rate at a step: up in a line, then down along half a cosine."""
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return 0.5 * (1 + torch.cos(torch.tensor(progress * torch.pi)).item())


def sample_steps(steps: int, count: int = 20) -> Callable[[int], bool]:
    """Return which steps to look at: about `count` of them, close together at the beginning, where most happens."""
    chosen = {round(steps * (number / count) ** 2) for number in range(1, count + 1)}
    return lambda step: step in chosen


@torch.no_grad()
def update_ema(average: nn.Module, model: nn.Module, decay: float) -> None:
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)  # in one launch
    for kept, new in zip(average.buffers(), model.buffers(), strict=True):
        kept.copy_(new)


def rng_state(parts: dict[str, Any]) -> dict[str, Any]:
    """Return the state of torch's generator and of what draws the batches."""
    own = {"batches": parts["batches"].state_dict()} if "batches" in parts else {}
    return {"random": torch.get_rng_state()} | own


def _restore(path: Path, state: dict, training: TrainResult, parts: dict[str, Any]) -> None:
    try:
        for name, part in parts.items():
            part.load_state_dict(state[name])
        torch.set_rng_state(state["random"])
        for name in vars(training):
            setattr(training, name, state[name])
        training.snapshots, training.interrupted = [(step, image) for step, image in training.snapshots], False
    except Exception as error:
        raise progress.broken(path) from error


class NullCallback:
    """Watches nothing: for all processes but the first."""

    def begin(self, steps: int, first: int) -> None: ...
    def step(self, step: int, loss: float) -> None: ...
    def snapshot(self, step: int, image: torch.Tensor) -> None: ...
    def end(self, training: TrainResult) -> None: ...


class ProgressBar:
    """A progress bar on standard output, with the loss and the time left."""

    def begin(self, steps: int, first: int) -> None:
        from tqdm import tqdm

        self.bar = tqdm(total=steps, initial=first, file=sys.stdout, unit="step", mininterval=1.0, dynamic_ncols=True)
        self.mean: float | None = None

    def step(self, step: int, loss: float) -> None:
        self.mean = loss if self.mean is None else 0.98 * self.mean + 0.02 * loss
        self.bar.set_postfix_str(f"loss {self.mean:.4f}", refresh=False)
        self.bar.update()

    def snapshot(self, step: int, image: torch.Tensor) -> None:
        pass

    def end(self, training: TrainResult) -> None:
        self.bar.close()
        if training.interrupted:
            print(f"stopped at step {training.steps}; what was learned until here is kept")

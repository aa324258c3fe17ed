"""The one training loop of the course: every network in it, large or small, is trained by `train`."""

import copy
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from stablediff_edu.errors import CourseError
from stablediff_edu.training import distributed
from stablediff_edu.training.optimizers import make_optimizer
from stablediff_edu.weights.checkpoints import replacing


class Observer(Protocol):
    """Somebody who watches a training: a bar in the terminal, a live picture in a notebook."""

    def begin(self, steps: int, first: int) -> None: ...
    def step(self, step: int, loss: float) -> None: ...
    def snapshot(self, step: int, picture: torch.Tensor) -> None: ...
    def end(self, training: "Training") -> None: ...


@dataclass
class Training:
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
    loss: Callable[[nn.Module, Any], torch.Tensor],
    *,
    steps: int,
    learning_rate: float = 1e-3,
    beta2: float = 0.999,
    warmup: int = 20,
    weight_decay: float = 0.0,
    clip: float = 1.0,
    optimizer: str = "adamw",
    ema: float | None = 0.999,
    snapshot: Callable[[nn.Module], torch.Tensor] | None = None,
    snapshot_at: Callable[[int], bool] | None = None,
    observer: Observer | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = 120.0,
    about: str = "",
) -> Training:
    """Train `model` in place and return the record; Ctrl-C ends it cleanly with what was learned.

    Each step takes a batch, computes the loss, and lets AdamW follow the gradient (clipped to length `clip`), with a
    learning rate that warms up and then falls along a cosine to 0. At the end the model holds the exponential moving
    average of its weights (EMA), which is steadier than the last step's.

    A training that was stopped and resumed ends with the same weights as one that was not, if `batches` and `loss`
    take all their chance from torch's own generator and `snapshot` takes none of it. Where `torchrun` has started
    several processes, each passes its share of the batch (`distributed.own_share`), and one of them writes the files.

    Args:
        model: any network; it stays on its device.
        batches: gives a batch whenever asked; anything that `loss` understands.
        loss: (model, batch) -> one number.
        steps: how many steps in all, those before a resume included.
        beta2: how slowly AdamW's measure of the gradients' size changes; 0.99 suits runs of some hundred steps.
        optimizer: "adamw", or "muon" for the matrices inside (see `optimizers`): dearer a step, but far fewer steps.
        ema: the highest decay of the average; at step n it is min(ema, (1 + n) / (10 + n)), so that short runs work.
            None trains without an average.
        snapshot: (averaged model) -> tensor to keep; called without gradients.
        snapshot_at: which steps to take a snapshot at; by default about 20 steps, dense at the beginning.
        observer: who watches; a bar in the terminal if not given.
        checkpoint: a file to save progress to and to resume from if it is there. It also holds the end: whoever
            calls removes it once the weights are safe.
        checkpoint_seconds: how often.
        about: what is trained on what, such as the command; a checkpoint about something else is refused.

    Raises:
        CourseError: the loss is no longer a number, or the checkpoint belongs to another training.
    """
    observer = observer or (TerminalBar() if distributed.is_first() else Nobody())
    snapshot_at = snapshot_at or spread_out(steps)
    optimizer = make_optimizer(optimizer, model, learning_rate, beta2, weight_decay)
    rates = [group["lr"] for group in optimizer.param_groups]
    average = copy.deepcopy(model).requires_grad_(False) if ema is not None else model
    training = Training()
    path = Path(checkpoint) if checkpoint else None
    plan = dict(planned=steps, about=about)
    if path and path.exists():
        _resume(path, training, plan, model, average, optimizer)
    started, saved = time.monotonic() - training.seconds, time.monotonic()
    chance = torch.get_rng_state()  # as it was after the last whole step: what a step drew before Ctrl-C is drawn anew

    def take_snapshot() -> None:
        due = training.steps == 0 or snapshot_at(training.steps)
        taken = training.snapshots and training.snapshots[-1][0] == training.steps  # before a resume
        if snapshot is None or not due or taken:
            return
        average.eval()
        with torch.no_grad():
            picture = snapshot(average)
        training.snapshots.append((training.steps, picture.cpu()))
        observer.snapshot(training.steps, picture)
        average.train(average is model)

    observer.begin(steps, training.steps)
    model.train()
    try:
        take_snapshot()
        while training.steps < steps:
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * learning_rate_share(training.steps, steps, warmup)
            value = loss(model, next(batches))
            if not torch.isfinite(value):
                raise CourseError(
                    f"The loss is {value.item()} at step {training.steps}; "
                    f"use a lower learning rate than {learning_rate:g}."
                )
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            distributed.average_gradients(model)
            nn.utils.clip_grad_norm_(model.parameters(), clip)
            with _whole():  # up to here a step can be dropped, from here on it counts
                optimizer.step()
                if ema is not None:
                    _average(average, model, min(ema, (1 + training.steps) / (10 + training.steps)))
                training.steps += 1
                training.losses.append(distributed.average(value).item())
                training.seconds = time.monotonic() - started
                chance = torch.get_rng_state()
            observer.step(training.steps, training.losses[-1])
            take_snapshot()
            if path and distributed.is_first() and time.monotonic() - saved > checkpoint_seconds:
                _save(path, training, plan, model, average, optimizer, chance)
                saved = time.monotonic()
    except KeyboardInterrupt:
        training.interrupted = True
    if path and distributed.is_first():
        _save(path, training, plan, model, average, optimizer, chance)
    if average is not model:
        model.load_state_dict(average.state_dict())
    model.eval()
    observer.end(training)
    return training


def learning_rate_share(step: int, steps: int, warmup: int) -> float:
    """Return the share of the learning rate at a step: up in a line, then down along half a cosine."""
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return 0.5 * (1 + torch.cos(torch.tensor(progress * torch.pi)).item())


def spread_out(steps: int, count: int = 20) -> Callable[[int], bool]:
    """Return which steps to look at: about `count` of them, close together at the beginning, where most happens."""
    chosen = {round(steps * (number / count) ** 2) for number in range(1, count + 1)}
    return lambda step: step in chosen


@torch.no_grad()
def _average(average: nn.Module, model: nn.Module, decay: float) -> None:
    for kept, new in zip(average.parameters(), model.parameters(), strict=True):
        kept.lerp_(new, 1 - decay)
    for kept, new in zip(average.buffers(), model.buffers(), strict=True):
        kept.copy_(new)


@contextmanager
def _whole() -> Iterator[None]:
    """Let a Ctrl-C wait until the block is done, so that no step is half made."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread is ever interrupted
        yield
        return
    waiting = []
    before = signal.signal(signal.SIGINT, lambda *_: waiting.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if waiting:
        signal.raise_signal(signal.SIGINT)


def _save(path: Path, training: Training, plan: dict, model, average, optimizer, chance: torch.Tensor) -> None:
    state = plan | dict(
        steps=training.steps, seconds=training.seconds, losses=training.losses, snapshots=training.snapshots,
        model=model.state_dict(), average=average.state_dict(), optimizer=optimizer.state_dict(), random=chance,
    )  # fmt: skip
    with replacing(path) as temporary:
        torch.save(state, temporary)


def _resume(path: Path, training: Training, plan: dict, model, average, optimizer) -> None:
    broken = f"{path.name} is not a checkpoint of this training; delete it to begin anew, or name another file."
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        planned, about = state["planned"], state.get("about", plan["about"])
    except Exception as error:  # torch raises a dozen kinds here
        raise CourseError(broken) from error
    if about != plan["about"]:
        raise CourseError(
            f"{path.name} belongs to another training ({about}); go on with that one, or delete it to begin anew."
        )
    if planned != plan["planned"]:
        raise CourseError(
            f"{path.name} belongs to a training of {planned} steps, not {plan['planned']}; delete it to begin anew."
        )
    try:
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        training.losses, training.snapshots = state["losses"], [tuple(pair) for pair in state["snapshots"]]
        training.steps, training.seconds = state["steps"], state["seconds"]
    except Exception as error:
        raise CourseError(broken) from error


class Nobody:
    """Watches nothing: for all processes but the first."""

    def begin(self, steps: int, first: int) -> None: ...
    def step(self, step: int, loss: float) -> None: ...
    def snapshot(self, step: int, picture: torch.Tensor) -> None: ...
    def end(self, training: Training) -> None: ...


class TerminalBar:
    """A progress bar on standard output, with the loss and the time left."""

    def begin(self, steps: int, first: int) -> None:
        from tqdm import tqdm

        self.bar = tqdm(total=steps, initial=first, file=sys.stdout, unit="step", mininterval=1.0, dynamic_ncols=True)
        self.mean = None

    def step(self, step: int, loss: float) -> None:
        self.mean = loss if self.mean is None else 0.98 * self.mean + 0.02 * loss
        self.bar.set_postfix_str(f"loss {self.mean:.4f}", refresh=False)
        self.bar.update()

    def snapshot(self, step: int, picture: torch.Tensor) -> None:
        pass

    def end(self, training: Training) -> None:
        self.bar.close()
        if training.interrupted:
            print(f"stopped at step {training.steps}; what was learned until here is kept")

"""The recipes of the diffusion models: one fish (notebook 03), ships and all ten classes (notebook 04)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from stablediff_edu.datasets.pictures import Pictures
from stablediff_edu.device import pick_device, seed_everything
from stablediff_edu.diffusion.schedule import PREDICTIONS, Schedule
from stablediff_edu.errors import CourseError
from stablediff_edu.models.unet import UNet
from stablediff_edu.training import denoising
from stablediff_edu.training.keeping import keep, rebuild
from stablediff_edu.training.loop import Observer, Training, train
from stablediff_edu.training.precision import memory_format
from stablediff_edu.training.progress import fingerprint
from stablediff_edu.weights import checkpoints

SCHEDULES = {"linear": Schedule.linear, "scaled linear": Schedule.scaled_linear, "cosine": Schedule.cosine}
LARGEST = 256  # side of the pictures that a card may ask for


@dataclass(frozen=True)
class DiffusionRecipe:
    """How a U-Net learns to find noise.

    Attributes:
        channels, time, patch, attention: of the U-Net.
        schedule: "linear", "scaled linear" or "cosine".
        prediction: what the network answers: "noise", "clean" or "velocity".
        steps, batch_size, learning_rate, beta2, ema: of the training.
        flip: whether a mirrored picture is as good as the picture.
        middle: whether steps of middling noise are trained oftener, see `denoising.loss`.
    """

    channels: tuple[int, ...] = (96, 192, 288)
    time: int = 192
    patch: int = 2
    attention: int = 2
    schedule: str = "cosine"
    prediction: str = "velocity"
    steps: int = 4800
    batch_size: int = 64
    learning_rate: float = 1e-3
    beta2: float = 0.99
    ema: float = 0.999
    flip: bool = True
    middle: bool = False
    seed: int = 0

    def model(self, in_channels: int = 3, out_channels: int = 3) -> UNet:
        """Return the untrained network; the seed decides its first weights."""
        torch.manual_seed(self.seed)
        return UNet(
            in_channels, out_channels, self.channels, time=self.time, patch=self.patch, attention=self.attention
        )

    @property
    def shrink(self) -> int:
        """What the side of the pictures must be a multiple of."""
        return self.patch * 2 ** (len(self.channels) - 1)

    def make_schedule(self) -> Schedule:
        """Return the schedule of 1000 steps that the network learns."""
        return SCHEDULES[self.schedule]()


# Notebook 03: one fish of 64×64 pixels, with the noise prediction of the video.
ONE_FISH = DiffusionRecipe(
    channels=(24, 48, 96, 192),
    time=64,
    attention=0,
    schedule="linear",
    prediction="noise",
    steps=700,
    batch_size=8,
    learning_rate=2e-3,
    flip=False,
)
ONE_FISH_FULL = replace(
    ONE_FISH, channels=(64, 128, 256, 512, 1024), time=256, patch=1, steps=4000, batch_size=32, learning_rate=5e-4
)
ONE_FISH_BUDGETS = {"quick": ONE_FISH, "full": ONE_FISH_FULL, "test": replace(ONE_FISH, steps=20, batch_size=2)}

SHIPS = DiffusionRecipe()
SHIPS_QUICK = replace(
    SHIPS, channels=(32, 64, 128), time=96, attention=1, steps=1000, batch_size=32, learning_rate=3e-3
)
SHIPS_BUDGETS = {
    "quick": SHIPS_QUICK,
    "full": replace(SHIPS, channels=(128, 256, 384), steps=20_000),
    "test": replace(SHIPS_QUICK, steps=12, batch_size=2),
}
CIFAR10_ALL = replace(SHIPS, steps=700)


def train_diffusion(
    recipe: DiffusionRecipe,
    pictures: torch.Tensor,
    observer: Observer | None = None,
    snapshot=None,
    snapshot_at=None,
    checkpoint: Path | None = None,
    made_of: Sequence[torch.Tensor] = (),
    model: nn.Module | None = None,
    only_step: int | None = None,
) -> tuple[nn.Module, Training]:
    """Train a U-Net to find the noise in pictures or latents (N, C, S, S); return it to use, and the record.

    `snapshot` is called with the averaged network now and then; what it returns is kept for a replay. It must take
    its chance from a generator of its own. `checkpoint` is the training loop's; for latents, which differ a little from
    device to device, `made_of` is what they are made of: its content identifies the training. `model` is trained in the
    place of the recipe's own network; `only_step` shows it no other step of the schedule.
    """
    device = pick_device()
    model = model or recipe.model(pictures.shape[1], pictures.shape[1])
    model = model.to(device, memory_format=memory_format(device))
    training = train(
        model,
        denoising.batches(pictures, recipe.batch_size, device, recipe.flip),
        partial(
            denoising.loss,
            schedule=recipe.make_schedule(),
            prediction=recipe.prediction,
            only_step=only_step,
            middle=recipe.middle,
        ),
        steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        beta2=recipe.beta2,
        ema=recipe.ema,
        snapshot=snapshot,
        snapshot_at=snapshot_at,
        observer=observer,
        checkpoint=checkpoint,
        about=fingerprint(recipe, *(made_of or [pictures]), str(only_step)),
    )
    return model, training


def make_diffusion(
    recipe: DiffusionRecipe, out: Path, command: str, data: Pictures, licence: str, checkpoint: Path | None = None
) -> tuple[UNet, Training, Path]:
    """Train and save with a card; return the network, the record and the file of the weights.

    Ctrl-C keeps the weights so far, and the progress in `checkpoint`: the same call goes on with it.
    """
    seed_everything(recipe.seed)
    model, training = train_diffusion(recipe, data.pictures, checkpoint=checkpoint)
    card = dict(
        command=command,
        seed=recipe.seed,
        data=f"{len(data)} picture{'s' * (len(data) > 1)} of {data.size}×{data.size}, {data.source}",
        licence=licence,
        size=data.size,
        schedule=recipe.schedule,
        prediction=recipe.prediction,
        result=f"loss {training.loss:.5f}",
    )
    return model, training, keep(out, model, training, checkpoint, **card)


def load_diffusion(name: str | Path = "ships", channels: int = 3) -> tuple[UNet, dict[str, str]]:
    """Return a trained noise predictor, built with the sizes on its card, and the card.

    Args:
        name: a shipped name or a file.
        channels: of what it finds noise in: 3 for pictures, 4 for the latents of chapter 5.

    Raises:
        CourseError: the file is missing, cut off, or holds anything else than a noise predictor with its card.
    """
    model, card = rebuild(UNet, name, "a network that finds noise")
    file, sizes, size = checkpoints.path_of(name).name, model.config, card.get("size", "32")
    if not sizes["time"] or sizes["in_channels"] != channels or sizes["out_channels"] != channels:
        raise CourseError(f"{file} is a U-Net, but none that finds noise in {channels} channels; name another file.")
    if card.get("schedule") not in SCHEDULES or card.get("prediction") not in PREDICTIONS:
        raise CourseError(f"The card of {file} does not say which schedule and prediction it learned; train it again.")
    if not size.isdecimal() or not 0 < int(size) <= LARGEST or int(size) % model.shrink:
        raise CourseError(f"The card of {file} names pictures of {size} pixels, which it cannot draw; train it again.")
    device = pick_device()
    return model.to(device, memory_format=memory_format(device)), card

"""The recipes: data, model, loss and numbers of every shipped checkpoint; notebooks and `train NAME` share them."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from stablediff_edu.datasets.fish import load_fish
from stablediff_edu.datasets.folder import MaskedPictures
from stablediff_edu.device import pick_device, seed_everything
from stablediff_edu.errors import CourseError
from stablediff_edu.models.unet import UNet
from stablediff_edu.training import segmentation
from stablediff_edu.training.keeping import keep, rebuild
from stablediff_edu.training.loop import Observer, Training, train
from stablediff_edu.training.precision import memory_format
from stablediff_edu.training.progress import fingerprint


@dataclass(frozen=True)
class FishRecipe:
    """How a U-Net learns to cut out fish.

    Attributes:
        channels: of every level of the U-Net.
        size: side of the pictures in pixels.
        pictures: how many to learn from; `held_out` more are kept aside for the score.
        steps, batch_size, learning_rate, beta2: of the training.
        half_size: how many of the steps, the first ones, see the pictures at half their size.
        overlap: the weight of the overlap in the loss, see `segmentation.loss`.
        colour: by how much colours are shifted from batch to batch.
        skips: False trains the U-Net without its copies.
    """

    channels: tuple[int, ...] = (12, 24, 48, 96, 192)
    size: int = 128
    pictures: int = 4000
    held_out: int = 200
    steps: int = 3500
    batch_size: int = 16
    learning_rate: float = 3e-3
    beta2: float = 0.999
    half_size: int = 0
    overlap: float = 0.0
    colour: float = 0.25
    seed: int = 0
    skips: bool = True

    def model(self) -> UNet:
        """Return the untrained network; the seed decides its first weights."""
        torch.manual_seed(self.seed)
        return UNet(3, 1, self.channels, skips=self.skips)

    def data(self, source: str = "drawn") -> tuple[MaskedPictures, MaskedPictures]:
        """Return (to learn from, held out): no copies of one original on both sides."""
        data = load_fish(self.pictures + self.held_out, self.size, source, self.seed)
        return data.split(self.held_out / (self.pictures + self.held_out), self.seed)


# The shipped weights `fish`; the two budgets of notebook 02 (full: the video's 500 pictures and 64 … 1024 channels).
SHIPPED = FishRecipe()
QUICK = FishRecipe(
    (8, 16, 32, 64, 128),
    size=64,
    pictures=500,
    held_out=100,
    steps=1180,
    learning_rate=1.2e-2,
    beta2=0.99,
    half_size=800,
    overlap=0.3,
    colour=0.3,
)
FULL = replace(
    QUICK,
    channels=(64, 128, 256, 512, 1024),
    size=128,
    steps=2000,
    learning_rate=1e-3,
    half_size=0,
    colour=0.25,
)

FISH_BUDGETS = {
    "quick": QUICK,
    "full": FULL,
    "test": replace(QUICK, pictures=16, held_out=16, steps=20, batch_size=2),
}
# Held-out IoU after learning from so many drawn fish, each by
# `python -m stablediff_edu train fish --quick --pictures N --out FILE`
FISH_BY_PICTURES = {10: 0.753, 50: 0.785, 150: 0.902, 500: 0.903}


def train_fish(
    recipe: FishRecipe,
    data: MaskedPictures,
    observer: Observer | None = None,
    replay: MaskedPictures | None = None,
    checkpoint: Path | None = None,
) -> tuple[UNet, Training]:
    """Train a U-Net on pictures with masks; return it (on its device, in evaluation mode) and the record.

    Args:
        recipe: the numbers.
        data: what to learn from; its size need not be the recipe's.
        observer: who watches.
        replay: pictures to run through the network now and then: the snapshots are its raw output for them.
        checkpoint: where to keep progress, to resume from.
    """
    device = pick_device()
    model = recipe.model().to(device, memory_format=memory_format(device))
    training = train(
        model,
        segmentation.Batches(data, recipe.batch_size, recipe.seed, device, recipe.colour, recipe.half_size),
        partial(segmentation.loss, overlap=recipe.overlap),
        steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        beta2=recipe.beta2,
        snapshot=None if replay is None else lambda averaged: segmentation.predict(averaged, replay.pictures),
        observer=observer,
        checkpoint=checkpoint,
        about=fingerprint(recipe, data.pictures, data.masks),
    )
    return model, training


def make_fish(
    recipe: FishRecipe,
    out: Path,
    command: str,
    data: tuple[MaskedPictures, MaskedPictures],
    licence: str,
    checkpoint: Path | None = None,
) -> tuple[UNet, Training, segmentation.Scores, Path]:
    """Train, score on the held-out pictures, and save with a card; the last value returned is the file of the weights.

    Ctrl-C keeps the weights so far, and the progress in `checkpoint`: the same call goes on with it.
    """
    seed_everything(recipe.seed)
    learn, held_out = data
    model, training = train_fish(recipe, learn, checkpoint=checkpoint)
    scores = segmentation.examine(model, held_out)
    card = dict(
        command=command,
        seed=recipe.seed,
        data=f"{len(learn)} pictures of {learn.pictures.shape[-1]}×{learn.pictures.shape[-1]}, {learn.source}",
        licence=licence,
        result=f"held out: {scores}; loss {training.loss:.5f}",
    )
    return model, training, scores, keep(out, model, training, checkpoint, **card)


def load_fish_unet(name: str | Path = "fish") -> tuple[UNet, dict[str, str]]:
    """Return a trained U-Net, built with the sizes on its card, and the card."""
    model, card = rebuild(UNet, name, "a U-Net")
    sizes = model.config
    if sizes["time"] or (sizes["in_channels"], sizes["out_channels"]) != (3, 1):
        raise CourseError(f"{name} is a U-Net, but none that predicts masks; name a file of train fish.")
    return model.to(pick_device()), card

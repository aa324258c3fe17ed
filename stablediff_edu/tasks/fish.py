"""Training the U-Net that segments fish (chapter 2): hyperparameters, data, model, loss and evaluation."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from stablediff_edu.config import pick_device, seed_everything
from stablediff_edu.data.fish.dataset import load_fish
from stablediff_edu.data.segmentation_folder import SegmentationDataset
from stablediff_edu.errors import UserError
from stablediff_edu.models.unet import UNet
from stablediff_edu.tasks import segmentation
from stablediff_edu.training.amp import memory_format
from stablediff_edu.training.loop import Callback, TrainResult, train
from stablediff_edu.training.progress import fingerprint
from stablediff_edu.training.trained_models import load_trained, save_trained


@dataclass(frozen=True)
class SegmentationTrainConfig:
    """Hyperparameters of a segmentation network.

    Attributes:
        channels: of every level of the U-Net.
        size: side of the images in pixels.
        images: how many to train on; `held_out` more are held out for the score.
        steps, batch_size, learning_rate, beta2: of the training.
        low_res_steps: how many of the steps, the first ones, see the images at half their size.
        dice_weight: the weight of the soft Dice loss, see `segmentation.loss`.
        color: by how much colors are shifted from batch to batch.
        skips: False trains the U-Net without skip connections.
    """

    channels: tuple[int, ...] = (12, 24, 48, 96, 192)
    size: int = 128
    images: int = 4000
    held_out: int = 200
    steps: int = 3500
    batch_size: int = 16
    learning_rate: float = 3e-3
    beta2: float = 0.999
    low_res_steps: int = 0
    dice_weight: float = 0.0
    colour: float = 0.25
    seed: int = 0
    skips: bool = True

    def model(self) -> UNet:
        """Return the untrained network; the seed decides its first weights."""
        torch.manual_seed(self.seed)
        return UNet(3, 1, self.channels, skips=self.skips)

    def data(self, source: str = "synthetic") -> tuple[SegmentationDataset, SegmentationDataset]:
        """Return (to learn from, held out): no copies of one original on both sides."""
        data = load_fish(self.images + self.held_out, self.size, source, self.seed)
        return data.split(self.held_out / (self.images + self.held_out), self.seed)


# The pretrained weights `fish`; the two presets of notebook 02 (full: the video's 500 images and 64 … 1024 channels).
PRETRAINED = SegmentationTrainConfig()
QUICK = SegmentationTrainConfig(
    (8, 16, 32, 64, 128),
    size=64,
    images=500,
    held_out=100,
    steps=1180,
    learning_rate=1.2e-2,
    beta2=0.99,
    low_res_steps=800,
    dice_weight=0.3,
    colour=0.3,
)
FULL = replace(
    QUICK,
    channels=(64, 128, 256, 512, 1024),
    size=128,
    steps=2000,
    learning_rate=1e-3,
    low_res_steps=0,
    colour=0.25,
)

FISH_PRESETS = {
    "quick": QUICK,
    "full": FULL,
    "test": replace(QUICK, images=16, held_out=16, steps=20, batch_size=2),
}
# Held-out IoU after learning from so many synthetic fish, each by
# `python -m stablediff_edu train fish --quick --num-images N --out FILE`
FISH_IOU_BY_NUM_IMAGES = {10: 0.753, 50: 0.785, 150: 0.902, 500: 0.903}


def train_fish(
    config: SegmentationTrainConfig,
    data: SegmentationDataset,
    callback: Callback | None = None,
    replay: SegmentationDataset | None = None,
    checkpoint: Path | None = None,
) -> tuple[UNet, TrainResult]:
    """Train a U-Net on images with masks; return it (on its device, in evaluation mode) and the record.

    Args:
        config: the numbers.
        data: what to train on; its size need not be the config's.
        callback: what is reported to.
        replay: images to run through the network now and then: the snapshots are its raw output for them.
        checkpoint: where to keep progress, to resume from.
    """
    device = pick_device()
    model = config.model().to(device, memory_format=memory_format(device))
    training = train(
        model,
        segmentation.Batches(data, config.batch_size, config.seed, device, config.colour, config.low_res_steps),
        partial(segmentation.loss, overlap=config.dice_weight),
        steps=config.steps,
        learning_rate=config.learning_rate,
        beta2=config.beta2,
        snapshot=None if replay is None else lambda averaged: segmentation.predict(averaged, replay.images),
        callback=callback,
        checkpoint=checkpoint,
        about=fingerprint(config, data.images, data.masks),
    )
    return model, training


def make_fish(
    config: SegmentationTrainConfig,
    out: Path,
    command: str,
    data: tuple[SegmentationDataset, SegmentationDataset],
    license: str,
    checkpoint: Path | None = None,
) -> tuple[UNet, TrainResult, segmentation.Scores, Path]:
    """Train, score on the held-out images, and save with metadata; the last value returned is the file of the weights.

    Ctrl-C keeps the weights so far, and the progress in `checkpoint`: the same call goes on with it.
    """
    seed_everything(config.seed)
    learn, held_out = data
    model, training = train_fish(config, learn, checkpoint=checkpoint)
    scores = segmentation.evaluate_segmentation(model, held_out)
    metadata = dict(
        command=command,
        seed=config.seed,
        data=f"{len(learn)} images of {learn.images.shape[-1]}×{learn.images.shape[-1]}, {learn.source}",
        licence=license,
        result=f"held out: {scores}; loss {training.loss:.5f}",
    )
    return model, training, scores, save_trained(out, model, training, checkpoint, **metadata)


def load_fish_unet(name: str | Path = "fish") -> tuple[UNet, dict[str, str]]:
    """Return a trained U-Net, built with the sizes in its metadata, and the metadata."""
    model, metadata = load_trained(UNet, name, "a U-Net")
    sizes = model.config
    if sizes["time"] or (sizes["in_channels"], sizes["out_channels"]) != (3, 1):
        raise UserError(f"{name} is a U-Net, but none that predicts masks; name a file of train fish.")
    return model.to(pick_device()), metadata

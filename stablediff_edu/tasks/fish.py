"""Training the U-Net that segments fish, or what the user's masks show (chapter 2)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from stablediff_edu.config import pick_device
from stablediff_edu.data.fish.dataset import load_fish, num_images
from stablediff_edu.data.segmentation_folder import SegmentationDataset, load_segmentation_folder
from stablediff_edu.errors import UserError
from stablediff_edu.models.unet import UNet
from stablediff_edu.tasks import segmentation
from stablediff_edu.tasks.task import MIT, Task, option
from stablediff_edu.training.loop import TrainResult
from stablediff_edu.training.trained_models import load_trained


def mask_values(text: str) -> tuple[int, ...] | str:
    """Read mask values such as 1,2, or nonzero."""
    return text if text == "nonzero" else tuple(map(int, text.split(",")))


@dataclass(frozen=True, kw_only=True)
class FishTask(Task[SegmentationDataset, UNet]):
    """A U-Net from images to masks.

    Attributes:
        channels: of every level of the U-Net.
        held_out: how many images are held out for the score, of synthetic fish and photographs.
        low_res_steps: how many of the steps, the first ones, see the images at half their size.
        dice_weight: the weight of the soft Dice loss, see `segmentation.loss`.
        color_jitter: by how much colors are shifted from batch to batch.
    """

    name = "fish"
    next_command = "segment --weights {out} --images DIR"

    channels: tuple[int, ...] = (12, 24, 48, 96, 192)
    size: int = option(128, "side of the images in pixels")
    num_images: int = option(4000, "how many images to train on")
    held_out: int = 200
    steps: int = 3500
    batch_size: int = 16
    learning_rate: float = 3e-3
    beta2: float = 0.999
    low_res_steps: int = 0
    dice_weight: float = 0.0
    color_jitter: float = 0.25
    skips: bool = option(True, "a U-Net without skip connections")
    source: str = option("synthetic", "which fish (default: synthetic)", choices=["synthetic", "kaggle"])
    images: Path | None = option(None, "your own images", metavar="DIR")
    masks: Path | None = option(None, "a mask for each image, of the same name", metavar="DIR")
    foreground: tuple[int, ...] | str = option(
        (), "the mask values that are foreground, or nonzero", type=mask_values, metavar="1,2"
    )
    invert: bool = option(False, "the masks mark the background")

    def __post_init__(self) -> None:
        if bool(self.images) != bool(self.masks):
            raise UserError("Images and masks go together: give both --images DIR and --masks DIR.")
        shrink = 2 ** (len(self.channels) - 1)
        if self.size % shrink:
            raise UserError(f"--size must be a multiple of {shrink}, such as {max(1, self.size // shrink) * shrink}.")

    def network(self) -> UNet:
        return UNet(3, 1, self.channels, skips=self.skips)

    def data(self, cache: Path | None = None) -> tuple[SegmentationDataset, SegmentationDataset | None]:
        if self.images and self.masks:
            return self._own_images().first(self.num_images).split(0.2, self.seed)
        data = load_fish(self.num_images + self.held_out, self.size, self.source, self.seed)
        return data.split(self.held_out / (self.num_images + self.held_out), self.seed)

    def _own_images(self) -> SegmentationDataset:
        assert self.images and self.masks
        return load_segmentation_folder(self.images, self.masks, self.size, self.foreground, self.invert)

    def batches(self, data: SegmentationDataset, device: torch.device) -> Iterator:
        return segmentation.Batches(data, self.batch_size, self.seed, device, self.color_jitter, self.low_res_steps)

    def loss(self, data: SegmentationDataset) -> Callable:
        return partial(segmentation.loss, dice_weight=self.dice_weight)

    def evaluate(self, model: UNet, held_out: SegmentationDataset | None) -> str:
        assert held_out is not None
        return f"held out: {segmentation.evaluate_segmentation(model, held_out)}"

    def report(self, model: UNet, metadata: dict[str, str]) -> str:
        """Score own images, or synthetic fish of another seed, and all real photographs that are there."""
        data = self._own_images() if self.images else load_fish(self.held_out, self.size, "synthetic", self.seed + 1)
        lines = [f"{data.source}: {segmentation.evaluate_segmentation(model, data)}"]
        if not (there := num_images()):
            return f"{lines[0]}\nreal photographs: none here; python -m stablediff_edu fetch fish gets them"
        real = load_fish(min(there, 500), self.size, source="kaggle")
        scores = segmentation.evaluate_segmentation(model, real)
        if len(real) <= 20:
            each = zip(real.names, scores.iou, scores.dice, strict=True)
            lines += [f"  {name:<32} IoU {iou:.3f}  Dice {dice:.3f}" for name, iou, dice in each]
        return "\n".join([*lines, f"real photographs: {scores}"])

    def metadata(self, data: SegmentationDataset, training: TrainResult) -> dict[str, object]:
        size = data.images.shape[-1]
        synthetic = MIT if self.source == "synthetic" else "the Kaggle set's own terms"
        return dict(
            data=f"{len(data)} images of {size}×{size}, {data.source}",
            licence="your own images" if self.images else synthetic,
        )

    def load(self, name: str | Path) -> tuple[UNet, dict[str, str]]:
        return load_fish_unet(name)


# The presets of notebook 02 (full: the video's 500 images and 64 … 1024 channels).
QUICK = FishTask(
    channels=(8, 16, 32, 64, 128),
    size=64,
    num_images=500,
    held_out=100,
    steps=1180,
    learning_rate=1.2e-2,
    beta2=0.99,
    low_res_steps=800,
    dice_weight=0.3,
    color_jitter=0.3,
)
FULL = replace(
    QUICK,
    channels=(64, 128, 256, 512, 1024),
    size=128,
    steps=2000,
    learning_rate=1e-3,
    low_res_steps=0,
    color_jitter=0.25,
)
FISH_PRESETS = FishTask.presets = {
    "pretrained": FishTask(),
    "own": FishTask(steps=800),
    "quick": QUICK,
    "full": FULL,
    "test": replace(QUICK, num_images=16, held_out=16, steps=20, batch_size=2),
}
# Held-out IoU after learning from so many synthetic fish, each by
# `python -m stablediff_edu train fish --quick --num-images N --out FILE`
FISH_IOU_BY_NUM_IMAGES = {10: 0.753, 50: 0.785, 150: 0.902, 500: 0.903}


def load_fish_unet(name: str | Path = "fish") -> tuple[UNet, dict[str, str]]:
    """Return a trained U-Net, built with the sizes in its metadata, and the metadata."""
    model, metadata = load_trained(UNet, name, "a U-Net")
    sizes = model.config
    if sizes["time"] or (sizes["in_channels"], sizes["out_channels"]) != (3, 1):
        raise UserError(f"{name} is a U-Net, but none that predicts masks; name a file of train fish.")
    return model.to(pick_device()), metadata

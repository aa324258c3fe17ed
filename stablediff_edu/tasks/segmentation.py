"""Segmentation: batches of images with masks, the loss, and IoU and Dice."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.config import device_of, to_device
from stablediff_edu.data.segmentation_folder import SegmentationDataset


class Batches:
    """Give batches of (images, masks) for ever: every image once, in a new order, before any comes again.

    Each batch is turned and flipped as a whole (a fish is a fish from all sides), and every image's brightness,
    contrast and color balance are shifted by up to `color_jitter`. The first `low_res_steps` batches are of half the
    size: they cost a quarter, and what a fish is can be learned from them; then only these have their colors shifted.
    `state_dict` tells where it is, so that a training that was stopped goes on from there.
    """

    def __init__(
        self,
        data: SegmentationDataset,
        batch_size: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
        color_jitter: float = 0.25,
        low_res_steps: int = 0,
    ) -> None:
        self.data, self.batch_size, self.device = data, batch_size, device
        self.color_jitter, self.low_res_steps = color_jitter, low_res_steps
        self.random, self.number = torch.Generator().manual_seed(seed), 0
        self.order: list[int] = []

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the generator, what is left of the order, and the number of the next batch."""
        return dict(random=self.random.get_state(), order=self.order, number=self.number)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was called."""
        self.random.set_state(state["random"])
        self.order, self.number = list(state["order"]), state["number"]

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> tuple[torch.Tensor, torch.Tensor]:
        rng, batch_size, number, low_res_steps = self.random, self.batch_size, self.number, self.low_res_steps
        order = self.order
        while len(order) < batch_size:
            order = order + torch.randperm(len(self.data), generator=rng).tolist()
        chosen, self.order, self.number = order[:batch_size], order[batch_size:], number + 1
        images, masks = self.data.images[chosen], self.data.masks[chosen]  # (B, 3, S, S), (B, 1, S, S)
        turns, flip = int(torch.randint(0, 4, (), generator=rng)), torch.rand((), generator=rng) < 0.5
        images, masks = (torch.rot90(x, turns, dims=(2, 3)) for x in (images, masks))
        if flip:
            images, masks = images.flip(3), masks.flip(3)
        spread = self.color_jitter if number < low_res_steps or not low_res_steps else 0.0
        gain = 1 + spread * (2 * torch.rand(batch_size, 3, 1, 1, generator=rng) - 1)
        shift = 0.5 * spread * (2 * torch.rand(batch_size, 1, 1, 1, generator=rng) - 1)
        images = ((images + 1) * gain - 1 + shift).clamp(-1, 1)
        if number < low_res_steps:
            images, masks = F.avg_pool2d(images, 2), (F.avg_pool2d(masks, 2) > 0.5).float()
        return to_device(images, self.device), to_device(masks, self.device)


def loss(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor], dice_weight: float = 0.0) -> torch.Tensor:
    """Return the mean squared error between the network's output and the mask.

    With `dice_weight`, so many times (1 - Dice) is added: what the score counts, for values between 0 and 1 as well
    (Milletari, Navab and Ahmadi, 2016, "V-Net", section 3).
    """
    images, masks = batch
    output = model(images)
    value = F.mse_loss(output, masks)
    if dice_weight:
        found = output.clamp(0, 1)
        both, areas = (x.sum(dim=(1, 2, 3)) for x in (found * masks, found + masks))
        value = value + dice_weight * (1 - 2 * both / (areas + 1)).mean()  # the 1: an empty mask divides by nothing
    return value


@torch.no_grad()
def predict(model: nn.Module, images: torch.Tensor, batch_size: int = 50) -> torch.Tensor:
    """Return the network's raw output for every image: (N, 3, S, S) -> (N, 1, S, S) on the CPU."""
    model.eval()
    device = device_of(model)
    return torch.cat([model(to_device(part, device)).cpu() for part in images.split(batch_size)])


def predict_tta(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the mean of eight answers for every image: turned four ways, each also mirrored, and turned back.

    A fish is a fish from every side, and mistakes differ from side to side: (N, 3, S, S) -> (N, 1, S, S). It is
    called test-time augmentation.
    """
    answers = []
    for turns in range(4):
        turned = torch.rot90(images, turns, dims=(2, 3))
        plain, flipped = predict(model, turned), predict(model, turned.flip(3)).flip(3)
        answers += [torch.rot90(answer, -turns, dims=(2, 3)) for answer in (plain, flipped)]
    return torch.stack(answers).mean(dim=0)


@dataclass
class Scores:
    """How well predicted masks fit the true ones.

    Attributes:
        iou: (N,) the intersection of both masks over their union, for every image; nan where both are empty.
        dice: (N,) twice the intersection over the sum of both areas; nan where both are empty.
    """

    iou: torch.Tensor
    dice: torch.Tensor

    def __str__(self) -> str:
        empty = int(self.iou.isnan().sum())
        besides = f", {empty} with nothing to find not counted" if empty else ""
        means = f"IoU {self.iou.nanmean():.3f} · Dice {self.dice.nanmean():.3f}"
        return f"{means} on {len(self.iou) - empty} images{besides}"


def iou_dice(predicted: torch.Tensor, masks: torch.Tensor) -> Scores:
    """Compare raw outputs (N, 1, S, S), thresholded at one half, with true masks.

    Where both are empty there is nothing to compare: a network that finds nothing must not score on empty masks.
    """
    found, true = predicted > 0.5, masks > 0.5
    both = (found & true).sum(dim=(1, 2, 3)).float()
    areas = (found.sum(dim=(1, 2, 3)) + true.sum(dim=(1, 2, 3))).float()
    nothing = areas == 0
    iou = torch.where(nothing, torch.nan, both / (areas - both).clamp(min=1))
    return Scores(iou, torch.where(nothing, torch.nan, 2 * both / areas.clamp(min=1)))


def evaluate_segmentation(model: nn.Module, data: SegmentationDataset) -> Scores:
    """Return the scores of a network, asked from all sides, on images whose masks are known."""
    return iou_dice(predict_tta(model, data.images), data.masks)

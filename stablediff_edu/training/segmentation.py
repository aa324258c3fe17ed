"""Learning to cut things out: batches of pictures with masks, the loss, and the scores."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.datasets.folder import MaskedPictures
from stablediff_edu.device import device_of, to_device


class Batches:
    """Give batches of (pictures, masks) for ever: every picture once, in a new order, before any comes again.

    Each batch is turned and flipped as a whole (a fish is a fish from all sides), and every picture's brightness,
    contrast and colour balance are shifted by up to `colour`. The first `half_size` batches are of half the size:
    they cost a quarter, and what a fish is can be learned from them; then only these have their colours shifted.
    `state_dict` tells where it is, so that a training that was stopped goes on from there.
    """

    def __init__(
        self,
        data: MaskedPictures,
        batch_size: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
        colour: float = 0.25,
        half_size: int = 0,
    ) -> None:
        self.data, self.batch_size, self.device = data, batch_size, device
        self.colour, self.half_size = colour, half_size
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
        random, batch_size, number, half_size = self.random, self.batch_size, self.number, self.half_size
        order = self.order
        while len(order) < batch_size:
            order = order + torch.randperm(len(self.data), generator=random).tolist()
        chosen, self.order, self.number = order[:batch_size], order[batch_size:], number + 1
        pictures, masks = self.data.pictures[chosen], self.data.masks[chosen]  # (B, 3, S, S), (B, 1, S, S)
        turns, flip = torch.randint(0, 4, (), generator=random).item(), torch.rand((), generator=random) < 0.5
        pictures, masks = (torch.rot90(x, turns, dims=(2, 3)) for x in (pictures, masks))
        if flip:
            pictures, masks = pictures.flip(3), masks.flip(3)
        spread = self.colour if number < half_size or not half_size else 0.0
        gain = 1 + spread * (2 * torch.rand(batch_size, 3, 1, 1, generator=random) - 1)
        shift = 0.5 * spread * (2 * torch.rand(batch_size, 1, 1, 1, generator=random) - 1)
        pictures = ((pictures + 1) * gain - 1 + shift).clamp(-1, 1)
        if number < half_size:
            pictures, masks = F.avg_pool2d(pictures, 2), (F.avg_pool2d(masks, 2) > 0.5).float()
        return to_device(pictures, self.device), to_device(masks, self.device)


def loss(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor], overlap: float = 0.0) -> torch.Tensor:
    """Return the mean squared difference between what the network draws and the mask.

    With `overlap`, so many times (1 - Dice) is added: what the score counts, for values between 0 and 1 as well
    (Milletari, Navab and Ahmadi, 2016, "V-Net", section 3).
    """
    pictures, masks = batch
    drawn = model(pictures)
    value = F.mse_loss(drawn, masks)
    if overlap:
        found = drawn.clamp(0, 1)
        both, areas = (x.sum(dim=(1, 2, 3)) for x in (found * masks, found + masks))
        value = value + overlap * (1 - 2 * both / (areas + 1)).mean()  # the 1: an empty mask divides by nothing
    return value


@torch.no_grad()
def predict(model: nn.Module, pictures: torch.Tensor, batch_size: int = 50) -> torch.Tensor:
    """Return the network's raw output for every picture: (N, 3, S, S) -> (N, 1, S, S) on the CPU."""
    model.eval()
    device = device_of(model)
    return torch.cat([model(to_device(part, device)).cpu() for part in pictures.split(batch_size)])


def predict_from_all_sides(model: nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    """Return the mean of eight answers for every picture: turned four ways, each also mirrored, and turned back.

    A fish is a fish from every side, and mistakes differ from side to side: (N, 3, S, S) -> (N, 1, S, S). It is
    called test-time augmentation.
    """
    answers = []
    for turns in range(4):
        turned = torch.rot90(pictures, turns, dims=(2, 3))
        plain, mirrored = predict(model, turned), predict(model, turned.flip(3)).flip(3)
        answers += [torch.rot90(answer, -turns, dims=(2, 3)) for answer in (plain, mirrored)]
    return torch.stack(answers).mean(dim=0)


@dataclass
class Scores:
    """How well predicted masks fit the true ones.

    Attributes:
        iou: (N,) the intersection of both masks over their union, for every picture; nan where both are empty.
        dice: (N,) twice the intersection over the sum of both areas; nan where both are empty.
    """

    iou: torch.Tensor
    dice: torch.Tensor

    def __str__(self) -> str:
        empty = int(self.iou.isnan().sum())
        besides = f", {empty} with nothing to find not counted" if empty else ""
        means = f"IoU {self.iou.nanmean():.3f} · Dice {self.dice.nanmean():.3f}"
        return f"{means} on {len(self.iou) - empty} pictures{besides}"


def score(predicted: torch.Tensor, masks: torch.Tensor) -> Scores:
    """Compare raw outputs (N, 1, S, S), thresholded at one half, with true masks.

    Where both are empty there is nothing to compare: a network that finds nothing must not score on empty masks.
    """
    found, true = predicted > 0.5, masks > 0.5
    both = (found & true).sum(dim=(1, 2, 3)).float()
    areas = (found.sum(dim=(1, 2, 3)) + true.sum(dim=(1, 2, 3))).float()
    nothing = areas == 0
    iou = torch.where(nothing, torch.nan, both / (areas - both).clamp(min=1))
    return Scores(iou, torch.where(nothing, torch.nan, 2 * both / areas.clamp(min=1)))


def examine(model: nn.Module, data: MaskedPictures) -> Scores:
    """Return the scores of a network, asked from all sides, on pictures whose masks are known."""
    return score(predict_from_all_sides(model, data.pictures), data.masks)

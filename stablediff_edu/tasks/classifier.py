"""What the trainings of the three classifiers share (digits, ships, scenes)."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F

from stablediff_edu.config import pick_device
from stablediff_edu.errors import UserError
from stablediff_edu.models.classifier import ImageClassifier
from stablediff_edu.tasks.task import Data, Task
from stablediff_edu.training.amp import to_fast_layout
from stablediff_edu.training.trained_models import load_trained


@dataclass(frozen=True, kw_only=True)
class ClassifierTask(Task[Data, ImageClassifier]):
    """A classifier of images.

    Attributes:
        heads: what is asked: name -> number of classes.
        in_channels, image_size: of the network, see `ImageClassifier`.
        channels: of every level of the network.
    """

    heads: ClassVar[dict[str, int]] = {}
    in_channels: ClassVar[int] = 3
    image_size: ClassVar[int] = 0

    channels: tuple[int, ...] = (32, 64, 128)
    learning_rate: float = 3e-3
    weight_decay: float = 0.05

    def network(self) -> ImageClassifier:
        return ImageClassifier(self.heads, self.channels, self.in_channels, self.image_size)

    def load(self, name: str | Path) -> tuple[ImageClassifier, dict[str, str]]:
        model, metadata = load_trained(ImageClassifier, name, "a classifier")
        assert isinstance(model, ImageClassifier)
        if model.config["heads"] != self.heads:
            raise UserError(f"{name} is another classifier; name weights of train {self.name}.")
        to_fast_layout(model, pick_device(), cpu=self.channels_last_cpu)
        return model, metadata


def soften(images: torch.Tensor, share: torch.Tensor | float) -> torch.Tensor:
    """Blur images a little: `share` from 0 (the image) to 1 (means of 3×3 pixels)."""
    return torch.lerp(images, F.avg_pool2d(images, 3, 1, 1, count_include_pad=False), share)

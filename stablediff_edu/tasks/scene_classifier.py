"""The classifier of chapter 8: object, color, sky and more of a scene from its image.

It learns from the scenes' exact labels, with all combinations of words among them: so it also recognizes those that
were held out from the generating networks.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.config import device_of, to_device
from stablediff_edu.data.scenes.canvas import COLORS
from stablediff_edu.data.scenes.conditions import SEAS, SKIES
from stablediff_edu.data.scenes.dataset import make_scenes, to_float_images
from stablediff_edu.data.scenes.labels import POSITIONS, SIZES, labels_of
from stablediff_edu.data.scenes.scene import OBJECTS, Scene
from stablediff_edu.models.classifier import ImageClassifier, predict_logits
from stablediff_edu.tasks.classifier import ClassifierTask, soften
from stablediff_edu.tasks.task import MIT
from stablediff_edu.training.amp import autocast_half
from stablediff_edu.training.loop import TrainResult

# what is read off an image -> the names that there are for it, as `labels_of` uses them
FIELDS: dict[str, tuple[str, ...]] = dict(
    object_class=tuple(OBJECTS),
    color=tuple(COLORS),
    sky=tuple(SKIES),
    water=(*SEAS, "under"),
    place=tuple(POSITIONS),
    size=tuple(SIZES),
)
Targets = dict[str, torch.Tensor]  # field -> (N,) index of the right name, -1 where there is none
SIZE = 64


@dataclass(frozen=True)
class LabeledScenes:
    """Scenes as bytes, (N, 3, 64, 64), and their labels."""

    pixels: torch.Tensor
    targets: Targets

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True, kw_only=True)
class SceneClassifierTask(ClassifierTask[LabeledScenes]):
    """(B, 3, 64, 64) -> for each of FIELDS (B, names).

    Attributes:
        scenes, scenes_held_out: how many are trained on: the shares that there are among all scenes.
        num_test: how many of both kinds are tested on.
    """

    name = "scene-classifier"
    weights = "scene_classifier"
    heads: ClassVar[dict[str, int]] = {field: len(names) for field, names in FIELDS.items()}
    image_size = SIZE
    channels_last_cpu = False

    channels: tuple[int, ...] = (32, 64, 128, 192)
    steps: int = 2500
    learning_rate: float = 2e-3
    optimizer: str = "muon"
    bfloat16: bool = True
    scenes: int = 34_000
    scenes_held_out: int = 6_000
    num_test: int = 1_000

    def data(self, cache: Path | None = None) -> tuple[LabeledScenes, None]:
        kinds = make_scenes(self.scenes, SIZE), make_scenes(self.scenes_held_out, SIZE, train=False)
        targets = make_targets([*kinds[0].scenes, *kinds[1].scenes])
        return LabeledScenes(torch.cat([kind.pixels for kind in kinds]), targets), None

    def batches(self, data: LabeledScenes, device: torch.device) -> Iterator[tuple[torch.Tensor, Targets]]:
        return batches(data, self.batch_size, device)

    def loss(self, data: LabeledScenes) -> Callable[[nn.Module, tuple[torch.Tensor, Targets]], torch.Tensor]:
        return partial(loss, bfloat16=self.bfloat16)

    def evaluate(self, model: ImageClassifier, held_out: LabeledScenes | None = None) -> str:
        """Return which share of other scenes the classifier reads correctly, field by field."""
        lines = []
        for train, what in ((True, "other scenes"), (False, "others of combinations held out from the networks")):
            scenes = make_scenes(self.num_test, SIZE, seed=1, train=train)
            logits, targets = predict_logits(model, scenes.images), make_targets(scenes.scenes)
            right = {field: logits[field].argmax(dim=1) == targets[field] for field in FIELDS}
            shares = (
                f"{field.removesuffix('_class')} {right[field][targets[field] >= 0].float().mean():.1%}"
                for field in FIELDS
            )
            lines.append(f"{', '.join(shares)} of {len(scenes):,} {what}")
        return "; ".join(lines)

    def metadata(self, data: LabeledScenes, training: TrainResult) -> dict[str, object]:
        return dict(data=f"{len(data):,} synthetic scenes of {SIZE}×{SIZE}, of all combinations", licence=MIT)

    def fingerprint(self, data: LabeledScenes) -> list[torch.Tensor | str]:
        return [data.pixels, *data.targets.values()]


SceneClassifierTask.presets = {"pretrained": SceneClassifierTask()}


def load_scene_classifier(name: str | Path = "scene_classifier") -> tuple[ImageClassifier, dict[str, str]]:
    """Return a trained classifier of scenes, by default the pretrained one, and its metadata."""
    return SceneClassifierTask().load(name)


def make_targets(scenes: list[Scene]) -> Targets:
    """Return the index of the right name in each field, (N,); -1 where the scene has no word for it."""
    labels = [labels_of(scene) for scene in scenes]
    return {
        field: torch.tensor([names.index(known[field]) if known[field] in names else -1 for known in labels])
        for field, names in FIELDS.items()
    }


def batches(
    data: LabeledScenes, batch_size: int, device: torch.device | str = "cpu"
) -> Iterator[tuple[torch.Tensor, Targets]]:
    """Yield batches forever: images (B, 3, 64, 64) and the indices of the right names.

    A part of them are blurred, and all get a little noise: a soft image of a duck is a duck as well.
    """
    while True:
        chosen = torch.randint(len(data), (batch_size,))
        images = to_float_images(data.pixels[chosen])
        images = soften(images, torch.rand(batch_size, 1, 1, 1) * (torch.rand(batch_size, 1, 1, 1) < 0.5))
        images = images + 0.04 * torch.randn(images.shape)
        yield to_device(images, device), {name: to_device(t[chosen], device) for name, t in data.targets.items()}


def loss(model: nn.Module, batch: tuple[torch.Tensor, Targets], bfloat16: bool = False) -> torch.Tensor:
    """Return the mean cross-entropy of all fields."""
    images, targets = batch
    with autocast_half(bfloat16, images.device):
        logits = model(images)
    losses = [F.cross_entropy(logits[name].to(images.dtype), targets[name], ignore_index=-1) for name in FIELDS]
    return torch.stack(losses).mean()


def predict_attributes(model: nn.Module, images: torch.Tensor) -> dict[str, list[str]]:
    """Return what the classifier reads off images (N, 3, S, S): field -> N names."""
    logits = predict_logits(model, resize_for_classifier(images))
    return {field: [names[i] for i in logits[field].argmax(dim=1).tolist()] for field, names in FIELDS.items()}


@torch.no_grad()
def classifier_features(model: ImageClassifier, images: torch.Tensor, batch_size: int = 250) -> torch.Tensor:
    """Return the features before the heads, on the CPU: (N, 3, S, S) -> (N, channels)."""
    device = device_of(model)
    parts = [model.encoder(to_device(resize_for_classifier(part), device)) for part in images.split(batch_size)]
    return torch.cat(parts).cpu()


def resize_for_classifier(images: torch.Tensor) -> torch.Tensor:
    """Scale images to the 64×64 that the classifier was trained on: (N, 3, S, S) -> (N, 3, 64, 64)."""
    if images.shape[-1] == SIZE:
        return images
    return F.interpolate(images, size=(SIZE, SIZE), mode="bilinear", antialias=True)

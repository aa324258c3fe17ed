"""The classifier of chapter 8: object, color, sky and more of a scene from its image.

It learns from the scenes' exact truth, all combinations of words among them: so it can judge those that the networks
which draw have never seen.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.config import device_of, pick_device, seed_everything, to_device
from stablediff_edu.data.scenes.canvas import COLORS
from stablediff_edu.data.scenes.conditions import SEAS, SKIES
from stablediff_edu.data.scenes.dataset import make_scenes, to_float_images
from stablediff_edu.data.scenes.labels import POSITIONS, SIZES, labels_of
from stablediff_edu.data.scenes.scene import OBJECTS, Scene
from stablediff_edu.models.clip import ImageConfig, ImageEncoder
from stablediff_edu.training.amp import autocast_half, memory_format
from stablediff_edu.training.loop import Callback, TrainResult, train
from stablediff_edu.training.progress import fingerprint
from stablediff_edu.training.trained_models import load_trained, save_trained

# what is read off an image -> the names that there are for it, as `labels_of` uses them
FIELDS: dict[str, tuple[str, ...]] = dict(
    thing=tuple(OBJECTS),
    colour=tuple(COLORS),
    sky=tuple(SKIES),
    water=(*SEAS, "under"),
    place=tuple(POSITIONS),
    size=tuple(SIZES),
)
Logits = dict[str, torch.Tensor]  # field -> (B, names of the field) scores, or (B,) numbers of the right names
SIZE = 64
SCENES, SCENES_HELD_OUT = 34_000, 6_000  # as many of each as there are among all scenes
NUM_TEST = 1_000  # of both kinds


class SceneClassifier(nn.Module):
    """(B, 3, 64, 64) -> for each field (B, names): one score a name."""

    def __init__(self, channels: tuple[int, ...] = (32, 64, 128, 192)) -> None:
        super().__init__()
        self.config = dict(channels=list(channels))
        self.encoder = ImageEncoder(ImageConfig(SIZE, channels=tuple(channels)))
        self.heads = nn.ModuleDict({field: nn.Linear(channels[-1], len(names)) for field, names in FIELDS.items()})

    def forward(self, x: torch.Tensor) -> Logits:
        found = self.encoder(x)  # (B, 3, 64, 64) -> (B, channels)
        return {field: head(found) for field, head in self.heads.items()}


@dataclass(frozen=True)
class SceneClassifierTrainConfig:
    """Hyperparameters of the classifier."""

    channels: tuple[int, ...] = (32, 64, 128, 192)
    steps: int = 2500
    batch_size: int = 64
    learning_rate: float = 2e-3
    optimizer: str = "muon"
    bfloat16: bool = True
    seed: int = 0

    def model(self) -> SceneClassifier:
        """Return the untrained network; the seed decides its first weights."""
        torch.manual_seed(self.seed)
        return SceneClassifier(self.channels)


SCENE_CLASSIFIER = SceneClassifierTrainConfig()  # the pretrained weights `scene_judge`


def make_targets(scenes: list[Scene]) -> Logits:
    """Return the number of the right name in each field, (N,); -1 where the truth has no word."""
    truths = [labels_of(scene) for scene in scenes]
    return {
        field: torch.tensor([names.index(known[field]) if known[field] in names else -1 for known in truths])
        for field, names in FIELDS.items()
    }


def batches(
    pixels: torch.Tensor, answers: Logits, batch_size: int, device: torch.device | str = "cpu"
) -> Iterator[tuple[torch.Tensor, Logits]]:
    """Give batches for ever: images (B, 3, 64, 64) and the right names' numbers.

    A part of them are blurred, and all get a little noise: a soft image of a duck is a duck as well. All chance
    comes from torch's own generator, whose state the training loop saves.
    """
    while True:
        chosen = torch.randint(len(pixels), (batch_size,))
        images = to_float_images(pixels[chosen])
        soft = F.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
        images = torch.lerp(images, soft, torch.rand(batch_size, 1, 1, 1) * (torch.rand(batch_size, 1, 1, 1) < 0.5))
        images = images + 0.04 * torch.randn(images.shape)
        right = {field: to_device(numbers[chosen], device) for field, numbers in answers.items()}
        yield to_device(images, device), right


def loss(model: nn.Module, batch: tuple[torch.Tensor, Logits], bfloat16: bool = False) -> torch.Tensor:
    """Return the mean cross-entropy of all fields."""
    images, right = batch
    with autocast_half(bfloat16, images.device):
        found = model(images)
    return sum(F.cross_entropy(found[field].to(images.dtype), right[field], ignore_index=-1) for field in FIELDS) / len(
        FIELDS
    )


@torch.no_grad()
def predict_attributes(model: nn.Module, images: torch.Tensor, batch_size: int = 250) -> dict[str, list[str]]:
    """Return what the classifier reads off images (N, 3, 64, 64): field -> N names."""
    device = device_of(model)
    parts = [model(to_device(resize_for_classifier(part), device)) for part in images.split(batch_size)]
    numbers = {field: torch.cat([part[field].argmax(dim=1) for part in parts]).tolist() for field in FIELDS}
    return {field: [FIELDS[field][number] for number in found] for field, found in numbers.items()}


@torch.no_grad()
def classifier_features(model: SceneClassifier, images: torch.Tensor, batch_size: int = 250) -> torch.Tensor:
    """Return the features before the heads, on the CPU: (N, 3, S, S) -> (N, channels)."""
    device = device_of(model)
    parts = [model.encoder(to_device(resize_for_classifier(part), device)) for part in images.split(batch_size)]
    return torch.cat(parts).cpu()


def resize_for_classifier(images: torch.Tensor) -> torch.Tensor:
    """Scale images to the 64×64 that the classifier has learned: (N, 3, S, S) -> (N, 3, 64, 64)."""
    if images.shape[-1] == SIZE:
        return images
    return F.interpolate(images, size=(SIZE, SIZE), mode="bilinear", antialias=True)


def train_scene_classifier(
    config: SceneClassifierTrainConfig,
    pixels: torch.Tensor,
    answers: Logits,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> tuple[SceneClassifier, TrainResult]:
    """Train on scenes as bytes (N, 3, 64, 64) and what is right; return the network and the record."""
    device = pick_device()
    model = config.model().to(device, memory_format=memory_format(device, cpu=False))
    training = train(
        model,
        batches(pixels, answers, config.batch_size, device),
        partial(loss, bfloat16=config.bfloat16),
        steps=config.steps,
        learning_rate=config.learning_rate,
        optimizer=config.optimizer,
        weight_decay=0.05,
        beta2=0.99,
        callback=callback,
        checkpoint=checkpoint,
        half=config.bfloat16,
        about=fingerprint(config, pixels, *answers.values()),
    )
    return model, training


def make_scene_classifier(
    config: SceneClassifierTrainConfig, out: Path, command: str, checkpoint: Path | None = None
) -> tuple[SceneClassifier, TrainResult, str, Path]:
    """Train, score on held-out scenes, and save with metadata: the network, the record, the score, the file."""
    seed_everything(config.seed)
    known, rare = make_scenes(SCENES, SIZE), make_scenes(SCENES_HELD_OUT, SIZE, train=False)
    answers = make_targets([*known.scenes, *rare.scenes])
    model, training = train_scene_classifier(config, torch.cat([known.pixels, rare.pixels]), answers, None, checkpoint)
    score = score_scene_classifier(model)
    metadata = dict(
        command=command,
        seed=config.seed,
        data=f"{SCENES + SCENES_HELD_OUT:,} synthetic scenes of {SIZE}×{SIZE}, of all combinations",
        licence="generated by this package (MIT)",
        result=score,
    )
    return model, training, score, save_trained(out, model, training, checkpoint, **metadata)


def score_scene_classifier(model: nn.Module, count: int | None = None) -> str:
    """Return one line: which share of held-out scenes the classifier reads correctly, field by field."""
    lines = []
    for train_set, what in ((True, "other scenes"), (False, "others of combinations held out from the networks")):
        scenes = make_scenes(count or NUM_TEST, SIZE, seed=1, train=train_set)
        found, right = predict_attributes(model, scenes.images), make_targets(scenes.scenes)
        shares = []
        for field, names in FIELDS.items():
            pairs = [(a, names[b]) for a, b in zip(found[field], right[field].tolist(), strict=True) if b >= 0]
            shares.append(f"{field} {sum(a == b for a, b in pairs) / len(pairs):.1%}")
        lines.append(f"{', '.join(shares)} of {len(scenes):,} {what}")
    return "; ".join(lines)


def load_scene_classifier(name: str | Path = "scene_judge") -> tuple[SceneClassifier, dict[str, str]]:
    """Return the trained classifier and its metadata."""
    model, metadata = load_trained(SceneClassifier, name, "a classifier of scenes")
    return model.to(pick_device()), metadata

"""What is in a scene? A network that reads thing, colour, sky and more off a picture: the judge of chapter 8.

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

from stablediff_edu.datasets.scene_brush import COLOURS
from stablediff_edu.datasets.scene_set import load_scenes, to_pictures
from stablediff_edu.datasets.scene_weather import SEAS, SKIES
from stablediff_edu.datasets.scene_words import PLACES, SIZES, truth
from stablediff_edu.datasets.scenes import KINDS, Scene
from stablediff_edu.device import device_of, pick_device, seed_everything, to_device
from stablediff_edu.models.clip import ImageConfig, ImageEncoder
from stablediff_edu.training.keeping import keep, rebuild
from stablediff_edu.training.loop import Observer, Training, train
from stablediff_edu.training.precision import memory_format, sixteen_bits
from stablediff_edu.training.progress import fingerprint

# what is read off a picture -> the names that there are for it, as `truth` uses them
FIELDS: dict[str, tuple[str, ...]] = dict(
    thing=tuple(KINDS),
    colour=tuple(COLOURS),
    sky=tuple(SKIES),
    water=(*SEAS, "under"),
    place=tuple(PLACES),
    size=tuple(SIZES),
)
Answers = dict[str, torch.Tensor]  # field -> (B, names of the field) scores, or (B,) numbers of the right names
SIZE = 64
SCENES, SCENES_HELD_OUT = 34_000, 6_000  # as many of each as there are among all scenes
UNSEEN = 1_000  # of both kinds


class SceneJudge(nn.Module):
    """(B, 3, 64, 64) -> for each field (B, names): one score a name."""

    def __init__(self, channels: tuple[int, ...] = (32, 64, 128, 192)) -> None:
        super().__init__()
        self.config = dict(channels=list(channels))
        self.encoder = ImageEncoder(ImageConfig(SIZE, channels=tuple(channels)))
        self.heads = nn.ModuleDict({field: nn.Linear(channels[-1], len(names)) for field, names in FIELDS.items()})

    def forward(self, x: torch.Tensor) -> Answers:
        found = self.encoder(x)  # (B, 3, 64, 64) -> (B, channels)
        return {field: head(found) for field, head in self.heads.items()}


@dataclass(frozen=True)
class JudgeRecipe:
    """How the judge learns."""

    channels: tuple[int, ...] = (32, 64, 128, 192)
    steps: int = 2500
    batch_size: int = 64
    learning_rate: float = 2e-3
    optimizer: str = "muon"
    bfloat16: bool = True
    seed: int = 0

    def model(self) -> SceneJudge:
        """Return the untrained network; the seed decides its first weights."""
        torch.manual_seed(self.seed)
        return SceneJudge(self.channels)


SCENE_JUDGE = JudgeRecipe()  # the shipped weights `scene_judge`


def right_answers(scenes: list[Scene]) -> Answers:
    """Return the number of the right name in each field, (N,); -1 where the truth has no word."""
    truths = [truth(scene) for scene in scenes]
    return {
        field: torch.tensor([names.index(known[field]) if known[field] in names else -1 for known in truths])
        for field, names in FIELDS.items()
    }


def batches(
    pixels: torch.Tensor, answers: Answers, batch_size: int, device: torch.device | str = "cpu"
) -> Iterator[tuple[torch.Tensor, Answers]]:
    """Give batches for ever: pictures (B, 3, 64, 64) and the right names' numbers.

    A part of them are blurred, and all get a little noise: a soft picture of a duck is a duck as well. All chance
    comes from torch's own generator, whose state the training loop saves.
    """
    while True:
        chosen = torch.randint(len(pixels), (batch_size,))
        pictures = to_pictures(pixels[chosen])
        soft = F.avg_pool2d(pictures, 3, 1, 1, count_include_pad=False)
        pictures = torch.lerp(pictures, soft, torch.rand(batch_size, 1, 1, 1) * (torch.rand(batch_size, 1, 1, 1) < 0.5))
        pictures = pictures + 0.04 * torch.randn(pictures.shape)
        right = {field: to_device(numbers[chosen], device) for field, numbers in answers.items()}
        yield to_device(pictures, device), right


def loss(model: nn.Module, batch: tuple[torch.Tensor, Answers], bfloat16: bool = False) -> torch.Tensor:
    """Return the mean cross-entropy of all fields."""
    pictures, right = batch
    with sixteen_bits(bfloat16, pictures.device):
        found = model(pictures)
    return sum(
        F.cross_entropy(found[field].to(pictures.dtype), right[field], ignore_index=-1) for field in FIELDS
    ) / len(FIELDS)


@torch.no_grad()
def read_pictures(model: nn.Module, pictures: torch.Tensor, batch_size: int = 250) -> dict[str, list[str]]:
    """Return what the judge reads off pictures (N, 3, 64, 64): field -> N names."""
    device = device_of(model)
    parts = [model(to_device(to_judge_size(part), device)) for part in pictures.split(batch_size)]
    numbers = {field: torch.cat([part[field].argmax(dim=1) for part in parts]).tolist() for field in FIELDS}
    return {field: [FIELDS[field][number] for number in found] for field, found in numbers.items()}


@torch.no_grad()
def judge_features(model: SceneJudge, images: torch.Tensor, batch_size: int = 250) -> torch.Tensor:
    """Return the features before the heads, on the CPU: (N, 3, S, S) -> (N, channels)."""
    device = device_of(model)
    parts = [model.encoder(to_device(to_judge_size(part), device)) for part in images.split(batch_size)]
    return torch.cat(parts).cpu()


def to_judge_size(images: torch.Tensor) -> torch.Tensor:
    """Scale images to the 64×64 that the judge has learned: (N, 3, S, S) -> (N, 3, 64, 64)."""
    if images.shape[-1] == SIZE:
        return images
    return F.interpolate(images, size=(SIZE, SIZE), mode="bilinear", antialias=True)


def train_judge(
    recipe: JudgeRecipe,
    pixels: torch.Tensor,
    answers: Answers,
    observer: Observer | None = None,
    checkpoint: Path | None = None,
) -> tuple[SceneJudge, Training]:
    """Train on scenes as bytes (N, 3, 64, 64) and what is right; return the network and the record."""
    device = pick_device()
    model = recipe.model().to(device, memory_format=memory_format(device, cpu=False))
    training = train(
        model,
        batches(pixels, answers, recipe.batch_size, device),
        partial(loss, bfloat16=recipe.bfloat16),
        steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        optimizer=recipe.optimizer,
        weight_decay=0.05,
        beta2=0.99,
        observer=observer,
        checkpoint=checkpoint,
        half=recipe.bfloat16,
        about=fingerprint(recipe, pixels, *answers.values()),
    )
    return model, training


def make_judge(
    recipe: JudgeRecipe, out: Path, command: str, checkpoint: Path | None = None
) -> tuple[SceneJudge, Training, str, Path]:
    """Train, score on scenes never seen, and save with a card: the network, the record, the score, the file."""
    seed_everything(recipe.seed)
    known, rare = load_scenes(SCENES, SIZE), load_scenes(SCENES_HELD_OUT, SIZE, train=False)
    answers = right_answers([*known.scenes, *rare.scenes])
    model, training = train_judge(recipe, torch.cat([known.pixels, rare.pixels]), answers, None, checkpoint)
    score = score_judge(model)
    card = dict(
        command=command,
        seed=recipe.seed,
        data=f"{SCENES + SCENES_HELD_OUT:,} drawn scenes of {SIZE}×{SIZE}, of all combinations",
        licence="drawn by this package (MIT)",
        result=score,
    )
    return model, training, score, keep(out, model, training, checkpoint, **card)


def score_judge(model: nn.Module, count: int | None = None) -> str:
    """Return one line: which share of scenes never seen the judge reads rightly, field by field."""
    lines = []
    for train_set, what in ((True, "other scenes"), (False, "others of combinations held out from the networks")):
        scenes = load_scenes(count or UNSEEN, SIZE, seed=1, train=train_set)
        found, right = read_pictures(model, scenes.pictures), right_answers(scenes.scenes)
        shares = []
        for field, names in FIELDS.items():
            pairs = [(a, names[b]) for a, b in zip(found[field], right[field].tolist(), strict=True) if b >= 0]
            shares.append(f"{field} {sum(a == b for a, b in pairs) / len(pairs):.1%}")
        lines.append(f"{', '.join(shares)} of {len(scenes):,} {what}")
    return "; ".join(lines)


def load_judge(name: str | Path = "scene_judge") -> tuple[SceneJudge, dict[str, str]]:
    """Return the trained judge and its card."""
    model, card = rebuild(SceneJudge, name, "a judge of scenes")
    return model.to(pick_device()), card

"""Training CLIP on captioned scenes: pictures and sentences that belong together find each other (chapter 7)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from stablediff_edu.datasets.captions import VOCABULARY, tell
from stablediff_edu.datasets.scene_set import CaptionedScenes, load_scenes, to_pictures
from stablediff_edu.device import pick_device, seed_everything, to_device
from stablediff_edu.models.clip import CLIP, ImageConfig, TextConfig, contrastive_loss
from stablediff_edu.tokenizers.words import WordTokenizer
from stablediff_edu.training.distributed import gather, own_share
from stablediff_edu.training.keeping import keep, rebuild
from stablediff_edu.training.loop import Observer, Training, train
from stablediff_edu.training.precision import memory_format
from stablediff_edu.training.progress import fingerprint

UNSEEN = 640  # scenes that a new network is scored on
Batch = tuple[torch.Tensor, torch.Tensor]
SMALL_TEXT = TextConfig(vocabulary=len(VOCABULARY) + 2, positions=28, width=128, layers=4, heads=4)


@dataclass(frozen=True)
class CLIPRecipe:
    """How a small CLIP learns.

    Attributes:
        text, image: the sizes of the encoders.
        scenes: how many to learn from.
        wordings: in how many ways each is told.
        steps, batch_size, learning_rate: of the training; in a batch every picture is compared with every sentence.
    """

    text: TextConfig = SMALL_TEXT
    image: ImageConfig = field(default_factory=ImageConfig)
    scenes: int = 30_000
    wordings: int = 8
    steps: int = 8000
    batch_size: int = 64
    learning_rate: float = 5e-4
    seed: int = 0

    def model(self) -> CLIP:
        """Return the untrained network; the seed decides its first weights."""
        torch.manual_seed(self.seed)
        return CLIP(self.text, self.image)

    def data(self, train: bool = True, count: int | None = None) -> CaptionedScenes:
        """Return the scenes to learn from, or others with combinations that are not among them."""
        return load_scenes(count or self.scenes, self.image.size, self.seed, train)


CLIP_SCENES = CLIPRecipe()  # the shipped weights `clip-scenes`
CLIP_BUDGETS = {
    "quick": replace(
        CLIP_SCENES,
        text=replace(SMALL_TEXT, width=64, layers=2),
        image=ImageConfig(size=32, patch=2, channels=(24, 48, 96)),
        scenes=2000,
        steps=500,
        learning_rate=1e-3,
    ),
    "full": CLIP_SCENES,
}
CLIP_BUDGETS["test"] = replace(CLIP_BUDGETS["quick"], scenes=100, steps=4, batch_size=4)


def tokens_of(scenes: CaptionedScenes, tokenizer: WordTokenizer, wordings: int, seed: int = 0) -> torch.Tensor:
    """Return the tokens of so many ways to tell each scene: (N, wordings, length)."""
    random = np.random.default_rng(seed)
    rows = [tokenizer([tell(scene, random) for _ in range(wordings)]) for scene in scenes.scenes]
    return torch.stack(rows).to(torch.int16)  # a quarter of the memory


def batches(
    pixels: torch.Tensor, tokens: torch.Tensor, batch_size: int, device: torch.device | str = "cpu"
) -> Iterator[Batch]:
    """Give batches for ever: pictures (B, 3, S, S), and for each the tokens (B, length) of one of its wordings.

    All chance comes from torch's own generator, whose state the training loop saves. Several processes share them out.
    """
    while True:
        chosen = torch.randint(len(pixels), (batch_size,))
        wording = torch.randint(tokens.shape[1], (batch_size,))
        chosen, wording = own_share(chosen), own_share(wording)
        yield to_pictures(to_device(pixels[chosen], device)), to_device(tokens[chosen, wording].long(), device)


def loss(model: CLIP, batch: Batch) -> torch.Tensor:
    """Return the contrastive loss of pictures and the tokens of their sentences, those of all processes."""
    pictures, tokens = batch
    similarities = gather(model.embed_pictures(pictures)) @ gather(model.embed_text(tokens)).T
    return contrastive_loss(similarities, model.sharpness)


def train_clip(
    recipe: CLIPRecipe,
    scenes: CaptionedScenes,
    observer: Observer | None = None,
    snapshot: Callable[[CLIP], torch.Tensor] | None = None,
    checkpoint: Path | None = None,
) -> tuple[CLIP, Training]:
    """Train on these scenes; return the network in evaluation mode, and the record."""
    device = pick_device()
    model = recipe.model().to(device, memory_format=memory_format(device, cpu=False))
    tokens = tokens_of(scenes, tokenizer_of(recipe.text), recipe.wordings, recipe.seed)
    training = train(
        model,
        batches(scenes.pixels, tokens, recipe.batch_size, device),
        loss,
        steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        beta2=0.98,  # CLIP's own
        warmup=min(100, recipe.steps // 10),
        weight_decay=0.1,
        ema=0.995,
        snapshot=snapshot,
        observer=observer,
        checkpoint=checkpoint,
        about=fingerprint(recipe, scenes.pixels, tokens),
    )
    return model, training


def tokenizer_of(text: TextConfig, words: tuple[str, ...] = VOCABULARY) -> WordTokenizer:
    """Return the tokenizer of a text encoder."""
    return WordTokenizer(words, text.positions)


def make_clip(
    recipe: CLIPRecipe, out: Path, command: str, checkpoint: Path | None = None
) -> tuple[CLIP, Training, str, Path]:
    """Train, score on scenes never seen, and save with a card: the network, the record, the score, the file."""
    from stablediff_edu.training.clip_quality import evaluate_clip

    seed_everything(recipe.seed)
    scenes = recipe.data()
    model, training = train_clip(recipe, scenes, checkpoint=checkpoint)
    score = evaluate_clip(model, tokenizer_of(recipe.text), recipe.data(train=False, count=UNSEEN))
    card = dict(
        command=command,
        seed=recipe.seed,
        data=f"{len(scenes):,} {scenes.source} of {recipe.image.size}×{recipe.image.size}, each told in "
        f"{recipe.wordings} ways",
        licence="drawn by this package (MIT)",
        words=" ".join(VOCABULARY),
        result=score.line(),
    )
    return model, training, str(score), keep(out, model, training, checkpoint, **card)


def load_clip(name: str | Path = "clip-scenes") -> tuple[CLIP, WordTokenizer, dict[str, str]]:
    """Return a trained CLIP, built with the sizes on its card, its tokenizer, and the card.

    Raises:
        CourseError: the file is missing, cut off, or holds anything else than such a network with its card.
    """
    model, card = rebuild(_clip, name, "a CLIP")
    words = tuple(card.get("words", "").split())
    return model.to(pick_device()), tokenizer_of(model.text.config, words or VOCABULARY), card


def _clip(text: dict, image: dict, features: int) -> CLIP:
    return CLIP(TextConfig(**text), ImageConfig(**image), features)

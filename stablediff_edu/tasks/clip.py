"""Training CLIP on captioned scenes (chapter 7)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stablediff_edu.config import pick_device, to_device
from stablediff_edu.data.scenes.captions import VOCABULARY, random_caption
from stablediff_edu.data.scenes.dataset import SceneDataset, make_scenes, to_float_images
from stablediff_edu.models.clip import CLIP, CLIPTextConfig, ImageConfig, contrastive_loss
from stablediff_edu.tasks.task import MIT, Task
from stablediff_edu.tokenizers.words import WordTokenizer
from stablediff_edu.training.distributed import gather, shard_batch
from stablediff_edu.training.loop import TrainResult
from stablediff_edu.training.trained_models import load_trained

Batch = tuple[torch.Tensor, torch.Tensor]
SMALL_TEXT = CLIPTextConfig(
    vocab_size=len(VOCABULARY) + 2,
    max_position_embeddings=28,
    hidden_size=128,
    num_hidden_layers=4,
    num_attention_heads=4,
)


@dataclass(frozen=True, kw_only=True)
class CLIPTask(Task[SceneDataset, CLIP]):
    """A small CLIP; in a batch every image is compared with every sentence.

    Attributes:
        text, image: the sizes of the encoders.
        scenes: how many to train on.
        held_out: how many scenes with combinations that are not among them score it.
        captions_per_image: how many captions each has.
    """

    name = "clip-scenes"
    is_shared = True
    channels_last_cpu = False

    text: CLIPTextConfig = SMALL_TEXT
    image: ImageConfig = field(default_factory=ImageConfig)
    scenes: int = 30_000
    held_out: int = 640
    captions_per_image: int = 8
    steps: int = 8000
    learning_rate: float = 5e-4
    beta2: float = 0.98  # CLIP's own
    weight_decay: float = 0.1
    ema: float = 0.995

    def network(self) -> CLIP:
        return CLIP(self.text, self.image)

    def data(self, cache: Path | None = None) -> tuple[SceneDataset, SceneDataset | None]:
        sides = ((self.scenes, True), (self.held_out, False))
        known, unseen = (make_scenes(count, self.image.size, self.seed, train) for count, train in sides)
        return known, unseen

    def batches(self, data: SceneDataset, device: torch.device) -> Iterator[Batch]:
        tokens = tokenize_captions(data, tokenizer_of(self.text), self.captions_per_image, self.seed)
        return batches(data.pixels, tokens, self.batch_size, device)

    def loss(self, data: SceneDataset) -> Callable:
        return loss

    def loop_options(self) -> dict[str, Any]:
        return super().loop_options() | dict(warmup=min(100, self.steps // 10))

    def evaluate(self, model: CLIP, held_out: SceneDataset | None) -> str:
        from stablediff_edu.tasks.clip_evaluation import evaluate_clip

        assert held_out is not None
        return evaluate_clip(model, tokenizer_of(model.text_model.config), held_out).line()

    def report(self, model: CLIP, metadata: dict[str, str]) -> str:
        from stablediff_edu.tasks.clip_evaluation import evaluate_clip

        scenes = make_scenes(3 * self.held_out, model.image_model.config.size, seed=1, train=False)
        return str(evaluate_clip(model, tokenizer_of(model.text_model.config), scenes))

    def metadata(self, data: SceneDataset, training: TrainResult) -> dict[str, object]:
        size = f"{self.image.size}×{self.image.size}"
        told = f"each told in {self.captions_per_image} ways"
        return dict(data=f"{len(data):,} {data.source} of {size}, {told}", licence=MIT, words=" ".join(VOCABULARY))

    def load(self, name: str | Path) -> tuple[CLIP, dict[str, str]]:
        model, _, metadata = load_clip(name)
        return model, metadata


CLIP_QUICK = CLIPTask(
    text=replace(SMALL_TEXT, hidden_size=64, num_hidden_layers=2),
    image=ImageConfig(size=32, patch=2, channels=(24, 48, 96)),
    scenes=2000,
    steps=500,
    learning_rate=1e-3,
)
CLIP_PRESETS = CLIPTask.presets = {
    "pretrained": CLIPTask(),
    "quick": CLIP_QUICK,
    "full": CLIPTask(),
    "test": replace(CLIP_QUICK, scenes=100, steps=4, batch_size=4),
}


def tokenize_captions(scenes: SceneDataset, tokenizer: WordTokenizer, wordings: int, seed: int = 0) -> torch.Tensor:
    """Return the tokens of so many ways to tell each scene: (N, wordings, length)."""
    rng = np.random.default_rng(seed)
    rows = [tokenizer([random_caption(scene, rng) for _ in range(wordings)]) for scene in scenes.scenes]
    return torch.stack(rows).to(torch.int16)  # a quarter of the memory


def batches(
    pixels: torch.Tensor, tokens: torch.Tensor, batch_size: int, device: torch.device | str = "cpu"
) -> Iterator[Batch]:
    """Give batches for ever: images (B, 3, S, S), and for each the tokens (B, length) of one of its wordings.

    All randomness comes from torch's default generator, whose state the training loop saves. Several processes share
    them out.
    """
    while True:
        chosen = torch.randint(len(pixels), (batch_size,))
        wording = torch.randint(tokens.shape[1], (batch_size,))
        chosen, wording = shard_batch(chosen), shard_batch(wording)
        yield to_float_images(to_device(pixels[chosen], device)), to_device(tokens[chosen, wording].long(), device)


def loss(model: CLIP, batch: Batch) -> torch.Tensor:
    """Return the contrastive loss of images and the tokens of their sentences, those of all processes."""
    images, tokens = batch
    similarities = gather(model.encode_image(images)) @ gather(model.encode_text(tokens)).T
    return contrastive_loss(similarities, model.logit_scale)


def tokenizer_of(text: CLIPTextConfig, words: tuple[str, ...] = VOCABULARY) -> WordTokenizer:
    """Return the tokenizer of a text encoder."""
    return WordTokenizer(words, text.max_position_embeddings)


def load_clip(name: str | Path = "clip-scenes") -> tuple[CLIP, WordTokenizer, dict[str, str]]:
    """Return a trained CLIP, built with the sizes in its metadata, its tokenizer, and the metadata.

    Raises:
        UserError: the file is missing, cut off, or holds anything else than such a network with its metadata.
    """
    model, metadata = load_trained(_clip, name, "a CLIP")
    words = tuple(metadata.get("words", "").split())
    return model.to(pick_device()), tokenizer_of(model.text_model.config, words or VOCABULARY), metadata


def _clip(text: dict, image: dict, features: int) -> CLIP:
    return CLIP(CLIPTextConfig(**text), ImageConfig(**image), features)

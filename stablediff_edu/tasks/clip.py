"""Training CLIP on captioned scenes (chapter 7)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from stablediff_edu.config import pick_device, seed_everything, to_device
from stablediff_edu.data.scenes.captions import VOCABULARY, random_caption
from stablediff_edu.data.scenes.dataset import SceneDataset, make_scenes, to_float_images
from stablediff_edu.models.clip import CLIP, ImageConfig, TextConfig, contrastive_loss
from stablediff_edu.tokenizers.words import WordTokenizer
from stablediff_edu.training.amp import memory_format
from stablediff_edu.training.distributed import gather, shard_batch
from stablediff_edu.training.loop import Callback, TrainResult, train
from stablediff_edu.training.progress import fingerprint
from stablediff_edu.training.trained_models import load_trained, save_trained

NUM_TEST = 640  # scenes that a new network is scored on
Batch = tuple[torch.Tensor, torch.Tensor]
SMALL_TEXT = TextConfig(vocabulary=len(VOCABULARY) + 2, positions=28, width=128, layers=4, heads=4)


@dataclass(frozen=True)
class CLIPTrainConfig:
    """Hyperparameters of a small CLIP.

    Attributes:
        text, image: the sizes of the encoders.
        scenes: how many to train on.
        captions_per_image: how many captions each has.
        steps, batch_size, learning_rate: of the training; in a batch every image is compared with every sentence.
    """

    text: TextConfig = SMALL_TEXT
    image: ImageConfig = field(default_factory=ImageConfig)
    scenes: int = 30_000
    captions_per_image: int = 8
    steps: int = 8000
    batch_size: int = 64
    learning_rate: float = 5e-4
    seed: int = 0

    def model(self) -> CLIP:
        """Return the untrained network; the seed decides its first weights."""
        torch.manual_seed(self.seed)
        return CLIP(self.text, self.image)

    def data(self, train: bool = True, count: int | None = None) -> SceneDataset:
        """Return the scenes to train on, or others with combinations that are not among them."""
        return make_scenes(count or self.scenes, self.image.size, self.seed, train)


CLIP_SCENES = CLIPTrainConfig()  # the pretrained weights `clip-scenes`
CLIP_PRESETS = {
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
CLIP_PRESETS["test"] = replace(CLIP_PRESETS["quick"], scenes=100, steps=4, batch_size=4)


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


def train_clip(
    config: CLIPTrainConfig,
    scenes: SceneDataset,
    callback: Callback | None = None,
    snapshot: Callable[[CLIP], torch.Tensor] | None = None,
    checkpoint: Path | None = None,
) -> tuple[CLIP, TrainResult]:
    """Train on these scenes; return the network in evaluation mode, and the record."""
    device = pick_device()
    model = config.model().to(device, memory_format=memory_format(device, cpu=False))
    tokens = tokenize_captions(scenes, tokenizer_of(config.text), config.captions_per_image, config.seed)
    training = train(
        model,
        batches(scenes.pixels, tokens, config.batch_size, device),
        loss,
        steps=config.steps,
        learning_rate=config.learning_rate,
        beta2=0.98,  # CLIP's own
        warmup=min(100, config.steps // 10),
        weight_decay=0.1,
        ema=0.995,
        snapshot=snapshot,
        callback=callback,
        checkpoint=checkpoint,
        about=fingerprint(config, scenes.pixels, tokens),
    )
    return model, training


def tokenizer_of(text: TextConfig, words: tuple[str, ...] = VOCABULARY) -> WordTokenizer:
    """Return the tokenizer of a text encoder."""
    return WordTokenizer(words, text.positions)


def make_clip(
    config: CLIPTrainConfig, out: Path, command: str, checkpoint: Path | None = None
) -> tuple[CLIP, TrainResult, str, Path]:
    """Train, score on held-out scenes, and save with metadata: the network, the record, the score, the file."""
    from stablediff_edu.tasks.clip_evaluation import evaluate_clip

    seed_everything(config.seed)
    scenes = config.data()
    model, training = train_clip(config, scenes, checkpoint=checkpoint)
    score = evaluate_clip(model, tokenizer_of(config.text), config.data(train=False, count=NUM_TEST))
    metadata = dict(
        command=command,
        seed=config.seed,
        data=f"{len(scenes):,} {scenes.source} of {config.image.size}×{config.image.size}, each told in "
        f"{config.captions_per_image} ways",
        licence="generated by this package (MIT)",
        words=" ".join(VOCABULARY),
        result=score.line(),
    )
    return model, training, str(score), save_trained(out, model, training, checkpoint, **metadata)


def load_clip(name: str | Path = "clip-scenes") -> tuple[CLIP, WordTokenizer, dict[str, str]]:
    """Return a trained CLIP, built with the sizes in its metadata, its tokenizer, and the metadata.

    Raises:
        UserError: the file is missing, cut off, or holds anything else than such a network with its metadata.
    """
    model, metadata = load_trained(_clip, name, "a CLIP")
    words = tuple(metadata.get("words", "").split())
    return model.to(pick_device()), tokenizer_of(model.text.config, words or VOCABULARY), metadata


def _clip(text: dict, image: dict, features: int) -> CLIP:
    return CLIP(TextConfig(**text), ImageConfig(**image), features)

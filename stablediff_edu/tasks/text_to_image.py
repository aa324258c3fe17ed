"""Training the noise predictor of Stable Diffusion on captioned scenes (8.4).

A training step takes the latents of some images and one of the sentences that tell each, mixes in noise, and asks the
U-Net for it (Rombach et al., 2022, equation 3). For one sentence in ten it is asked without any, so that guidance
has something to compare with (Ho and Salimans, 2022, "Classifier-free diffusion guidance", algorithm 1).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.config import pick_device, to_device
from stablediff_edu.data.scenes.scene import OBJECTS
from stablediff_edu.diffusion.schedule import NoiseSchedule
from stablediff_edu.models.unet_2d_condition import ConditionalUNet, UNetConfig
from stablediff_edu.training import distributed
from stablediff_edu.training.amp import autocast_half, memory_format
from stablediff_edu.training.loop import Callback, TrainResult, train
from stablediff_edu.training.progress import fingerprint

# how much oftener steps in the middle come: at 1.8 hardly, at 1 so much that the noisiest never do
LOGIT_NORMAL_STD = 1.4


@dataclass(frozen=True)
class TextToImageTrainConfig:
    """Hyperparameters of the U-Net.

    Attributes:
        config: its sizes.
        scenes: how many it learns from.
        object_classes: which objects these show.
        size: side of their images.
        captions_per_image: in how many ways each scene is told.
        cond_drop_prob: the share of the images that are trained without their sentence.
        schedule, prediction: how noise is mixed in, and what the network predicts: "noise", "clean" or "velocity".
        steps, batch_size, learning_rate, optimizer, ema: of the training; several processes share out the batch.
        bfloat16: whether it computes with `autocast_half`.
    """

    config: UNetConfig
    scenes: int = 40_000
    object_classes: tuple[str, ...] = tuple(OBJECTS)
    size: int = 64
    captions_per_image: int = 8
    cond_drop_prob: float = 0.1
    schedule: str = "cosine"
    prediction: str = "velocity"
    steps: int = 12_000
    batch_size: int = 128
    learning_rate: float = 1e-3
    optimizer: str = "adamw"
    bfloat16: bool = False
    ema: float = 0.9995
    seed: int = 0

    def model(self) -> ConditionalUNet:
        """Return the untrained network; the seed decides its first weights."""
        torch.manual_seed(self.seed)
        return ConditionalUNet(self.config)

    def make_schedule(self) -> NoiseSchedule:
        """Return the schedule of 1000 steps that the network learns."""
        return getattr(NoiseSchedule, self.schedule)()


class CaptionedLatents(NamedTuple):
    """What the U-Net learns from."""

    latents: torch.Tensor  # (N, 4, h, w) of all images
    tokens: torch.Tensor  # (N, wordings, length) of the sentences that tell them
    null_tokens: torch.Tensor  # (1, length) of the empty sentence


class Batch(NamedTuple):
    """Everything that a training step needs; all of its chance is in it."""

    x0: torch.Tensor  # (B, 4, h, w) latents
    eps: torch.Tensor  # (B, 4, h, w) noise
    t: torch.Tensor  # (B,) steps of the schedule
    tokens: torch.Tensor  # (B, length) of the sentences


def batches(
    dataset: CaptionedLatents, config: TextToImageTrainConfig, levels: int = 1000, device: torch.device | str = "cpu"
) -> Iterator[Batch]:
    """Give batches for ever.

    All randomness comes from torch's default generator, whose state the training loop saves. Several processes draw
    the same batch, and each takes its share of it. The steps in the middle of the schedule's `levels`, where shapes
    are decided, come oftener (the logit-normal draw of Esser et al., 2024, "Scaling rectified flow transformers",
    section 3.1).
    """
    while True:
        chosen = torch.randint(len(dataset.latents), (config.batch_size,))
        wording = torch.randint(dataset.tokens.shape[1], (config.batch_size,))
        drop = torch.rand(config.batch_size, 1) < config.cond_drop_prob
        t = ((LOGIT_NORMAL_STD * torch.randn(config.batch_size)).sigmoid() * levels).long().clamp(max=levels - 1)
        x0 = dataset.latents[chosen].float()
        sentences = torch.where(drop, dataset.null_tokens, dataset.tokens[chosen, wording]).long()
        whole = Batch(x0, torch.randn(x0.shape), t, sentences)
        yield Batch(*(to_device(distributed.shard_batch(part), device) for part in whole))


def loss(
    model: nn.Module,
    batch: Batch,
    text_encoder: nn.Module,
    schedule: NoiseSchedule,
    prediction: str = "velocity",
    bfloat16: bool = False,
) -> torch.Tensor:
    """Return how wrong the network is: one training step of Stable Diffusion is this and a gradient."""
    with torch.no_grad(), autocast_half(bfloat16, batch.x0.device):
        context = text_encoder(batch.tokens)  # (B, N) -> (B, N, width); it was trained before, as part of CLIP
    xt = schedule.add_noise(batch.x0, batch.eps, batch.t)
    with autocast_half(bfloat16, xt.device):
        answer = model(xt, batch.t, context).to(xt.dtype)
    return F.mse_loss(answer, schedule.target(batch.x0, batch.eps, batch.t, prediction))


def train_text_to_image(
    config: TextToImageTrainConfig,
    dataset: CaptionedLatents,
    text_encoder: nn.Module,
    callback: Callback | None = None,
    snapshot: Callable[[nn.Module], torch.Tensor] | None = None,
    snapshot_at: Callable[[int], bool] | None = None,
    checkpoint: Path | None = None,
    init: nn.Module | None = None,
) -> tuple[ConditionalUNet, TrainResult]:
    """Train a U-Net; return it in evaluation mode, and the record. The text encoder stays as it is.

    Args:
        init: a U-Net of the config's sizes to begin from, instead of random weights.
    """
    distributed.check_batch(config.batch_size)
    device, schedule = pick_device(), config.make_schedule()
    model = config.model().to(device, memory_format=memory_format(device, config.bfloat16))
    begun = init.state_dict() if init else {}
    if init:
        model.load_state_dict(begun)
    text_encoder = text_encoder.to(device).eval()
    training = train(
        model,
        batches(dataset, config, len(schedule), device),
        partial(
            loss,
            text_encoder=text_encoder,
            schedule=schedule,
            prediction=config.prediction,
            bfloat16=config.bfloat16,
        ),
        steps=config.steps,
        learning_rate=config.learning_rate,
        beta2=0.99,
        optimizer=config.optimizer,
        warmup=min(200, config.steps // 10),
        ema=config.ema,
        snapshot=snapshot,
        snapshot_at=snapshot_at,
        callback=callback,
        checkpoint=checkpoint,
        half=config.bfloat16,
        about=fingerprint(config, *dataset, *text_encoder.state_dict().values(), *begun.values()),
    )
    return model, training

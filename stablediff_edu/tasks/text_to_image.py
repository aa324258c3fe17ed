"""Training the noise predictor of Stable Diffusion on latents and captions (8.4).

A training step takes the latents of some images and one of the captions of each, adds noise, and lets the U-Net predict
it (Rombach et al., 2022, equation 3). One caption in ten is left out, so that guidance has an unconditional prediction
to compare with (Ho and Salimans, 2022, "Classifier-free diffusion guidance", algorithm 1).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.config import to_device
from stablediff_edu.diffusion.schedule import NoiseSchedule
from stablediff_edu.models.autoencoder_kl import AutoencoderKL
from stablediff_edu.models.clip import CLIPTextModel
from stablediff_edu.models.unet_2d_condition import UNet2DConditionModel, UNetConfig
from stablediff_edu.tasks.task import Task
from stablediff_edu.tokenizers.words import WordTokenizer
from stablediff_edu.training import distributed
from stablediff_edu.training.amp import autocast_half

# how much more often medium timesteps are sampled: at 1.8 hardly, at 1 so much that the noisiest never are
LOGIT_NORMAL_STD = 1.4


class FrozenParts(NamedTuple):
    """What the U-Net is trained between."""

    text_encoder: CLIPTextModel
    vae: AutoencoderKL
    tokenizer: WordTokenizer
    provenance: str  # how they came to be


class CaptionedLatents(NamedTuple):
    """What the U-Net is trained on."""

    latents: torch.Tensor  # (N, 4, h, w) of all images
    tokens: torch.Tensor  # (N, wordings, length) of their captions
    null_tokens: torch.Tensor  # (1, length) of the empty caption
    parts: FrozenParts  # the encoders that made them


class Batch(NamedTuple):
    """Everything that a training step needs; all of its randomness is in it."""

    x0: torch.Tensor  # (B, 4, h, w) latents
    eps: torch.Tensor  # (B, 4, h, w) noise
    t: torch.Tensor  # (B,) timesteps
    tokens: torch.Tensor  # (B, length) of the captions


@dataclass(frozen=True, kw_only=True)
class TextToImageTask(Task[CaptionedLatents, Any]):  # Any: what is trained is a U-Net, what is saved a whole pipeline
    """A U-Net with cross-attention, on latents.

    Attributes:
        unet: its sizes.
        cond_drop_prob: the share of the images that are trained without their caption.
        schedule, prediction: of the noise, and what the network predicts: "epsilon", "sample" or "v_prediction".
    """

    is_shared = True
    logs_samples = True

    unet: UNetConfig
    cond_drop_prob: float = 0.1
    schedule: str = "cosine"
    prediction: str = "v_prediction"
    warmup: int = 200

    def network(self) -> nn.Module:
        return UNet2DConditionModel(self.unet)

    def make_schedule(self) -> NoiseSchedule:
        """Return the schedule of 1000 steps that the network learns."""
        return getattr(NoiseSchedule, self.schedule)()

    def batches(self, data: CaptionedLatents, device: torch.device) -> Iterator[Batch]:
        """Yield batches forever; several processes sample the same one, and each takes its share.

        Medium timesteps, where shapes are decided, are sampled more often (logit-normal; Esser et al., 2024, "Scaling
        rectified flow transformers", section 3.1).
        """
        size, levels = self.batch_size, len(self.make_schedule())
        while True:
            chosen = torch.randint(len(data.latents), (size,))
            wording = torch.randint(data.tokens.shape[1], (size,))
            drop = torch.rand(size, 1) < self.cond_drop_prob
            t = ((LOGIT_NORMAL_STD * torch.randn(size)).sigmoid() * levels).long().clamp(max=levels - 1)
            x0 = data.latents[chosen].float()
            captions = torch.where(drop, data.null_tokens, data.tokens[chosen, wording]).long()
            whole = Batch(x0, torch.randn(x0.shape), t, captions)
            yield Batch(*(to_device(distributed.shard_batch(part), device) for part in whole))

    def loss(self, data: CaptionedLatents) -> Callable:
        return partial(
            loss,
            text_encoder=data.parts.text_encoder.eval(),
            schedule=self.make_schedule(),
            prediction=self.prediction,
            bfloat16=self.bfloat16,
        )

    def fingerprint(self, data: CaptionedLatents) -> list[torch.Tensor | str]:
        return [*super().fingerprint(data), *data.parts.text_encoder.state_dict().values()]

    def loop_options(self) -> dict[str, Any]:
        return super().loop_options() | dict(warmup=min(self.warmup, self.steps // 10))


def loss(
    model: nn.Module,
    batch: Batch,
    text_encoder: nn.Module,
    schedule: NoiseSchedule,
    prediction: str = "v_prediction",
    bfloat16: bool = False,
) -> torch.Tensor:
    """Return the mean squared error of the predictions; the text encoder was trained before, as a part of CLIP."""
    with torch.no_grad(), autocast_half(bfloat16, batch.x0.device):
        context = text_encoder(batch.tokens)  # (B, N) -> (B, N, width)
    return prediction_error(lambda xt, t: model(xt, t, context), batch, schedule, prediction, bfloat16)


def prediction_error(
    predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    batch: Batch,
    schedule: NoiseSchedule,
    prediction: str,
    bfloat16: bool,
) -> torch.Tensor:
    """Return the mean squared error of what `predict` gives for the noisy latents and their timesteps."""
    xt = schedule.add_noise(batch.x0, batch.eps, batch.t)
    with autocast_half(bfloat16, xt.device):
        output = predict(xt, batch.t).to(xt.dtype)
    return F.mse_loss(output, schedule.target(batch.x0, batch.eps, batch.t, prediction))

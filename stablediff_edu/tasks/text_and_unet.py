"""The second half of `train text-to-image`: the text encoder and the U-Net are trained together, on latents."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from stablediff_edu.models.clip import CLIPTextModel
from stablediff_edu.models.unet_2d_condition import UNet2DConditionModel
from stablediff_edu.pipelines.stable_diffusion import StableDiffusion, StableDiffusionConfig
from stablediff_edu.tasks.text_to_image import Batch, CaptionedLatents, FrozenParts, TextToImageTask, prediction_error
from stablediff_edu.tasks.text_to_image_evaluation import DEFAULT_SAMPLING


class TextAndUNet(nn.Module):
    """What is trained together: noisy latents (B, 4, h, w), timesteps (B,), tokens (B, N) -> predictions."""

    def __init__(self, text_encoder: CLIPTextModel, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.text_encoder, self.unet = text_encoder, unet

    def forward(self, xt: torch.Tensor, t: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        return self.unet(xt, t, self.text_encoder(tokens))


@dataclass(frozen=True, kw_only=True)
class TextAndUNetTask(TextToImageTask):
    """The second training: the text encoder and the U-Net, on latents of the images.

    Attributes:
        prompts: what the snapshots show.
        size: side of the images.
    """

    channels_last_cpu = False

    prompts: tuple[str, ...] = ()
    size: int = 64
    warmup: int = 100
    num_snapshots: int = 8

    def loss(self, data: CaptionedLatents) -> Callable:
        schedule = self.make_schedule()

        def diffusion_loss(model: TextAndUNet, batch: Batch) -> torch.Tensor:
            """Return the mean squared error of the predictions; its gradient reaches the text encoder too."""
            predict = partial(model, tokens=batch.tokens)
            return prediction_error(predict, batch, schedule, self.prediction, self.bfloat16)

        return diffusion_loss

    def snapshot(self, data: CaptionedLatents) -> Callable[[TextAndUNet], torch.Tensor] | None:
        if not self.prompts:
            return None
        return lambda model: self.pipeline(data.parts, model)(list(self.prompts), seed=1, **DEFAULT_SAMPLING)

    def fingerprint(self, data: CaptionedLatents) -> list[torch.Tensor | str]:
        return [data.parts.provenance]  # the latents differ a little from device to device

    def pipeline(self, parts: FrozenParts, model: TextAndUNet) -> StableDiffusion:
        """Return the whole model."""
        config = StableDiffusionConfig(
            model.text_encoder.config, self.unet, parts.vae.config, self.prediction, self.size, self.schedule
        )
        with torch.device("meta"):
            pipe = StableDiffusion(config, parts.tokenizer)
        pipe.text_encoder, pipe.unet, pipe.vae = model.text_encoder, model.unet, parts.vae
        return pipe.eval()

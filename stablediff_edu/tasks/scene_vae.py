"""The autoencoder of the tiny Stable Diffusion: scenes of 64×64 to latents of 4×8×8 (chapter 8).

256 values for 12,288: 48 times fewer, as in Stable Diffusion v1.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from stablediff_edu.data.image_folder import ImageDataset
from stablediff_edu.data.scenes.dataset import make_scenes
from stablediff_edu.metrics.images import mean_abs_gradient, psnr
from stablediff_edu.models.autoencoder_kl import AutoencoderKL, VAEConfig
from stablediff_edu.tasks.task import MIT, option
from stablediff_edu.tasks.vae import VAETask, map_batches
from stablediff_edu.training import distributed
from stablediff_edu.training.loop import TrainResult

SCENE_LATENTS = VAEConfig(
    block_out_channels=(16, 32, 64, 128), layers_per_block=1, latent_channels=4, norm_num_groups=8, scaling_factor=1.0
)


@dataclass(frozen=True, kw_only=True)
class SceneVAETask(VAETask):
    """The autoencoder of scenes.

    Attributes:
        scenes, held_out: how many are trained on, and how many of combinations never seen score it.
    """

    name = "scene-vae"
    is_shared = True

    sizes: VAEConfig = SCENE_LATENTS
    size: int = option(64, "side of the images (default: 64)", type=int, choices=[64, 128])
    scenes: int = 40_000
    held_out: int = 1_000
    error: str = "perceptual"
    kl_weight: float = 2e-6
    steps: int = 12_000
    batch_size: int = 16
    learning_rate: float = 2e-3
    optimizer: str = "muon"
    bfloat16: bool = True
    ema: float = 0.999
    flip: bool = True
    gan_steps: int = 3_000
    gan_weight: float = 0.015

    def data(self, cache: Path | None = None) -> tuple[ImageDataset, None]:
        kept, workers = cache and cache.with_suffix(".scenes.npy"), os.cpu_count() or 1
        scenes = distributed.in_turn(lambda: make_scenes(self.scenes, self.size, cache=kept, workers=workers))
        return ImageDataset(scenes.pixels, scenes.source), None

    def evaluate(self, model: AutoencoderKL, held_out: ImageDataset | torch.Tensor | None) -> str:
        x = make_scenes(self.held_out, self.size, seed=1, train=False).images
        again = reconstruct(model, x)
        return (
            f"{psnr(again, x):.2f} dB on {len(x):,} scenes of combinations never seen; edges "
            f"{mean_abs_gradient(again):.4f}, those of the scenes {mean_abs_gradient(x):.4f}"
        )

    def metadata(self, data: ImageDataset | torch.Tensor, training: TrainResult) -> dict[str, object]:
        assert isinstance(data, ImageDataset)
        size = f"{self.size}×{self.size}"
        return dict(data=f"{len(data):,} {data.source} of {size}, half of them mirrored", crop=self.crop, licence=MIT)


SceneVAETask.presets = {
    "pretrained": SceneVAETask(),
    "128": SceneVAETask(size=128, crop=64, steps=6_000, gan_steps=16_000),  # between 128×128 and 4×16×16
}


def reconstruct(model: AutoencoderKL, images: torch.Tensor) -> torch.Tensor:
    """Return images (N, 3, S, S) as they come back through their latents, on the CPU."""
    return map_batches(model, lambda part: model.decode(model.encode(part)), images)

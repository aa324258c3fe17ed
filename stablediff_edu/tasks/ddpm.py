"""Training diffusion models: one fish (notebook 03), ships and all ten classes (notebook 04)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from stablediff_edu.config import pick_device, seed_everything
from stablediff_edu.data.image_folder import ImageDataset
from stablediff_edu.diffusion.schedule import PREDICTIONS, NoiseSchedule
from stablediff_edu.errors import UserError
from stablediff_edu.io import checkpoint
from stablediff_edu.models.unet import UNet
from stablediff_edu.training import losses
from stablediff_edu.training.amp import memory_format
from stablediff_edu.training.loop import Callback, TrainResult, train
from stablediff_edu.training.progress import fingerprint
from stablediff_edu.training.trained_models import load_trained, save_trained

SCHEDULES = {
    "linear": NoiseSchedule.linear,
    "scaled linear": NoiseSchedule.scaled_linear,
    "cosine": NoiseSchedule.cosine,
}
MAX_SIZE = 256  # side of the images that metadata may ask for


@dataclass(frozen=True)
class DiffusionTrainConfig:
    """Hyperparameters of a diffusion model.

    Attributes:
        channels, time, patch, attention: of the U-Net.
        schedule: "linear", "scaled linear" or "cosine".
        prediction: what the network predicts: "noise", "clean" or "velocity".
        steps, batch_size, learning_rate, beta2, ema: of the training.
        flip: whether a mirrored image is as good as the image.
        logit_normal: whether medium noise levels are trained more often, see `losses.diffusion_loss`.
    """

    channels: tuple[int, ...] = (96, 192, 288)
    time: int = 192
    patch: int = 2
    attention: int = 2
    schedule: str = "cosine"
    prediction: str = "velocity"
    steps: int = 4800
    batch_size: int = 64
    learning_rate: float = 1e-3
    beta2: float = 0.99
    ema: float = 0.999
    flip: bool = True
    logit_normal: bool = False
    seed: int = 0

    def model(self, in_channels: int = 3, out_channels: int = 3) -> UNet:
        """Return the untrained network; the seed decides its first weights."""
        torch.manual_seed(self.seed)
        return UNet(
            in_channels, out_channels, self.channels, time=self.time, patch=self.patch, attention=self.attention
        )

    @property
    def shrink(self) -> int:
        """What the side of the images must be a multiple of."""
        return self.patch * 2 ** (len(self.channels) - 1)

    def make_schedule(self) -> NoiseSchedule:
        """Return the schedule of 1000 steps that the network learns."""
        return SCHEDULES[self.schedule]()


# Notebook 03: one fish of 64×64 pixels, with the noise prediction of the video.
ONE_FISH = DiffusionTrainConfig(
    channels=(24, 48, 96, 192),
    time=64,
    attention=0,
    schedule="linear",
    prediction="noise",
    steps=700,
    batch_size=8,
    learning_rate=2e-3,
    flip=False,
)
ONE_FISH_FULL = replace(
    ONE_FISH, channels=(64, 128, 256, 512, 1024), time=256, patch=1, steps=4000, batch_size=32, learning_rate=5e-4
)
ONE_FISH_PRESETS = {"quick": ONE_FISH, "full": ONE_FISH_FULL, "test": replace(ONE_FISH, steps=20, batch_size=2)}

SHIPS = DiffusionTrainConfig()
SHIPS_QUICK = replace(
    SHIPS, channels=(32, 64, 128), time=96, attention=1, steps=1000, batch_size=32, learning_rate=3e-3
)
SHIPS_PRESETS = {
    "quick": SHIPS_QUICK,
    "full": replace(SHIPS, channels=(128, 256, 384), steps=20_000),
    "test": replace(SHIPS_QUICK, steps=12, batch_size=2),
}
CIFAR10_ALL = replace(SHIPS, steps=700)


def train_diffusion(
    config: DiffusionTrainConfig,
    images: torch.Tensor,
    callback: Callback | None = None,
    snapshot=None,
    snapshot_at=None,
    checkpoint: Path | None = None,
    made_of: Sequence[torch.Tensor] = (),
    model: nn.Module | None = None,
    fixed_timestep: int | None = None,
) -> tuple[nn.Module, TrainResult]:
    """Train a U-Net to predict the noise in images or latents (N, C, S, S); return it in evaluation mode, and the
    record.

    `snapshot` is called with the averaged network now and then; what it returns is kept for a replay. It must use its
    own random generator. `checkpoint` is the training loop's; for latents, which differ a little from device to
    device, `made_of` is what they are made of: its content identifies the training. `model` is trained in the place
    of the config's own network; `fixed_timestep` shows it no other step of the schedule.
    """
    device = pick_device()
    model = model or config.model(images.shape[1], images.shape[1])
    model = model.to(device, memory_format=memory_format(device))
    training = train(
        model,
        losses.batches(images, config.batch_size, device, config.flip),
        partial(
            losses.diffusion_loss,
            schedule=config.make_schedule(),
            prediction=config.prediction,
            fixed_timestep=fixed_timestep,
            middle=config.logit_normal,
        ),
        steps=config.steps,
        learning_rate=config.learning_rate,
        beta2=config.beta2,
        ema=config.ema,
        snapshot=snapshot,
        snapshot_at=snapshot_at,
        callback=callback,
        checkpoint=checkpoint,
        about=fingerprint(config, *(made_of or [images]), str(fixed_timestep)),
    )
    return model, training


def make_diffusion(
    config: DiffusionTrainConfig,
    out: Path,
    command: str,
    data: ImageDataset,
    license: str,
    checkpoint: Path | None = None,
) -> tuple[UNet, TrainResult, Path]:
    """Train and save with metadata; return the network, the record and the file of the weights.

    Ctrl-C keeps the weights so far, and the progress in `checkpoint`: the same call goes on with it.
    """
    seed_everything(config.seed)
    model, training = train_diffusion(config, data.images, checkpoint=checkpoint)
    metadata = dict(
        command=command,
        seed=config.seed,
        data=f"{len(data)} image{'s' * (len(data) > 1)} of {data.size}×{data.size}, {data.source}",
        licence=license,
        size=data.size,
        schedule=config.schedule,
        prediction=config.prediction,
        result=f"loss {training.loss:.5f}",
    )
    return model, training, save_trained(out, model, training, checkpoint, **metadata)


def load_diffusion(name: str | Path = "ships", channels: int = 3) -> tuple[UNet, dict[str, str]]:
    """Return a trained noise predictor, built with the sizes in its metadata, and the metadata.

    Args:
        name: a pretrained name or a file.
        channels: of what it finds noise in: 3 for images, 4 for the latents of chapter 5.

    Raises:
        UserError: the file is missing, cut off, or holds anything else than a noise predictor with its metadata.
    """
    model, metadata = load_trained(UNet, name, "a network that finds noise")
    file, sizes, size = checkpoint.checkpoint_path(name).name, model.config, metadata.get("size", "32")
    if not sizes["time"] or sizes["in_channels"] != channels or sizes["out_channels"] != channels:
        raise UserError(f"{file} is a U-Net, but none that finds noise in {channels} channels; name another file.")
    if metadata.get("schedule") not in SCHEDULES or metadata.get("prediction") not in PREDICTIONS:
        raise UserError(f"The card of {file} does not say which schedule and prediction it learned; train it again.")
    if not size.isdecimal() or not 0 < int(size) <= MAX_SIZE or int(size) % model.shrink:
        raise UserError(f"The card of {file} names images of {size} pixels, which it cannot draw; train it again.")
    device = pick_device()
    return model.to(device, memory_format=memory_format(device)), metadata

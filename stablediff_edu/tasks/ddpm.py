"""Training diffusion models: one fish (notebook 03), ships and all ten classes of CIFAR-10 (notebook 04)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from stablediff_edu.config import pick_device
from stablediff_edu.data.fish.dataset import load_fish
from stablediff_edu.data.image_folder import ImageDataset, load_image_folder
from stablediff_edu.data.ships import cifar10
from stablediff_edu.data.ships.dataset import load_ships
from stablediff_edu.diffusion.schedule import PREDICTIONS, NoiseSchedule
from stablediff_edu.errors import UserError
from stablediff_edu.io.checkpoint import checkpoint_path
from stablediff_edu.models.unet import UNet
from stablediff_edu.tasks.task import MIT, Task, option
from stablediff_edu.training import losses
from stablediff_edu.training.amp import to_fast_layout
from stablediff_edu.training.loop import TrainResult
from stablediff_edu.training.trained_models import load_trained

SCHEDULES = {
    "linear": NoiseSchedule.linear,
    "scaled linear": NoiseSchedule.scaled_linear,
    "cosine": NoiseSchedule.cosine,
}
MAX_SIZE = 256  # side of the images that metadata may ask for
CIFAR10_LICENCE = "CIFAR-10: A. Krizhevsky 2009, no formal licence"


@dataclass(frozen=True, kw_only=True)
class DiffusionTask(Task[ImageDataset | torch.Tensor, UNet]):
    """A U-Net that predicts the noise in images or latents, (N, C, S, S) or a dataset of them.

    Attributes:
        image_channels: C, 3 for images in color.
        channels, time, patch, attention: of the U-Net.
        schedule: "linear", "scaled linear" or "cosine".
        prediction: what the network predicts: "epsilon", "sample" or "v_prediction".
        flip: whether a mirrored image is as good as the image.
        logit_normal: whether medium noise levels are trained more often, see `losses.diffusion_loss`.
        fixed_timestep: the only timestep that is trained; None trains all of them.
    """

    next_command = "generate --weights {out} --count 16"

    image_channels: int = 3
    channels: tuple[int, ...] = (96, 192, 288)
    time: int = 192
    patch: int = 2
    attention: int = 2
    schedule: str = "cosine"
    prediction: str = "v_prediction"
    steps: int = 4800
    flip: bool = True
    logit_normal: bool = False
    fixed_timestep: int | None = None

    def model(self, in_channels: int | None = None) -> UNet:
        """Return the untrained network, with more input channels if asked; the seed decides its first weights."""
        torch.manual_seed(self.seed)
        return UNet(
            in_channels or self.image_channels,
            self.image_channels,
            self.channels,
            time=self.time,
            patch=self.patch,
            attention=self.attention,
        )

    @property
    def shrink(self) -> int:
        """What the side of the images must be a multiple of."""
        return self.patch * 2 ** (len(self.channels) - 1)

    def make_schedule(self) -> NoiseSchedule:
        """Return the schedule of 1000 steps that the network learns."""
        return SCHEDULES[self.schedule]()

    def batches(self, data: ImageDataset | torch.Tensor, device: torch.device) -> Iterator[torch.Tensor]:
        images = data if isinstance(data, torch.Tensor) else data.images
        return losses.batches(images, self.batch_size, device, self.flip)

    def loss(self, data: ImageDataset | torch.Tensor) -> Callable:
        return partial(
            losses.diffusion_loss,
            schedule=self.make_schedule(),
            prediction=self.prediction,
            fixed_timestep=self.fixed_timestep,
            middle=self.logit_normal,
        )

    def metadata(self, data: ImageDataset | torch.Tensor, training: TrainResult) -> dict[str, object]:
        assert isinstance(data, ImageDataset)
        photographs = data.source.startswith("CIFAR-10")
        return dict(
            data=f"{len(data)} image{'s' * (len(data) > 1)} of {data.size}×{data.size}, {data.source}",
            licence=CIFAR10_LICENCE if photographs else MIT,
            size=data.size,
            schedule=self.schedule,
            prediction=self.prediction,
        )

    def load(self, name: str | Path) -> tuple[UNet, dict[str, str]]:
        return load_diffusion(name, self.image_channels)


@dataclass(frozen=True, kw_only=True)
class OneFishTask(DiffusionTask):
    """One fish of 64×64 pixels, with the noise prediction of the video."""

    name = "one-fish"

    channels: tuple[int, ...] = (24, 48, 96, 192)
    time: int = 64
    attention: int = 0
    schedule: str = "linear"
    prediction: str = "epsilon"
    steps: int = 700
    batch_size: int = 8
    learning_rate: float = 2e-3
    flip: bool = False

    def data(self, cache: Path | None = None) -> tuple[ImageDataset, None]:
        return ImageDataset(load_fish(1, size=64, source="synthetic", seed=28).images, "one synthetic fish"), None


@dataclass(frozen=True, kw_only=True)
class ShipsTask(DiffusionTask):
    """Ships, photographs or synthetic ones, or what the user's images show."""

    name = "ships"

    source: str = option("cifar10", "which ships (default: photographs)", choices=["synthetic", "cifar10"])
    size: int = option(32, "side of the images in pixels (default: 32)")
    images: Path | None = option(None, "your own images, of any size", metavar="DIR")
    background: str = option("white", "behind transparent images (default: white)", type=str, metavar="COLOR")

    def __post_init__(self) -> None:
        if self.size % self.shrink or self.size > MAX_SIZE:
            fitting = max(1, min(self.size, MAX_SIZE) // self.shrink) * self.shrink
            raise UserError(f"--size must be a multiple of {self.shrink} and at most {MAX_SIZE}, such as {fitting}.")

    def data(self, cache: Path | None = None) -> tuple[ImageDataset, None]:
        if self.images:
            return load_image_folder(self.images, self.size, background=self.background), None
        return load_ships(size=self.size, source=self.source), None

    def report(self, model: UNet, metadata: dict[str, str]) -> str:
        from stablediff_edu.tasks.ddpm_evaluation import evaluate_ships

        return str(evaluate_ships(model, metadata))

    def metadata(self, data: ImageDataset | torch.Tensor, training: TrainResult) -> dict[str, object]:
        return super().metadata(data, training) | (dict(licence="your own images") if self.images else {})


@dataclass(frozen=True, kw_only=True)
class Cifar10Task(DiffusionTask):
    """The network of the ships, trained briefly on all ten classes."""

    name = "cifar10-all"

    steps: int = 700
    limit: int = 500  # of each class: the JPEG copies have no more of the classes other than ships

    def data(self, cache: Path | None = None) -> tuple[ImageDataset, None]:
        return cifar10.load_cifar10(limit=self.limit)[0], None


ONE_FISH_PRESETS = OneFishTask.presets = {
    "pretrained": OneFishTask(),
    "quick": OneFishTask(),
    "full": OneFishTask(
        channels=(64, 128, 256, 512, 1024), time=256, patch=1, steps=4000, batch_size=32, learning_rate=5e-4
    ),
    "test": OneFishTask(steps=20, batch_size=2),
}
SHIPS_QUICK = ShipsTask(
    channels=(32, 64, 128), time=96, attention=1, steps=1000, batch_size=32, learning_rate=3e-3, source="auto"
)
SHIPS_PRESETS = ShipsTask.presets = {
    "pretrained": ShipsTask(),
    "own": ShipsTask(steps=1500),
    "quick": SHIPS_QUICK,
    "full": ShipsTask(channels=(128, 256, 384), steps=20_000),
    "test": replace(SHIPS_QUICK, steps=12, batch_size=2),
}
Cifar10Task.presets = {"pretrained": Cifar10Task()}


def load_diffusion(name: str | Path = "ships", channels: int = 3) -> tuple[UNet, dict[str, str]]:
    """Return a trained noise predictor, built with the sizes in its metadata, and the metadata.

    Args:
        name: a pretrained name or a file.
        channels: of what it denoises: 3 for images, 4 for the latents of chapter 5.

    Raises:
        UserError: the file is missing, cut off, or holds anything else than a noise predictor with its metadata.
    """
    model, metadata = load_trained(UNet, name, "a network that finds noise")
    file, sizes, size = checkpoint_path(name).name, model.config, metadata.get("size", "32")
    if not sizes["time"] or sizes["in_channels"] != channels or sizes["out_channels"] != channels:
        raise UserError(f"{file} is a U-Net, but none that finds noise in {channels} channels; name another file.")
    if metadata.get("schedule") not in SCHEDULES or metadata.get("prediction") not in PREDICTIONS:
        raise UserError(f"The card of {file} does not say which schedule and prediction it learned; train it again.")
    if not size.isdecimal() or not 0 < int(size) <= MAX_SIZE or int(size) % model.shrink:
        raise UserError(f"The card of {file} names images of {size} pixels, which it cannot draw; train it again.")
    to_fast_layout(model, pick_device())
    return model, metadata

"""Stable Diffusion on your own captioned images: `train text-to-image` (chapter 8).

All three networks begin with the weights of the pretrained tiny model. First the autoencoder is fine-tuned on the
images. Then they become latents, once, and the text encoder and the U-Net are trained together: the text encoder learns
from the U-Net's loss what the words mean. (Stable Diffusion's was trained before, as a part of CLIP, on 400 million
pairs.)
"""

import copy
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import ImageColor
from torch import nn

from stablediff_edu.config import device_of, pick_device
from stablediff_edu.data.caption_tokens import make_tokenizer, sample_prompts, tokenize_captions
from stablediff_edu.data.captioned_folder import CaptionedImages, load_captioned_folder
from stablediff_edu.data.image_folder import ImageDataset
from stablediff_edu.errors import UserError
from stablediff_edu.io import images as image_io
from stablediff_edu.io.save_pretrained import check_replaceable
from stablediff_edu.metrics.images import psnr
from stablediff_edu.metrics.memorization import Memorization, measure_memorization
from stablediff_edu.models.autoencoder_kl import AutoencoderKL
from stablediff_edu.models.clip import CLIPTextConfig, CLIPTextModel
from stablediff_edu.models.unet_2d_condition import UNet2DConditionModel, UNetConfig
from stablediff_edu.pipelines.stable_diffusion import TINY, StableDiffusion
from stablediff_edu.tasks.runner import say
from stablediff_edu.tasks.task import Task, option
from stablediff_edu.tasks.text_and_unet import TextAndUNet, TextAndUNetTask
from stablediff_edu.tasks.text_to_image import CaptionedLatents, FrozenParts
from stablediff_edu.tasks.text_to_image_evaluation import DEFAULT_SAMPLING
from stablediff_edu.tasks.transfer import init_from_pretrained, load_pretrained
from stablediff_edu.tasks.vae import VAETask, as_float_images, map_batches
from stablediff_edu.training.loop import Callback, NullCallback, TrainResult
from stablediff_edu.training.sample_logger import SampleLogger

MIN_IMAGES = 200  # images; with fewer, samples are mostly copies of training images
GRID_SIZE = 9  # samples on a sheet
MAX_COMPARED = 4_000  # training images that samples are compared with
SHOWN = 8  # words that are named


@dataclass(frozen=True, kw_only=True)
class OwnImagesTask(Task[CaptionedImages, StableDiffusion]):
    """Both trainings; `steps`, `batch_size` and what follows are those of the second.

    Attributes:
        unet: sizes of the U-Net.
        vae_steps, vae_batch: of the autoencoder's training; from scratch it takes three times the steps.
        text_layers: of the text encoder, which is as wide as the U-Net's `context`.
    """

    name = "text-to-image"
    suffix = ""
    next_command = 'generate "PROMPT" --weights {out}'

    images: Path | None = option(
        None,
        "your images; captions in NAME.txt beside each, in metadata.csv or metadata.jsonl (file_name, text), or in the "
        "names of the files",
        metavar="DIR",
        required=True,
    )
    size: int = option(64, "side in pixels, 64 or 128 (default: 64)")
    background: str = option(
        "white", 'behind transparent images: a name or "#ffcc00" (default: white)', type=str, metavar="COLOR"
    )
    from_scratch: bool = option(False, "do not begin with the weights of the tiny model")
    unet: UNetConfig = TINY.unet
    vae_steps: int = 300
    vae_batch: int = 8
    text_layers: int = TINY.text_encoder.num_hidden_layers
    steps: int = 1200
    batch_size: int = 32
    optimizer: str = "muon"
    bfloat16: bool = True
    ema: float = 0.995

    def __post_init__(self) -> None:
        if self.size % 16:
            raise UserError(f"--size must be a multiple of 16, such as 64 or 128, got {self.size}.")
        try:
            ImageColor.getrgb(self.background)
        except ValueError as error:
            raise UserError(
                f'--background must be a color such as white or "#ffcc00", got {self.background}.'
            ) from error

    def progress_file(self, out: Path) -> Path:
        return working_folder(out) / "autoencoder.progress"

    def check_out(self, out: Path) -> None:
        check_replaceable(out)

    def data(self, cache: Path | None = None) -> tuple[CaptionedImages, CaptionedImages]:
        assert self.images
        images = load_captioned_folder(self.images, self.size, self.background)
        if cache:
            cache.parent.mkdir(parents=True, exist_ok=True)
            lines = "".join(f"{line}\n" for line in images.left_out)
            (cache.parent / "left_out.txt").write_text(lines, encoding="utf-8")
        return images, images

    def describe(self, data: CaptionedImages, held_out: CaptionedImages | None) -> str:
        """Return what was read, and what to expect of so many images."""
        words = make_tokenizer(data).words
        lines = [f"{len(words):,} words: {', '.join(words[:SHOWN])}{', …' if len(words) > SHOWN else ''}"]
        if len(data) < MIN_IMAGES:
            lines += [f"fewer than about {MIN_IMAGES} images are too few: expect copies of them, nothing new"]
        elif data.unique_share() > 0.5:
            lines += [
                f"{data.unique_share():.0%} of the images have a caption that no other has: expect the model to "
                "memorize them; it combines words that many images share"
            ]
        return "\n".join([*lines, f"{len(data):,} images of {self.size}×{self.size}, captions from {data.source}"])

    def parts(self, images: CaptionedImages, pretrained: StableDiffusion | None) -> tuple[AutoencoderKL, TextAndUNet]:
        """Return both networks, with pretrained weights where these fit."""
        tokenizer = make_tokenizer(images)
        torch.manual_seed(self.seed)
        vae = pretrained.vae if pretrained else AutoencoderKL(TINY.vae)
        torch.manual_seed(self.seed)
        text = CLIPTextConfig(len(tokenizer), tokenizer.length, self.unet.cross_attention_dim, self.text_layers, 4)
        model = TextAndUNet(CLIPTextModel(text), UNet2DConditionModel(self.unet))
        if pretrained:
            init_from_pretrained(model.unet, model.text_encoder, tokenizer, pretrained)
        return vae.to(pick_device()), model.to(pick_device())

    def vae_task(self, from_scratch: bool) -> VAETask:
        """Return the first training."""
        return VAETask(
            sizes=TINY.vae,
            error="mixed",
            kl_weight=2e-6,
            steps=self.vae_steps * (3 if from_scratch else 1),
            batch_size=self.vae_batch,
            learning_rate=1e-3,
            optimizer="muon",
            bfloat16=self.bfloat16,
            num_snapshots=4,
            seed=self.seed,
        )

    def unet_task(self, images: CaptionedImages) -> TextAndUNetTask:
        """Return the second training."""
        return TextAndUNetTask(
            unet=self.unet,
            prompts=tuple(sample_prompts(images, make_tokenizer(images), GRID_SIZE)),
            size=self.size,
            seed=self.seed,
            steps=self.steps,
            **{name: value for name, value in self.loop_options().items() if name not in ("half", "warmup")},
            batch_size=self.batch_size,
            bfloat16=self.bfloat16,
        )

    def train(
        self,
        data: CaptionedImages,
        callback: Callback | None = None,
        snapshot: Callable[[Any], torch.Tensor] | None = None,
        snapshot_at: Callable[[int], bool] | None = None,
        progress: Path | None = None,
        model: StableDiffusion | None = None,
    ) -> tuple[StableDiffusion, TrainResult]:
        """Train both parts, and return the whole model; logs and sheets of samples stand beside the progress.

        Args:
            model: what to begin with; by default the pretrained tiny model, unless it is `from_scratch`.

        Raises:
            KeyboardInterrupt: it was stopped before the second training; the progress is kept.
        """
        pretrained = model or (None if self.from_scratch else load_pretrained())
        vae, networks = self.parts(data, pretrained)
        first, second = self.vae_task(pretrained is None), self.unet_task(data)
        if not (progress and progress.exists()):
            minutes = self.seconds(data, first, vae, second, networks) / 60
            until = time.strftime("%H:%M", time.localtime(time.time() + 60 * minutes))
            say(f"expected: {minutes:.0f} minutes here ({device_of(vae)}), until about {until}; Ctrl-C keeps progress")
        logger = callback or (SampleLogger(progress) if progress else None)
        say(f"1/2 autoencoder: {first.steps:,} steps")
        some = as_float_images(data.pixels[:: max(1, len(data) // GRID_SIZE)][:GRID_SIZE]).to(device_of(vae))
        images = ImageDataset(data.pixels, data.source)
        vae, before = first.train(images, logger, lambda average: decoded(average, some), progress=progress, model=vae)
        if before.interrupted:
            raise KeyboardInterrupt
        x = as_float_images(data.pixels[:64])
        say(f"autoencoder: {psnr(decoded(vae, x), x):.1f} dB on the training images")
        say(f"2/2 text encoder and U-Net: {second.steps:,} steps")
        torch.manual_seed(self.seed)  # a resumed training begins here as one that was not stopped
        latents = self.latents(data, vae, networks)
        own = progress and progress.with_name("unet.progress")
        logger = callback or (SampleLogger(own) if own else None)
        networks, training = second.train(latents, logger, progress=own, model=networks)
        pipe = second.pipeline(latents.parts, networks)
        return pipe, replace(training, seconds=before.seconds + training.seconds)

    def latents(
        self, images: CaptionedImages, vae: AutoencoderKL, networks: TextAndUNet, encoded: torch.Tensor | None = None
    ) -> CaptionedLatents:
        """Encode all images, or take what is given, and the captions."""
        tokenizer = make_tokenizer(images)
        if encoded is None:
            encoded = map_batches(vae, lambda part: vae.encode(as_float_images(part)), images.pixels, 64)
        parts = FrozenParts(networks.text_encoder, vae, tokenizer, repr(images.captions))
        return CaptionedLatents(encoded.half(), tokenize_captions(images, tokenizer), tokenizer(""), parts)

    def seconds(
        self,
        images: CaptionedImages,
        first: VAETask,
        vae: AutoencoderKL,
        second: TextAndUNetTask,
        networks: TextAndUNet,
    ) -> float:
        """Return how long both trainings take here, from a few steps of each; weights and seed stay as they are."""
        state, side = torch.get_rng_state(), self.size // vae.config.shrink
        noise = torch.randn(len(images), vae.config.latent_channels, side, side)
        latents = self.latents(images, vae, networks, noise)
        runs: list[tuple[Task, Any, nn.Module]] = [
            (first, images.pixels, vae),
            (replace(second, prompts=()), latents, networks),
        ]
        total = 0.0
        for task, data, network in runs:
            for steps in (1, 5):  # the first step, which is slower, does not count
                _, training = replace(task, steps=steps).train(data, NullCallback(), model=copy.deepcopy(network))
                if training.interrupted:
                    raise KeyboardInterrupt
            total += task.steps * training.seconds / steps
        torch.set_rng_state(state)
        return 1.05 * total  # 5 % for the sheets

    def evaluate(self, model: StableDiffusion, held_out: CaptionedImages | None) -> str:
        """Return whether samples are copies: the images to compare with are those trained on."""
        return str(measure(model, held_out or self.data()[0]))

    def metadata(self, data: CaptionedImages, training: TrainResult) -> dict[str, object]:
        size = f"{self.size}×{self.size}"
        return dict(
            data=f"{len(data):,} images of {size}, captions from {data.source}",
            licence="your own images",
            steps=training.steps,
            seconds=round(training.seconds),
            date=time.strftime("%Y-%m-%d"),
            interrupted=training.interrupted,
            prompts=list(self.unet_task(data).prompts),
        )

    def save(self, out: Path, model: StableDiffusion, training: TrainResult, metadata: dict[str, object]) -> Path:
        """Write a folder of the pipeline, a sheet of samples, and the metadata."""
        model.save_pretrained(out, half=True)
        samples = model(metadata["prompts"], seed=1, **DEFAULT_SAMPLING).cpu()
        image_io.save_image(image_io.make_grid(samples), out / "samples.png")
        record = json.dumps(metadata, indent=2, ensure_ascii=False)
        (out / "training.json").write_text(record + "\n", encoding="utf-8")
        if not training.interrupted:
            (working_folder(out) / "unet.progress").unlink(missing_ok=True)
        return out

    def load(self, name: str | Path) -> tuple[StableDiffusion, dict[str, str]]:
        record = Path(name) / "training.json"
        metadata = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
        return StableDiffusion.from_pretrained(name), metadata


OwnImagesTask.presets = {
    "quick": OwnImagesTask(),
    "full": OwnImagesTask(
        unet=UNetConfig(
            block_out_channels=(128, 256),
            layers_per_block=2,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            num_attention_heads=8,
            cross_attention_dim=128,
        ),
        steps=20_000,
        batch_size=128,
        ema=0.9995,
        vae_steps=6_000,
        vae_batch=32,
    ),
}


def working_folder(out: Path) -> Path:
    """Return the folder beside the model that keeps progress, logs and sheets of samples."""
    return out.with_name(f"{out.name}_training")


def decoded(vae: AutoencoderKL, x: torch.Tensor) -> torch.Tensor:
    """Return images as they come back through their latents."""
    return map_batches(vae, lambda part: vae.decode(vae.encode(part)).clamp(-1, 1), x, 64)


def measure(pipe: StableDiffusion, images: CaptionedImages, samples: int = 48) -> Memorization:
    """Generate samples of some training captions and compare them with the training images."""
    prompts = sample_prompts(images, pipe.tokenizer, samples)
    parts = [prompts[start : start + 16] for start in range(0, len(prompts), 16)]
    made = torch.cat([pipe(part, seed=seed, **DEFAULT_SAMPLING).cpu() for seed, part in enumerate(parts)])
    return measure_memorization(made, decoded(pipe.vae, as_float_images(images.pixels[:MAX_COMPARED])))

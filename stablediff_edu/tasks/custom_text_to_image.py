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
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from stablediff_edu.config import pick_device
from stablediff_edu.data.caption_tokens import make_tokenizer, sample_prompts, tokenize_captions
from stablediff_edu.data.captioned_folder import CaptionedImages
from stablediff_edu.diffusion.schedule import NoiseSchedule
from stablediff_edu.io import images as image_io
from stablediff_edu.metrics.images import psnr
from stablediff_edu.metrics.memorization import Memorization, measure_memorization
from stablediff_edu.models.autoencoder_kl import AutoencoderKL
from stablediff_edu.models.clip import TextConfig, TextEncoder
from stablediff_edu.models.unet_2d_condition import ConditionalUNet, UNetConfig
from stablediff_edu.pipelines.stable_diffusion import TINY, StableDiffusion, StableDiffusionConfig
from stablediff_edu.tasks import vae as vae_task
from stablediff_edu.tasks.text_to_image import Batch, CaptionedLatents, TextToImageTrainConfig, batches
from stablediff_edu.tasks.text_to_image_evaluation import DEFAULT_SAMPLING
from stablediff_edu.tasks.transfer import init_from_pretrained
from stablediff_edu.training.amp import autocast_half, memory_format
from stablediff_edu.training.loop import NullCallback, TrainResult, sample_steps, train
from stablediff_edu.training.progress import fingerprint
from stablediff_edu.training.sample_logger import SampleLogger

MIN_IMAGES = 200  # images; with fewer, samples are mostly copies of training images
GRID_SIZE = 9  # samples on a sheet
NUM_SNAPSHOTS = 8  # sheets of each training
MAX_COMPARED = 4_000  # training images that samples are compared with


@dataclass(frozen=True)
class OwnImagesConfig:
    """The hyperparameters.

    Attributes:
        unet: of the U-Net and its training.
        vae_steps, vae_batch: of the autoencoder's training; from scratch it takes three times the steps.
        size: side of the images in pixels, a multiple of 16.
        text_layers: of the text encoder, which is as wide as the U-Net's `context`.
    """

    unet: TextToImageTrainConfig
    vae_steps: int = 300
    vae_batch: int = 8
    size: int = 64
    text_layers: int = TINY.text.layers


PRESETS = {
    "quick": OwnImagesConfig(
        TextToImageTrainConfig(
            TINY.unet,
            steps=1200,
            batch_size=32,
            optimizer="muon",
            bfloat16=True,
            ema=0.995,
        )
    ),
    "full": OwnImagesConfig(
        TextToImageTrainConfig(
            UNetConfig(widths=(128, 256), blocks=2, attention=(True, True), heads=8, context=128),
            steps=20_000,
            batch_size=128,
            optimizer="muon",
            bfloat16=True,
            ema=0.9995,
        ),
        vae_steps=6_000,
        vae_batch=32,
    ),
}


class TextAndUNet(nn.Module):
    """What is trained together: noisy latents (B, 4, h, w), timesteps (B,), tokens (B, N) -> predictions."""

    def __init__(self, text_encoder: TextEncoder, unet: ConditionalUNet) -> None:
        super().__init__()
        self.text_encoder, self.unet = text_encoder, unet

    def forward(self, xt: torch.Tensor, t: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        return self.unet(xt, t, self.text_encoder(tokens))


def diffusion_loss(model: TextAndUNet, batch: Batch, schedule: NoiseSchedule, config: OwnImagesConfig) -> torch.Tensor:
    """Return the mean squared error of the predictions; its gradient reaches the text encoder too."""
    xt = schedule.add_noise(batch.x0, batch.eps, batch.t)
    with autocast_half(config.unet.bfloat16, xt.device):
        prediction = model(xt, batch.t, batch.tokens).to(xt.dtype)
    return F.mse_loss(prediction, schedule.target(batch.x0, batch.eps, batch.t, config.unet.prediction))


# --- the trainings ----------------------------------------------------------------------------------------------------


class TrainingPlan:
    """Both trainings, ready to be measured and run.

    Args:
        config: the hyperparameters.
        images: what to train on.
        pretrained: a model to begin with; None trains all networks from scratch.
        prompts: what the sheets of samples show; some of the captions, if not given.
    """

    def __init__(
        self,
        config: OwnImagesConfig,
        images: CaptionedImages,
        pretrained: StableDiffusion | None = None,
        prompts: list[str] | None = None,
    ) -> None:
        self.config, self.images, self.device = config, images, pick_device()
        self.tokenizer = make_tokenizer(images)
        self.prompts = prompts or sample_prompts(images, self.tokenizer, GRID_SIZE)
        self.vae_steps = config.vae_steps * (1 if pretrained else 3)
        torch.manual_seed(config.unet.seed)
        layout = memory_format(self.device, cpu=False)
        self.vae = (pretrained.vae if pretrained else AutoencoderKL(TINY.vae)).to(self.device, memory_format=layout)
        torch.manual_seed(config.unet.seed)
        text = TextConfig(len(self.tokenizer), self.tokenizer.length, config.unet.config.context, config.text_layers, 4)
        model = TextAndUNet(TextEncoder(text), ConditionalUNet(config.unet.config))
        if pretrained:
            init_from_pretrained(model.unet, model.text_encoder, self.tokenizer, pretrained)
        self.model = model.to(self.device, memory_format=layout)
        begun = pretrained.state_dict().values() if pretrained else ()
        self.about = fingerprint(config, images.pixels, repr(images.captions), *begun)

    def train_vae(self, **more) -> TrainResult:
        """Train the autoencoder on the images; its scaling is measured at the end."""
        model, config = self.vae, self.config
        some = vae_task.as_float_images(self.images.pixels[:: max(1, len(self.images) // GRID_SIZE)][:GRID_SIZE])

        def snapshot(average: AutoencoderKL) -> torch.Tensor:
            return average.decode(average.encode(some.to(self.device))).clamp(-1, 1)

        error = partial(
            vae_task.vae_loss, divergence=2e-6, error=vae_task.mse_l1_gradient_loss, bfloat16=config.unet.bfloat16
        )
        training = train(
            model,
            vae_task.batches(self.images.pixels, config.vae_batch, self.device),
            error,
            **{"steps": self.vae_steps, "snapshot": snapshot, **more},
            learning_rate=1e-3,
            beta2=0.99,
            optimizer="muon",
            half=config.unet.bfloat16,
            ema=0.99,
            snapshot_at=sample_steps(self.vae_steps, NUM_SNAPSHOTS // 2),
            about=self.about,
        )
        if training.steps == self.vae_steps:
            vae_task.measure_scaling(model, self.images.pixels)
        return training

    def cache_latents(self) -> CaptionedLatents:
        """Encode all images."""
        latents = vae_task.map_batches(
            self.vae, lambda part: self.vae.encode(vae_task.as_float_images(part)), self.images.pixels, 64
        )
        return CaptionedLatents(latents.half(), tokenize_captions(self.images, self.tokenizer), self.tokenizer(""))

    def train_unet(self, dataset: CaptionedLatents, **more) -> TrainResult:
        """Train the text encoder and the U-Net on latents; a snapshot is a sample of each prompt."""
        config = self.config.unet
        schedule = config.make_schedule()

        def snapshot(average: TextAndUNet) -> torch.Tensor:
            return self.pipe(average)(self.prompts, seed=1, **DEFAULT_SAMPLING)

        return train(
            self.model,
            batches(dataset, config, len(schedule), self.device),
            partial(diffusion_loss, schedule=schedule, config=self.config),
            **{"steps": config.steps, "snapshot": snapshot, **more},
            learning_rate=config.learning_rate,
            beta2=0.99,
            warmup=min(100, config.steps // 10),
            optimizer=config.optimizer,
            half=config.bfloat16,
            ema=config.ema,
            snapshot_at=sample_steps(config.steps, NUM_SNAPSHOTS),
            about=self.about,
        )

    def pipe(self, model: TextAndUNet | None = None) -> StableDiffusion:
        """Return the whole model."""
        model, recipe = model or self.model, self.config.unet
        config = StableDiffusionConfig(
            model.text_encoder.config, recipe.config, self.vae.config, recipe.prediction, self.config.size,
            recipe.schedule,
        )  # fmt: skip
        with torch.device("meta"):
            pipe = StableDiffusion(config, self.tokenizer)
        pipe.text_encoder, pipe.unet, pipe.vae = model.text_encoder, model.unet, self.vae
        return pipe.eval()

    def seconds(self) -> float:
        """Return how long both trainings take here, from a few steps of each; weights and seed stay as they are."""
        state, kept = torch.get_rng_state(), (self.vae, self.model)
        self.vae, self.model = copy.deepcopy(kept)
        per_step = []
        side = self.config.size // self.vae.config.shrink
        noise = torch.randn(len(self.images), self.vae.config.latent, side, side)
        dataset = CaptionedLatents(noise, tokenize_captions(self.images, self.tokenizer), self.tokenizer(""))
        for run in (self.train_vae, partial(self.train_unet, dataset)):
            for steps in (1, 5):  # the first step, which is slower, does not count
                training = run(steps=steps, snapshot=None, callback=NullCallback())
                if training.interrupted:
                    raise KeyboardInterrupt
            per_step.append(training.seconds / steps)
        self.vae, self.model = kept
        torch.set_rng_state(state)
        return 1.05 * (self.vae_steps * per_step[0] + self.config.unet.steps * per_step[1])  # 5 % for the sheets


# --- the whole --------------------------------------------------------------------------------------------------------


def working_folder(out: Path) -> Path:
    """Return the folder beside the model that keeps progress, logs and sheets of samples."""
    return out.with_name(f"{out.name}_training")


def make_text_to_image(
    plan: TrainingPlan, out: Path, command: str, say: Callable[[str], None] = print
) -> tuple[StableDiffusion, TrainResult]:
    """Train both parts, measure memorization, and write one folder; progress and sheets go to `working_folder`.

    Raises:
        KeyboardInterrupt: it was stopped before the U-Net; the progress is kept.
    """
    work, images = working_folder(out), plan.images
    work.mkdir(parents=True, exist_ok=True)
    (work / "prompts.txt").write_text("\n".join(plan.prompts) + "\n", encoding="utf-8")
    first, second = work / "autoencoder.progress", work / "unet.progress"
    say(f"1/2 autoencoder: {plan.vae_steps:,} steps; reconstructions go to {work / 'autoencoder_samples'}")
    before = plan.train_vae(checkpoint=first, callback=SampleLogger(first))
    if before.interrupted:
        raise KeyboardInterrupt
    say(f"autoencoder: {reconstruction_psnr(plan.vae, images):.1f} dB on the training images")
    say(f"2/2 text encoder and U-Net: {plan.config.unet.steps:,} steps; samples go to {work / 'unet_samples'}")
    torch.manual_seed(plan.config.unet.seed)  # a resumed training begins here as one that was not stopped
    training = plan.train_unet(plan.cache_latents(), checkpoint=second, callback=SampleLogger(second))
    pipe = plan.pipe()
    found = "" if training.interrupted else str(measure(pipe, images))
    say(found or "stopped: the samples are not compared with the training images")
    pipe.save_pretrained(out, half=True)
    image_io.save_image(image_io.make_grid(pipe(plan.prompts, seed=1, **DEFAULT_SAMPLING).cpu()), out / "samples.png")
    metadata = dict(
        command=command,
        seed=plan.config.unet.seed,
        data=f"{len(images):,} images of {plan.config.size}×{plan.config.size}, captions from {images.source}",
        steps=f"{before.steps:,} of the autoencoder, {training.steps:,} of the text encoder and the U-Net",
        seconds=round(before.seconds + training.seconds),
        device=str(plan.device),
        date=time.strftime("%Y-%m-%d"),
        prompts=plan.prompts,
        result=f"loss {training.loss:.5f}. {found}",
        interrupted=training.interrupted,
    )
    (out / "training.json").write_text(json.dumps(metadata, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if not training.interrupted:
        for progress in (first, second):
            progress.unlink(missing_ok=True)
    return pipe, training


def reconstruction_psnr(vae: AutoencoderKL, images: CaptionedImages, count: int = 64) -> float:
    """Return the peak signal-to-noise ratio of decoded latents of some images, in dB."""
    x = vae_task.as_float_images(images.pixels[:count])
    return psnr(decoded(vae, x), x)


def decoded(vae: AutoencoderKL, x: torch.Tensor) -> torch.Tensor:
    """Return images as they come back through their latents."""
    return vae_task.map_batches(vae, lambda part: vae.decode(vae.encode(part)).clamp(-1, 1), x, 64)


def measure(pipe: StableDiffusion, images: CaptionedImages, samples: int = 48) -> Memorization:
    """Generate samples of some training captions and compare them with the training images."""
    prompts = sample_prompts(images, pipe.tokenizer, samples)
    parts = [prompts[start : start + 16] for start in range(0, len(prompts), 16)]
    made = torch.cat([pipe(part, seed=seed, **DEFAULT_SAMPLING).cpu() for seed, part in enumerate(parts)])
    return measure_memorization(made, decoded(pipe.vae, vae_task.as_float_images(images.pixels[:MAX_COMPARED])))

"""The course's own Stable Diffusion: all of its parts trained here, in order, and saved as one (chapter 8).

First CLIP, whose half the text encoder is, and the autoencoder, if they are not there; then all scenes become latents,
once; then the U-Net learns to find the noise in them. `train tiny-sd` may be stopped anywhere: the same command goes
on.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from stablediff_edu.config import pick_device, seed_everything
from stablediff_edu.data.scenes.captions import VOCABULARY, full_caption_of, parse_caption
from stablediff_edu.data.scenes.dataset import SceneDataset, render_scenes, scene_at
from stablediff_edu.errors import UserError
from stablediff_edu.io import checkpoint
from stablediff_edu.models.autoencoder_kl import AutoencoderKL
from stablediff_edu.models.clip import TextEncoder
from stablediff_edu.models.unet_2d_condition import UNetConfig
from stablediff_edu.pipelines.stable_diffusion import TINY, StableDiffusion, StableDiffusionConfig
from stablediff_edu.tasks import clip as clip_task
from stablediff_edu.tasks import scene_vae, text_to_image_evaluation
from stablediff_edu.tasks.text_to_image import CaptionedLatents, TextToImageTrainConfig, train_text_to_image
from stablediff_edu.tasks.vae import VAETrainConfig, as_float_images, load_vae, map_batches
from stablediff_edu.tokenizers.words import WordTokenizer
from stablediff_edu.training import distributed
from stablediff_edu.training.loop import Callback, TrainResult, sample_steps
from stablediff_edu.training.sample_logger import SampleLogger
from stablediff_edu.training.trained_models import load_trained, save_trained

TINY_SD = TextToImageTrainConfig(  # the pretrained weights `tiny-sd`
    TINY.unet,
    scenes=80_000,
    schedule=TINY.schedule,
    prediction=TINY.prediction,
    steps=25_000,
    batch_size=128,
    optimizer="muon",
    bfloat16=True,
    ema=0.9995,
)
TINY_SD_PRESETS = {
    "quick": replace(  # less than a minute on two cores: four things, half as wide, words at 4×4 only
        TINY_SD,
        config=replace(TINY.unet, widths=(32, 64), attention=(False, True)),
        scenes=2000,
        object_classes=("sailing boat", "duck", "lighthouse", "balloon"),
        steps=280,
        batch_size=48,
        bfloat16=False,
        ema=0.99,
    ),
    "full": replace(  # for a GPU: four times the pixels, ten times the parameters
        TINY_SD,
        size=128,
        config=UNetConfig(widths=(128, 256, 384), blocks=1, attention=(False, True, True), heads=8, context=128),
        scenes=100_000,
        steps=40_000,
        batch_size=512,
        learning_rate=5e-4,
    ),
}
TINY_SD_PRESETS["test"] = replace(TINY_SD_PRESETS["quick"], scenes=60, steps=10, batch_size=2)
# What the sheets show; the second row is of combinations that are held out (`scene_words.held_out`).
PROMPTS = (
    "a red duck at sunset", "a yellow sailing boat under a blue sky", "a green lighthouse at night", "a blue balloon",
    "a black duck at dawn", "a purple sailboat at sunset", "an orange lighthouse under clouds",
    "a red balloon at night",
    "a large pink balloon at dawn", "a small white sailing boat on waves", "a red lighthouse in a storm",
    "a yellow duck",
    "an orange fish under water", "a brown fishing boat in bad weather", "a pink whale under clouds",
    "a green cargo ship with red containers at dawn",
)  # fmt: skip


class FrozenParts(NamedTuple):
    """What the U-Net is trained between."""

    text_encoder: TextEncoder
    vae: AutoencoderKL
    tokenizer: WordTokenizer
    provenance: str  # how they came to be


def make_parts(size: int = TINY.size) -> FrozenParts:
    """Return the autoencoder and the text encoder: those of the pretrained model, if they do not lie here by
    themselves.

    If there is no such model either, or for another size of images, what is not there, or not finished, is trained
    first.
    """
    if _only_in_pretrained(size):
        return frozen_parts(*load_tiny_sd())
    # first CLIP: the autoencoder learns what it sees
    _train_part("clip-scenes", lambda *place: clip_task.make_clip(clip_task.CLIP_SCENES, *place))
    name, config = _autoencoder(size)
    _train_part(name, lambda *place: scene_vae.make_scene_vae(config, *place))
    vae, vae_metadata = load_vae(name)
    clip, tokenizer, clip_metadata = clip_task.load_clip("clip-scenes")
    how = [
        f"{metadata['command']} ({metadata['steps']} steps, {metadata['seconds']} s)"
        for metadata in (vae_metadata, clip_metadata)
    ]
    return FrozenParts(clip.text, vae, tokenizer, "; ".join(how))


def _autoencoder(size: int) -> tuple[str, VAETrainConfig]:
    """Return the name of the autoencoder for images of this size, and how it is trained."""
    if size == TINY.size:
        return "scene-vae", scene_vae.SCENE_VAE
    return f"scene-vae-{size}", replace(scene_vae.SCENE_VAE_128, size=size)


def _only_in_pretrained(size: int) -> bool:
    """Tell whether the parts are only in the pretrained model."""
    if size != TINY.size:
        return False
    alone = all(checkpoint.checkpoint_path(name).exists() for name in ("scene-vae", "clip-scenes"))
    return not alone and checkpoint.checkpoint_path("tiny-sd").exists()


def batch_sizes_of_missing_parts(size: int = TINY.size) -> list[int]:
    """Return the batch sizes of what `make_parts` would train and several processes would share out."""
    recipes = dict([_autoencoder(size), ("clip-scenes", clip_task.CLIP_SCENES)])
    return (
        []
        if _only_in_pretrained(size)
        else [config.batch_size for name, config in recipes.items() if not _is_made(name)]
    )


def _is_made(name: str) -> bool:
    out = checkpoint.checkpoint_path(name)
    return out.exists() and not out.with_suffix(".progress").exists()


def _train_part(name: str, make: Callable) -> None:
    """Train a part with its own config, unless its weights are there."""
    out = checkpoint.checkpoint_path(name)
    progress = out.with_suffix(".progress")
    if _is_made(name):
        return
    _say(f"first its part {name}; weights go to {out}")
    training = make(out, f"python -m stablediff_edu train {name}", progress)[1]
    if training.interrupted:
        raise KeyboardInterrupt
    # wait until the first process has written the file
    distributed.all_reduce_mean(torch.zeros(1, device=pick_device()))


def frozen_parts(pipe: StableDiffusion, metadata: dict[str, str]) -> FrozenParts:
    """Return the parts of a model that is there, to train another U-Net between them."""
    return FrozenParts(pipe.text_encoder, pipe.vae, pipe.tokenizer, metadata.get("parts", "unknown"))


def cache_latents(config: TextToImageTrainConfig, parts: FrozenParts, file: Path | None = None) -> CaptionedLatents:
    """Draw the scenes, tell each in several ways, and encode them: the mean of each image's cloud of latents.

    Args:
        file: keeps the lesson, so that a training that goes on need not do it again.
    """
    about = (
        f"{config.scenes} scenes of {config.object_classes}, {config.size}×{config.size}, "
        f"{config.captions_per_image} wordings, "
        f"latents of {parts.provenance}"
    )
    if file and file.exists():
        kept = torch.load(file, weights_only=True)
        if kept["about"] == about:
            return CaptionedLatents(**kept["lesson"])
    _say(f"drawing {config.scenes:,} scenes, and turning them into latents")
    scenes = render_dataset(config, file and file.with_suffix(".scenes.npy"), (os.cpu_count() or 1) if file else 1)
    dataset = CaptionedLatents(
        latents=map_batches(parts.vae, lambda part: parts.vae.encode(as_float_images(part)), scenes.pixels).half(),
        tokens=clip_task.tokenize_captions(scenes, parts.tokenizer, config.captions_per_image),
        null_tokens=parts.tokenizer(""),
    )
    _say(f"latents: mean {dataset.latents.float().mean():.3f}, deviation {dataset.latents.float().std():.3f}")
    if file and distributed.is_main_process():
        with checkpoint.atomic_write(file) as temporary:
            torch.save(dict(about=about, lesson=dataset._asdict()), temporary)
    return dataset


def render_dataset(config: TextToImageTrainConfig, cache: Path | None = None, count_workers: int = 1) -> SceneDataset:
    """Return the first scenes to train on that show the config's things: with all things, those of `make_scenes`."""
    wanted = (scene for scene in map(scene_at, count()) if scene.thing in config.object_classes)
    scenes = list(islice(wanted, config.scenes))
    pixels = render_scenes(scenes, config.size, cache, count_workers)
    return SceneDataset(pixels, [full_caption_of(scene) for scene in scenes], scenes, "synthetic scenes")


def build_pipeline(
    recipe: TextToImageTrainConfig, parts: FrozenParts, unet: nn.Module | None = None
) -> StableDiffusion:
    """Put the three networks together: a Stable Diffusion. Without a U-Net, with one that has not learned yet."""
    config = StableDiffusionConfig(
        parts.text_encoder.config, recipe.config, parts.vae.config, recipe.prediction, recipe.size, recipe.schedule
    )
    pipe = StableDiffusion(config, parts.tokenizer)
    pipe.text_encoder, pipe.vae = parts.text_encoder, parts.vae
    pipe.unet = pipe.unet if unet is None else unet
    return pipe.to(pick_device()).eval()


def prompts_for(config: TextToImageTrainConfig) -> list[str]:
    """Return those of the fixed prompts that tell of things which the config's scenes show."""
    return [
        prompt
        for prompt in PROMPTS
        if parse_caption(prompt).get("thing", config.object_classes[0]) in config.object_classes
    ]


def train_tiny_sd(
    config: TextToImageTrainConfig,
    parts: FrozenParts,
    dataset: CaptionedLatents,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
    prompts: list[str] | None = None,
    looks: int = 20,
    init: nn.Module | None = None,
) -> tuple[StableDiffusion, TrainResult]:
    """Train a U-Net between the parts, from random weights or those of `init`; return the whole model and the record.

    The record's snapshots, about `looks`, are what the averaged network draws of `prompts` at a fixed seed on its way:
    (step, (N, 3, 64, 64)), for a replay. In a short training they take a good part of the time.
    """
    pipe, prompts = build_pipeline(config, parts), prompts or prompts_for(config)

    def snapshot(average: nn.Module) -> torch.Tensor:
        pipe.unet = average
        return pipe(prompts, seed=1, **text_to_image_evaluation.DEFAULT_SAMPLING)

    pipe.unet, training = train_text_to_image(
        config, dataset, parts.text_encoder, callback, snapshot, sample_steps(config.steps, looks), checkpoint, init
    )
    return pipe, training


def make_tiny_sd(
    config: TextToImageTrainConfig, out: Path, command: str, progress: Path, init: Path | None = None
) -> tuple[StableDiffusion, TrainResult, str, Path]:
    """Make all parts, train, evaluate, and save all in one file with metadata: the model, the record, the score, the
    file.

    Beside the progress stand a log and sheets of samples.

    Args:
        init: a trained model of the config's sizes: its parts stay, and its U-Net learns on.
    """
    begun, init_metadata = load_tiny_sd(init) if init else (None, {})
    parts = frozen_parts(begun, init_metadata) if begun else make_parts(config.size)
    seed_everything(config.seed)
    kept = progress.with_suffix(".latents")
    dataset = distributed.in_turn(lambda: cache_latents(config, parts, kept))
    diary = SampleLogger(progress) if distributed.is_main_process() else None
    pipe, training = train_tiny_sd(config, parts, dataset, diary, progress, init=begun and begun.unet)
    score = f"loss {training.loss:.5f}"
    if (
        checkpoint.checkpoint_path("scene_classifier").exists()
        and distributed.is_main_process()
        and not training.interrupted
    ):
        _say("drawing and judging")
        score = text_to_image_evaluation.evaluate_prompts(
            pipe, text_to_image_evaluation.evaluation_prompts(object_classes=config.object_classes)
        ).line()
    metadata = dict(
        command=command,
        seed=config.seed,
        data=f"{config.scenes:,} synthetic scenes of {config.size}×{config.size}, each told in "
        f"{config.captions_per_image} ways",
        object_classes="; ".join(config.object_classes),
        licence="generated by this package (MIT)",
        parts=parts.provenance,
        images_seen=str(int(init_metadata.get("images_seen", 0)) + training.steps * config.batch_size),
        init=f"{init_metadata['command']}: {init_metadata['steps']} steps, {init_metadata['seconds']} s"
        if init
        else "random",
        words=" ".join(parts.tokenizer.words),
        result=score,
    )
    out = save_trained(out, pipe, training, progress, **metadata)
    if distributed.is_main_process() and not training.interrupted:
        for file in (kept, kept.with_suffix(".scenes.npy")):
            file.unlink(missing_ok=True)
    return pipe, training, score, out


def load_tiny_sd(name: str | Path = "tiny-sd") -> tuple[StableDiffusion, dict[str, str]]:
    """Return a trained model, built with the sizes in its metadata, with its tokenizer, and the metadata.

    Raises:
        UserError: the file is missing, cut off, or holds anything else than such a model with its metadata.
    """
    pipe, metadata = load_trained(lambda **sizes: StableDiffusion(StableDiffusionConfig(**sizes)), name, "a tiny model")
    words = metadata.get("words", "").split() or VOCABULARY
    if len(words) + 2 != pipe.config.text.vocabulary:
        file = checkpoint.checkpoint_path(name).name
        raise UserError(f"The card of {file} does not name the words that it has learned; train it again.")
    pipe.tokenizer = WordTokenizer(words, pipe.config.text.positions)
    return pipe.to(pick_device()), metadata


def _say(sentence: str) -> None:
    if distributed.is_main_process():
        print(sentence, flush=True)

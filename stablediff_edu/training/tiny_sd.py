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

from stablediff_edu.datasets.captions import VOCABULARY, full_caption, told
from stablediff_edu.datasets.scene_set import CaptionedScenes, numbered_scene, render_scenes
from stablediff_edu.device import pick_device, seed_everything
from stablediff_edu.errors import CourseError
from stablediff_edu.models.clip import TextEncoder
from stablediff_edu.models.conditional_unet import UNetConfig
from stablediff_edu.models.vae import AutoencoderKL
from stablediff_edu.stable_diffusion import TINY, StableDiffusion, StableDiffusionConfig
from stablediff_edu.tokenizers.words import WordTokenizer
from stablediff_edu.training import clip_training, distributed, scene_quality, scene_vae
from stablediff_edu.training.keeping import keep, rebuild
from stablediff_edu.training.loop import Observer, Training, spread_out
from stablediff_edu.training.sheets import Diary
from stablediff_edu.training.text_to_picture import Lesson, TextToPictureRecipe, train_text_to_picture
from stablediff_edu.training.vae_training import VAERecipe, as_pictures, in_parts, load_vae
from stablediff_edu.weights import checkpoints

TINY_SD = TextToPictureRecipe(  # the shipped weights `tiny-sd`
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
TINY_SD_BUDGETS = {
    "quick": replace(  # less than a minute on two cores: four things, half as wide, words at 4×4 only
        TINY_SD,
        config=replace(TINY.unet, widths=(32, 64), attention=(False, True)),
        scenes=2000,
        things=("sailing boat", "duck", "lighthouse", "balloon"),
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
TINY_SD_BUDGETS["test"] = replace(TINY_SD_BUDGETS["quick"], scenes=60, steps=10, batch_size=2)
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


class Parts(NamedTuple):
    """What the U-Net is trained between."""

    text_encoder: TextEncoder
    vae: AutoencoderKL
    tokenizer: WordTokenizer
    made_by: str  # how they came to be


def make_parts(size: int = TINY.size) -> Parts:
    """Return the autoencoder and the text encoder: those of the shipped model, if they do not lie here by themselves.

    If there is no such model either, or for another size of images, what is not there, or not finished, is trained
    first.
    """
    if _shipped_whole(size):
        return parts_of(*load_tiny_sd())
    # first CLIP: the autoencoder learns what it sees
    _train_part("clip-scenes", lambda *place: clip_training.make_clip(clip_training.CLIP_SCENES, *place))
    name, recipe = _autoencoder(size)
    _train_part(name, lambda *place: scene_vae.make_scene_vae(recipe, *place))
    vae, vae_card = load_vae(name)
    clip, tokenizer, clip_card = clip_training.load_clip("clip-scenes")
    how = [f"{card['command']} ({card['steps']} steps, {card['seconds']} s)" for card in (vae_card, clip_card)]
    return Parts(clip.text, vae, tokenizer, "; ".join(how))


def _autoencoder(size: int) -> tuple[str, VAERecipe]:
    """Return the name of the autoencoder for images of this size, and how it is trained."""
    if size == TINY.size:
        return "scene-vae", scene_vae.SCENE_VAE
    return f"scene-vae-{size}", replace(scene_vae.SCENE_VAE_128, size=size)


def _shipped_whole(size: int) -> bool:
    """Tell whether the parts are only in the shipped model."""
    if size != TINY.size:
        return False
    alone = all(checkpoints.path_of(name).exists() for name in ("scene-vae", "clip-scenes"))
    return not alone and checkpoints.path_of("tiny-sd").exists()


def batch_sizes_of_missing_parts(size: int = TINY.size) -> list[int]:
    """Return the batch sizes of what `make_parts` would train and several processes would share out."""
    recipes = dict([_autoencoder(size), ("clip-scenes", clip_training.CLIP_SCENES)])
    return [] if _shipped_whole(size) else [recipe.batch_size for name, recipe in recipes.items() if not _is_made(name)]


def _is_made(name: str) -> bool:
    out = checkpoints.path_of(name)
    return out.exists() and not out.with_suffix(".progress").exists()


def _train_part(name: str, make: Callable) -> None:
    """Train a part with its own recipe, unless its weights are there."""
    out = checkpoints.path_of(name)
    progress = out.with_suffix(".progress")
    if _is_made(name):
        return
    _say(f"first its part {name}; weights go to {out}")
    training = make(out, f"python -m stablediff_edu train {name}", progress)[1]
    if training.interrupted:
        raise KeyboardInterrupt
    distributed.average(torch.zeros(1, device=pick_device()))  # wait until the first process has written the file


def parts_of(pipe: StableDiffusion, card: dict[str, str]) -> Parts:
    """Return the parts of a model that is there, to train another U-Net between them."""
    return Parts(pipe.text_encoder, pipe.vae, pipe.tokenizer, card.get("parts", "unknown"))


def make_lesson(recipe: TextToPictureRecipe, parts: Parts, file: Path | None = None) -> Lesson:
    """Draw the scenes, tell each in several ways, and encode them: the mean of each picture's cloud of latents.

    Args:
        file: keeps the lesson, so that a training that goes on need not do it again.
    """
    about = (
        f"{recipe.scenes} scenes of {recipe.things}, {recipe.size}×{recipe.size}, {recipe.wordings} wordings, "
        f"latents of {parts.made_by}"
    )
    if file and file.exists():
        kept = torch.load(file, weights_only=True)
        if kept["about"] == about:
            return Lesson(**kept["lesson"])
    _say(f"drawing {recipe.scenes:,} scenes, and turning them into latents")
    scenes = draw_lesson(recipe, file and file.with_suffix(".scenes.npy"), (os.cpu_count() or 1) if file else 1)
    lesson = Lesson(
        latents=in_parts(parts.vae, lambda part: parts.vae.encode(as_pictures(part)), scenes.pixels).half(),
        tokens=clip_training.tokens_of(scenes, parts.tokenizer, recipe.wordings),
        nothing=parts.tokenizer(""),
    )
    _say(f"latents: mean {lesson.latents.float().mean():.3f}, deviation {lesson.latents.float().std():.3f}")
    if file and distributed.is_first():
        with checkpoints.replacing(file) as temporary:
            torch.save(dict(about=about, lesson=lesson._asdict()), temporary)
    return lesson


def draw_lesson(recipe: TextToPictureRecipe, cache: Path | None = None, count_workers: int = 1) -> CaptionedScenes:
    """Return the first scenes to learn from that show the recipe's things: with all things, those of `load_scenes`."""
    wanted = (scene for scene in map(numbered_scene, count()) if scene.thing in recipe.things)
    scenes = list(islice(wanted, recipe.scenes))
    pixels = render_scenes(scenes, recipe.size, cache, count_workers)
    return CaptionedScenes(pixels, [full_caption(scene) for scene in scenes], scenes, "drawn scenes")


def assemble(recipe: TextToPictureRecipe, parts: Parts, unet: nn.Module | None = None) -> StableDiffusion:
    """Put the three networks together: a Stable Diffusion. Without a U-Net, with one that has not learned yet."""
    config = StableDiffusionConfig(
        parts.text_encoder.config, recipe.config, parts.vae.config, recipe.prediction, recipe.size, recipe.schedule
    )
    pipe = StableDiffusion(config, parts.tokenizer)
    pipe.text_encoder, pipe.vae = parts.text_encoder, parts.vae
    pipe.unet = pipe.unet if unet is None else unet
    return pipe.to(pick_device()).eval()


def prompts_for(recipe: TextToPictureRecipe) -> list[str]:
    """Return those of the fixed prompts that tell of things which the recipe's scenes show."""
    return [prompt for prompt in PROMPTS if told(prompt).get("thing", recipe.things[0]) in recipe.things]


def train_tiny_sd(
    recipe: TextToPictureRecipe,
    parts: Parts,
    lesson: Lesson,
    observer: Observer | None = None,
    checkpoint: Path | None = None,
    prompts: list[str] | None = None,
    looks: int = 20,
    init: nn.Module | None = None,
) -> tuple[StableDiffusion, Training]:
    """Train a U-Net between the parts, from random weights or those of `init`; return the whole model and the record.

    The record's snapshots, about `looks`, are what the averaged network draws of `prompts` at a fixed seed on its way:
    (step, (N, 3, 64, 64)), for a replay. In a short training they take a good part of the time.
    """
    pipe, prompts = assemble(recipe, parts), prompts or prompts_for(recipe)

    def snapshot(average: nn.Module) -> torch.Tensor:
        pipe.unet = average
        return pipe(prompts, seed=1, **scene_quality.BEST)

    pipe.unet, training = train_text_to_picture(
        recipe, lesson, parts.text_encoder, observer, snapshot, spread_out(recipe.steps, looks), checkpoint, init
    )
    return pipe, training


def make_tiny_sd(
    recipe: TextToPictureRecipe, out: Path, command: str, progress: Path, init: Path | None = None
) -> tuple[StableDiffusion, Training, str, Path]:
    """Make all parts, train, judge, and save all in one file with a card: the model, the record, the score, the file.

    Beside the progress stand a log and sheets of samples.

    Args:
        init: a trained model of the recipe's sizes: its parts stay, and its U-Net learns on.
    """
    begun, begun_card = load_tiny_sd(init) if init else (None, {})
    parts = parts_of(begun, begun_card) if begun else make_parts(recipe.size)
    seed_everything(recipe.seed)
    kept = progress.with_suffix(".latents")
    lesson = distributed.in_turn(lambda: make_lesson(recipe, parts, kept))
    diary = Diary(progress) if distributed.is_first() else None
    pipe, training = train_tiny_sd(recipe, parts, lesson, diary, progress, init=begun and begun.unet)
    score = f"loss {training.loss:.5f}"
    if checkpoints.path_of("scene_judge").exists() and distributed.is_first() and not training.interrupted:
        _say("drawing and judging")
        score = scene_quality.judge_prompts(pipe, scene_quality.quality_prompts(things=recipe.things)).line()
    card = dict(
        command=command,
        seed=recipe.seed,
        data=f"{recipe.scenes:,} drawn scenes of {recipe.size}×{recipe.size}, each told in {recipe.wordings} ways",
        things="; ".join(recipe.things),
        licence="drawn by this package (MIT)",
        parts=parts.made_by,
        images_seen=str(int(begun_card.get("images_seen", 0)) + training.steps * recipe.batch_size),
        init=f"{begun_card['command']}: {begun_card['steps']} steps, {begun_card['seconds']} s" if init else "random",
        words=" ".join(parts.tokenizer.words),
        result=score,
    )
    out = keep(out, pipe, training, progress, **card)
    if distributed.is_first() and not training.interrupted:
        for file in (kept, kept.with_suffix(".scenes.npy")):
            file.unlink(missing_ok=True)
    return pipe, training, score, out


def load_tiny_sd(name: str | Path = "tiny-sd") -> tuple[StableDiffusion, dict[str, str]]:
    """Return a trained model, built with the sizes on its card, with its tokenizer, and the card.

    Raises:
        CourseError: the file is missing, cut off, or holds anything else than such a model with its card.
    """
    pipe, card = rebuild(lambda **sizes: StableDiffusion(StableDiffusionConfig(**sizes)), name, "a tiny model")
    words = card.get("words", "").split() or VOCABULARY
    if len(words) + 2 != pipe.config.text.vocabulary:
        file = checkpoints.path_of(name).name
        raise CourseError(f"The card of {file} does not name the words that it has learned; train it again.")
    pipe.tokenizer = WordTokenizer(words, pipe.config.text.positions)
    return pipe.to(pick_device()), card


def _say(sentence: str) -> None:
    if distributed.is_first():
        print(sentence, flush=True)

"""The course's own Stable Diffusion: all of its parts trained here, in order, and saved as one (chapter 8).

First CLIP, whose text half is the text encoder, and the autoencoder, if they are not there; then all scenes become
latents, once; then the U-Net is trained on these. `train tiny-sd` may be stopped anywhere: the same command resumes.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import torch

from stablediff_edu.config import pick_device
from stablediff_edu.data.scenes.captions import VOCABULARY, full_caption_of, parse_caption
from stablediff_edu.data.scenes.dataset import SceneDataset, render_scenes, scene_at
from stablediff_edu.data.scenes.scene import OBJECTS
from stablediff_edu.errors import UserError
from stablediff_edu.io import checkpoint
from stablediff_edu.models.unet_2d_condition import UNet2DConditionModel, UNetConfig
from stablediff_edu.pipelines.stable_diffusion import TINY, StableDiffusion, StableDiffusionConfig
from stablediff_edu.tasks import runner, text_to_image_evaluation
from stablediff_edu.tasks.clip import CLIPTask, load_clip, tokenize_captions
from stablediff_edu.tasks.scene_vae import SceneVAETask
from stablediff_edu.tasks.task import MIT, Task
from stablediff_edu.tasks.text_to_image import CaptionedLatents, FrozenParts, TextToImageTask
from stablediff_edu.tasks.vae import as_float_images, load_vae, map_batches
from stablediff_edu.tokenizers.words import WordTokenizer
from stablediff_edu.training import distributed
from stablediff_edu.training.loop import TrainResult
from stablediff_edu.training.trained_models import load_trained

# What the sheets show; the second row is of combinations that are held out.
PROMPTS = (
    "a red duck at sunset", "a yellow sailing boat under a blue sky", "a green lighthouse at night", "a blue balloon",
    "a black duck at dawn", "a purple sailboat at sunset", "an orange lighthouse under clouds",
    "a red balloon at night",
    "a large pink balloon at dawn", "a small white sailing boat on waves", "a red lighthouse in a storm",
    "a yellow duck",
    "an orange fish under water", "a brown fishing boat in bad weather", "a pink whale under clouds",
    "a green cargo ship with red containers at dawn",
)  # fmt: skip
NUM_EVALUATION_SCENES = 500  # of both kinds, on which --evaluate scores the classifier itself
JUDGE = "scene_classifier"  # the pretrained classifier that evaluates the samples


@dataclass(frozen=True, kw_only=True)
class TinySDTask(TextToImageTask):
    """The tiny Stable Diffusion; `train` returns the whole pipeline.

    Attributes:
        scenes: how many are trained on.
        object_classes: which objects these show.
        size: side of their images.
        captions_per_image: how many captions each has.
        prompts: what the snapshots show, at a fixed seed; by default those of `PROMPTS` that fit.
    """

    name = "tiny-sd"
    next_command = 'generate "a red sailboat" --weights {out}'

    unet: UNetConfig = TINY.unet
    scenes: int = 80_000
    object_classes: tuple[str, ...] = tuple(OBJECTS)
    size: int = 64
    captions_per_image: int = 8
    schedule: str = TINY.schedule
    prediction: str = TINY.prediction
    steps: int = 25_000
    batch_size: int = 128
    optimizer: str = "muon"
    bfloat16: bool = True
    ema: float = 0.9995
    prompts: tuple[str, ...] = ()

    def data(self, cache: Path | None = None) -> tuple[CaptionedLatents, None]:
        """Return the latents and captions of all scenes, after training the parts that are missing."""
        parts = frozen_parts(*load_tiny_sd(self.init)) if self.init else make_parts(self.size)
        kept = cache and cache.with_suffix(".latents")
        return distributed.in_turn(lambda: cache_latents(self, parts, kept)), None

    def initial(self) -> UNet2DConditionModel | None:
        return load_tiny_sd(self.init)[0].unet if self.init else None

    def describe(self, data: CaptionedLatents, held_out: None) -> str:
        return f"training on {len(data.latents):,} latents of scenes"

    def snapshot(self, data: CaptionedLatents) -> Callable[[Any], torch.Tensor]:
        pipe, prompts = build_pipeline(self, data.parts), list(self.prompts) or prompts_for(self)

        def sample(average: UNet2DConditionModel) -> torch.Tensor:
            pipe.unet = average
            return pipe(prompts, seed=1, **text_to_image_evaluation.DEFAULT_SAMPLING)

        return sample

    def train(self, data: CaptionedLatents, *arguments, **options) -> tuple[StableDiffusion, TrainResult]:
        """Train the U-Net; return the whole model, and the record."""
        data.parts.text_encoder.to(pick_device())
        unet, training = super().train(data, *arguments, **options)
        return build_pipeline(self, data.parts, unet), training

    def evaluate(self, model: StableDiffusion, held_out: CaptionedLatents | None) -> str:
        if not checkpoint.checkpoint_path(JUDGE).exists():
            return ""
        prompts = text_to_image_evaluation.evaluation_prompts(object_classes=self.object_classes)
        return text_to_image_evaluation.evaluate_prompts(model, prompts).line()

    def report(self, model: StableDiffusion, metadata: dict[str, str]) -> str:
        names = metadata.get("object_classes", "; ".join(OBJECTS)).split("; ")
        prompts = text_to_image_evaluation.evaluation_prompts(object_classes=names)
        return str(text_to_image_evaluation.evaluate_prompts(model, prompts, scenes=NUM_EVALUATION_SCENES))

    def metadata(self, data: CaptionedLatents, training: TrainResult) -> dict[str, object]:
        size, before = f"{self.size}×{self.size}", checkpoint.read_metadata(self.init) if self.init else {}
        return dict(
            data=f"{self.scenes:,} synthetic scenes of {size}, each told in {self.captions_per_image} ways",
            object_classes="; ".join(self.object_classes),
            licence=MIT,
            parts=data.parts.provenance,
            images_seen=int(before.get("images_seen", 0)) + training.steps * self.batch_size,
            words=" ".join(data.parts.tokenizer.words),
        )

    def load(self, name: str | Path) -> tuple[StableDiffusion, dict[str, str]]:
        return load_tiny_sd(name)


QUICK = TinySDTask(  # less than a minute on two cores: four objects, half as wide, cross-attention at 4×4 only
    unet=replace(TINY.unet, block_out_channels=(32, 64), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D")),
    scenes=2000,
    object_classes=("sailing boat", "duck", "lighthouse", "balloon"),
    steps=280,
    batch_size=48,
    bfloat16=False,
    ema=0.99,
)
TINY_SD_PRESETS = TinySDTask.presets = {
    "pretrained": TinySDTask(),
    "quick": QUICK,
    "full": TinySDTask(  # for a GPU: four times the pixels, ten times the parameters
        size=128,
        unet=UNetConfig(
            block_out_channels=(128, 256, 384),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            num_attention_heads=8,
            cross_attention_dim=128,
        ),
        scenes=100_000,
        steps=40_000,
        batch_size=512,
        learning_rate=5e-4,
    ),
    "test": replace(QUICK, scenes=60, steps=10, batch_size=2),
}


def make_parts(size: int = TINY.size) -> FrozenParts:
    """Return the autoencoder and the text encoder: those of the pretrained model, or files of their own.

    If there is neither, or for another size of images, what is missing or unfinished is trained first.
    """
    alone = all(checkpoint.checkpoint_path(name).exists() for name in ("scene-vae", "clip-scenes"))
    if size == TINY.size and not alone and checkpoint.checkpoint_path("tiny-sd").exists():
        return frozen_parts(*load_tiny_sd())
    name, preset = ("scene-vae", "pretrained") if size == TINY.size else (f"scene-vae-{size}", "128")
    _train_part("clip-scenes", CLIPTask.presets["pretrained"])  # first CLIP: the autoencoder's loss needs it
    _train_part(name, SceneVAETask.presets[preset])
    vae, vae_metadata = load_vae(name)
    clip, tokenizer, clip_metadata = load_clip("clip-scenes")
    how = [
        f"{metadata['command']} ({metadata['steps']} steps, {metadata['seconds']} s)"
        for metadata in (vae_metadata, clip_metadata)
    ]
    return FrozenParts(clip.text_model, vae, tokenizer, "; ".join(how))


def _train_part(name: str, task: Task) -> None:
    """Train a part, unless its weights are there."""
    out = checkpoint.checkpoint_path(name)
    if out.exists() and not task.progress_file(out).exists():
        return
    runner.say(f"first its part {name}; weights go to {out}")
    if runner.run(task, out, f"python -m stablediff_edu train {task.name}")[1].interrupted:
        raise KeyboardInterrupt
    distributed.all_reduce_mean(torch.zeros(1, device=pick_device()))  # wait until the first process has written it


def frozen_parts(pipe: StableDiffusion, metadata: dict[str, str]) -> FrozenParts:
    """Return the parts of a trained model, to train another U-Net between them."""
    return FrozenParts(pipe.text_encoder, pipe.vae, pipe.tokenizer, metadata.get("parts", "unknown"))


def cache_latents(task: TinySDTask, parts: FrozenParts, file: Path | None = None) -> CaptionedLatents:
    """Render the scenes, caption each in several ways, and encode them: the means of the Gaussian posteriors.

    Args:
        file: keeps the result, so that a resumed training need not do it again.
    """
    about = (
        f"{task.scenes} scenes of {task.object_classes}, {task.size}×{task.size}, "
        f"{task.captions_per_image} wordings, latents of {parts.provenance}"
    )
    if file and file.exists():
        kept = torch.load(file, weights_only=True)
        if kept["about"] == about:
            return CaptionedLatents(**kept["data"], parts=parts)
    runner.say(f"rendering {task.scenes:,} scenes, and encoding them")
    scenes = render_dataset(task, file and file.with_suffix(".scenes.npy"), (os.cpu_count() or 1) if file else 1)
    data = dict(
        latents=map_batches(parts.vae, lambda part: parts.vae.encode(as_float_images(part)), scenes.pixels).half(),
        tokens=tokenize_captions(scenes, parts.tokenizer, task.captions_per_image),
        null_tokens=parts.tokenizer(""),
    )
    if file and distributed.is_main_process():
        with checkpoint.atomic_write(file) as temporary:
            torch.save(dict(about=about, data=data), temporary)
    return CaptionedLatents(**data, parts=parts)


def render_dataset(task: TinySDTask, cache: Path | None = None, count_workers: int = 1) -> SceneDataset:
    """Return the first scenes of the training set that show the task's objects: with all, those of `make_scenes`."""
    wanted = (scene for scene in map(scene_at, count()) if scene.object_class in task.object_classes)
    scenes = list(islice(wanted, task.scenes))
    pixels = render_scenes(scenes, task.size, cache, count_workers)
    return SceneDataset(pixels, [full_caption_of(scene) for scene in scenes], scenes, "synthetic scenes")


def build_pipeline(task: TinySDTask, parts: FrozenParts, unet: UNet2DConditionModel | None = None) -> StableDiffusion:
    """Put the three networks together: a Stable Diffusion. Without a U-Net, with an untrained one."""
    config = StableDiffusionConfig(
        parts.text_encoder.config, task.unet, parts.vae.config, task.prediction, task.size, task.schedule
    )
    pipe = StableDiffusion(config, parts.tokenizer)
    pipe.text_encoder, pipe.vae = parts.text_encoder, parts.vae
    pipe.unet = pipe.unet if unet is None else unet
    return pipe.to(pick_device()).eval()


def prompts_for(task: TinySDTask) -> list[str]:
    """Return those of the fixed prompts that name objects which the task's scenes show."""
    objects = task.object_classes
    return [prompt for prompt in PROMPTS if parse_caption(prompt).get("object_class", objects[0]) in objects]


def load_tiny_sd(name: str | Path = "tiny-sd") -> tuple[StableDiffusion, dict[str, str]]:
    """Return a trained model, built with the sizes in its metadata, with its tokenizer, and the metadata.

    Raises:
        UserError: the file is missing, cut off, or holds anything else than such a model with its metadata.
    """
    pipe, metadata = load_trained(lambda **sizes: StableDiffusion(StableDiffusionConfig(**sizes)), name, "a tiny model")
    words = metadata.get("words", "").split() or VOCABULARY
    if len(words) + 2 != pipe.config.text_encoder.vocab_size:
        file = checkpoint.checkpoint_path(name).name
        raise UserError(f"The card of {file} does not name the words that it has learned; train it again.")
    pipe.tokenizer = WordTokenizer(words, pipe.config.text_encoder.max_position_embeddings)
    return pipe.to(pick_device()), metadata

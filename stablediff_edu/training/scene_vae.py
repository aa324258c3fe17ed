"""The autoencoder of the tiny Stable Diffusion: captioned scenes of 64×64 through latents of 4×8×8 (chapter 8).

256 values for 12,288: 48 times fewer, as in Stable Diffusion v1.
"""

import os
from dataclasses import replace
from pathlib import Path

import torch

from stablediff_edu.datasets.scene_set import load_scenes
from stablediff_edu.device import seed_everything
from stablediff_edu.models.vae import AutoencoderKL, VAEConfig
from stablediff_edu.training import distributed
from stablediff_edu.training.denoising import edge_strength, psnr
from stablediff_edu.training.keeping import keep
from stablediff_edu.training.loop import Training
from stablediff_edu.training.sharpening import sharpen
from stablediff_edu.training.vae_training import VAERecipe, in_parts, load_vae, train_vae

SCENES, UNSEEN = 40_000, 1_000
SCENE_VAE = VAERecipe(
    VAEConfig(widths=(16, 32, 64, 128), blocks=1, latent=4, groups=8, scaling=1.0),
    error="perceptual",
    divergence=2e-6,
    steps=12_000,
    batch_size=16,
    learning_rate=2e-3,
    optimizer="muon",
    bfloat16=True,
    ema=0.999,
    flip=True,
    sharpening=3_000,
    critic=0.015,
)  # the shipped weights `scene-vae`
SCENE_VAE_128 = replace(SCENE_VAE, size=128, crop=64, steps=6_000, sharpening=16_000)  # between 128×128 and 4×16×16


def make_scene_vae(
    recipe: VAERecipe, out: Path, command: str, checkpoint: Path | None = None, init: Path | None = None
) -> tuple[AutoencoderKL, Training, str, Path]:
    """Train, score on scenes never seen and save with a card: the network, the record, the score, the file.

    Args:
        init: weights to begin from, instead of random ones.
    """
    seed_everything(recipe.seed)
    kept = checkpoint and checkpoint.with_suffix(".scenes.npy")
    workers = os.cpu_count() or 1
    scenes = distributed.in_turn(lambda: load_scenes(SCENES, recipe.size, cache=kept, workers=workers))
    begun, begun_card = load_vae(init) if init else (None, {})
    model, training = train_vae(recipe, scenes.pixels, checkpoint=checkpoint, init=begun)
    score = score_scene_vae(model, size=recipe.size)
    if recipe.sharpening and not training.interrupted:
        second = checkpoint and checkpoint.with_suffix(".sharpening")
        training = both(training, sharpen(model, recipe, scenes.pixels, checkpoint=second))
        score = f"{score_scene_vae(model, size=recipe.size)}; before sharpening {score}"
    card = dict(
        command=command,
        seed=recipe.seed,
        data=f"{len(scenes):,} {scenes.source} of {recipe.size}×{recipe.size}, half of them mirrored",
        crop=recipe.crop,
        init=f"{begun_card['command']} ({begun_card['steps']} steps, {begun_card['seconds']} s)" if init else "random",
        licence="drawn by this package (MIT)",
        result=score,
    )
    out = keep(out, model, training, checkpoint, **card)
    if checkpoint and distributed.is_first() and not training.interrupted:
        for ending in (".sharpening", ".scenes.npy"):
            checkpoint.with_suffix(ending).unlink(missing_ok=True)
    return model, training, score, out


def both(first: Training, second: Training) -> Training:
    """Return one record of two trainings, one after the other."""
    return replace(
        second, losses=first.losses + second.losses, steps=first.steps + second.steps,
        seconds=first.seconds + second.seconds, snapshots=[],
    )  # fmt: skip


def score_scene_vae(model: AutoencoderKL, count: int | None = None, size: int = 64) -> str:
    """Return one line on how well scenes come back whose combinations it has not learned from."""
    x = load_scenes(count or UNSEEN, size, seed=1, train=False).pictures
    again = through(model, x)
    return (
        f"{psnr(again, x):.2f} dB on {len(x):,} scenes of combinations never seen; edges {edge_strength(again):.4f}, "
        f"those of the scenes {edge_strength(x):.4f}"
    )


def through(model: AutoencoderKL, pictures: torch.Tensor) -> torch.Tensor:
    """Return pictures (N, 3, S, S) as they come back through their latents, on the CPU."""
    return in_parts(model, lambda part: model.decode(model.encode(part)), pictures)

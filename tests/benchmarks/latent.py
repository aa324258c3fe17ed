"""What does a latent space cost, and what does it spare? Autoencoders beside PCA, latent beside pixel diffusion.

    python tests/benchmarks/latent.py [--seconds 60] [--vae digit-vae]

All in one run on one machine. Both diffusions are trained for as many seconds, on the same digits, and draw as many
samples, which the same judge reads. MNIST is taken from data/, or from where STABLEDIFF_DATA points, else drawn digits.
"""

import argparse
import time
from dataclasses import replace

import torch

from stablediff_edu.datasets.digits import Digits, load_digits
from stablediff_edu.device import pick_device, seed_everything
from stablediff_edu.models.autoencoder import PCA
from stablediff_edu.training.autoencoding import AUTOENCODER_BUDGETS, reconstruction_error, train_autoencoder
from stablediff_edu.training.cost import seconds_per_step
from stablediff_edu.training.diffusion_recipes import DiffusionRecipe, train_diffusion
from stablediff_edu.training.digit_quality import compare_digits
from stablediff_edu.training.latent_recipes import (
    DIGITS,
    LATENT_DIGITS_QUICK,
    PIXEL_DIGITS,
    UNSEEN,
    decode_digits,
    encode_digits,
)
from stablediff_edu.training.loop import Training
from stablediff_edu.training.sample_quality import draw
from stablediff_edu.training.vae_training import load_vae

LATENTS = (2, 5, 10, 32)
SAMPLES = 500
TO_MEASURE = 10  # training steps whose time is taken before the training proper
LARGE, LARGE_LATENT = 512, 64  # sides of a picture of Stable Diffusion and of its latent


class Quiet:
    """Nobody watches: no bars between the lines of a table."""

    def begin(self, steps: int, first: int) -> None: ...
    def step(self, step: int, loss: float) -> None: ...
    def snapshot(self, step: int, picture: torch.Tensor) -> None: ...
    def end(self, training: Training) -> None: ...


def autoencoders(known: Digits, unseen: Digits) -> None:
    """Print the error of autoencoders with few and with more numbers, beside PCA's."""
    recipe = AUTOENCODER_BUDGETS["quick"]
    print(
        f"\nsquared error per pixel in [0, 1] of {len(unseen):,} unseen digits ({unseen.source}), {recipe.steps} steps"
    )
    print(f"{'numbers':>8} {'autoencoder':>12} {'PCA':>8} {'trained in':>11} {'PCA in':>8}")
    for latent in LATENTS:
        seed_everything(recipe.seed)
        model, training = train_autoencoder(replace(recipe, latent=latent), known.pictures, Quiet())
        began = time.perf_counter()
        pca = PCA(known.pictures, latent)
        seconds = time.perf_counter() - began
        errors = (reconstruction_error(kind, unseen.pictures) for kind in (model, pca))
        print(
            f"{latent:8} {next(errors):12.4f} {next(errors):8.4f} {training.seconds:9.1f} s {seconds:6.1f} s",
            flush=True,
        )


def diffuse(name: str, recipe: DiffusionRecipe, x0: torch.Tensor, seconds: float, decode) -> tuple[torch.Tensor, dict]:
    """Train on pictures or latents for so long, draw samples, and return them with what they cost."""
    steps = TO_MEASURE
    for budget in (0, seconds):  # first a few steps, which say how many fit
        seed_everything(recipe.seed)
        model, training = train_diffusion(replace(recipe, steps=steps), x0, Quiet())
        if not budget:
            steps = max(1, round(seconds * steps / training.seconds))
    card = dict(size=str(x0.shape[-1]), schedule=recipe.schedule, prediction=recipe.prediction)
    began = time.perf_counter()
    samples = decode(draw(model, card, SAMPLES, seed=1, clip=x0.shape[1] == 1))
    cost = dict(
        name=f"{name}, {' × '.join(map(str, x0.shape[1:]))}",
        steps=training.steps,
        trained=training.seconds,
        step=1000 * training.seconds / training.steps,
        picture=1000 * training.seconds / training.steps / recipe.batch_size,
        batch=recipe.batch_size,
        draw=time.perf_counter() - began,
    )
    return samples, cost


def diffusions(seconds: float, vae_name: str) -> None:
    """Print latent against pixel diffusion, trained for equal seconds."""
    vae, card = load_vae(vae_name)
    source = "mnist" if "MNIST" in card["data"] else "drawn"
    known, unseen = load_digits(DIGITS, source), load_digits(UNSEEN, source, train=False)
    began = time.perf_counter()
    latents = encode_digits(vae, known.pictures)
    encoding = time.perf_counter() - began
    runs = [
        diffuse("latent", LATENT_DIGITS_QUICK, latents, seconds, lambda z: decode_digits(vae, z)),
        diffuse("pixel", PIXEL_DIGITS, known.pictures, seconds, lambda pictures: pictures),
    ]
    print(f"\ntrained on {len(known):,} {known.source} for equal seconds; {SAMPLES} samples each, decoded")
    print(f"{'':<18} {'trained':>8} {'steps':>6} {'of':>4} {'a step':>10} {'a picture':>10} {'drawing':>9}")
    for _, cost in runs:
        print(
            f"{cost['name']:<18} {cost['trained']:6.1f} s {cost['steps']:6} {cost['batch']:4} {cost['step']:7.1f} ms "
            f"{cost['picture']:7.2f} ms {cost['draw']:7.1f} s"
        )
    for samples, cost in runs:
        quality = compare_digits(samples, known, unseen, cost["draw"])
        print(
            f"{cost['name']:<18} {quality.samples}; newness {quality.newness:.2f}, variety "
            f"{quality.relative_variety:.2f}"
        )
    print(f"{'unseen digits':<18} {quality.unseen}")
    latent, pixel = (cost for _, cost in runs)
    seen = latent["batch"] * latent["steps"]
    print(
        f"to see as many pictures as the latent diffusion did, {seen:,}: {seen * latent['picture'] / 1000:.0f} s on "
        f"latents, {seen * pixel['picture'] / 1000:.0f} s on pixels, {pixel['picture'] / latent['picture']:.1f} times "
        f"as long; to draw {SAMPLES}: {pixel['draw'] / latent['draw']:.1f} times"
    )
    before = float(card["seconds"])
    print(
        f"but first: the autoencoder's own training {before:.0f} s ({card['device']}, {card['steps']} steps), encoding "
        f"the data {encoding:.1f} s; with these {(before + encoding) / (before + encoding + latent['trained']):.0%} of "
        "the whole time goes before the first step of the diffusion"
    )


def large() -> None:
    """Print what one training step costs at the sizes of Stable Diffusion."""
    pixel = seconds_per_step(LARGE, 1, channels=3, patch=1)
    latent = seconds_per_step(LARGE_LATENT, 1, channels=4, patch=1)
    numbers = 3 * LARGE**2 / (4 * LARGE_LATENT**2)
    print(
        f"\none training step of the same small U-Net: 3 × {LARGE} × {LARGE} {pixel:.2f} s, "
        f"4 × {LARGE_LATENT} × {LARGE_LATENT} {1000 * latent:.1f} ms: {pixel / latent:.0f} times "
        f"({numbers:.0f} times as many numbers, {(LARGE / LARGE_LATENT) ** 2:.0f} times as many places)"
    )


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of training for each diffusion (default: 60)")
    parser.add_argument("--vae", default="digit-vae", metavar="FILE", help="the autoencoder (default: the shipped one)")
    arguments = parser.parse_args(words)
    print(f"on {pick_device()}, {torch.get_num_threads()} threads")
    autoencoders(load_digits(60_000), load_digits(10_000, train=False))
    diffusions(arguments.seconds, arguments.vae)
    large()


if __name__ == "__main__":
    main()

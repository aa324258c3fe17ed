"""What does a latent space cost, and what does it spare? Autoencoders beside PCA, latent beside pixel diffusion.

    python tests/benchmarks/latent.py [--seconds 60] [--vae digit-vae]

All in one run on one machine. Both diffusions are trained for as many seconds, on the same digits, and draw as many
samples, which the same judge reads. MNIST is taken from data/, or from where STABLEDIFF_DATA points, else synthetic
digits.
"""

import argparse
import time
from dataclasses import replace

import torch

from stablediff_edu.config import pick_device, seed_everything
from stablediff_edu.data.digits.dataset import DigitDataset, load_digits
from stablediff_edu.models.autoencoder import PCA
from stablediff_edu.tasks.autoencoder import AUTOENCODER_PRESETS, reconstruction_error
from stablediff_edu.tasks.ddpm import DiffusionTask
from stablediff_edu.tasks.ddpm_evaluation import sample_images
from stablediff_edu.tasks.latent_diffusion import (
    LATENT_DIGITS_QUICK,
    PIXEL_DIGITS,
    decode_digits,
    encode_digits,
)
from stablediff_edu.tasks.latent_diffusion_evaluation import compare_digits
from stablediff_edu.tasks.vae import load_vae
from stablediff_edu.training.benchmark import benchmark_train_step
from stablediff_edu.training.loop import NullCallback

LATENTS = (2, 5, 10, 32)
SAMPLES = 500
TO_MEASURE = 10  # training steps whose time is taken before the training proper
LARGE, LARGE_LATENT = 512, 64  # sides of an image of Stable Diffusion and of its latent


def autoencoders(known: DigitDataset, unseen: DigitDataset) -> None:
    """Print the error of autoencoders with few and with more numbers, beside PCA's."""
    config = AUTOENCODER_PRESETS["quick"]
    print(
        f"\nsquared error per pixel in [0, 1] of {len(unseen):,} unseen digits ({unseen.source}), {config.steps} steps"
    )
    print(f"{'numbers':>8} {'autoencoder':>12} {'PCA':>8} {'trained in':>11} {'PCA in':>8}")
    for latent in LATENTS:
        seed_everything(config.seed)
        model, training = replace(config, latent=latent).train(known.images, NullCallback())
        began = time.perf_counter()
        pca = PCA(known.images, latent)
        seconds = time.perf_counter() - began
        errors = (reconstruction_error(kind, unseen.images) for kind in (model, pca))
        print(
            f"{latent:8} {next(errors):12.4f} {next(errors):8.4f} {training.seconds:9.1f} s {seconds:6.1f} s",
            flush=True,
        )


def diffuse(name: str, config: DiffusionTask, x0: torch.Tensor, seconds: float, decode) -> tuple[torch.Tensor, dict]:
    """Train on images or latents for so long, draw samples, and return them with what they cost."""
    steps = TO_MEASURE
    for preset in (0, seconds):  # first a few steps, which say how many fit
        seed_everything(config.seed)
        model, training = replace(config, steps=steps).train(x0, NullCallback())
        if not preset:
            steps = max(1, round(seconds * steps / training.seconds))
    metadata = dict(size=str(x0.shape[-1]), schedule=config.schedule, prediction=config.prediction)
    began = time.perf_counter()
    samples = decode(sample_images(model, metadata, SAMPLES, seed=1, clip=x0.shape[1] == 1))
    cost = dict(
        name=f"{name}, {' × '.join(map(str, x0.shape[1:]))}",
        steps=training.steps,
        trained=training.seconds,
        step=1000 * training.seconds / training.steps,
        picture=1000 * training.seconds / training.steps / config.batch_size,
        batch=config.batch_size,
        draw=time.perf_counter() - began,
    )
    return samples, cost


def diffusions(seconds: float, vae_name: str) -> None:
    """Print latent against pixel diffusion, trained for equal seconds."""
    vae, metadata = load_vae(vae_name)
    source = "mnist" if "MNIST" in metadata["data"] else "synthetic"
    known, unseen = load_digits(20_000, source), load_digits(1_000, source, train=False)
    began = time.perf_counter()
    latents = encode_digits(vae, known.images)
    encoding = time.perf_counter() - began
    runs = [
        diffuse("latent", LATENT_DIGITS_QUICK, latents, seconds, lambda z: decode_digits(vae, z)),
        diffuse("pixel", PIXEL_DIGITS, known.images, seconds, lambda images: images),
    ]
    print(f"\ntrained on {len(known):,} {known.source} for equal seconds; {SAMPLES} samples each, decoded")
    print(f"{'':<18} {'trained':>8} {'steps':>6} {'of':>4} {'a step':>10} {'an image':>10} {'drawing':>9}")
    for _, cost in runs:
        print(
            f"{cost['name']:<18} {cost['trained']:6.1f} s {cost['steps']:6} {cost['batch']:4} {cost['step']:7.1f} ms "
            f"{cost['picture']:7.2f} ms {cost['draw']:7.1f} s"
        )
    for samples, cost in runs:
        quality = compare_digits(samples, known, unseen, cost["draw"])
        print(
            f"{cost['name']:<18} {quality.samples}; newness {quality.novelty:.2f}, variety "
            f"{quality.relative_diversity:.2f}"
        )
    print(f"{'unseen digits':<18} {quality.unseen}")
    latent, pixel = (cost for _, cost in runs)
    seen = latent["batch"] * latent["steps"]
    print(
        f"to see as many images as the latent diffusion did, {seen:,}: {seen * latent['picture'] / 1000:.0f} s on "
        f"latents, {seen * pixel['picture'] / 1000:.0f} s on pixels, {pixel['picture'] / latent['picture']:.1f} times "
        f"as long; to draw {SAMPLES}: {pixel['draw'] / latent['draw']:.1f} times"
    )
    before = float(metadata["seconds"])
    print(
        f"but first: the autoencoder's own training {before:.0f} s ({metadata['device']}, {metadata['steps']} "
        f"steps), encoding "
        f"the data {encoding:.1f} s; with these {(before + encoding) / (before + encoding + latent['trained']):.0%} of "
        "the whole time goes before the first step of the diffusion"
    )


def large() -> None:
    """Print what one training step costs at the sizes of Stable Diffusion."""
    pixel = benchmark_train_step(LARGE, 1, channels=3, patch=1)
    latent = benchmark_train_step(LARGE_LATENT, 1, channels=4, patch=1)
    numbers = 3 * LARGE**2 / (4 * LARGE_LATENT**2)
    print(
        f"\none training step of the same small U-Net: 3 × {LARGE} × {LARGE} {pixel:.2f} s, "
        f"4 × {LARGE_LATENT} × {LARGE_LATENT} {1000 * latent:.1f} ms: {pixel / latent:.0f} times "
        f"({numbers:.0f} times as many numbers, {(LARGE / LARGE_LATENT) ** 2:.0f} times as many places)"
    )


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of training for each diffusion (default: 60)")
    parser.add_argument(
        "--vae", default="digit-vae", metavar="FILE", help="the autoencoder (default: the pretrained one)"
    )
    arguments = parser.parse_args(words)
    print(f"on {pick_device()}, {torch.get_num_threads()} threads")
    autoencoders(load_digits(60_000), load_digits(10_000, train=False))
    diffusions(arguments.seconds, arguments.vae)
    large()


if __name__ == "__main__":
    main()

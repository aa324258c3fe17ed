"""`train digit-vae` and `train latent-digits`: the two networks of latent diffusion, on digits (notebook 05)."""

import argparse
from dataclasses import replace
from pathlib import Path

from stablediff_edu.cli.training_options import command_line, output_paths, print_metadata, print_next, print_summary
from stablediff_edu.errors import UserError

VAE = Path("digit-vae")  # the pretrained one


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument("--source", choices=["synthetic", "mnist"], help="which digits (default: synthetic)")
    if name == "latent-digits":
        parser.add_argument(
            "--vae", type=Path, default=VAE, metavar="FILE", help=f"the autoencoder of the latents (default: {VAE})"
        )


def run(arguments: argparse.Namespace) -> int:
    return (_run_vae if arguments.name == "digit-vae" else _run_latent_digits)(arguments)


def _run_vae(arguments: argparse.Namespace) -> int:
    from stablediff_edu.tasks import latent_diffusion
    from stablediff_edu.tasks.vae import load_vae

    if arguments.evaluate:
        model, metadata = load_vae(arguments.out or VAE)
        print_metadata(metadata)
        print(latent_diffusion.score_vae(model, _digits(arguments.source or _source_of(metadata))[1]))
        return 0
    config, out, progress, (known, unseen) = _prepare(arguments, latent_diffusion.DIGIT_VAE)
    _, training, score, out = latent_diffusion.make_vae(config, out, command_line(arguments), known, unseen, progress)
    print_summary(training, out)
    print(score)
    print_next(arguments.name, out)
    return 0


def _run_latent_digits(arguments: argparse.Namespace) -> int:
    from stablediff_edu.tasks import latent_diffusion

    if arguments.evaluate:
        return _evaluate_latent_digits(arguments)
    vae = _load_vae(arguments)
    config, out, progress, (known, _) = _prepare(arguments, latent_diffusion.LATENT_DIGITS)
    _, training, out = latent_diffusion.make_latent_digits(config, out, command_line(arguments), known, vae, progress)
    print_summary(training, out)
    print_next(arguments.name, out, f" --vae {arguments.vae}" if arguments.vae != VAE else "")
    return 0


def _evaluate_latent_digits(arguments: argparse.Namespace) -> int:
    from stablediff_edu.tasks.ddpm import load_diffusion
    from stablediff_edu.tasks.latent_diffusion_evaluation import evaluate_digits
    from stablediff_edu.tasks.own_weights import load_latent_vae

    _load_vae(arguments)
    model, metadata = load_diffusion(arguments.out or arguments.name, channels=4)
    print_metadata(metadata)
    vae = load_latent_vae(metadata, arguments.vae)
    known, unseen = _digits(arguments.source or _source_of(metadata))
    print(evaluate_digits(model, metadata, vae, known, unseen))
    return 0


def _load_vae(arguments: argparse.Namespace):
    from stablediff_edu.io import checkpoint
    from stablediff_edu.tasks.vae import load_vae

    if not checkpoint.checkpoint_path(arguments.vae).exists():
        raise UserError(
            f"There is no autoencoder at {arguments.vae}; train it with python -m stablediff_edu train digit-vae, or "
            "name another with --vae FILE."
        )
    return load_vae(arguments.vae)


def _prepare(arguments: argparse.Namespace, shipped):
    """Return the config, where weights and progress go, and the digits to train on and others.

    Only the config of the pretrained weights, on the digits that these learned from, goes to their place.
    """
    from stablediff_edu.io import checkpoint

    arguments.source = arguments.source or "synthetic"
    wanted = {key: getattr(arguments, key) for key in ("steps", "seed")}
    config = replace(shipped, **{key: value for key, value in wanted.items() if value is not None})
    as_shipped = config == shipped and arguments.source == "synthetic" and getattr(arguments, "vae", VAE) == VAE
    name = arguments.name if as_shipped else f"{arguments.name}_own.safetensors"
    out, progress = output_paths(arguments, checkpoint.checkpoint_path(name))
    known, unseen = _digits(arguments.source)
    print(f"learning from {len(known):,} {known.source}; weights go to {out}")
    return config, out, progress, (known, unseen)


def _digits(source: str):
    """Return digits to train on, and others."""
    from stablediff_edu.data.digits.dataset import load_digits
    from stablediff_edu.tasks import latent_diffusion

    return load_digits(latent_diffusion.DIGITS, source), load_digits(latent_diffusion.UNSEEN, source, train=False)


def _source_of(metadata: dict[str, str]) -> str:
    """Return which digits weights have learned from."""
    return "mnist" if "MNIST" in metadata["data"] else "synthetic"

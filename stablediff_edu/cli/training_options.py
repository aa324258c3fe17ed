"""What the trainings of `train NAME` share on the command line."""

import argparse
from pathlib import Path

from stablediff_edu.cli.parser import positive_int, seed
from stablediff_edu.errors import UserError
from stablediff_edu.io import checkpoint

EXCLUDED = ("command", "name", "out", "resume", "evaluate")  # these do not change what is learned


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add what every training understands."""
    parser.add_argument("--steps", type=positive_int, help="how many training steps")
    parser.add_argument("--seed", type=seed, help="another seed gives other first weights and another order")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the weights go (.safetensors)")
    parser.add_argument(
        "--resume", action="store_true", help="go on with a training that was stopped, or say that there is none"
    )
    parser.add_argument(
        "--evaluate", action="store_true", help="only score weights that are there (--out or pretrained)"
    )


def command_line(arguments: argparse.Namespace) -> str:
    """Return the command line that gives the same training again."""
    words = ["python -m stablediff_edu train", arguments.name]
    for name, value in vars(arguments).items():
        if name not in EXCLUDED and value is not None and value is not False:
            option = "--" + name.replace("_", "-")
            text = value.name if isinstance(value, Path) else value
            text = ",".join(map(str, value)) if isinstance(value, tuple) else text
            words.append(option if value is True else f"{option} {text}")
    return " ".join(words)


def output_paths(arguments: argparse.Namespace, out: Path) -> tuple[Path, Path]:
    """Return where the weights and the progress of a training go; `out` is for a command without --out.

    Raises:
        UserError: these cannot be written, or --resume finds no progress to go on from.
    """
    out = arguments.out or out
    progress = out.with_suffix(".progress")
    if arguments.resume and not progress.exists():
        raise UserError(
            f"There is no {progress.name} of a training that was stopped; leave --resume away to begin one."
        )
    checkpoint.check_writable(out)
    if progress.exists():
        print(f"going on with the training in {progress.name}; delete it to begin again")
    return out, progress


def print_summary(training, out: Path) -> None:
    """Say how a training ended."""
    print(f"{training.steps} steps in {training.seconds:.0f} s, loss {training.loss:.5f}; weights in {out}")
    if training.interrupted:
        print("stopped early: these are the weights so far; the same command goes on where it stopped")


_GENERATE, _EVALUATE = "generate --weights {out} --count 16", "train {name} --evaluate --out {out}"
_NEXT = {
    "fish": "segment --weights {out} --images DIR",
    "digit-vae": "train latent-digits --vae {out}",
    "tiny-sd": 'generate "a red sailboat" --weights {out}',
    **dict.fromkeys(("ships", "cifar10-all", "one-fish", "latent-digits"), _GENERATE),
}


def print_next(name: str, out: Path, options: str = "") -> None:
    """Say, as the last line of a training, the command that uses its weights."""
    command = _NEXT.get(name, _EVALUATE).format(name=name, out=out)
    print(f"next: python -m stablediff_edu {command}{options}", flush=True)


def print_metadata(metadata: dict[str, str]) -> None:
    """Say how the weights came to be."""
    names = ("command", "data", "steps", "seconds", "licence")
    print("weights: " + " · ".join(f"{name} {metadata.get(name, 'unknown')}" for name in names))


def print_left_out(left_out: list[str]) -> None:
    """Count the files that were not used, and name the first ones."""
    if left_out:
        more = f"; and {len(left_out) - 5:,} more" if len(left_out) > 5 else ""
        print(f"left out: {len(left_out):,} files ({'; '.join(left_out[:5])}{more})")

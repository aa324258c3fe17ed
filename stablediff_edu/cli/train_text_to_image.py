"""`train text-to-image --images DIR`: the course's Stable Diffusion on your own captioned images."""

import argparse
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from stablediff_edu.cli.training_options import command_line, positive_int
from stablediff_edu.errors import UserError

say = partial(print, flush=True)  # at once, also where it goes to a file
SHOWN = 8  # files and words that are named; all of them are in left_out.txt


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument(
        "--images",
        type=Path,
        required=True,
        metavar="DIR",
        help="your images; captions in NAME.txt beside each, in metadata.csv or metadata.jsonl (file_name, text), or "
        "in the names of the files",
    )
    parser.add_argument("--size", type=positive_int, default=64, help="side in pixels, 64 or 128 (default: 64)")
    parser.add_argument(
        "--preset",
        choices=["quick", "full"],
        default="quick",
        help="quick: about a quarter of an hour on two cores; full: a larger U-Net for a GPU (default: quick)",
    )
    parser.add_argument(
        "--background", default="white", metavar="COLOR", help='behind transparent images: a name or "#ffcc00"'
    )
    parser.add_argument("--from-scratch", action="store_true", help="do not begin with the weights of the tiny model")


def run(arguments: argparse.Namespace) -> int:
    from stablediff_edu.config import seed_everything, set_num_threads
    from stablediff_edu.data.captioned_folder import load_captioned_folder
    from stablediff_edu.io.save_pretrained import check_replaceable
    from stablediff_edu.tasks import custom_text_to_image as own
    from stablediff_edu.tasks.transfer import load_pretrained

    _check(arguments)
    out = arguments.out or Path("text-to-image_own")
    work = own.working_folder(out)
    set_num_threads()
    config = replace(own.PRESETS[arguments.preset], size=arguments.size)
    wanted = {key: getattr(arguments, key) for key in ("steps", "seed") if getattr(arguments, key) is not None}
    config = replace(config, unet=replace(config.unet, **wanted))
    if arguments.resume and not list(work.glob("*.progress")):
        raise UserError(f"There is no training in {work} that was stopped; leave --resume away to begin one.")
    images = load_captioned_folder(arguments.images, arguments.size, arguments.background)
    if arguments.evaluate:
        from stablediff_edu.pipelines.stable_diffusion import StableDiffusion

        say(own.measure(StableDiffusion.from_pretrained(out), images))
        return 0
    check_replaceable(out)
    seed_everything(config.unet.seed)
    pretrained = None if arguments.from_scratch else load_pretrained()
    command = command_line(arguments)
    plan = own.TrainingPlan(config, images, pretrained)
    work.mkdir(parents=True, exist_ok=True)
    (work / "left_out.txt").write_text("".join(f"{line}\n" for line in images.left_out), encoding="utf-8")
    _describe(plan, work)
    if any(work.glob("*.progress")):
        say(f"resuming the training in {work}; delete that folder to start again")
    else:
        minutes = plan.seconds() / 60
        until = time.strftime("%H:%M", time.localtime(time.time() + 60 * minutes))
        say(f"expected: {minutes:.0f} minutes here ({plan.device}), until about {until}; Ctrl-C keeps the progress")
    _, training = own.make_text_to_image(plan, out, command, say)
    say(f"{training.steps:,} steps in {training.seconds:.0f} s, loss {training.loss:.4f}; the model is in {out}")
    if training.interrupted:
        say("stopped early: these are the weights so far; the same command resumes the training")
    say(f'next: python -m stablediff_edu generate "{plan.prompts[0]}" --weights {out}')
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Raise UserError for what would only fail later."""
    from PIL import ImageColor

    if arguments.size % 16:
        raise UserError(f"--size must be a multiple of 16, such as 64 or 128, got {arguments.size}.")
    try:
        ImageColor.getrgb(arguments.background)
    except ValueError as error:
        raise UserError(
            f'--background must be a color such as white or "#ffcc00", got {arguments.background}.'
        ) from error


def _describe(plan, work: Path) -> None:
    """Say what was read, what was left out, and what to expect of so many images."""
    from stablediff_edu.tasks.custom_text_to_image import MIN_IMAGES

    images, words = plan.images, plan.tokenizer.words
    say(f"{len(images):,} images of {plan.config.size}×{plan.config.size}, captions from {images.source}")
    for line in images.left_out[:SHOWN]:
        say(f"left out: {line}")
    if len(images.left_out) > SHOWN:
        say(f"left out: {len(images.left_out) - SHOWN:,} more, all listed in {work / 'left_out.txt'}")
    say(f"{len(words):,} words: {', '.join(words[:SHOWN])}{', …' if len(words) > SHOWN else ''}")
    if len(images) < MIN_IMAGES:
        say(f"fewer than about {MIN_IMAGES} images are too few: expect copies of the training images, nothing new")
    elif images.unique_share() > 0.5:
        say(
            f"{images.unique_share():.0%} of the images have a caption that no other has: expect the model to memorize "
            "them; it combines words that many images share"
        )

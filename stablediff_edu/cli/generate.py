"""`generate`: images of a prompt with Stable Diffusion or the course's tiny model, or with any weights of `train`."""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from tqdm import tqdm

from stablediff_edu.cli.parser import positive_int, seed
from stablediff_edu.config import pick_device, set_num_threads
from stablediff_edu.data.image_files import as_rgb, open_image, upright
from stablediff_edu.data.masks import decide
from stablediff_edu.errors import UserError
from stablediff_edu.io import checkpoint
from stablediff_edu.io.diffusers_config import PREDICTIONS, V1_NAME
from stablediff_edu.io.images import make_grid, save_image
from stablediff_edu.pipelines.stable_diffusion import V1, PipelineStep, StableDiffusion
from stablediff_edu.tasks.own_weights import Unconditional, load_own
from stablediff_edu.tasks.text_to_image_evaluation import DEFAULT_SAMPLING
from stablediff_edu.tasks.tiny_sd import load_tiny_sd
from stablediff_edu.tokenizers.words import WordTokenizer

DEFAULT_MODEL = "tiny-sd"  # the course's own weights
STEPS, SAMPLER = 20, "dpmpp_2m"
GUIDANCE = 7.5  # what Stable Diffusion v1 is mostly used with
ENDINGS = (".png", ".jpg", ".jpeg", ".webp")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what may stand behind ``generate``."""
    parser.add_argument("prompt", nargs="?", help='what to generate, in quotes: "a red ship"; some weights take none')
    parser.add_argument(
        "--weights",
        metavar="PATH_OR_NAME",
        help=f"a folder, a .safetensors or .ckpt file, what `train` made, or a name on the Hub such as {V1_NAME}, "
        "which is downloaded",
    )
    parser.add_argument("--vae", type=Path, metavar="FILE", help="the autoencoder that latent-digits was trained with")
    parser.add_argument(
        "--prediction", choices=PREDICTIONS, help="what the U-Net predicts, if the file does not say it"
    )
    parser.add_argument("--negative", default="", metavar="TEXT", help="what to stay away from")
    parser.add_argument("--steps", type=positive_int, help="more are slower and better (default: 20)")
    parser.add_argument(
        "--guidance",
        type=float,
        help=f"how much the prompt counts (default: {GUIDANCE:g}, for models trained here "
        f"{DEFAULT_SAMPLING['guidance']:g})",
    )
    parser.add_argument("--sampler", help="how to step from noise to image (default: dpmpp_2m)")
    parser.add_argument("--seed", type=seed, default=0, help="another seed is another image (default: 0)")
    parser.add_argument("--size", type=pixels, help="side in pixels, or HEIGHTxWIDTH (default: the model's own)")
    parser.add_argument("--count", type=positive_int, default=1, help="so many images, on one sheet (default: 1)")
    parser.add_argument(
        "--image", type=Path, metavar="FILE", help="begin with this image; its transparent part is generated again"
    )
    parser.add_argument("--strength", type=float, help="how much to change it, up to 1 (default: 0.8, with --mask 1)")
    parser.add_argument("--mask", type=Path, metavar="FILE", help="draw the image again only where this is white")
    parser.add_argument("--invert", action="store_true", help="the mask marks what stays")
    parser.add_argument("--half", action="store_true", help="half precision: half the memory, and faster on a GPU")
    parser.add_argument("--previews", type=Path, metavar="DIR", help="save what is seen after every step here")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("generated.png"),
        metavar="FILE",
        help="default: generated.png; a name without ending: a folder of numbered images",
    )


def pixels(text: str) -> tuple[int, int]:
    """Read 512 or 512x768 as height and width."""
    sides = text.lower().replace("×", "x").split("x")
    if len(sides) > 2 or not all(side.strip().isdecimal() for side in sides):
        raise argparse.ArgumentTypeError(f"{text} is no size such as 512 or 512x768")
    return int(sides[0]), int(sides[-1])


def run(arguments: argparse.Namespace) -> int:
    """Generate, and save the image, or all of them on one sheet or in a folder."""
    if arguments.out.suffix and arguments.out.suffix.lower() not in ENDINGS:
        raise UserError(f"{arguments.out.name} is no name of an image; let it end in one of {', '.join(ENDINGS)}.")
    numbered = [arguments.out / f"{number:04}.png" for number in range(1, arguments.count + 1)]
    checkpoint.check_writable(arguments.out if arguments.out.suffix else numbered[0])
    set_num_threads()
    model = load_own(arguments.weights, arguments.vae) if arguments.weights else load_default_model()
    settings = {name: getattr(arguments, name) for name in ("steps", "seed", "sampler", "count")}
    if isinstance(model, Unconditional):
        refuse_text_options(arguments)
        steps = model.stream(**settings)
    else:
        if not arguments.prompt:
            raise UserError('There is no prompt; say what to generate, in quotes: generate "a red ship".')
        steps = draw(arguments, model or load(arguments), settings)
    began = time.perf_counter()
    with tqdm(desc="sampling", total=arguments.steps, unit="step") as bar:
        for step in steps:
            if arguments.previews:
                save_image(make_grid(step.preview()), arguments.previews / f"step_{step.number:03}.png")
            bar.total = step.of  # with an image fewer than are asked for
            bar.update()
    images = step.image()
    if arguments.out.suffix:
        save_image(make_grid(images), arguments.out)
    else:
        for image, file in zip(images, numbered, strict=True):
            save_image(image, file)
    print(f"generated in {time.perf_counter() - began:.1f} s: {arguments.out}")
    return 0


def refuse_text_options(arguments: argparse.Namespace) -> None:
    """Raise UserError for what has no meaning without a text encoder."""
    names = ["prompt", "negative", "guidance", "image", "mask", "strength", "size", "half", "prediction"]
    if given := [name for name in names if getattr(arguments, name)]:
        what = "the prompt" if given[0] == "prompt" else f"--{given[0]}"
        raise UserError(f"This network has no text input and generates what it was trained on; omit {what}.")


def load(arguments: argparse.Namespace) -> StableDiffusion:
    """Return Stable Diffusion with the weights that were asked for."""
    return StableDiffusion.from_pretrained(arguments.weights, arguments.half, prediction=arguments.prediction)


def draw(arguments: argparse.Namespace, pipe: StableDiffusion, settings: dict[str, Any]) -> Iterator[PipelineStep]:
    """Return the sampling steps of a prompt."""
    guidance = DEFAULT_SAMPLING["guidance"] if isinstance(pipe.tokenizer, WordTokenizer) else GUIDANCE
    settings["guidance"] = guidance if arguments.guidance is None else arguments.guidance
    settings |= {
        "steps": arguments.steps or STEPS,
        "sampler": arguments.sampler or SAMPLER,
        "negative": arguments.negative,
        "strength": arguments.strength,
    }
    pipe = pipe.to(pick_device(), torch.float16 if arguments.half else torch.float32)
    return pipe.stream(arguments.prompt, **settings, **load_init_image(arguments, pipe))


def load_default_model() -> StableDiffusion:
    """Return the course's tiny model, if it is pretrained, else say how to get Stable Diffusion's weights."""
    with torch.device("meta"):  # the sizes of Stable Diffusion v1, without its weights
        numbers = sum(weight.numel() for weight in StableDiffusion(V1).parameters())
    how = (
        f"--weights {V1_NAME} downloads Stable Diffusion v1's from the Hub ({4 * numbers / 1e9:.1f} GB; "
        f"{2 * numbers / 1e9:.1f} GB with --half), and --weights PATH reads a folder or a file"
    )
    if not checkpoint.checkpoint_path(DEFAULT_MODEL).exists():
        raise UserError(f"There are no weights to draw with; {how}.")
    print(f"sampling with the course's tiny model; {how}")
    return load_tiny_sd(DEFAULT_MODEL)[0]


def load_init_image(arguments: argparse.Namespace, pipe: StableDiffusion) -> dict[str, Any]:
    """Return size, image and mask as `draw` wants them; the middle of the image is cut out in the wanted size."""
    size = arguments.size or (pipe.config.size, pipe.config.size)
    if not arguments.image:
        if arguments.mask:
            raise UserError("--mask says what of an image is generated again; give the image too: --image FILE.")
        return {"size": size}
    stored = open_image(arguments.image)
    image = as_rgb(stored)
    settings = {"size": size, "image": tensor(image, size) / 127.5 - 1}
    if arguments.mask:
        rule = decide([arguments.mask], invert=arguments.invert, bright=True)
        mask = rule.read(arguments.mask, stored)
        print(f"{arguments.mask.name}: {rule}")
        if mask.size != image.size:
            raise UserError(f"{arguments.mask.name} and {arguments.image.name} differ in size; they must be alike.")
        settings["mask"] = (tensor(mask, size) > 127).float()
    elif (clear := np.asarray(upright(stored.convert("RGBA")).getchannel("A")) < 128).any():
        if clear.all():
            raise UserError(f"{arguments.image.name} is transparent throughout; leave a part of it opaque.")
        clear = clear ^ arguments.invert
        print(f"{arguments.image.name}: the mask is its {'opaque' if arguments.invert else 'transparent'} part")
        settings["mask"] = (tensor(Image.fromarray(clear).convert("L"), size) > 127).float()
    return settings


def tensor(image: Image.Image, size: tuple[int, int]) -> torch.Tensor:
    """Cut the middle of an image out in this height and width: (channels, H, W), 0 to 255."""
    fitted = ImageOps.fit(image, size[::-1], Image.Resampling.BICUBIC)
    return torch.from_numpy(np.atleast_3d(np.asarray(fitted, dtype=np.float32))).permute(2, 0, 1)

"""`segment --weights FILE --images DIR`: the masks that a network of `train fish` predicts for your own images."""

import argparse
import re
from pathlib import Path

from stablediff_edu.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what may stand behind ``segment``."""
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="your images")
    parser.add_argument("--weights", default="fish", metavar="FILE", help="made by train fish (default: the included)")
    parser.add_argument("--overlay", action="store_true", help="save the images with the foreground in red, not masks")
    parser.add_argument("--out", type=Path, default=Path("masks"), metavar="DIR", help="default: masks")


def run(arguments: argparse.Namespace) -> int:
    """Predict a mask for each image, in its size, and save it under the image's name."""
    import numpy as np
    import torch
    from PIL import Image

    from stablediff_edu.data.image_files import as_rgb, list_images, not_images, open_image
    from stablediff_edu.data.image_folder import normalize_images
    from stablediff_edu.io.checkpoint import atomic_write
    from stablediff_edu.tasks.fish import load_fish_unet
    from stablediff_edu.tasks.runner import say_left_out
    from stablediff_edu.tasks.segmentation import predict_tta

    model, metadata = load_fish_unet(arguments.weights)
    trained = re.search(r"of (\d+)×", metadata.get("data", ""))
    size = int(trained[1]) if trained else 128
    files, others = list_images(arguments.images)
    files = [file for file in files if not file.resolve().is_relative_to(arguments.out.resolve())]
    left_out, areas = not_images(others, arguments.images), []
    for file in files:
        try:
            image = as_rgb(open_image(file))
        except UserError as error:
            left_out.append(str(error))
            continue
        pixels = np.array(image.resize((size, size), Image.Resampling.BICUBIC))
        with torch.no_grad():
            output = predict_tta(model, normalize_images(pixels[None]))[0, 0]
        enlarged = Image.fromarray(output.float().numpy()).resize(image.size, Image.Resampling.BILINEAR)
        found = np.asarray(enlarged) > 0.5
        areas.append(found.mean())
        mask = Image.fromarray(np.where(found, 255, 0).astype(np.uint8))
        if arguments.overlay:
            red = Image.blend(image, Image.new("RGB", image.size, "red"), 0.5)
            mask = Image.composite(red, image, mask)
        name = file.relative_to(arguments.images)  # a.png and a.jpg must not share a mask; `train fish` pairs a.jpg.png
        with atomic_write((arguments.out / name).with_name(f"{file.name}.png")) as temporary:
            mask.save(temporary, "PNG")
    say_left_out(left_out)
    if not areas:
        raise UserError(f"No image in {arguments.images} could be read; {left_out[0] if left_out else 'add some'}.")
    what = "overlays" if arguments.overlay else "masks"
    print(f"{len(areas):,} {what} in {arguments.out}; the foreground is {np.mean(areas):.1%} of the images on average")
    return 0

"""`train text-to-image` on 600 colored shapes, in the time of the quick preset: are color and shape right?

    python tests/benchmarks/own_images.py [--work build/own_images] [--icons]

Some combinations of color and shape are held out. Both are read from the pixels, not by a network. With --icons it
trains on 1,000 icons instead, each with a caption of its own, to be looked at.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import colored_shapes  # noqa: E402
import named_icons  # noqa: E402

from stablediff_edu.__main__ import main as command  # noqa: E402
from stablediff_edu.io.images import make_grid, save_image  # noqa: E402
from stablediff_edu.pipelines.stable_diffusion import StableDiffusion  # noqa: E402
from stablediff_edu.tasks.text_to_image_evaluation import DEFAULT_SAMPLING  # noqa: E402

BATCH = 32


def score(pipe: StableDiffusion, seen: bool, each: int, work: Path) -> None:
    """Generate all prompts of one kind, print the shares that are right, and save a sheet of the first 64."""
    wanted = colored_shapes.prompts(seen) * each
    texts = [f"a {color} {shape} on a {ground} ground" for color, shape, ground in wanted]
    parts = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
    made = torch.cat([pipe(part, seed=seed, **DEFAULT_SAMPLING).cpu() for seed, part in enumerate(parts)])
    pixels = ((made + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    read = [colored_shapes.read_image(image) for image in pixels]
    right = np.array(
        [[a == b for a, b in zip(got[:2], key[:2], strict=True)] for got, key in zip(read, wanted, strict=True)]
    )
    kind = "seen" if seen else "held out"
    color, shape = right.mean(axis=0)
    print(
        f"{kind:10} {len(wanted):4} prompts  color {color:.1%}  shape {shape:.1%}  both {right.all(axis=1).mean():.1%}"
    )
    save_image(make_grid(made[:64]), work / f"{kind.replace(' ', '_')}.png")


def score_both(out: Path, work: Path) -> None:
    """Score the prompts of combinations in the set, and those of combinations held out from it."""
    pipe = StableDiffusion.from_pretrained(out)
    score(pipe, True, 1, work)
    score(pipe, False, 4, work)


def main() -> None:
    """Render the set, train by the command, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=ROOT / "build/own_images")
    parser.add_argument("--icons", action="store_true")
    parser.add_argument("--score", action="store_true", help="only score the model that is there")
    parser.add_argument("--count", type=int, default=600, help="images of the set")
    parser.add_argument("more", nargs="*", help="after --: more options of the command")
    arguments = parser.parse_args()
    work = arguments.work
    images, out = (work / name for name in (("icons", "icon_model") if arguments.icons else ("shapes", "shape_model")))
    if arguments.score:
        return score_both(out, work)
    named_icons.write_icons(images) if arguments.icons else colored_shapes.write_set(images, arguments.count)
    began = time.perf_counter(), time.process_time()
    code = command(["train", "text-to-image", "--images", str(images), "--out", str(out), *arguments.more])
    wall, cpu = time.perf_counter() - began[0], time.process_time() - began[1]
    print(
        f"the whole command: {wall / 60:.1f} minutes, {cpu / 60:.1f} of processors, {torch.get_num_threads()} threads"
    )
    if code == 0 and not arguments.icons:
        score_both(out, work)


if __name__ == "__main__":
    main()

"""How good is the small CLIP? Retrieval and zero-shot names on scenes never seen, what is mixed up, and the speed.

python tests/benchmarks/clip.py [--weights FILE] [--count 2000]
"""

import argparse
import time
from collections import Counter

from stablediff_edu.datasets.captions import short_caption
from stablediff_edu.datasets.scene_brush import COLOURS
from stablediff_edu.datasets.scene_set import CaptionedScenes, load_scenes
from stablediff_edu.datasets.scenes import KINDS
from stablediff_edu.training.clip_quality import choose, evaluate_clip
from stablediff_edu.training.clip_training import load_clip


def mixed_up(model, tokenizer, scenes: CaptionedScenes) -> None:
    """Print what is most often taken for something else, zero-shot."""
    pairs = [(thing, colour) for thing in KINDS for colour in COLOURS]
    named = [pairs[i] for i in choose(model, tokenizer, scenes.pixels, [short_caption(*pair) for pair in pairs])]
    wrong = Counter()
    for (thing, colour), scene in zip(named, scenes.scenes, strict=True):
        wrong.update([f"{scene.thing} → {thing}"] * (thing != scene.thing))
        wrong.update([f"{scene.colour} → {colour} ({scene.sky})"] * (colour != scene.colour))
    print(
        "most often mixed up: " + (", ".join(f"{what} {count}×" for what, count in wrong.most_common(8)) or "nothing")
    )


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="clip-scenes", metavar="FILE", help="by default the shipped ones")
    parser.add_argument("--count", type=int, default=2000, help="how many scenes (default: 2000)")
    arguments = parser.parse_args(words)
    started = time.perf_counter()
    load_scenes(arguments.count)
    seconds = time.perf_counter() - started
    print(f"{arguments.count:,} captioned scenes of 64×64 in {seconds:.1f} s on one core: 10,000 in "
          f"{10_000 * seconds / arguments.count:.0f} s (the limit: 60 s)")  # fmt: skip
    model, tokenizer, card = load_clip(arguments.weights)
    print(f"{card['command']}: {card['data']}, {card['steps']} steps in {card['seconds']} s")
    size = model.image.config.size
    for train, what in ((False, "combinations never learned from"), (True, "other scenes of known combinations")):
        scenes = load_scenes(arguments.count, size, seed=1, train=train)
        started = time.perf_counter()
        score = evaluate_clip(model, tokenizer, scenes)
        print(f"\n{what} ({time.perf_counter() - started:.1f} s)\n{score}")
        mixed_up(model, tokenizer, scenes)


if __name__ == "__main__":
    main()

"""How good is the small CLIP? Retrieval and zero-shot names on scenes never seen, what is mixed up, and the speed.

python tests/benchmarks/clip.py [--weights FILE] [--count 2000]
"""

import argparse
import time
from collections import Counter

from stablediff_edu.data.scenes.canvas import COLORS
from stablediff_edu.data.scenes.captions import template_caption
from stablediff_edu.data.scenes.dataset import SceneDataset, make_scenes
from stablediff_edu.data.scenes.scene import OBJECTS
from stablediff_edu.tasks.clip import load_clip
from stablediff_edu.tasks.clip_evaluation import evaluate_clip, zero_shot_classify


def mixed_up(model, tokenizer, scenes: SceneDataset) -> None:
    """Print what is most often taken for something else, zero-shot."""
    pairs = [(object_class, color) for object_class in OBJECTS for color in COLORS]
    named = [
        pairs[i]
        for i in zero_shot_classify(model, tokenizer, scenes.pixels, [template_caption(*pair) for pair in pairs])
    ]
    wrong = Counter()
    for (object_class, color), scene in zip(named, scenes.scenes, strict=True):
        wrong.update([f"{scene.object_class} → {object_class}"] * (object_class != scene.object_class))
        wrong.update([f"{scene.color} → {color} ({scene.sky})"] * (color != scene.color))
    print(
        "most often mixed up: " + (", ".join(f"{what} {count}×" for what, count in wrong.most_common(8)) or "nothing")
    )


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="clip-scenes", metavar="FILE", help="by default the pretrained ones")
    parser.add_argument("--count", type=int, default=2000, help="how many scenes (default: 2000)")
    arguments = parser.parse_args(words)
    started = time.perf_counter()
    make_scenes(arguments.count)
    seconds = time.perf_counter() - started
    print(
        f"{arguments.count:,} captioned scenes of 64×64 in {seconds:.1f} s on one core: 10,000 in "
        f"{10_000 * seconds / arguments.count:.0f} s (the limit: 60 s)"
    )
    model, tokenizer, metadata = load_clip(arguments.weights)
    print(f"{metadata['command']}: {metadata['data']}, {metadata['steps']} steps in {metadata['seconds']} s")
    size = model.image_model.config.size
    for train, what in ((False, "combinations never learned from"), (True, "other scenes of known combinations")):
        scenes = make_scenes(arguments.count, size, seed=1, train=train)
        started = time.perf_counter()
        score = evaluate_clip(model, tokenizer, scenes)
        print(f"\n{what} ({time.perf_counter() - started:.1f} s)\n{score}")
        mixed_up(model, tokenizer, scenes)


if __name__ == "__main__":
    main()

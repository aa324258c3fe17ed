"""How good is what the tiny Stable Diffusion draws, and how fast? With sheets of samples and of scenes to look at.

    python tests/benchmarks/tiny_sd.py [--weights FILE] [--count 500] [--guidance 4] [--sampler dpmpp_2m] [--out FOLDER]

The classifier is the pretrained one, whose own accuracy stands in the table's first line. Several --guidance and
--sampler are all tried.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from itertools import product
from pathlib import Path
from statistics import median

import torch

from stablediff_edu.config import set_num_threads
from stablediff_edu.data.scenes.dataset import make_scenes
from stablediff_edu.io import checkpoint
from stablediff_edu.io.images import make_grid, save_image
from stablediff_edu.pipelines.stable_diffusion import StableDiffusion
from stablediff_edu.tasks import text_to_image_evaluation
from stablediff_edu.tasks.scene_classifier import load_scene_classifier, predict_attributes
from stablediff_edu.tasks.tiny_sd import load_tiny_sd


def mixed_up(found: dict[str, list[str]], prompts: list[text_to_image_evaluation.Prompt]) -> str:
    """Say what is most often drawn as something else."""
    wrong = Counter()
    for number, prompt in enumerate(prompts):
        for field in ("object_class", "color", "sky"):
            wanted, read = getattr(prompt, field), found[field][number]
            wrong.update([f"{wanted} → {read}"] * (wanted != read))
    return ", ".join(f"{what} {count}×" for what, count in wrong.most_common(10)) or "nothing"


def beside_diffusers(pipe: StableDiffusion, prompt: str, rounds: int) -> str:
    """Time prompt to image in turns with diffusers' own pipeline, which loads the same weights from a folder."""
    sys.modules.setdefault("torchvision", None)  # type: ignore[arg-type]  # as in conftest.py
    import diffusers

    with tempfile.TemporaryDirectory() as folder:
        theirs = diffusers.StableDiffusionPipeline.from_pretrained(pipe.save_pretrained(Path(folder) / "tiny-sd"))
    theirs.set_progress_bar_config(disable=True)
    steps, guidance = (
        text_to_image_evaluation.DEFAULT_SAMPLING["steps"],
        text_to_image_evaluation.DEFAULT_SAMPLING["guidance"],
    )
    calls = {
        "ours": lambda: pipe(prompt, seed=1, **text_to_image_evaluation.DEFAULT_SAMPLING),
        "diffusers": lambda: theirs(prompt, num_inference_steps=steps, guidance_scale=guidance, output_type="pt"),
    }
    times = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            times[name] += [time.perf_counter() - began] * (number > 0)  # the first round warms up
    ours, other = (median(times[name]) for name in calls)
    return (
        f"prompt to image, {steps} steps: {ours:.3f} s; diffusers {other:.3f} s; diffusers / ours = {other / ours:.2f}"
    )


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="tiny-sd", metavar="FILE", help="by default the pretrained ones")
    parser.add_argument(
        "--count", type=int, default=text_to_image_evaluation.PROMPTS, help="prompts (default: %(default)s)"
    )
    parser.add_argument("--scenes", type=int, default=500, help="of each kind, to judge the classifier (default: 500)")
    parser.add_argument(
        "--learned", type=int, default=80_000, help="scenes learned from, to look for copies; 0: do not"
    )
    parser.add_argument(
        "--guidance", type=float, nargs="+", default=[text_to_image_evaluation.DEFAULT_SAMPLING["guidance"]]
    )
    parser.add_argument("--sampler", nargs="+", default=[text_to_image_evaluation.DEFAULT_SAMPLING["sampler"]])
    parser.add_argument(
        "--compare", type=int, default=1600, help="samples for the two-sample test (default: %(default)s); 0: none"
    )
    parser.add_argument("--rounds", type=int, default=9, help="beside diffusers (default: %(default)s); 0: none")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to put sheets of samples and of scenes")
    arguments = parser.parse_args(words)
    threads = set_num_threads()
    pipe, metadata = load_tiny_sd(arguments.weights)
    classifier, judge_card = load_scene_classifier()
    size = checkpoint.checkpoint_path(arguments.weights).stat().st_size / 1e6
    print(f"{metadata['command']}: {metadata['data']}, {metadata['steps']} steps in {metadata['seconds']} s")
    print(f"parts: {metadata['parts']}")
    print(f"{size:.1f} MB (the limit: 32 MB); {threads} threads")
    print(f"the classifier: {judge_card['result']}")
    wanted = {name.replace("_", " "): value for name, value in text_to_image_evaluation.THRESHOLDS.items()}
    limit = wanted.pop("seconds")
    print("wanted at least: " + ", ".join(f"{name} {share:.0%}" for name, share in wanted.items()), end="; ")
    print(f"an image in at most {limit} s")
    prompts = text_to_image_evaluation.evaluation_prompts(arguments.count)
    if arguments.rounds:
        print(beside_diffusers(pipe, prompts[0].sentence, arguments.rounds))
    for guidance, sampler in product(arguments.guidance, arguments.sampler):
        options = dict(guidance=guidance, sampler=sampler)
        score = text_to_image_evaluation.evaluate_prompts(pipe, prompts, classifier, arguments.scenes, **options)
        print(f"\nguidance {guidance:g}, {sampler}\n{score}")
        images = text_to_image_evaluation.sample_prompts(pipe, prompts[:100], **options)
        print("mixed up among the first 100: " + mixed_up(predict_attributes(classifier, images), prompts[:100]))
        if arguments.learned:
            seen = [prompt for prompt in prompts if prompt.seen][:20]
            print(text_to_image_evaluation.compare_with_scenes(pipe, seen, arguments.learned, **options))
        if arguments.compare:
            print(text_to_image_evaluation.compare_with_reconstructions(pipe, classifier, arguments.compare, **options))
        if arguments.out:
            save_image(make_grid(images[:64]), arguments.out / f"drawn_{sampler}_{guidance:g}.png".replace(" ", "_"))
    if arguments.out:
        scenes = torch.cat([make_scenes(32, pipe.config.size, seed=1, train=train).images for train in (True, False)])
        save_image(make_grid(scenes), arguments.out / "scenes.png")


if __name__ == "__main__":
    main()

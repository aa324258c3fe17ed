"""How good is what the tiny Stable Diffusion draws, and how fast? With sheets of samples and of scenes to look at.

    python tests/benchmarks/tiny_sd.py [--weights FILE] [--count 500] [--guidance 4] [--sampler dpm++] [--out FOLDER]

The judge is the shipped one, whose own accuracy stands in the table's first line. Several --guidance and --sampler are
all tried.
"""

import argparse
import tempfile
import time
from collections import Counter
from itertools import product
from pathlib import Path
from statistics import median

import torch

from stablediff_edu.datasets.scene_set import load_scenes
from stablediff_edu.device import use_threads
from stablediff_edu.stable_diffusion import StableDiffusion
from stablediff_edu.training import scene_quality
from stablediff_edu.training.scene_judge import load_judge, read_pictures
from stablediff_edu.training.sheets import save, sheet
from stablediff_edu.training.tiny_sd import load_tiny_sd
from stablediff_edu.vision import import_torchvision
from stablediff_edu.weights import checkpoints


def mixed_up(found: dict[str, list[str]], prompts: list[scene_quality.Prompt]) -> str:
    """Say what is most often drawn as something else."""
    wrong = Counter()
    for number, prompt in enumerate(prompts):
        for field in ("thing", "colour", "sky"):
            wanted, read = getattr(prompt, field), found[field][number]
            wrong.update([f"{wanted} → {read}"] * (wanted != read))
    return ", ".join(f"{what} {count}×" for what, count in wrong.most_common(10)) or "nothing"


def beside_diffusers(pipe: StableDiffusion, prompt: str, rounds: int) -> str:
    """Time prompt to image in turns with diffusers' own pipeline, which loads the same weights from a folder."""
    import_torchvision()  # diffusers needs it, and by itself it may not fit this torch
    import diffusers

    with tempfile.TemporaryDirectory() as folder:
        theirs = diffusers.StableDiffusionPipeline.from_pretrained(pipe.save_pretrained(Path(folder) / "tiny-sd"))
    theirs.set_progress_bar_config(disable=True)
    steps, guidance = scene_quality.BEST["steps"], scene_quality.BEST["guidance"]
    calls = {
        "ours": lambda: pipe(prompt, seed=1, **scene_quality.BEST),
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
    parser.add_argument("--weights", default="tiny-sd", metavar="FILE", help="by default the shipped ones")
    parser.add_argument("--count", type=int, default=scene_quality.PROMPTS, help="prompts (default: %(default)s)")
    parser.add_argument("--scenes", type=int, default=500, help="of each kind, to judge the judge (default: 500)")
    parser.add_argument(
        "--learned", type=int, default=80_000, help="scenes learned from, to look for copies; 0: do not"
    )
    parser.add_argument("--guidance", type=float, nargs="+", default=[scene_quality.BEST["guidance"]])
    parser.add_argument("--sampler", nargs="+", default=[scene_quality.BEST["sampler"]])
    parser.add_argument(
        "--compare", type=int, default=1600, help="samples for the two-sample test (default: %(default)s); 0: none"
    )
    parser.add_argument("--rounds", type=int, default=9, help="beside diffusers (default: %(default)s); 0: none")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to put sheets of samples and of scenes")
    arguments = parser.parse_args(words)
    threads = use_threads()
    pipe, card = load_tiny_sd(arguments.weights)
    judge, judge_card = load_judge()
    size = checkpoints.path_of(arguments.weights).stat().st_size / 1e6
    print(f"{card['command']}: {card['data']}, {card['steps']} steps in {card['seconds']} s")
    print(f"parts: {card['parts']}")
    print(f"{size:.1f} MB (the limit: 32 MB); {threads} threads")
    print(f"the judge: {judge_card['result']}")
    wanted = {name.replace("_", " "): value for name, value in scene_quality.WANTED.items()}
    limit = wanted.pop("seconds")
    print("wanted at least: " + ", ".join(f"{name} {share:.0%}" for name, share in wanted.items()), end="; ")
    print(f"a picture in at most {limit} s")
    prompts = scene_quality.quality_prompts(arguments.count)
    if arguments.rounds:
        print(beside_diffusers(pipe, prompts[0].sentence, arguments.rounds))
    for guidance, sampler in product(arguments.guidance, arguments.sampler):
        options = dict(guidance=guidance, sampler=sampler)
        score = scene_quality.judge_prompts(pipe, prompts, judge, arguments.scenes, **options)
        print(f"\nguidance {guidance:g}, {sampler}\n{score}")
        pictures = scene_quality.draw_prompts(pipe, prompts[:100], **options)
        print("mixed up among the first 100: " + mixed_up(read_pictures(judge, pictures), prompts[:100]))
        if arguments.learned:
            seen = [prompt for prompt in prompts if prompt.seen][:20]
            print(scene_quality.compare_with_scenes(pipe, seen, arguments.learned, **options))
        if arguments.compare:
            print(scene_quality.compare_with_reconstructions(pipe, judge, arguments.compare, **options))
        if arguments.out:
            save(sheet(pictures[:64]), arguments.out / f"drawn_{sampler}_{guidance:g}.png".replace(" ", "_"))
    if arguments.out:
        scenes = torch.cat([load_scenes(32, pipe.config.size, seed=1, train=train).pictures for train in (True, False)])
        save(sheet(scenes), arguments.out / "scenes.png")


if __name__ == "__main__":
    main()

"""How good is what the tiny Stable Diffusion draws? The judge of scenes reads thing, colour and sky off its pictures.

Half of the prompts name combinations of thing, colour and sky that no picture to learn from has shown.
"""

import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count, islice, product
from typing import Any, NamedTuple

import numpy as np
import torch

from stablediff_edu.datasets.captions import WORDINGS, short_caption
from stablediff_edu.datasets.scene_brush import COLOURS
from stablediff_edu.datasets.scene_set import load_scenes, numbered_scene
from stablediff_edu.datasets.scene_weather import SKIES
from stablediff_edu.datasets.scene_words import held_out
from stablediff_edu.datasets.scenes import KINDS, Scene, draw_scene
from stablediff_edu.errors import CourseError
from stablediff_edu.metrics.two_samples import kernel_distance, two_sample_accuracy
from stablediff_edu.stable_diffusion import StableDiffusion
from stablediff_edu.training.sample_quality import nearest, spread
from stablediff_edu.training.scene_judge import SceneJudge, judge_features, load_judge, read_pictures
from stablediff_edu.training.scene_vae import through

BEST: dict[str, Any] = dict(steps=20, guidance=4.0, sampler="dpm++")  # how to draw
PROMPTS = 500
BATCH = 25  # prompts that are drawn together
WANTED = dict(thing=0.95, colour=0.95, sky=0.95, everything=0.92, never_seen=0.85, seconds=0.5)


class Prompt(NamedTuple):
    """A sentence, what it wants, and whether pictures of these three together were learned from."""

    sentence: str
    thing: str
    colour: str
    sky: str
    seen: bool


class Shares(NamedTuple):
    """The shares of pictures in which the judge reads the right thing, colour, sky, and all three of them."""

    thing: float
    colour: float
    sky: float
    everything: float

    def __str__(self) -> str:
        return "".join(f"{share:9.1%}" for share in self)


def quality_prompts(number: int | None = None, seed: int = 0, things: Sequence[str] = tuple(KINDS)) -> list[Prompt]:
    """Return prompts as a learner types them ("a red duck at sunset"): as many seen as never seen, in turns.

    No combination comes twice before all have come once.
    """
    random = np.random.default_rng(seed)
    kinds: dict[bool, list[tuple[str, str, str]]] = {True: [], False: []}
    for combination in product(things, COLOURS, SKIES):
        kinds[not held_out(Scene(*combination[:2], sky=combination[2]))].append(combination)
    prompts = []
    for place in range(number or PROMPTS):
        known, (seen, there) = place // 2, list(kinds.items())[place % 2]
        if known % len(there) == 0:
            random.shuffle(there)
        thing, colour, sky = there[known % len(there)]
        prompts.append(Prompt(_sentence(thing, colour, sky, random), thing, colour, sky, seen))
    return prompts


def _sentence(thing: str, colour: str, sky: str, random: np.random.Generator) -> str:
    """Say it in one of the ways that the captions have for it."""
    thing_words, sky_words = random.choice(WORDINGS["thing"][thing]), random.choice(WORDINGS["sky"][sky])
    return f"{short_caption(thing, colour).replace(thing, thing_words)} {sky_words}"


@dataclass(frozen=True)
class SceneQuality:
    """What was measured; `str` gives a table, `line` one line.

    Attributes:
        drawn, seen, never_seen: what is right in all pictures, and in the two kinds of them.
        count: how many pictures.
        seconds: from one prompt to its picture, the median of a few.
        true, decoded: what is right for the judge in scenes themselves, and in these through the autoencoder.
    """

    drawn: Shares
    seen: Shares
    never_seen: Shares
    count: int
    seconds: float
    true: Shares | None = None
    decoded: Shares | None = None

    def line(self) -> str:
        """Return all of it in one line."""
        names = ("thing", "colour", "sky", "all three")
        shares = ", ".join(f"{name} {share:.1%}" for name, share in zip(names, self.drawn, strict=True))
        return (
            f"right, says the judge: {shares} of {self.count} pictures in {BEST['steps']} steps; all three of "
            f"combinations never seen {self.never_seen.everything:.1%}; {self.seconds:.2f} s a picture"
        )

    def __str__(self) -> str:
        rows = {
            "scenes themselves: how well the judge reads": self.true,
            "these through the autoencoder: the most that is possible": self.decoded,
            f"{self.count} prompts": self.drawn,
            "  of combinations seen": self.seen,
            "  of combinations never seen": self.never_seen,
        }
        lines = [f"{name:58}{shares}" for name, shares in rows.items() if shares]
        head = f"{'right':58}{'thing':>9}{'colour':>9}{'sky':>9}{'all':>9}"
        return "\n".join([head, *lines, f"from prompt to picture, {BEST['steps']} steps: {self.seconds:.2f} s"])


def judge_prompts(
    pipe: StableDiffusion, prompts: list[Prompt], judge: SceneJudge | None = None, scenes: int = 0, **options
) -> SceneQuality:
    """Draw prompts, some of both kinds, and let the judge read the pictures.

    Args:
        judge: by default the shipped one.
        scenes: on how many true scenes of each kind to measure the judge itself, and the autoencoder.
        options: those of `pipe.draw`, before those in `BEST`.
    """
    judge = judge or load_judge()[0]
    right = _right(judge, draw_prompts(pipe, prompts, **options), prompts)
    seen = torch.tensor([prompt.seen for prompt in prompts])
    true = decoded = None
    if scenes:
        both = [load_scenes(scenes, pipe.config.size, seed=1, train=train) for train in (True, False)]
        pictures, truths = torch.cat([part.pictures for part in both]), both[0].scenes + both[1].scenes
        true = _shares(_right(judge, pictures, truths))
        decoded = _shares(_right(judge, through(pipe.vae, pictures).clamp(-1, 1), truths))
    return SceneQuality(
        _shares(right),
        _shares(right[seen]),
        _shares(right[~seen]),
        len(prompts),
        seconds_a_picture(pipe, prompts[0].sentence, **options),
        true,
        decoded,
    )


def draw_prompts(pipe: StableDiffusion, prompts: Sequence[Prompt], seed: int = 0, **options) -> torch.Tensor:
    """Draw a picture of each prompt: (N, 3, S, S) in [-1, 1] on the CPU. Every batch has a seed of its own."""
    batches = [prompts[start : start + BATCH] for start in range(0, len(prompts), BATCH)]
    pictures = [
        pipe([prompt.sentence for prompt in batch], seed=seed + number, **BEST | options)
        for number, batch in enumerate(batches)
    ]
    return torch.cat(pictures)


def seconds_a_picture(pipe: StableDiffusion, sentence: str, times: int = 5, **options) -> float:
    """Return how long it takes from one prompt to its picture: the median, after a call that does not count."""
    seconds = []
    for seed in range(times + 1):
        began = time.perf_counter()
        pipe(sentence, seed=seed, **BEST | options)  # on the CPU: all is done when it is there
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


@dataclass(frozen=True)
class Newness:
    """Drawn pictures beside new scenes of the same words; 1: as new, as varied as these. Copies would be near 0."""

    newness: float  # median distance to the nearest scene that was learned from, by that of new scenes
    variety: float  # mean distance between two pictures of one prompt, by that of two new scenes

    def __str__(self) -> str:
        return f"beside new scenes of the same words: newness {self.newness:.2f}, variety {self.variety:.2f}"


def compare_with_scenes(
    pipe: StableDiffusion, prompts: Sequence[Prompt], learned: int = 80_000, each: int = 8, **options
) -> Newness:
    """Draw `each` pictures of prompts that are seen, and compare them with all scenes of the same words learned from.

    Args:
        learned: how many scenes the model has learned from.

    Raises:
        CourseError: none of these has the words of a prompt.
    """
    wanted = {prompt[1:4]: prompt.sentence for prompt in prompts}
    known = {words: scenes for words, scenes in _scenes_of(wanted, islice(count(), learned)).items() if scenes}
    fresh = _scenes_of(known, count(), seed=1, each=each) if known else {}  # words held out would never come
    near, near_fresh, varied, varied_fresh = [], [], [], []
    for words in known:
        drawn = pipe(wanted[words], count=each, **BEST | options)
        pictures, others = (torch.stack([draw_scene(scene, drawn.shape[-1]) for scene in scenes[words]])
                            for scenes in (known, fresh))  # fmt: skip
        near.append(nearest(drawn, pictures, mirror=False)[0])
        near_fresh.append(nearest(others, pictures, mirror=False)[0])
        varied.append(spread(drawn))
        varied_fresh.append(spread(others))
    if not near:
        raise CourseError(f"None of the first {learned:,} scenes has the words of a prompt; look among more of them.")
    ratio = torch.cat(near).median() / torch.cat(near_fresh).median()
    return Newness(ratio.item(), sum(varied) / sum(varied_fresh))


class Realism(NamedTuple):
    """Samples beside reconstructions of fresh scenes with the same captions, by measures that see shapes."""

    two_sample_accuracy: float  # of a network trained to tell them apart: 0.5 is indistinguishable
    kernel_distance: float  # in the features of the judge: 0 for one distribution
    noise_floor: float  # the kernel distance between two halves of the reconstructions
    count: int

    def __str__(self) -> str:
        return (
            f"{self.count} samples beside as many reconstructions of fresh scenes: two-sample accuracy "
            f"{self.two_sample_accuracy:.3f}, kernel distance {self.kernel_distance:.4f} "
            f"(between two halves of the reconstructions {self.noise_floor:.4f})"
        )


def compare_with_reconstructions(
    pipe: StableDiffusion, judge: SceneJudge, count: int = 1_600, seed: int = 2, **options
) -> Realism:
    """Generate an image from the caption of each of `count` fresh scenes; compare with the scenes' reconstructions.

    Reconstructions rather than scenes, since the decoder leaves its mark on both sides: what differs is the U-Net's.
    """
    scenes = load_scenes(count, pipe.config.size, seed=seed)
    references = through(pipe.vae, scenes.pictures).clamp(-1, 1)
    batches = [scenes.captions[start : start + BATCH] for start in range(0, count, BATCH)]
    samples = torch.cat([pipe(batch, seed=seed + n, **BEST | options).cpu() for n, batch in enumerate(batches)])
    features, known = judge_features(judge, samples), judge_features(judge, references)
    return Realism(
        two_sample_accuracy(samples, references),
        kernel_distance(features, known),
        kernel_distance(known[0::2], known[1::2]),
        count,
    )


def _scenes_of(wanted, numbers: Iterable[int], seed: int = 0, each: int | None = None) -> dict[tuple, list[Scene]]:
    """Return for each thing, colour and sky that is wanted the scenes that show it, the first `each` of them."""
    found: dict[tuple, list[Scene]] = {words: [] for words in wanted}
    for number in numbers:
        scene = numbered_scene(number, seed)
        place = found.get((scene.thing, scene.colour, scene.sky))
        if place is not None and (each is None or len(place) < each):
            place.append(scene)
        if each and all(len(scenes) == each for scenes in found.values()):
            break
    return found


def _right(judge: SceneJudge, pictures: torch.Tensor, wanted: Sequence[Prompt | Scene]) -> torch.Tensor:
    """Return (N, 3) booleans: whether thing, colour and sky of each picture are read as they are wanted."""
    found = read_pictures(judge, pictures)
    fields = [
        [a == getattr(b, field) for a, b in zip(found[field], wanted, strict=True)] for field in Shares._fields[:3]
    ]
    return torch.tensor(fields).T


def _shares(right: torch.Tensor) -> Shares:
    return Shares(*right.float().mean(dim=0).tolist(), right.all(dim=1).float().mean().item())

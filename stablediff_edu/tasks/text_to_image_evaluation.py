"""Evaluation of the tiny Stable Diffusion: the classifier of scenes reads object, color and sky off its images.

Half of the prompts name combinations of object, color and sky that no image to learn from has shown.
"""

import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count, islice, product
from typing import Any, NamedTuple

import numpy as np
import torch

from stablediff_edu.data.scenes.canvas import COLORS
from stablediff_edu.data.scenes.captions import SYNONYMS, template_caption
from stablediff_edu.data.scenes.conditions import SKIES
from stablediff_edu.data.scenes.dataset import make_scenes, scene_at
from stablediff_edu.data.scenes.labels import is_held_out
from stablediff_edu.data.scenes.scene import OBJECTS, Scene, render_scene
from stablediff_edu.errors import UserError
from stablediff_edu.metrics.images import mean_pairwise_distance, nearest_neighbors
from stablediff_edu.metrics.two_samples import kernel_distance, two_sample_accuracy
from stablediff_edu.models.classifier import ImageClassifier
from stablediff_edu.pipelines.stable_diffusion import StableDiffusion
from stablediff_edu.tasks.scene_classifier import (
    classifier_features,
    load_scene_classifier,
    predict_attributes,
)
from stablediff_edu.tasks.scene_vae import reconstruct

DEFAULT_SAMPLING: dict[str, Any] = dict(steps=20, guidance=4.0, sampler="dpmpp_2m")  # how to draw
PROMPTS = 500
BATCH = 25  # prompts that are drawn together
THRESHOLDS = dict(object_class=0.95, color=0.95, sky=0.95, everything=0.92, never_seen=0.85, seconds=0.5)


class Prompt(NamedTuple):
    """A sentence, what it wants, and whether images of these three together were learned from."""

    sentence: str
    object_class: str
    color: str
    sky: str
    seen: bool


class AttributeAccuracy(NamedTuple):
    """The shares of images in which the classifier reads the right object, color, sky, and all three of them."""

    object_class: float
    color: float
    sky: float
    everything: float

    def __str__(self) -> str:
        return "".join(f"{share:9.1%}" for share in self)


def evaluation_prompts(
    number: int | None = None, seed: int = 0, object_classes: Sequence[str] = tuple(OBJECTS)
) -> list[Prompt]:
    """Return prompts as a learner types them ("a red duck at sunset"): as many seen as never seen, in turns.

    No combination comes twice before all have come once.
    """
    rng = np.random.default_rng(seed)
    kinds: dict[bool, list[tuple[str, str, str]]] = {True: [], False: []}
    for combination in product(object_classes, COLORS, SKIES):
        kinds[not is_held_out(Scene(*combination[:2], sky=combination[2]))].append(combination)
    prompts = []
    for place in range(number or PROMPTS):
        known, (seen, there) = place // 2, list(kinds.items())[place % 2]
        if known % len(there) == 0:
            rng.shuffle(there)
        object_class, color, sky = there[known % len(there)]
        prompts.append(Prompt(_sentence(object_class, color, sky, rng), object_class, color, sky, seen))
    return prompts


def _sentence(object_class: str, color: str, sky: str, rng: np.random.Generator) -> str:
    """Say it in one of the ways that the captions have for it."""
    object_words, sky_words = rng.choice(SYNONYMS["object_class"][object_class]), rng.choice(SYNONYMS["sky"][sky])
    return f"{template_caption(object_class, color).replace(object_class, object_words)} {sky_words}"


@dataclass(frozen=True)
class SceneReport:
    """What was measured; `str` gives a table, `line` one line.

    Attributes:
        drawn, seen, held_out: what is right in all images, and in the two kinds of them.
        count: how many images.
        seconds: from one prompt to its image, the median of a few.
        true, decoded: what is right for the classifier in scenes themselves, and in these through the autoencoder.
    """

    drawn: AttributeAccuracy
    seen: AttributeAccuracy
    held_out: AttributeAccuracy
    count: int
    seconds: float
    true: AttributeAccuracy | None = None
    decoded: AttributeAccuracy | None = None

    def line(self) -> str:
        """Return all of it in one line."""
        names = ("object", "color", "sky", "all three")
        shares = ", ".join(f"{name} {share:.1%}" for name, share in zip(names, self.drawn, strict=True))
        return (
            f"right, says the classifier: {shares} of {self.count} images in {DEFAULT_SAMPLING['steps']} steps; all "
            f"three of "
            f"combinations never seen {self.held_out.everything:.1%}; {self.seconds:.2f} s an image"
        )

    def __str__(self) -> str:
        rows = {
            "scenes themselves: how well the classifier reads": self.true,
            "these through the autoencoder: the most that is possible": self.decoded,
            f"{self.count} prompts": self.drawn,
            "  of combinations seen": self.seen,
            "  of combinations never seen": self.held_out,
        }
        lines = [f"{name:58}{shares}" for name, shares in rows.items() if shares]
        head = f"{'right':58}{'object':>9}{'color':>9}{'sky':>9}{'all':>9}"
        return "\n".join(
            [head, *lines, f"from prompt to image, {DEFAULT_SAMPLING['steps']} steps: {self.seconds:.2f} s"]
        )


def evaluate_prompts(
    pipe: StableDiffusion, prompts: list[Prompt], classifier: ImageClassifier | None = None, scenes: int = 0, **options
) -> SceneReport:
    """Draw prompts, some of both kinds, and let the classifier read the images.

    Args:
        classifier: by default the pretrained one.
        scenes: on how many true scenes of each kind to measure the classifier itself, and the autoencoder.
        options: those of `pipe.stream`, before those in `DEFAULT_SAMPLING`.
    """
    classifier = classifier or load_scene_classifier()[0]
    right = _right(classifier, sample_prompts(pipe, prompts, **options), prompts)
    seen = torch.tensor([prompt.seen for prompt in prompts])
    true = decoded = None
    if scenes:
        both = [make_scenes(scenes, pipe.config.size, seed=1, train=train) for train in (True, False)]
        images, truths = torch.cat([part.images for part in both]), both[0].scenes + both[1].scenes
        true = _shares(_right(classifier, images, truths))
        decoded = _shares(_right(classifier, reconstruct(pipe.vae, images).clamp(-1, 1), truths))
    return SceneReport(
        _shares(right),
        _shares(right[seen]),
        _shares(right[~seen]),
        len(prompts),
        seconds_per_image(pipe, prompts[0].sentence, **options),
        true,
        decoded,
    )


def sample_prompts(pipe: StableDiffusion, prompts: Sequence[Prompt], seed: int = 0, **options) -> torch.Tensor:
    """Draw an image of each prompt: (N, 3, S, S) in [-1, 1] on the CPU. Every batch has a seed of its own."""
    batches = [prompts[start : start + BATCH] for start in range(0, len(prompts), BATCH)]
    images = [
        pipe([prompt.sentence for prompt in batch], seed=seed + number, **DEFAULT_SAMPLING | options)
        for number, batch in enumerate(batches)
    ]
    return torch.cat(images)


def seconds_per_image(pipe: StableDiffusion, sentence: str, times: int = 5, **options) -> float:
    """Return how long it takes from one prompt to its image: the median, after a call that does not count."""
    seconds = []
    for seed in range(times + 1):
        began = time.perf_counter()
        pipe(sentence, seed=seed, **DEFAULT_SAMPLING | options)  # on the CPU: all is done when it is there
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


@dataclass(frozen=True)
class Novelty:
    """Generated images beside new scenes of the same words; 1: as new, as varied as these. Copies would be near 0."""

    novelty: float  # median distance to the nearest scene that was learned from, by that of new scenes
    diversity: float  # mean distance between two images of one prompt, by that of two new scenes

    def __str__(self) -> str:
        return f"beside new scenes of the same words: newness {self.novelty:.2f}, variety {self.diversity:.2f}"


def compare_with_scenes(
    pipe: StableDiffusion, prompts: Sequence[Prompt], learned: int = 80_000, each: int = 8, **options
) -> Novelty:
    """Draw `each` images of prompts that are seen, and compare them with all scenes of the same words learned from.

    Args:
        learned: how many scenes the model has learned from.

    Raises:
        UserError: none of these has the words of a prompt.
    """
    wanted = {prompt[1:4]: prompt.sentence for prompt in prompts}
    known = {words: scenes for words, scenes in _scenes_of(wanted, islice(count(), learned)).items() if scenes}
    fresh = _scenes_of(known, count(), seed=1, each=each) if known else {}  # words held out would never come
    near, near_fresh, varied, varied_fresh = [], [], [], []
    for words in known:
        drawn = pipe(wanted[words], count=each, **DEFAULT_SAMPLING | options)
        images, others = (torch.stack([render_scene(scene, drawn.shape[-1]) for scene in scenes[words]])
                            for scenes in (known, fresh))  # fmt: skip
        near.append(nearest_neighbors(drawn, images, mirror=False)[0])
        near_fresh.append(nearest_neighbors(others, images, mirror=False)[0])
        varied.append(mean_pairwise_distance(drawn))
        varied_fresh.append(mean_pairwise_distance(others))
    if not near:
        raise UserError(f"None of the first {learned:,} scenes has the words of a prompt; look among more of them.")
    ratio = torch.cat(near).median() / torch.cat(near_fresh).median()
    return Novelty(ratio.item(), sum(varied) / sum(varied_fresh))


class Realism(NamedTuple):
    """Samples beside reconstructions of fresh scenes with the same captions, by measures that see shapes."""

    two_sample_accuracy: float  # of a network trained to tell them apart: 0.5 is indistinguishable
    kernel_distance: float  # in the features of the classifier: 0 for one distribution
    noise_floor: float  # the kernel distance between two halves of the reconstructions
    samples: int

    def __str__(self) -> str:
        return (
            f"{self.samples} samples beside as many reconstructions of fresh scenes: two-sample accuracy "
            f"{self.two_sample_accuracy:.3f}, kernel distance {self.kernel_distance:.4f} "
            f"(between two halves of the reconstructions {self.noise_floor:.4f})"
        )


def compare_with_reconstructions(
    pipe: StableDiffusion, classifier: ImageClassifier, count: int = 1_600, seed: int = 2, **options
) -> Realism:
    """Generate an image from the caption of each of `count` fresh scenes; compare with the scenes' reconstructions.

    Reconstructions rather than scenes, since the decoder leaves its mark on both sides: what differs is the U-Net's.
    """
    scenes = make_scenes(count, pipe.config.size, seed=seed)
    references = reconstruct(pipe.vae, scenes.images).clamp(-1, 1)
    batches = [scenes.captions[start : start + BATCH] for start in range(0, count, BATCH)]
    samples = torch.cat(
        [pipe(batch, seed=seed + n, **DEFAULT_SAMPLING | options).cpu() for n, batch in enumerate(batches)]
    )
    features, known = classifier_features(classifier, samples), classifier_features(classifier, references)
    return Realism(
        two_sample_accuracy(samples, references),
        kernel_distance(features, known),
        kernel_distance(known[0 : count // 2 * 2 : 2], known[1::2]),
        count,
    )


def _scenes_of(wanted, numbers: Iterable[int], seed: int = 0, each: int | None = None) -> dict[tuple, list[Scene]]:
    """Return for each object, color and sky that is wanted the scenes that show it, the first `each` of them."""
    found: dict[tuple, list[Scene]] = {words: [] for words in wanted}
    for number in numbers:
        scene = scene_at(number, seed)
        place = found.get((scene.object_class, scene.color, scene.sky))
        if place is not None and (each is None or len(place) < each):
            place.append(scene)
        if each and all(len(scenes) == each for scenes in found.values()):
            break
    return found


def _right(classifier: ImageClassifier, images: torch.Tensor, wanted: Sequence[Prompt | Scene]) -> torch.Tensor:
    """Return (N, 3) booleans: whether object, color and sky of each image are read as they are wanted."""
    found = predict_attributes(classifier, images)
    fields = [
        [a == getattr(b, field) for a, b in zip(found[field], wanted, strict=True)]
        for field in AttributeAccuracy._fields[:3]
    ]
    return torch.tensor(fields).T


def _shares(right: torch.Tensor) -> AttributeAccuracy:
    object_class, color, sky, everything = (part.float().mean().item() for part in (*right.T, right.all(dim=1)))
    return AttributeAccuracy(object_class, color, sky, everything)

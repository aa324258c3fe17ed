"""Evaluation of CLIP: retrieval among 64 images, and zero-shot classification of held-out scenes (row 7.12)."""

from dataclasses import dataclass

import torch

from stablediff_edu.data.scenes.canvas import COLORS
from stablediff_edu.data.scenes.captions import template_caption
from stablediff_edu.data.scenes.conditions import SKIES
from stablediff_edu.data.scenes.dataset import SceneDataset, to_float_images
from stablediff_edu.data.scenes.scene import OBJECTS
from stablediff_edu.errors import UserError
from stablediff_edu.models.clip import CLIP
from stablediff_edu.tokenizers.words import WordTokenizer

GROUP_SIZE = 64  # images that a sentence has to choose among
THRESHOLDS = dict(retrieval=0.90, object_class=0.95, color=0.95, sky=0.95)


@dataclass(frozen=True)
class CLIPReport:
    """What was measured; `str` gives it as lines of text, `line` as one.

    Attributes:
        count: how many scenes.
        groups: how many groups of `GROUP_SIZE` of them, no two told alike, the retrieval was measured on.
        retrieval: in how many of the cases a full caption's best match among a group is its own image.
        object_class, color, sky: how often the best of all prompts ("a red duck"; "the sea at night") is right.
    """

    count: int
    groups: int
    retrieval: float
    object_class: float
    color: float
    sky: float

    def line(self) -> str:
        """Return all of it in one line."""
        return (
            f"finds {self.retrieval:.1%} of the images among {GROUP_SIZE} by their captions; zero-shot object "
            f"{self.object_class:.1%}, color {self.color:.1%}, sky {self.sky:.1%}; on {self.count:,} scenes never seen"
        )

    def __str__(self) -> str:
        wanted = {name: f"(wanted: at least {share:.0%})" for name, share in THRESHOLDS.items()}
        return "\n".join(
            [
                f"caption to image among {GROUP_SIZE}: {self.retrieval:.1%} right in {self.groups} groups "
                + wanted["retrieval"],
                f"zero-shot object:  {self.object_class:.1%} of {self.count:,} {wanted['object_class']}",
                f"zero-shot color: {self.color:.1%} {wanted['color']}",
                f"zero-shot sky:    {self.sky:.1%} {wanted['sky']}",
            ]
        )


def evaluate_clip(model: CLIP, tokenizer: WordTokenizer, scenes: SceneDataset) -> CLIPReport:
    """Measure a CLIP on scenes that it has not learned from.

    Raises:
        UserError: there are not enough scenes with different captions for one group.
    """
    groups = group_distinct(scenes.captions)
    found = [
        (similarities(model, tokenizer, scenes.pixels[group], [scenes.captions[i] for i in group]).argmax(dim=0))
        for group in groups
    ]
    right = torch.stack([best == torch.arange(GROUP_SIZE) for best in found])  # (groups, 64)
    pairs = [(object_class, color) for object_class in OBJECTS for color in COLORS]
    named = zero_shot_classify(model, tokenizer, scenes.pixels, [template_caption(*pair) for pair in pairs])
    skies = zero_shot_classify(model, tokenizer, scenes.pixels, [template_caption(sky=sky) for sky in SKIES])
    object_classes, colors = zip(*(pairs[i] for i in named), strict=True)
    return CLIPReport(
        count=len(scenes),
        groups=len(groups),
        retrieval=right.float().mean().item(),
        object_class=_share(object_classes, [scene.object_class for scene in scenes.scenes]),
        color=_share(colors, [scene.color for scene in scenes.scenes]),
        sky=_share([list(SKIES)[i] for i in skies], [scene.sky for scene in scenes.scenes]),
    )


def zero_shot_classify(model: CLIP, tokenizer: WordTokenizer, pixels: torch.Tensor, prompts: list[str]) -> list[int]:
    """Return the number of the prompt that fits each image best: zero-shot classification."""
    return similarities(model, tokenizer, pixels, prompts).argmax(dim=1).tolist()


@torch.no_grad()
def similarities(
    model: CLIP, tokenizer: WordTokenizer, pixels: torch.Tensor, sentences: list[str], batch_size: int = 250
) -> torch.Tensor:
    """Return the cosine of every image with every sentence: (N, 3, S, S) bytes, M sentences -> (N, M)."""
    device = next(model.parameters()).device
    words = model.encode_text(tokenizer(sentences).to(device))
    images = [model.encode_image(to_float_images(part.to(device))) for part in pixels.split(batch_size)]
    return (torch.cat(images) @ words.T).cpu()


def group_distinct(captions: list[str]) -> list[list[int]]:
    """Return groups of 64 numbers of captions, none of which occurs twice; what is left over is left out.

    Raises:
        UserError: there are fewer than 64 different captions.
    """
    first = {caption: number for number, caption in reversed(list(enumerate(captions)))}
    numbers = sorted(first.values())
    if len(numbers) < GROUP_SIZE:
        raise UserError(f"{len(numbers)} different captions make no group of {GROUP_SIZE}; draw more scenes.")
    return [numbers[start : start + GROUP_SIZE] for start in range(0, len(numbers) - GROUP_SIZE + 1, GROUP_SIZE)]


def _share(found, true) -> float:
    return sum(a == b for a, b in zip(found, true, strict=True)) / len(true)

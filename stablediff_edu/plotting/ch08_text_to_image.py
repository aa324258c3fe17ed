"""The figures of chapter 8: a drawing step by step, guidance, sheets of prompts, and words on images."""

import textwrap
from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure

from stablediff_edu.errors import UserError
from stablediff_edu.pipelines.attention_maps import SampleWithAttention
from stablediff_edu.pipelines.stable_diffusion import PipelineStep
from stablediff_edu.plotting.ch03_diffusion import image_grid
from stablediff_edu.plotting.ch07_clip import overlay_heatmap
from stablediff_edu.plotting.core import PAGE_WIDTH, image_row, plot_image, subplots


def spaced_indices(count: int, most: int) -> list[int]:
    """Return at most so many of the numbers 0 … count - 1, evenly spread, with the first and the last."""
    if count <= most:
        return list(range(count))
    return [round(place * (count - 1) / (most - 1)) for place in range(most)]


def sampling_steps_figure(steps: Sequence[PipelineStep], columns: int = 8, image: int = 0) -> Figure:
    """Draw a drawing on its way: above, the latents decoded as they are; below, the predicted clean latents decoded.

    Args:
        steps: all that `StableDiffusion.stream` gave.
        columns: how many of them to show, evenly spread, with the last.
        image: which of the batch.
    """
    shown = [steps[number] for number in spaced_indices(len(steps), columns)]
    rows = {
        "latent,\ndecoded": [step.image()[image] for step in shown],
        "predicted,\ndecoded": [(step.image() if step.number == step.of else step.preview())[image] for step in shown],
    }
    return image_grid(rows, [f"step {step.number}" for step in shown])


def guidance_comparison(rows: Mapping[float, torch.Tensor]) -> Figure:
    """Draw the same noise at several strengths of guidance: guidance -> (N, 3, H, W); each of the N is a row."""
    counts = {len(images) for images in rows.values()}
    if len(counts) != 1:
        raise UserError("Each guidance needs as many images as the others; draw them with the same count.")
    lines = {f"noise {number + 1}": [images[number] for images in rows.values()] for number in range(counts.pop())}
    return image_grid(lines, [f"guidance {guidance:g}" for guidance in rows])


def prompt_grid(prompts: Sequence[str], images: torch.Tensor, right: Sequence[bool] = (), columns: int = 5) -> Figure:
    """Draw images with their prompts above; ✓ or ✗ says whether a classifier found all of it, if it was asked.

    Args:
        prompts: N prompts.
        images: (N, 3, H, W).
        right: N answers of the classifier, or none.
        columns: images a row.
    """
    marks = [("✓ " if yes else "✗ ") for yes in right] or [""] * len(prompts)
    side = min(PAGE_WIDTH / columns, 2.4)  # of an image, in inches
    letters = int(9.2 * side)  # that stand beside each other above it
    titles = [textwrap.fill(mark + prompt, letters) for mark, prompt in zip(marks, prompts, strict=True)]
    lines = max(title.count("\n") for title in titles)
    titles = ["\n" * (lines - title.count("\n")) + title for title in titles]  # all images on one line
    figure = image_row(list(images), titles, columns=columns, largest=side)
    for axis in figure.axes:
        axis.title.set_fontsize(9)
    return figure


def cross_attention_over_steps(drawing: SampleWithAttention, rows: int = 4) -> Figure:
    """Draw the attention weight of each position for each word: a column a word, a row a step.

    The first column is the predicted clean image. Every word has a scale of its own.
    """
    numbers = spaced_indices(len(drawing.looks), rows)
    columns = len(drawing.words) + 1
    side = min(PAGE_WIDTH / columns, 1.7)
    size = dict(width=side * columns, height=(side + 0.05) * len(numbers) + 0.3)
    figure, axes = subplots(columns, len(numbers), squeeze=False, **size)
    for line, number in zip(axes, numbers, strict=True):
        image, looks = drawing.image(number + 1), drawing.looks[number]  # (3, H, W), (N, h, w)
        plot_image(line[0], image, title="predicted\nclean image" if number == 0 else "")
        line[0].set_ylabel(f"step {number + 1}")
        for axis, word, places, limit in zip(line[1:], drawing.words, looks, drawing.most(), strict=True):
            plot_image(axis, overlay_heatmap(image, places, limit), title=word if number == 0 else "", scale="unit")
    return figure

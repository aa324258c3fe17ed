"""Figures of chapter 8: a sampling trajectory, prompts above images, and words on images."""

import textwrap
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from stablediff_edu.pipelines.attention_maps import SampleWithAttention
from stablediff_edu.pipelines.stable_diffusion import PipelineStep
from stablediff_edu.plotting.ch07_attention import overlay_heatmap
from stablediff_edu.plotting.core import PAGE_WIDTH
from stablediff_edu.plotting.grids import Tile, image_grid, image_row, plot_tiles


def spaced_indices(count: int, most: int) -> list[int]:
    """Return at most so many of the numbers 0 … count - 1, evenly spread, with the first and the last."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()


def sampling_steps_figure(steps: Sequence[PipelineStep], columns: int = 8) -> Figure:
    """Plot a sampling trajectory: above, the latents decoded as they are; below, the predicted clean latents decoded.

    Args:
        steps: all that `StableDiffusion.stream` gave.
        columns: how many of them to show, evenly spread, with the last.
    """
    shown = [steps[index] for index in spaced_indices(len(steps), columns)]
    rows = {
        "latent,\ndecoded": [step.image()[0] for step in shown],
        "predicted,\ndecoded": [(step.image() if step.number == step.of else step.preview())[0] for step in shown],
    }
    return image_grid(rows, [f"step {step.number}" for step in shown])


def prompt_grid(prompts: Sequence[str], images: torch.Tensor, right: Sequence[bool] = (), columns: int = 5) -> Figure:
    """Plot images with their prompts above; ✓ or ✗ says whether a classifier found all of it, if it was asked.

    Args:
        prompts: N prompts.
        images: (N, 3, H, W).
        right: N answers of the classifier, or none.
        columns: images a row.
    """
    marks = ["✓ " if yes else "✗ " for yes in right] or [""] * len(prompts)
    side = min(PAGE_WIDTH / columns, 2.4)  # of an image, in inches
    titles = [textwrap.fill(mark + prompt, int(10.5 * side)) for mark, prompt in zip(marks, prompts, strict=True)]
    return image_row(images, titles, columns=columns, largest=side)


def cross_attention_over_steps(sample: SampleWithAttention, rows: int = 4) -> Figure:
    """Plot the attention weight of each position for each word: a column a word, a row a sampling step.

    The first column is the predicted clean image. Every word has a scale of its own.
    """
    steps = spaced_indices(len(sample.looks), rows)
    tiles = []
    for step in steps:
        image, titles = sample.image(step + 1), [""] * len(sample.words)
        maps = zip(sample.looks[step], sample.most(), sample.words if step == 0 else titles, strict=True)
        first = Tile(image, "predicted\nclean image" if step == 0 else "")
        tiles.append([first, *(Tile(overlay_heatmap(image, *pair), title, "unit") for *pair, title in maps)])
    return plot_tiles(tiles, [f"step {step + 1}" for step in steps], largest=1.7)

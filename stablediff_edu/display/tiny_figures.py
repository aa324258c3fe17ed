"""The figures of chapter 8: a drawing step by step, guidance, sheets of prompts, and words on pictures."""

import textwrap
from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure

from stablediff_edu.display.clip_figures import over_grey
from stablediff_edu.display.diffusion_figures import trajectory_rows
from stablediff_edu.display.figures import PAGE_WIDTH, draw_picture, new_figure, picture_row
from stablediff_edu.display.word_looks import WatchedDrawing
from stablediff_edu.errors import CourseError
from stablediff_edu.stable_diffusion import DrawnStep


def evenly(count: int, most: int) -> list[int]:
    """Return at most so many of the numbers 0 … count - 1, evenly spread, with the first and the last."""
    if count <= most:
        return list(range(count))
    return [round(place * (count - 1) / (most - 1)) for place in range(most)]


def drawing_steps(steps: Sequence[DrawnStep], columns: int = 8, picture: int = 0) -> Figure:
    """Draw a drawing on its way: above, the latents decoded as they are; below, the predicted clean latents decoded.

    Args:
        steps: all that `StableDiffusion.draw` gave.
        columns: how many of them to show, evenly spread, with the last.
        picture: which of the batch.
    """
    shown = [steps[number] for number in evenly(len(steps), columns)]
    rows = {
        "latent,\ndecoded": [step.picture()[picture] for step in shown],
        "predicted,\ndecoded": [
            (step.picture() if step.number == step.of else step.preview())[picture] for step in shown
        ],
    }
    return trajectory_rows(rows, [f"step {step.number}" for step in shown])


def guidance_strip(rows: Mapping[float, torch.Tensor]) -> Figure:
    """Draw the same noise at several strengths of guidance: guidance -> (N, 3, H, W); each of the N is a row."""
    counts = {len(pictures) for pictures in rows.values()}
    if len(counts) != 1:
        raise CourseError("Each guidance needs as many pictures as the others; draw them with the same count.")
    lines = {f"noise {number + 1}": [pictures[number] for pictures in rows.values()] for number in range(counts.pop())}
    return trajectory_rows(lines, [f"guidance {guidance:g}" for guidance in rows])


def prompt_sheet(
    prompts: Sequence[str], pictures: torch.Tensor, right: Sequence[bool] = (), columns: int = 5
) -> Figure:
    """Draw pictures with their prompts above; ✓ or ✗ says whether a judge found all of it, if it was asked.

    Args:
        prompts: N prompts.
        pictures: (N, 3, H, W).
        right: N answers of the judge, or none.
        columns: pictures a row.
    """
    marks = [("✓ " if yes else "✗ ") for yes in right] or [""] * len(prompts)
    side = min(PAGE_WIDTH / columns, 2.4)  # of a picture, in inches
    letters = int(9.2 * side)  # that stand beside each other above it
    titles = [textwrap.fill(mark + prompt, letters) for mark, prompt in zip(marks, prompts, strict=True)]
    lines = max(title.count("\n") for title in titles)
    titles = ["\n" * (lines - title.count("\n")) + title for title in titles]  # all pictures on one line
    figure = picture_row(list(pictures), titles, columns=columns, largest=side)
    for axis in figure.axes:
        axis.title.set_fontsize(9)
    return figure


def words_and_steps(drawing: WatchedDrawing, rows: int = 4) -> Figure:
    """Draw the attention weight of each position for each word: a column a word, a row a step.

    The first column is the predicted clean image. Every word has a scale of its own.
    """
    numbers = evenly(len(drawing.looks), rows)
    columns = len(drawing.words) + 1
    side = min(PAGE_WIDTH / columns, 1.7)
    size = dict(width=side * columns, height=(side + 0.05) * len(numbers) + 0.3)
    figure, axes = new_figure(columns, len(numbers), squeeze=False, **size)
    for line, number in zip(axes, numbers, strict=True):
        picture, looks = drawing.picture(number + 1), drawing.looks[number]  # (3, H, W), (N, h, w)
        draw_picture(line[0], picture, title="predicted\nclean image" if number == 0 else "")
        line[0].set_ylabel(f"step {number + 1}")
        for axis, word, places, limit in zip(line[1:], drawing.words, looks, drawing.most(), strict=True):
            draw_picture(axis, over_grey(picture, places, limit), title=word if number == 0 else "", scale="unit")
    return figure

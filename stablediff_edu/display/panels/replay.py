"""A training once more: a slider through the pictures that a network drew on its way."""

from collections.abc import Sequence

import ipywidgets as widgets
import torch

from stablediff_edu.display.live import png, strip, to_bytes
from stablediff_edu.display.panels import parts

SIDE = 128  # of a picture on the screen, about


def replay_panel(snapshots: Sequence[tuple[int, torch.Tensor]], columns: int = 4) -> widgets.VBox:
    """Return the panel. `.controls`: snapshot and snapshot number; `.images`: replay; `.note`: which step it is.

    Args:
        snapshots: (step, pictures (N, 3, S, S) in [-1, 1]) of a training, in order.
        columns: pictures a row.
    """
    last, (count, _, _, size) = len(snapshots), snapshots[0][1].shape
    columns, side = min(columns, count), parts.whole_multiple(size, SIDE)
    rows = -(-count // columns)
    width, height = (number * (side + 4) - 4 for number in (columns, rows))  # `strip` leaves four pixels between
    slider, number = parts.slider_and_number("snapshot", 1, last, last, width=420)
    place, note = parts.picture_place("replay", width, height), widgets.HTML()
    note.add_class("sd-replay-note")

    def show(_change: object = None) -> None:
        step, pictures = snapshots[slider.value - 1]
        tiles = [to_bytes(picture) for picture in pictures]
        place.value = png(strip([tiles[first : first + columns] for first in range(0, count, columns)], side))
        note.value = f"after step {step} of {snapshots[-1][0]}"

    show()
    slider.observe(show, "value")
    panel = widgets.VBox([parts.in_line(slider, number, note), place])
    panel.controls = {"snapshot": slider, "snapshot number": number}
    panel.images, panel.note = {"replay": place}, note
    return panel

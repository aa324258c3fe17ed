"""A training once more: a slider through the pictures that a network drew on its way."""

from collections.abc import Sequence

import ipywidgets as widgets
import torch

from stablediff_edu.display.live import live_pictures, png
from stablediff_edu.display.panels import parts

SIDE = 128  # of a picture on the screen, about


def replay_panel(snapshots: Sequence[tuple[int, torch.Tensor]], columns: int = 4) -> widgets.VBox:
    """Return the panel. `.controls`: snapshot and snapshot number; `.images`: replay; `.note`: which step it is.

    Args:
        snapshots: (step, pictures (N, 3, S, S) in [-1, 1]) of a training, in order.
        columns: pictures a row.
    """
    draw = live_pictures(columns, parts.whole_multiple(snapshots[0][1].shape[-1], SIDE))
    last = len(snapshots)
    slider, number = parts.slider_and_number("snapshot", 1, last, last, width=420)
    place, note = parts.picture_place("replay", *draw(*snapshots[0]).size), widgets.HTML()
    note.add_class("sd-replay-note")

    def show(_change: object = None) -> None:
        snapshot = snapshots[slider.value - 1]
        place.value = png(draw(*snapshot))
        note.value = f"after step {snapshot[0]} of {snapshots[-1][0]}"

    show()
    slider.observe(show, "value")
    panel = widgets.VBox([parts.in_line(slider, number, note), place])
    panel.controls = {"snapshot": slider, "snapshot number": number}
    panel.images, panel.note = {"replay": place}, note
    return panel

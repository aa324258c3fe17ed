"""A panel of chapter 8: draw a sketch, say what it is, and the network makes a picture of it."""

import base64
import html
import io
from pathlib import Path

import anywidget
import ipywidgets as widgets
import numpy as np
import torch
import torch.nn.functional as F
import traitlets
from PIL import Image

from stablediff_edu.display.live import png
from stablediff_edu.display.panels import parts
from stablediff_edu.display.panels.drawing import (
    Drawing,
    button,
    draw_visibly,
    live_box,
    place_for,
    seed_box,
    side_by_side,
)
from stablediff_edu.display.panels.fine_slider import FineSlider, NumberRange
from stablediff_edu.display.panels.sketches import PALETTE, SKETCHES
from stablediff_edu.display.panels.word_box import WordBox
from stablediff_edu.errors import CourseError
from stablediff_edu.stable_diffusion import StableDiffusion

SCRIPT, STYLE = (Path(__file__).with_name(f"sketch_pad.{kind}") for kind in ("js", "css"))
PNG = "data:image/png;base64,"
STRENGTH = NumberRange(0.05, 1, 0.05)
FINEST = 128  # pixels a side of the pad; for larger models the sketch is enlarged


class SketchPad(anywidget.AnyWidget):
    """A square to draw on.

    Attributes:
        size: its side in pixels.
        palette: name -> (red, green, blue), the colours to draw with.
        drawn: what is on it, a PNG as the browser writes it into an address ("data:image/png;base64,…"); the browser
            sends it while one draws.
    """

    _esm, _css = SCRIPT, STYLE
    size = traitlets.Int().tag(sync=True)
    palette = traitlets.Dict(PALETTE).tag(sync=True)
    drawn = traitlets.Unicode().tag(sync=True)

    def show(self, pixels: np.ndarray) -> None:
        """Put a sketch on the pad, (size, size, 3) uint8."""
        self.drawn = PNG + base64.b64encode(png(Image.fromarray(pixels))).decode()
        self.send("show")

    def picture(self) -> torch.Tensor:
        """Return what is on the pad: (3, size, size) in [-1, 1]."""
        drawn = Image.open(io.BytesIO(base64.b64decode(self.drawn.removeprefix(PNG)))).convert("RGB")
        return torch.from_numpy(np.asarray(drawn, np.float32) / 127.5 - 1).permute(2, 0, 1)


def sketch_panel(
    pipe: StableDiffusion,
    sketch: str = "sailboat",
    *,
    strength: float = 0.7,
    steps: int = 20,
    guidance: float = 4.0,
    seed: int = 0,
) -> widgets.VBox:
    """Return the panel.

    `.controls`: sketch, which one to begin with, and restart, to begin with it again; prompt; strength; seed; live and
    draw. `.pad`: the `SketchPad`. `.images`: picture. `.note`: a line of text. `.drawing`: () -> the `Drawing`.

    Args:
        pipe: text encoder, U-Net, autoencoder, and a tokenizer.
        sketch: a name from `SKETCHES`.
        strength, steps, guidance, seed: as for `StableDiffusion.draw`.
    """
    return _SketchPanel(pipe, sketch, strength, dict(steps=steps, guidance=guidance)).start(seed)


class _SketchPanel:
    def __init__(self, pipe: StableDiffusion, sketch: str, strength: float, how: dict[str, float]) -> None:
        self.pipe, self.how, self.drawing, self.choosing = pipe, how, None, False
        self.pad = SketchPad(size=min(pipe.config.size, FINEST))
        self.sketch = widgets.Dropdown(options=list(SKETCHES), value=sketch, description="begin with")
        self.restart = button("start again", "put the chosen sketch on the pad once more")
        self.prompt = WordBox("prompt", pipe.tokenizer)
        self.strength = FineSlider("strength", STRENGTH, strength, 400)
        self.live, self.now = live_box(pipe), button("draw", "draw it now", primary=True)
        self.picture, self.note = place_for(pipe, "sketched"), widgets.HTML()
        self.note.add_class("sd-sketch-note")

    def start(self, seed: int) -> widgets.VBox:
        """Lay out the panel, draw, and follow every change from now on."""
        self.seed = seed_box(seed)
        panel = self._lay_out()
        self._begin()
        self.sketch.observe(self._begin, "value")
        self.prompt.observe(self._change, "text")
        self.pad.observe(self._change, "drawn")
        for control in (self.strength, self.seed, self.live):
            control.observe(self._change, "value")
        self.restart.on_click(self._begin)
        self.now.on_click(self._draw)
        return panel

    def _lay_out(self) -> widgets.VBox:
        panel = widgets.VBox(
            [
                parts.in_line(self.sketch, self.restart),
                self.prompt,
                parts.in_line(self.strength, self.seed, self.live, self.now),
                side_by_side(
                    parts.under_title("your sketch", self.pad), parts.under_title("the picture", self.picture)
                ),
                self.note,
            ]
        )
        panel.controls = {"sketch": self.sketch, "restart": self.restart, "prompt": self.prompt}
        panel.controls |= {"strength": self.strength, "seed": self.seed, "live": self.live, "draw": self.now}
        panel.pad, panel.images, panel.note = self.pad, {"picture": self.picture}, self.note
        panel.drawing = lambda: self.drawing
        return panel

    def _begin(self, _change: object = None) -> None:
        """Put the chosen sketch on the pad, with its prompt; both at once are one change."""
        chosen = SKETCHES[self.sketch.value]
        self.choosing = True
        self.pad.show(chosen.pixels(self.pad.size))
        self.prompt.value = chosen.prompt
        self.choosing = False
        self._change()

    def _change(self, _change: object = None) -> None:
        if self.choosing:
            return
        if self.live.value:
            self._draw()
        else:
            self.note.value = "The picture is still the last one; press draw."

    def _draw(self, _button: object = None) -> None:
        image = F.interpolate(self.pad.picture()[None], (self.pipe.config.size,) * 2, mode="bilinear")
        wishes = dict(prompt=self.prompt.text, image=image, strength=self.strength.value, seed=self.seed.value)
        try:
            self.drawing: Drawing | None = draw_visibly(self.pipe, self.picture, **wishes, **self.how)
        except CourseError as error:
            self.note.value = f"<b>{html.escape(str(error))}</b> The picture is still the last one."
            return
        gone, steps = len(self.drawing.steps), self.how["steps"]
        self.note.value = f"{gone} of {steps} steps gone, from the sketch with noise · {self.drawing.seconds:.2f} s"

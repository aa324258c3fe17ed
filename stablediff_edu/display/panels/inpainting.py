"""A panel of chapter 8: mark a box in a picture, say what shall be there, and only the box is drawn anew."""

import html

import ipywidgets as widgets
import torch

from stablediff_edu.display.panels import parts
from stablediff_edu.display.panels.drawing import (
    Drawing,
    button,
    draw_visibly,
    live_box,
    place_for,
    seed_box,
    show_picture,
)
from stablediff_edu.display.panels.fine_slider import FineSlider, NumberRange
from stablediff_edu.display.panels.word_box import WordBox
from stablediff_edu.errors import CourseError
from stablediff_edu.stable_diffusion import StableDiffusion

EDGES = ("left", "right", "top", "bottom")


def box_mask(size: int, left: int, right: int, top: int, bottom: int) -> torch.Tensor:
    """Return (size, size), 1 within the box: from column `left` to before `right`, from row `top` to before `bottom`.

    Raises:
        CourseError: the box has no inside.
    """
    if left >= right or top >= bottom:
        raise CourseError("The box is empty: let left be less than right, and top less than bottom.")
    mask = torch.zeros(size, size)
    mask[top:bottom, left:right] = 1
    return mask


def with_box(picture: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the picture, (3, H, W), darker outside the mask, (H, W), so that one sees where it will stay."""
    return torch.where(mask > 0, picture, 0.45 * (picture + 1) - 1)


def inpainting_panel(
    pipe: StableDiffusion,
    prompt: str = "a red sailboat on a calm sea",
    instead: str = "a yellow duck on a calm sea",
    *,
    image: torch.Tensor | None = None,
    steps: int = 20,
    guidance: float = 4.0,
    seed: int = 0,
) -> widgets.VBox:
    """Return the panel.

    `.controls`: prompt, of the picture to begin with; instead, what shall be in the box; left, right, top, bottom, its
    edges in pixels; seed; live and draw. `.images`: original, with the box bright, and changed. `.note`: a line of
    text. `.drawing`: () -> the `Drawing` of the changed picture.

    Args:
        pipe: text encoder, U-Net, autoencoder, and a tokenizer.
        prompt, instead: to begin with.
        image: the picture to begin with, (3, size, size) in [-1, 1]; without it the prompt is drawn.
        steps, guidance, seed: as for `StableDiffusion.draw`.
    """
    return _Inpainting(pipe, prompt, instead, image, dict(steps=steps, guidance=guidance), seed).panel


class _Inpainting:
    def __init__(self, pipe, prompt, instead, image, how, seed) -> None:
        self.pipe, self.given, self.how, self.size = pipe, image, how, pipe.config.size
        self.drawing: Drawing | None = None
        self.prompt, self.instead = (
            WordBox(name, pipe.tokenizer, text) for name, text in (("picture", prompt), ("in the box", instead))
        )
        places = NumberRange(0, self.size, 1)
        margin = self.size // 5
        starts = (margin, self.size - margin) * 2
        self.edges = {edge: FineSlider(edge, places, at, 330) for edge, at in zip(EDGES, starts, strict=True)}
        self.seed = seed_box(seed)
        self.live, self.now = live_box(pipe), button("draw", "draw it now", primary=True)
        self.original, self.changed = place_for(pipe, "original"), place_for(pipe, "changed")
        self.note = widgets.HTML()
        self.note.add_class("sd-inpainting-note")
        self.panel = self._lay_out()
        self._begin()
        self._draw()
        self.prompt.observe(self._new_picture, "text")
        self.instead.observe(self._change, "text")
        for control in (*self.edges.values(), self.live):
            control.observe(self._change, "value")
        self.seed.observe(self._new_picture, "value")
        self.now.on_click(self._draw)

    def _lay_out(self) -> widgets.VBox:
        edges = list(self.edges.values())
        panel = widgets.VBox(
            [
                *([self.prompt] if self.given is None else []),
                self.instead,
                parts.in_line(*edges[:2]),
                parts.in_line(*edges[2:]),
                parts.in_line(self.seed, self.live, self.now),
                parts.in_line(
                    parts.under_title("before, with the box", self.original),
                    parts.under_title("drawn anew in the box", self.changed),
                ),
                self.note,
            ]
        )
        panel.controls = {"prompt": self.prompt, "instead": self.instead, **self.edges, "seed": self.seed}
        panel.controls |= {"live": self.live, "draw": self.now}
        panel.images, panel.note = {"original": self.original, "changed": self.changed}, self.note
        panel.drawing = lambda: self.drawing
        return panel

    def _begin(self) -> None:
        """Draw the picture to begin with, if none was given."""
        wishes = dict(prompt=self.prompt.text, seed=self.seed.value)
        self.image = self.pipe(**wishes, **self.how)[0] if self.given is None else self.given

    def _new_picture(self, _change: object = None) -> None:
        if self.live.value:
            self._begin()
        self._change()

    def _change(self, _change: object = None) -> None:
        if self.live.value:
            self._draw()
        else:
            self.note.value = "The picture is still the last one; press draw."

    def _draw(self, pressed: object = None) -> None:
        try:
            mask = box_mask(self.size, *(int(self.edges[edge].value) for edge in EDGES))
            if pressed:  # nothing was drawn meanwhile
                self._begin()
            show_picture(self.original, with_box(self.image, mask))
            wishes = dict(prompt=self.instead.text, image=self.image, mask=mask, seed=self.seed.value + 1)
            self.drawing = draw_visibly(self.pipe, self.changed, **wishes, **self.how)
        except CourseError as error:
            self.note.value = f"<b>{html.escape(str(error))}</b> The picture is still the last one."
            return
        share = mask.mean().item()
        self.note.value = f"{share:.0%} of the pixels are drawn anew, the others stay · {self.drawing.seconds:.2f} s"

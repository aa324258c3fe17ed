"""A panel of chapter 8: make a sketch, describe it, and the model turns it into an image."""

import base64
import io
from typing import Any

import anywidget
import numpy as np
import torch
import torch.nn.functional as F
import traitlets
from PIL import Image

from stablediff_edu.config import device_of
from stablediff_edu.notebook.progress import encode_png
from stablediff_edu.pipelines.stable_diffusion import StableDiffusion
from stablediff_edu.widgets.base import Job
from stablediff_edu.widgets.controls import STYLE, Button, Select, Slider, script
from stablediff_edu.widgets.generation import GenerationPanel
from stablediff_edu.widgets.sketches import PALETTE, SKETCHES

PNG = "data:image/png;base64,"
MAX_SIZE = 128  # pixels a side of the pad; for larger models the sketch is enlarged


class SketchPad(anywidget.AnyWidget):
    """A square to sketch on.

    Attributes:
        size: its side in pixels.
        palette: name -> (red, green, blue).
        value: the sketch as PNG in a data URL.
    """

    _esm, _css = script("sketch_pad"), STYLE
    size = traitlets.Int().tag(sync=True)
    palette: traitlets.Dict = traitlets.Dict(PALETTE).tag(sync=True)
    value = traitlets.Unicode().tag(sync=True)

    def set_pixels(self, pixels: np.ndarray) -> None:
        """Put a sketch on the pad, (size, size, 3) uint8."""
        self.value = PNG + base64.b64encode(encode_png(Image.fromarray(pixels))).decode()

    def pixels(self) -> Image.Image:
        """Return the sketch."""
        return Image.open(io.BytesIO(base64.b64decode(self.value.removeprefix(PNG)))).convert("RGB")


class SketchPanel(GenerationPanel):
    """Controls: template, reset, prompt, strength, seed, update live, generate. Images: generated. `.pad` is the pad.

    Args:
        pipe: text encoder, U-Net, autoencoder, and a tokenizer.
        options: steps, guidance, seed, as for `StableDiffusion.stream`.
    """

    def __init__(self, pipe: StableDiffusion, **options: Any) -> None:
        super().__init__(
            "Sketch to image",
            pipe,
            {"prompt": ""},
            options,
            Select("template", list(SKETCHES)),
            Button("reset", "put the template on the pad again"),
            Slider("strength", 0.05, 1, 0.7, 0.05),
        )
        self.pad = SketchPad(size=min(pipe.config.size, MAX_SIZE))
        self.lay_out(
            ["template", "reset"],
            "prompt",
            ["strength", "seed", "update live", "generate"],
            [("# sketch", self.pad), "generated"],
            self.note,
        )
        self._load_template()
        self.begin(self.pad, "strength")
        self.follow(self._load_template, "template", "reset")

    def _load_template(self) -> Job | None:
        """Put the chosen template on the pad, with its prompt; both are one change."""
        chosen = SKETCHES[self["template"]]
        with self.quietly():
            self.pad.set_pixels(chosen.pixels(self.pad.size))
            self.controls["prompt"].value = chosen.prompt
        return self._changed()

    def _generate(self) -> Job:
        values = torch.from_numpy(np.asarray(self.pad.pixels(), np.float32) / 127.5 - 1)  # (S, S, 3)
        sketch = values.permute(2, 0, 1)[None].to(device_of(self.pipe))  # (1, 3, S, S)
        settings = dict(strength=self["strength"], seed=self["seed"], prompt=self.prompt())
        settings["image"] = F.interpolate(sketch, (self.pipe.config.size,) * 2, mode="bilinear")
        self.generation = yield from self.generate("generated", **settings)
        run, steps = len(self.generation.steps), self.options["steps"]
        self.say(f"{run} of {steps} sampling steps run, from the noisy sketch · {self.generation.seconds:.2f} s")

    def tiles(self) -> list[tuple[str, Image.Image]]:
        return [("sketch", self.pad.pixels().resize((self.side, self.side), 0)), *super().tiles()]

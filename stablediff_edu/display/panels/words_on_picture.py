"""A panel of chapter 8: which word drew which part, step by step; give one word more weight and see what changes."""

import base64
import html

import ipywidgets as widgets
import torch

from stablediff_edu.display.clip_figures import over_grey
from stablediff_edu.display.live import png, strip, to_bytes
from stablediff_edu.display.panels import parts
from stablediff_edu.display.panels.fine_slider import FineSlider, NumberRange
from stablediff_edu.display.panels.word_box import WordBox
from stablediff_edu.display.word_looks import WatchedDrawing, watch_drawing, words_of
from stablediff_edu.errors import CourseError
from stablediff_edu.stable_diffusion import StableDiffusion

WEIGHT = NumberRange(0, 4, 0.1)
SIDE, MAP_SIDE = 256, 112


def words_on_picture(
    pipe: StableDiffusion,
    prompt: str = "a red sailboat at night",
    *,
    steps: int = 15,
    guidance: float = 4.0,
    seed: int = 0,
) -> widgets.VBox:
    """Return the panel.

    `.controls`: prompt; seed; word and weight: by how much the vector of this word is multiplied; step and step number.
    `.images`: plain, the picture as it is, and weighted, the one with the word's new weight. `.maps`: the maps of the
    words below, as HTML. `.note`: a line of text. `.drawings`: plain and weighted -> `WatchedDrawing`.

    Args:
        pipe: text encoder, U-Net, autoencoder, and a tokenizer.
        prompt, steps, guidance, seed: as for `StableDiffusion.draw`, to begin with.
    """
    return _WordsOnPicture(pipe, prompt, steps, guidance, seed).panel


class _WordsOnPicture:
    def __init__(self, pipe, prompt, steps, guidance, seed) -> None:
        self.pipe, self.how, self.choosing = pipe, dict(steps=steps, guidance=guidance), False
        self.prompt = WordBox("prompt", pipe.tokenizer, prompt)
        self.seed = widgets.BoundedIntText(
            seed, 0, 9999, description="seed", style={"description_width": "70px"}, layout={"width": "160px"}
        )
        self.word = widgets.Dropdown(description="word", layout={"width": "220px"})
        self.weight = FineSlider("weight", WEIGHT, 1.0, 380)
        self.step, self.step_number = parts.slider_and_number("step", 1, steps, steps, width=300)
        self.side = parts.whole_multiple(pipe.config.size, SIDE)
        self.images = {name: parts.picture_place(name, self.side) for name in ("plain", "weighted")}
        self.title, self.maps, self.note = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.maps.add_class("sd-word-maps")
        self.panel = self._lay_out()
        self._read()
        self.prompt.observe(self._read, "text")
        self.seed.observe(self._read, "value")
        self.word.observe(self._weigh, "value")
        self.weight.observe(self._weigh, "value")
        self.step.observe(self._show_maps, "value")

    def _lay_out(self) -> widgets.VBox:
        weighted = widgets.VBox([self.title, self.images["weighted"]], layout={"flex": "0 0 auto"})
        panel = widgets.VBox(
            [
                self.prompt,
                parts.in_line(self.seed, self.word, self.weight),
                parts.in_line(parts.under_title("as it is", self.images["plain"]), weighted),
                parts.in_line(self.step, self.step_number),
                self.maps,
                self.note,
            ]
        )
        panel.controls = {"prompt": self.prompt, "seed": self.seed, "word": self.word, "weight": self.weight}
        panel.controls |= {"step": self.step, "step number": self.step_number}
        panel.images, panel.maps, panel.note, panel.drawings = self.images, self.maps, self.note, {}
        return panel

    def _read(self, _change: object = None) -> None:
        """Draw a new prompt as it is, and then with the weight that is set."""
        try:
            self.panel.drawings["plain"] = self._watch({})
        except CourseError as error:
            self.note.value = f"<b>{html.escape(str(error))}</b> The pictures are still the last prompt's."
            return
        words = words_of(self.pipe, self.prompt.text)
        self.choosing = True  # else the new words would each be drawn with the weight
        chosen = self.word.index
        self.word.options = [(f"{number + 1}: {word}", number) for number, word in enumerate(words)]
        self.word.index = min(1 if chosen is None else chosen, len(words) - 1)
        self.choosing = False
        self._show("plain")
        self._weigh()

    def _weigh(self, _change: object = None) -> None:
        if self.choosing:
            return
        weight, drawings = self.weight.value, self.panel.drawings
        drawings["weighted"] = drawings["plain"] if weight == 1 else self._watch({self.word.value: weight})
        name = html.escape(drawings["plain"].words[self.word.value])
        self.title.value = f"<b>“{name}” times {weight:g}</b>"
        self._show("weighted")
        self._show_maps()

    def _watch(self, weights: dict[int, float]) -> WatchedDrawing:
        return watch_drawing(self.pipe, self.prompt.text, weights=weights, seed=self.seed.value, **self.how)

    def _show(self, name: str) -> None:
        picture = self.panel.drawings[name].picture()
        self.images[name].value = png(strip([[to_bytes(picture)]], self.side))

    def _show_maps(self, _change: object = None) -> None:
        drawing, number = self.panel.drawings["weighted"], self.step.value
        looks, seen = drawing.looks[number - 1], drawing.picture(number)  # (N, h, w), (3, H, W)
        each = zip(drawing.words, looks, drawing.most(), strict=True)
        tiles = [_tile(word, places, seen, limit) for word, places, limit in each]
        self.maps.value = f'<div style="display: flex; flex-wrap: wrap; gap: 8px">{"".join(tiles)}</div>'
        rest = 1 - float(looks.sum(dim=0).mean())
        self.note.value = (
            f"How strongly each place looks at each word in step {number} of {len(drawing.looks)} (yellow: most "
            f"for this word; below, the mean share). The rest, {rest:.0%}, goes to the start and the end of the prompt."
        )


def _tile(word: str, places: torch.Tensor, picture: torch.Tensor, limit: float) -> str:
    """Return the map of a word over the picture, with the word and its mean share below it, as HTML."""
    image = png(strip([[to_bytes(over_grey(picture, places, limit), "unit")]], MAP_SIDE))
    source, name = base64.b64encode(image).decode(), html.escape(word)
    told = f"where the picture looks at the word {name}"
    return (
        f'<figure style="margin: 0; text-align: center"><img src="data:image/png;base64,{source}" alt="{told}" '
        f'width="{MAP_SIDE}"><figcaption>{name} · {places.mean():.0%}</figcaption></figure>'
    )

"""A panel of chapter 6: a cloud of words in three dimensions, to turn; and a word's nearest in all dimensions."""

import html
from pathlib import Path

import anywidget
import ipywidgets as widgets
import torch
import traitlets

from stablediff_edu.display.panels import parts
from stablediff_edu.display.word_figures import OTHER, Groups, group_numbers, group_style
from stablediff_edu.errors import CourseError
from stablediff_edu.models.autoencoder import PCA
from stablediff_edu.training.analogies import WordVectors

SCRIPT, STYLE = (Path(__file__).with_name(f"projector.{kind}") for kind in ("js", "css"))
MOST = 2000  # words in the cloud: the most frequent; more would be a fog


class CloudWidget(anywidget.AnyWidget):
    """The cloud in the browser, and what Python and the browser tell each other.

    Both may change `chosen`, `turn`, `tilt` and `zoom`; Python answers a chosen word with `near`.
    """

    _esm, _css = SCRIPT, STYLE
    words = traitlets.List().tag(sync=True)
    places = traitlets.List().tag(sync=True)  # [x, y, z] each, in a ball of radius 1
    groups = traitlets.List().tag(sync=True)  # a number each, -1 for none
    legend = traitlets.List().tag(sync=True)  # [name, colour, marker] of each group
    chosen = traitlets.Int(0).tag(sync=True)
    near = traitlets.List().tag(sync=True)  # [number, distance] of the nearest in all dimensions
    turn = traitlets.Int(30).tag(sync=True)  # degrees round the upright axis
    tilt = traitlets.Int(20).tag(sync=True)  # degrees towards the eye
    zoom = traitlets.Int(100).tag(sync=True)  # per cent


def projector(vectors: WordVectors, groups: Groups | None = None, word: str = "", nearest: int = 10) -> widgets.VBox:
    """Return the panel.

    `.controls`: word, a search box with completion; nearest, how many light up; turn, tilt and zoom, each with a number
    box ("turn number" …). `.cloud`: the `CloudWidget`. `.note`: what is wrong with a word. `.table`: the nearest words
    in all dimensions beside those in the three that are drawn, with distances.

    Args:
        vectors: the words; the 2,000 most frequent are drawn.
        groups: name -> words, for colours and marks.
        word: chosen at the beginning; the most frequent one by default.
        nearest: how many neighbours light up at the beginning.

    Raises:
        CourseError: the word is not known, or there are fewer than four words.
    """
    return _Projector(vectors.most_frequent(MOST), groups or {}, word, nearest).panel


class _Projector:
    def __init__(self, vectors: WordVectors, groups: Groups, word: str, nearest: int) -> None:
        if len(vectors) < 4:
            raise CourseError(f"A cloud of {len(vectors)} words cannot be turned; give at least 4.")
        self.vectors = vectors
        self.seen = PCA(vectors.directions, 3).encode(vectors.directions)  # (V, 3): the shadow that is drawn
        middle = (self.seen.amin(dim=0) + self.seen.amax(dim=0)) / 2
        drawn = self.seen - middle  # about the middle of the cloud it turns
        legend = [[name, *group_style(index)] for index, name in enumerate(groups)]
        self.cloud = CloudWidget(
            words=list(vectors.words),
            places=[[round(n, 4) for n in place] for place in (drawn / drawn.norm(dim=1).max()).tolist()],
            groups=group_numbers(vectors.words, groups),
            legend=[*legend, ["other words", OTHER, "o"]],
            chosen=vectors.number(word) if word else 0,
        )
        self.word = widgets.Combobox(
            value=vectors.words[self.cloud.chosen], options=vectors.words, description="word", ensure_option=False,
            continuous_update=False, style={"description_width": "70px"}, layout={"width": "300px"},
        )  # fmt: skip
        most = min(30, len(vectors) - 1)
        self.count, self.count_number = parts.slider_and_number("nearest", 1, most, min(nearest, most), width=260)
        self.note, self.table = widgets.HTML(), widgets.HTML()
        self.note.add_class("sd-projector-note")
        self.table.add_class("sd-projector-table")
        self.panel = self._lay_out()
        self.word.observe(self._search, "value")
        self.cloud.observe(self._choose, "chosen")
        self.count.observe(self._choose, "value")
        self._choose()

    def _lay_out(self) -> widgets.VBox:
        controls = {"word": self.word, "nearest": self.count, "nearest number": self.count_number}
        views = []
        for name, low, high in (("turn", -180, 180), ("tilt", -90, 90), ("zoom", 50, 400)):
            slider, number = parts.slider_and_number(name, low, high, getattr(self.cloud, name), width=190)
            widgets.link((self.cloud, name), (slider, "value"))
            controls |= {name: slider, f"{name} number": number}
            views.append(widgets.HBox([slider, number]))
        beside = widgets.HBox([self.cloud, self.table], layout={"flex_flow": "row wrap", "align_items": "flex-start"})
        panel = widgets.VBox(
            [parts.in_line(self.word, self.count, self.count_number), self.note, beside, parts.in_line(*views)]
        )
        panel.controls, panel.cloud, panel.note, panel.table = controls, self.cloud, self.note, self.table
        return panel

    def _search(self, _change=None) -> None:
        try:
            self.cloud.chosen = self.vectors.number(self.word.value)
        except CourseError as error:
            self.note.value = f"<b>{html.escape(str(error))}</b>"
        else:
            self._choose()  # also if the word stays: it is shown as it is spelled in the list

    def _choose(self, _change=None) -> None:
        chosen, count = self.cloud.chosen, self.count.value
        self.word.value, self.note.value = self.vectors.words[chosen], ""
        truly, apparently = (nearest_places(p, chosen, count) for p in (self.vectors.directions, self.seen))
        self.cloud.near = [[number, distance] for number, distance in truly]
        self.table.value = self._as_table(truly, apparently)

    def _as_table(self, truly: list[tuple[int, float]], apparently: list[tuple[int, float]]) -> str:
        both = {number for number, _ in truly} & {number for number, _ in apparently}

        def cell(number: int, distance: float) -> str:
            word = html.escape(self.vectors.words[number])
            return f"<td>{f'<b>{word} ●</b>' if number in both else word}</td><td>{distance:.2f}</td>"

        rows = "".join(f"<tr>{cell(*a)}{cell(*b)}</tr>" for a, b in zip(truly, apparently, strict=True))
        word, all_of_them = html.escape(self.vectors.words[self.cloud.chosen]), self.vectors.directions.shape[1]
        return (
            f"<table><caption>nearest to <b>{word}</b>, with distances</caption><tr><th colspan=2>in all {all_of_them} "
            f"dimensions</th><th colspan=2>in the 3 drawn</th></tr>{rows}</table>"
            f"<span>● in both lists: {len(both)} of {len(truly)}</span>"
        )


def nearest_places(places: torch.Tensor, number: int, count: int) -> list[tuple[int, float]]:
    """Return the numbers of the places, (V, D), nearest to one of them, with the distances, without itself."""
    distances = (places - places[number]).norm(dim=1)  # (V,)
    distances[number] = torch.inf
    found = distances.topk(count, largest=False)
    return list(zip(found.indices.tolist(), found.values.tolist(), strict=True))

"""A panel of chapter 6: word vectors in a 3-D projection to rotate, and a word's neighbors in all dimensions."""

import html

import anywidget
import ipywidgets
import torch
import traitlets
from matplotlib.figure import Figure
from PIL import Image

from stablediff_edu.errors import UserError
from stablediff_edu.metrics.word_vectors import WordVectors
from stablediff_edu.models.autoencoder import PCA
from stablediff_edu.plotting.ch06_words import OTHER, Groups, figure_to_image, group_indices, group_style
from stablediff_edu.widgets.base import Panel
from stablediff_edu.widgets.controls import STYLE, Slider, Text, script

MAX_WORDS = 2000  # the most frequent ones
VIEWS = {"azimuth": (-180, 180), "elevation": (-90, 90), "zoom": (50, 400)}


class WordCloud3D(anywidget.AnyWidget):
    """The cloud in the browser. Both sides may change `selected` and the view; Python sends `neighbors` back."""

    _esm, _css, changes = script("word_cloud"), STYLE, "selected"
    words = traitlets.List().tag(sync=True)
    points = traitlets.List().tag(sync=True)  # [x, y, z] each, in a ball of radius 1
    groups = traitlets.List().tag(sync=True)  # an index each, -1 for none
    legend = traitlets.List().tag(sync=True)  # [name, color, marker] of each group
    selected = traitlets.Int(0).tag(sync=True)
    neighbors = traitlets.List().tag(sync=True)  # [index, distance] of the nearest in all dimensions
    azimuth = traitlets.Int(30).tag(sync=True)  # degrees around the vertical axis
    elevation = traitlets.Int(20).tag(sync=True)  # degrees towards the viewer
    zoom = traitlets.Int(100).tag(sync=True)  # per cent


class EmbeddingProjector(Panel):
    """Controls: word, with completion; neighbors; azimuth, elevation, zoom.

    `.cloud` is the `WordCloud3D`, `.table` the nearest words in all dimensions beside those in the projection.

    Args:
        vectors: the words; the 2,000 most frequent are shown.
        groups: name -> words, for colors and markers.
        word: selected at the start; the most frequent one by default.
        neighbors: how many light up at the start.

    Raises:
        UserError: the word is not known, or there are fewer than four words.
    """

    def __init__(self, vectors: WordVectors, groups: Groups | None = None, word: str = "", neighbors: int = 10) -> None:
        super().__init__("Embedding projector")
        self.vectors = vectors = vectors.most_frequent(MAX_WORDS)
        if len(vectors) < 4:
            raise UserError(f"A 3-D projection needs at least 4 words, got {len(vectors)}.")
        directions = vectors.directions.cpu()
        self.directions, self.projected = directions, PCA(directions, 3).encode(directions)  # (V, D), (V, 3)
        points = self.projected - (self.projected.amin(dim=0) + self.projected.amax(dim=0)) / 2
        groups = groups or {}
        self.cloud = WordCloud3D(
            words=list(vectors.words),
            points=[[round(n, 4) for n in point] for point in (points / points.norm(dim=1).max()).tolist()],
            groups=group_indices(vectors.words, groups),
            legend=[*([name, *group_style(n)] for n, name in enumerate(groups)), ["other words", OTHER, "o"]],
            selected=vectors.number(word) if word else 0,
        )
        most = min(30, len(vectors) - 1)
        self.controls |= {
            "word": Text("word", vectors.words[self.cloud.selected], suggestions=vectors.words),
            "neighbors": Slider("neighbors", 1, most, min(neighbors, most)),
        }
        for name, ends in VIEWS.items():
            self.controls[name] = Slider(name, *ends, getattr(self.cloud, name))
            traitlets.link((self.cloud, name), (self.controls[name], "value"))
        self.table = ipywidgets.HTML()
        self.table.add_class("sd-table")
        self.lay_out(
            ["word", "neighbors"],
            self.note,
            ipywidgets.HBox([self.cloud, self.table], layout={"flex_flow": "row wrap"}),
            [*VIEWS],
        )
        self._select()
        self.follow(self._search, "word")
        self.follow(self._select, self.cloud, "neighbors")

    def _search(self) -> None:
        self.cloud.selected = self.vectors.number(self.value("word"))
        self._select()  # also if the word stays: it is shown as it is spelled in the list

    def _select(self) -> None:
        selected, count = self.cloud.selected, self.value("neighbors")
        with self.quietly():
            self.controls["word"].value = self.vectors.words[selected]
        exact, projected = (nearest_points(points, selected, count) for points in (self.directions, self.projected))
        self.cloud.neighbors = [[index, distance] for index, distance in exact]
        self.table.value = self._as_table(exact, projected)
        names = ", ".join(self.vectors.words[index] for index, _ in exact[:5])
        self.say(html.escape(f"nearest to “{self.vectors.words[selected]}”: {names}"))

    def _as_table(self, exact: list[tuple[int, float]], projected: list[tuple[int, float]]) -> str:
        both = {index for index, _ in exact} & {index for index, _ in projected}

        def cell(index: int, distance: float) -> str:
            word = html.escape(self.vectors.words[index])
            return f"<td>{f'<b>{word} ●</b>' if index in both else word}</td><td>{distance:.2f}</td>"

        rows = "".join(f"<tr>{cell(*a)}{cell(*b)}</tr>" for a, b in zip(exact, projected, strict=True))
        return (
            f"<table><caption>nearest words, with distances</caption><tr><th colspan=2>in all "
            f"{self.directions.shape[1]} dimensions</th><th colspan=2>in the projection</th></tr>{rows}</table>"
            f"<span>● in both tables: {len(both)} of {len(exact)}</span>"
        )

    def tiles(self) -> list[tuple[str, Image.Image]]:
        figure = Figure(figsize=(6.4, 5.2))
        axes = figure.add_subplot(projection="3d")
        axes.view_init(self.cloud.elevation, self.cloud.azimuth)
        points = torch.tensor(self.cloud.points)
        colors = [self.cloud.legend[group][1] for group in self.cloud.groups]
        axes.scatter(*points.T, c=colors, s=10, depthshade=True)
        for index in (self.cloud.selected, *(index for index, _ in self.cloud.neighbors)):
            axes.text(*points[index].tolist(), self.vectors.words[index], fontsize=9)
        return [("3-D projection with the nearest words", figure_to_image(figure))]


def nearest_points(points: torch.Tensor, index: int, count: int) -> list[tuple[int, float]]:
    """Return the indices of the points, (V, D), nearest to one of them, with the distances, without itself."""
    distances = (points - points[index]).norm(dim=1)  # (V,)
    distances[index] = torch.inf
    found = distances.topk(count, largest=False)
    return list(zip(found.indices.tolist(), found.values.tolist(), strict=True))

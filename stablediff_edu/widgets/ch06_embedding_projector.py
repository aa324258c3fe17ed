"""A panel of chapter 6: word vectors in a 3-D projection to rotate, and a word's neighbors in all dimensions."""

import html
import math

import anywidget
import ipywidgets
import torch
import traitlets
from PIL import Image

from stablediff_edu.metrics.word_vectors import WordVectors
from stablediff_edu.models.autoencoder import PCA
from stablediff_edu.plotting.ch06_words import OTHER, Groups, group_indices, group_style, word_cloud
from stablediff_edu.plotting.core import figure_to_image
from stablediff_edu.widgets.base import Panel
from stablediff_edu.widgets.controls import STYLE, Slider, Text, script

MAX_WORDS = 2000  # the most frequent ones
MAX_NEIGHBORS = 30
VIEWS = {"azimuth": (-180, 180), "elevation": (-90, 90), "zoom": (50, 400)}
Neighbors = list[tuple[int, float]]  # the index of each point, and its distance


class WordCloud3D(anywidget.AnyWidget):
    """The cloud in the browser. Both sides may change `selected` and the view; Python sends `neighbors` back."""

    _esm, _css, changes = script("word_cloud"), STYLE, "selected"
    words: traitlets.List = traitlets.List().tag(sync=True)
    points: traitlets.List = traitlets.List().tag(sync=True)  # [x, y, z] each, in a ball of radius 1
    groups: traitlets.List = traitlets.List().tag(sync=True)  # an index each, -1 for none
    legend: traitlets.List = traitlets.List().tag(sync=True)  # [name, color, marker] of each group
    limits: traitlets.Dict = traitlets.Dict(VIEWS).tag(sync=True)
    selected = traitlets.Int(0).tag(sync=True)
    neighbors: traitlets.List = traitlets.List().tag(sync=True)  # [index, distance] of the nearest in all dimensions
    azimuth = traitlets.Int(30).tag(sync=True)  # degrees around the vertical axis
    elevation = traitlets.Int(20).tag(sync=True)  # degrees towards the viewer
    zoom = traitlets.Int(100).tag(sync=True)  # per cent


class EmbeddingProjector(Panel):
    """Controls: word, with completion; neighbors; azimuth, elevation, zoom.

    `.cloud` is the `WordCloud3D`, `.table` the nearest words in all dimensions beside those in the projection.

    Args:
        vectors: the words, four or more; the 2,000 most frequent are shown.
        groups: name -> words, for colors and markers.
        word: selected at the start.

    Raises:
        UserError: the word is not known.
    """

    def __init__(self, vectors: WordVectors, groups: Groups, word: str) -> None:
        self.vectors = vectors = vectors.most_frequent(MAX_WORDS)
        directions = vectors.directions.cpu()
        self.directions, self.projected = directions, PCA(directions, 3).encode(directions)  # (V, D), (V, 3)
        points = self.projected - (self.projected.amin(dim=0) + self.projected.amax(dim=0)) / 2
        self.cloud = WordCloud3D(
            words=list(vectors.words),
            points=[[round(n, 4) for n in point] for point in (points / points.norm(dim=1).max()).tolist()],
            groups=group_indices(vectors.words, groups),
            legend=[*([name, *group_style(n)] for n, name in enumerate(groups)), ["other words", OTHER, "o"]],
            selected=vectors.number(word),
        )
        most = min(MAX_NEIGHBORS, len(vectors) - 1)
        super().__init__(
            "Embedding projector",
            Text("word", word, suggestions=vectors.words),
            Slider("neighbors", 1, most, min(10, most)),
            *(Slider(name, *ends, getattr(self.cloud, name)) for name, ends in VIEWS.items()),
        )
        for name in VIEWS:
            traitlets.link((self.cloud, name), (self.controls[name], "value"))
        self.table = ipywidgets.HTML()
        self.table.add_class("sd-table")
        self.lay_out(["word", "neighbors"], self.note, [self.cloud, self.table], [*VIEWS])
        self._select()
        self.follow(self._search, "word")
        self.follow(self._select, self.cloud, "neighbors")

    def _search(self) -> None:
        self.cloud.selected = self.vectors.number(self["word"])
        self._select()  # also if the word stays: it is shown as it is spelled in the list

    def _select(self) -> None:
        selected, count = self.cloud.selected, self["neighbors"]
        self.set("word", self.vectors.words[selected])
        exact, projected = (nearest_points(points, selected, count) for points in (self.directions, self.projected))
        self.cloud.neighbors = [list(one) for one in exact]
        self.table.value = self._as_table(exact, projected)
        names = ", ".join(self.vectors.words[index] for index, _ in exact[:5])
        self.say(html.escape(f"nearest to “{self.vectors.words[selected]}”: {names}"))

    def _as_table(self, exact: Neighbors, projected: Neighbors) -> str:
        both = {index for index, _ in exact} & {index for index, _ in projected}

        def cell(index: int, distance: float) -> str:
            word = html.escape(self.vectors.words[index])
            return f"<td>{f'<b>{word} ●</b>' if index in both else word}<td>{distance:.2f}"

        rows = "".join(f"<tr>{cell(*a)}{cell(*b)}" for a, b in zip(exact, projected, strict=True))
        return (
            f"<table><caption>nearest words, with distances</caption><tr><th colspan=2>in all "
            f"{self.directions.shape[1]} dimensions<th colspan=2>in the projection{rows}</table>"
            f"<span>● in both tables: {len(both)} of {len(exact)}</span>"
        )

    def tiles(self) -> list[tuple[str, Image.Image]]:
        azimuth, elevation = math.radians(self.cloud.azimuth), math.radians(self.cloud.elevation)
        up = [-math.sin(elevation) * math.cos(azimuth), -math.sin(elevation) * math.sin(azimuth), math.cos(elevation)]
        axes = torch.tensor([[-math.sin(azimuth), math.cos(azimuth), 0.0], up])  # to the right, and up
        colors = [self.cloud.legend[group][1] for group in self.cloud.groups]
        named = [self.cloud.selected, *(index for index, _ in self.cloud.neighbors)]
        figure = word_cloud(self.vectors.words, torch.tensor(self.cloud.points) @ axes.T, colors, named)
        return [("3-D projection with the nearest words", figure_to_image(figure))]


def nearest_points(points: torch.Tensor, index: int, count: int) -> Neighbors:
    """Return the points, (V, D), nearest to one of them, without itself."""
    distances = (points - points[index]).norm(dim=1)  # (V,)
    distances[index] = torch.inf
    found = distances.topk(count, largest=False)
    return list(zip(found.indices.tolist(), found.values.tolist(), strict=True))

"""The figures of chapter 7's second half: each draws the numbers, images and sentences that it is given."""

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from stablediff_edu.plotting.ch07_clip import (
    CORRECT_COLOR,
    live_similarities,
    similarity_heatmap,
    similarity_maps,
    token_attention_maps,
    top_captions,
)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_a_sentence_is_a_row_and_a_picture_a_column(images):
    table = torch.tensor([[0.9, -0.2], [0.1, 0.8], [0.0, 0.5]])  # (3 images, 2 sentences)
    axis = similarity_heatmap(table, images, ["a red duck", "a boat"], chosen=1).axes[0]
    assert np.allclose(axis.images[0].get_array(), table.T)
    assert [text.get_text() for text in axis.texts] == ["0.9", "0.1", "0", "−0.2", "0.8", "0.5"]
    labels = axis.get_yticklabels()
    assert [label.get_text() for label in labels] == ["a red duck", "a boat"]
    assert [label.get_fontweight() for label in labels] == ["normal", "bold"]
    assert len(axis.child_axes) == 3


def test_the_maps_before_and_after_share_their_colours():
    figure = similarity_maps({"before": torch.zeros(4, 4), "after": torch.eye(4)})
    assert [axis.images[0].get_clim() for axis in figure.axes[:2]] == [(-1, 1)] * 2
    assert [axis.get_title() for axis in figure.axes[:2]] == ["before", "after"]


def test_the_live_picture_is_orange_where_alike_and_white_at_zero():
    image = np.asarray(live_similarities(40)(0, torch.eye(4)))
    assert image.shape == (40, 40, 3)
    red, _, blue = image[5, 5].astype(int)
    assert red > blue + 50
    assert image[5, 25].min() > 235


def test_the_own_sentence_is_marked_and_nothing_else(images):
    found = [[("a duck", 0.9), ("a boat", -0.1)], [("a whale", 0.8), ("a fish", 0.7)]]
    figure = top_captions(images[:2], found, ["a duck", "a fish"])
    texts = [[text.get_text() for text in axis.texts] for axis in figure.axes if axis.patches]
    assert texts == [["0.90  ✓ a duck", "−0.10  a boat"], ["0.80  a whale", "0.70  ✓ a fish"]]
    marked = [[bar.get_facecolor()[:3] == (230 / 255, 159 / 255, 0) for bar in axis.patches] for axis in figure.axes]
    assert CORRECT_COLOR == "#E69F00" and [row for row in marked if row] == [[True, False], [False, True]]


def test_a_word_lights_up_where_its_weights_are(images):
    weights = torch.zeros(2, 8, 8)
    weights[0, 2, 3] = 1.0
    figure = token_attention_maps(images[0], ["red", "boat"], weights)
    FigureCanvasAgg(figure).draw()
    assert [axis.get_title() for axis in figure.axes if axis.get_visible()] == ["image", "red", "boat"]
    red, boat = (axis.images[0].get_array().sum(axis=2) for axis in figure.axes[1:3])
    lit = np.argwhere(np.abs(red - boat) > 0.3)
    assert {tuple(place) for place in lit} == {(row, column) for row in (4, 5) for column in (6, 7)}

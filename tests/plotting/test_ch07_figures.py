"""Figures of chapters 7 and 8: each shows the values, images and sentences that it is given."""

import numpy as np
import pytest
import torch
from panel_factory import pipe as make_pipe
from torch import nn

from stablediff_edu.pipelines.attention_maps import sample_with_attention
from stablediff_edu.plotting import ch07_attention as figures
from stablediff_edu.plotting import ch08_text_to_image
from stablediff_edu.plotting.core import subplots
from stablediff_edu.plotting.heatmaps import plot_matrix

IMAGES = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def texts(axis) -> list[str]:
    return [text.get_text() for text in axis.texts]


def test_a_convolution_matrix_convolves():
    kernel, signal = [0.2, 0.5, -0.3], torch.randn(7)
    want = nn.functional.conv1d(signal[None, None], torch.tensor([[kernel]]), padding=1)[0, 0]
    torch.testing.assert_close(figures.convolution_as_matrix(kernel, 7) @ signal, want)


def test_maps_carry_the_words_and_the_values_where_there_is_room():
    words = ["the", "film", "was", "good"]
    figure = figures.attention_heatmaps({"one": torch.eye(4), "two": torch.eye(4) * 0.75 + 0.0625}, words)
    for axis in figure.axes:
        assert [label.get_text() for label in axis.get_xticklabels()] == words
        assert [label.get_text() for label in axis.get_yticklabels()] == words
    assert texts(figure.axes[1])[:2] == ["0.81", "0.06"]
    many = figures.attention_heatmaps({"one": torch.rand(16, 16), "two": torch.rand(16, 16)}, ["word"] * 16)
    assert not many.axes[0].texts


def test_lines_go_from_query_to_key():
    _, axis = subplots()
    figures.plot_lines(axis, torch.tensor([[0.0, 1.0], [0.9, 0.1]]))
    (lines,) = axis.collections
    assert [segment.tolist() for segment in lines.get_segments()] == [
        [[0, 0], [1, 1]],
        [[0, 1], [1, 0]],
        [[0, 1], [1, 1]],
    ]
    assert np.allclose(lines.get_linewidths(), [4.5, 4.1, 0.9])


def test_scores_of_both_signs_are_white_at_zero():
    _, axis = subplots()
    image = plot_matrix(axis, torch.tensor([[-2.0, 0.0]]), limit=2, signed=True)
    assert min(image.cmap(image.norm(0.0))[:3]) > 0.95
    live = np.asarray(figures.live_similarities()(0, torch.eye(4)))
    red, _, blue = live[5, 5].astype(int)
    assert live.shape == (336, 336, 3) and red > blue + 50 and live[5, 125].min() > 235


def test_a_sentence_is_a_row_and_an_image_a_column():
    table = torch.tensor([[0.9, -0.2], [0.1, 0.8], [0.0, 0.5]])  # (3 images, 2 sentences)
    axis = figures.similarity_heatmap(table, IMAGES, ["a red duck", "a boat"], chosen=1).axes[0]
    assert np.allclose(axis.images[0].get_array(), table.T)
    assert texts(axis) == ["0.9", "0.1", "0", "−0.2", "0.8", "0.5"]
    labels = axis.get_yticklabels()
    assert [label.get_text() for label in labels] == ["a red duck", "a boat"]
    assert [label.get_fontweight() for label in labels] == ["normal", "bold"]
    assert len(axis.child_axes) == 3


def test_the_image_s_own_sentence_is_marked_and_nothing_else():
    found = [[("a duck", 0.9), ("a boat", -0.1)], [("a whale", 0.8), ("a fish", 0.7)]]
    ranked = figures.top_captions(IMAGES[:2], found, ["a duck", "a fish"]).axes[1::2]
    names = [[label.get_text() for label in axis.get_yticklabels()] for axis in ranked]
    assert names == [["✓ a duck", "a boat"], ["a whale", "✓ a fish"]]
    assert [texts(axis) for axis in ranked] == [["0.90", "−0.10"], ["0.80", "0.70"]]
    colors = [[bar.get_facecolor()[:3] == (230 / 255, 159 / 255, 0) for bar in axis.patches] for axis in ranked]
    assert colors == [[True, False], [False, True]]


def test_a_word_lights_up_where_its_weights_are():
    weights = torch.zeros(2, 8, 8)
    weights[0, 2, 3] = 1.0
    axes = figures.token_attention_maps(IMAGES[0], ["red", "boat"], weights).axes
    assert [axis.get_title() for axis in axes] == ["image", "red", "boat"]
    red, boat = (axis.images[0].get_array().sum(axis=2) for axis in axes[1:])
    lit = np.argwhere(np.abs(red - boat) > 0.3)
    assert {tuple(place) for place in lit} == {(row, column) for row in (4, 5) for column in (6, 7)}


@pytest.mark.parametrize(("count", "most", "indices"), [(20, 4, [0, 6, 13, 19]), (3, 8, [0, 1, 2])])
def test_indices_are_evenly_spaced(count: int, most: int, indices: list[int]):
    assert ch08_text_to_image.spaced_indices(count, most) == indices


def test_prompts_and_words_stand_above_their_images():
    pipe = make_pipe()
    steps = list(pipe.stream("a red boat", steps=5))
    assert len(ch08_text_to_image.sampling_steps_figure(steps, columns=4).axes) == 8
    figure = ch08_text_to_image.prompt_grid(["a red boat", "a blue duck"], torch.zeros(2, 3, 8, 8), [True, False])
    assert [axis.get_title() for axis in figure.axes] == ["✓ a red boat", "✗ a blue duck"]
    sample = sample_with_attention(pipe, "a red boat", steps=3)
    figure = ch08_text_to_image.cross_attention_over_steps(sample, rows=2)
    titles = [axis.get_title() for axis in figure.axes[:4]]
    assert titles == ["predicted\nclean image", "a", "red", "boat"] and len(figure.axes) == 8

"""Figures of chapter 7's first half: words, weights and lines where they belong."""

import numpy as np
import torch
from torch import nn

from stablediff_edu.plotting.ch07_attention import (
    attention_bipartite,
    attention_heatmaps,
    convolution_as_matrix,
    plot_matrix,
)
from stablediff_edu.plotting.core import subplots


def test_a_convolution_matrix_convolves():
    kernel, signal = [0.2, 0.5, -0.3], torch.randn(7)
    want = nn.functional.conv1d(signal[None, None], torch.tensor([[kernel]]), padding=1)[0, 0]
    torch.testing.assert_close(convolution_as_matrix(kernel, 7) @ signal, want)


def test_maps_carry_the_words_and_the_numbers_where_there_is_room():
    words = ["the", "film", "was", "good"]
    weights = torch.eye(4) * 0.75 + 0.0625
    figure = attention_heatmaps(
        {"convolution": convolution_as_matrix([0.25, 0.5, 0.25], 4), "attention": weights}, words
    )
    for axis in figure.axes:
        assert [label.get_text() for label in axis.get_xticklabels()] == words
        assert [label.get_text() for label in axis.get_yticklabels()] == words
    assert [text.get_text() for text in figure.axes[1].texts][:2] == ["0.81", "0.06"]
    many = attention_heatmaps({"one": torch.rand(16, 16), "two": torch.rand(16, 16)}, ["word"] * 16)
    assert not many.axes[0].texts


def test_words_and_context_may_differ():
    figure = attention_heatmaps({"cross": torch.rand(2, 3)}, ["left", "right"], ["a", "red", "ship"])
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["a", "red", "ship"]


def test_lines_go_to_who_is_looked_at():
    figure = attention_bipartite(torch.tensor([[0.0, 1.0], [0.9, 0.1]]), ["not", "good"])
    (lines,) = figure.axes[0].collections
    assert [segment.tolist() for segment in lines.get_segments()] == [
        [[0, 0], [1, 1]],
        [[0, 1], [1, 0]],
        [[0, 1], [1, 1]],
    ]
    assert np.allclose(lines.get_linewidths(), [4.5, 4.1, 0.9])


def test_scores_of_both_signs_are_white_at_zero():
    _, axis = subplots()
    plot_matrix(axis, torch.tensor([[-2.0, 0.0]]), limit=2, signed=True)
    image = axis.images[0]
    assert min(image.cmap(image.norm(0.0))[:3]) > 0.95

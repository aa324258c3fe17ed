"""The panels of chapter 7's first half: every control over its range, what is drawn, and what is said."""

import io
import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from stablediff_edu.datasets.sentences import CLASSES, WORDS, encode
from stablediff_edu.display.attention_figures import (
    attention_lines,
    convolution_matrix,
    draw_cells,
    weight_maps,
)
from stablediff_edu.display.figures import new_figure
from stablediff_edu.display.panels.attention import attention_panel
from stablediff_edu.display.panels.matrix import ENTRIES, MATRICES, PRESETS, RANGE, VECTORS, matrix_panel
from stablediff_edu.errors import CourseError
from stablediff_edu.layers.attention import attention_weights, causal_mask, watch_attention
from stablediff_edu.layers.transformer import TransformerBlock
from stablediff_edu.models.sentence_reader import SentenceReader


@pytest.fixture(scope="module")
def reader() -> SentenceReader:
    torch.manual_seed(0)
    model = SentenceReader(len(WORDS), heads=2).eval()
    nn.init.normal_(model.words.weight)
    return model


@pytest.fixture
def panel(reader):
    return attention_panel(reader, encode, WORDS, CLASSES)


class TwoLayers(nn.Module):
    """As a text encoder: always causal, two layers, the second with fewer heads."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(len(WORDS), 12)
        self.layers = nn.ModuleList([TransformerBlock(12, 3), TransformerBlock(12, 2)])

    def forward(self, numbers):
        x = self.words(numbers)
        for layer in self.layers:
            x = layer(x, mask=causal_mask(numbers.shape[1]))
        return x


def picture(widget) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(widget.value)))


def changed(panel, act) -> bool:
    (image,) = panel.images.values()
    before = bytes(image.value)
    act()
    return bytes(image.value) != before


# --- type a sentence --------------------------------------------------------------------------------------------------


def test_every_head_is_drawn_as_the_network_looks(panel, reader):
    numbers = torch.tensor([encode(panel.controls["sentence"].value)])
    with watch_attention(reader) as seen:
        reader(numbers)
    head, number = panel.controls["head"], panel.controls["head number"]
    assert (head.min, head.max) == (1, 2) and "layer" not in panel.controls
    for chosen in (2, 1):
        assert changed(panel, lambda chosen=chosen: setattr(number, "value", chosen))
        assert head.value == chosen
        torch.testing.assert_close(panel.weights(), seen["attention"][0, chosen - 1])


def test_another_sentence_is_read_and_drawn(panel):
    for sentence in ("good", "The walk was not bad!", "very " * 15 + "good"):
        assert changed(panel, lambda sentence=sentence: setattr(panel.controls["sentence"], "value", sentence))
        assert panel.weights().shape == (len(encode(sentence)),) * 2
        answer = re.fullmatch(r"the network's answer: <b>(.+)</b> \((\d+)% sure\)", panel.note.value)
        assert answer[1] in CLASSES and 20 <= int(answer[2]) <= 100


def test_the_answer_is_the_networks(panel, reader):
    panel.controls["sentence"].value = "the soup was very nice"
    likely = reader(torch.tensor([encode("the soup was very nice")])).softmax(dim=1)
    assert CLASSES[int(likely.argmax())] in panel.note.value and f"({likely.max():.0%} sure)" in panel.note.value


@pytest.mark.parametrize("sentence", ["", "the film was goood", "<b>", "very " * 17])
def test_what_cannot_be_read_is_told_and_the_picture_stays(panel, sentence: str):
    assert not changed(panel, lambda: setattr(panel.controls["sentence"], "value", sentence))
    assert panel.note.value.endswith("The picture is still the last sentence's.")
    assert "&#x27;goood&#x27; is not among" in panel.note.value or "goood" not in sentence
    panel.controls["sentence"].value = "the film was good"
    assert panel.note.value.startswith("the network's answer")


def test_a_causal_mask_looks_back_only(panel):
    assert panel.weights().triu(1).any()
    assert changed(panel, lambda: setattr(panel.controls["mask"], "value", "causal"))
    assert not panel.weights().triu(1).any()
    assert changed(panel, lambda: setattr(panel.controls["mask"], "value", "none"))


def test_several_layers_have_a_slider_and_each_its_own_heads():
    torch.manual_seed(0)
    panel = attention_panel(TwoLayers().eval(), encode, WORDS, masks=("causal",))
    layer, head = panel.controls["layer number"], panel.controls["head number"]
    assert "mask" not in panel.controls and (layer.max, head.max) == (2, 3)
    head.value = 3
    assert changed(panel, lambda: setattr(layer, "value", 2))
    assert (head.max, head.value) == (2, 2) and not panel.weights().triu(1).any()
    layer.value = 1
    assert head.max == 3


def test_a_network_without_attention_is_refused():
    with pytest.raises(CourseError, match="There is no attention in this network"):
        attention_panel(nn.Embedding(len(WORDS), 5), encode, WORDS, masks=("none",))


# --- move a matrix ----------------------------------------------------------------------------------------------------


def test_the_weights_are_those_of_the_moved_vectors():
    panel = matrix_panel()
    vectors = torch.tensor(list(VECTORS.values()))
    for place, number in enumerate((0.5, -1.0, 1.5, 2.0)):
        panel.controls[ENTRIES[place]].value = number
    query = torch.tensor([[0.5, -1.0], [1.5, 2.0]])
    torch.testing.assert_close(panel.matrices["query"], query)
    moved = torch.stack([query @ vector for vector in vectors])
    torch.testing.assert_close(panel.weights(), attention_weights(moved, vectors))
    assert torch.equal(panel.matrices["key"], torch.eye(2))


def test_influence_is_the_same_both_ways_only_without_matrices():
    panel = matrix_panel()
    assert "the same both ways" in panel.note.value and "not the same" not in panel.note.value
    panel.controls["row 1, column 2"].value = 1.0
    assert "not the same both ways" in panel.note.value
    panel.controls["back"].click()
    assert "not the same" not in panel.note.value
    assert all(torch.equal(matrix, torch.eye(2)) for matrix in panel.matrices.values())


def test_every_number_of_every_matrix_moves_over_its_range():
    panel = matrix_panel()
    for name in MATRICES:
        panel.controls["matrix"].value = name
        for entry in ENTRIES:
            for number in (RANGE.low, RANGE.high):
                assert changed(
                    panel, lambda number=number, entry=entry: setattr(panel.controls[entry], "value", number)
                )
        assert panel.matrices[name].tolist() == [[2, 2], [2, 2]]
    assert "nan" not in panel.note.value


def test_each_matrix_keeps_its_numbers():
    panel = matrix_panel()
    panel.controls["row 1, column 1"].value = 0.5
    panel.controls["matrix"].value = "key"
    assert panel.controls["row 1, column 1"].value == 1
    panel.controls["matrix"].value = "query"
    assert panel.controls["row 1, column 1"].value == 0.5


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_moves_the_sliders(preset: str):
    panel = matrix_panel()
    panel.controls["matrix"].value = "value"
    panel.controls["preset"].value = preset
    shown = [panel.controls[entry].value for entry in ENTRIES]
    assert shown == [number for row in PRESETS[preset] for number in row]
    assert panel.matrices["value"].flatten().tolist() == shown


def test_a_drag_moves_matrix_sliders_and_picture():
    panel = matrix_panel()
    panel.controls["matrix"].value = "key"
    assert changed(panel, lambda: setattr(panel.pad, "matrix", [0.5, -1.0, 1.5, 2.0]))
    torch.testing.assert_close(panel.matrices["key"], torch.tensor([[0.5, -1.0], [1.5, 2.0]]))
    assert [panel.controls[entry].value for entry in ENTRIES] == [0.5, -1.0, 1.5, 2.0]
    assert torch.equal(panel.matrices["query"], torch.eye(2))


def test_the_pad_shows_the_chosen_matrix_whatever_moves_it():
    panel = matrix_panel()
    panel.controls["row 2, column 1"].value = -0.35
    assert panel.pad.matrix == [1, 0, -0.35, 1]
    panel.controls["matrix"].value = "value"
    assert (panel.pad.name, panel.pad.colour) == ("value", MATRICES["value"])
    assert panel.pad.matrix == [1, 0, 0, 1]
    panel.controls["preset"].value = "shear"
    assert panel.pad.matrix == [1, 1, 0, 1]
    panel.controls["back"].click()
    assert panel.pad.matrix == [1, 0, 0, 1]


def test_a_drag_draws_once_and_ends_where_the_sliders_can_go():
    panel, drawn = matrix_panel(), []
    panel.images["matrices"].observe(lambda change: drawn.append(change), "value")
    panel.pad.matrix = [0.333, 7, -7, 0.01]
    assert panel.pad.matrix == [0.35, 2, -2, 0] == [panel.controls[entry].value for entry in ENTRIES]
    assert len(drawn) == 1


def test_one_word_alone_looks_at_itself():
    panel = matrix_panel({"good": (1, 0.5)})
    assert panel.weights().tolist() == [[1.0]]


# --- figures ----------------------------------------------------------------------------------------------------------


def test_a_convolution_matrix_convolves():
    kernel, signal = [0.2, 0.5, -0.3], torch.randn(7)
    want = nn.functional.conv1d(signal[None, None], torch.tensor([[kernel]]), padding=1)[0, 0]
    torch.testing.assert_close(convolution_matrix(kernel, 7) @ signal, want)


def test_maps_carry_the_words_and_the_numbers_where_there_is_room():
    words = ["the", "film", "was", "good"]
    weights = torch.eye(4) * 0.75 + 0.0625
    figure = weight_maps({"convolution": convolution_matrix([0.25, 0.5, 0.25], 4), "attention": weights}, words)
    for axis in figure.axes:
        assert [label.get_text() for label in axis.get_xticklabels()] == words
        assert [label.get_text() for label in axis.get_yticklabels()] == words
    assert [text.get_text() for text in figure.axes[1].texts][:2] == ["0.81", "0.06"]
    many = weight_maps({"one": torch.rand(16, 16), "two": torch.rand(16, 16)}, ["word"] * 16)
    assert not many.axes[0].texts


def test_words_and_context_may_differ():
    figure = weight_maps({"cross": torch.rand(2, 3)}, ["left", "right"], ["a", "red", "ship"])
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["a", "red", "ship"]


def test_lines_go_to_who_is_looked_at():
    figure = attention_lines(torch.tensor([[0.0, 1.0], [0.9, 0.1]]), ["not", "good"])
    (lines,) = figure.axes[0].collections
    assert [segment.tolist() for segment in lines.get_segments()] == [
        [[0, 0], [1, 1]],
        [[0, 1], [1, 0]],
        [[0, 1], [1, 1]],
    ]
    assert np.allclose(lines.get_linewidths(), [4.5, 4.1, 0.9])


def test_scores_of_both_signs_are_white_at_zero():
    _, axis = new_figure()
    draw_cells(axis, torch.tensor([[-2.0, 0.0]]), limit=2, signed=True)
    image = axis.images[0]
    assert min(image.cmap(image.norm(0.0))[:3]) > 0.95

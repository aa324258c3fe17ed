"""The figures of chapter 6: each draws what it is given, and names do not cover each other."""

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from stablediff_edu.plotting.ch06_words import (
    embedding_scatter,
    group_indices,
    group_style,
    live_bars,
    quantile_band,
    relation_arrows,
    similarity_ranking,
)

GROUPS = {"people": ["king", "queen"], "places": ["rome"]}


def texts(axis) -> list[str]:
    return [text.get_text().strip() for text in axis.texts]


def boxes(axis) -> list:
    FigureCanvasAgg(axis.figure).draw()
    return [text.get_window_extent() for text in axis.texts]


def covered(axis) -> list[tuple[str, str]]:
    """Pairs of names on an axis that overlap by more than a pixel."""
    found, names = boxes(axis), texts(axis)
    return [
        (names[i], names[j])
        for i in range(len(found))
        for j in range(i)
        if min(found[i].x1, found[j].x1) - max(found[i].x0, found[j].x0) > 1
        and min(found[i].y1, found[j].y1) - max(found[i].y0, found[j].y0) > 1
    ]


def test_a_word_belongs_to_its_first_group_or_to_none():
    assert group_indices(["rome", "tea", "king"], GROUPS) == [1, -1, 0]
    assert group_indices(["king"], GROUPS | {"chess": ["king"]}) == [0]


def test_no_two_of_twenty_groups_look_the_same():
    assert len({group_style(index) for index in range(20)}) == 20


def test_a_map_names_words_without_covering_names():
    rng = torch.Generator().manual_seed(0)
    words = [f"word{'s' * (n % 9)}{n}" for n in range(150)]
    places = torch.randn(150, 2, generator=rng)
    figure = embedding_scatter(words, places, {"first": words[:40], "second": words[40:80]})
    axis = figure.axes[0]
    assert covered(axis) == []
    assert len(texts(axis)) > 60
    assert len(set(texts(axis)) & set(words[:80])) > len(set(texts(axis)) & set(words[80:])), "groups are named first"


def test_a_map_puts_each_group_where_its_words_are():
    places = torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]])
    figure = embedding_scatter(["king", "tea", "rome", "queen"], places, GROUPS)
    drawn = {line.get_label(): line.get_xydata().tolist() for line in figure.axes[0].lines}
    assert drawn == {"other words": [[2, 3]], "people": [[0, 1], [6, 7]], "places": [[4, 5]]}


def test_a_ranking_marks_the_answer_and_the_words_of_the_question():
    figure = similarity_ranking({"one": [("queen", 0.9), ("king", 0.7), ("tea", -0.25)]}, ["queen"], ["king", "man"])
    axis = figure.axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["✓ queen", "king", "tea"]
    assert [bar.get_width() for bar in axis.patches] == [0.9, 0.7, -0.25]
    assert [bool(bar.get_hatch()) for bar in axis.patches] == [False, True, False]
    assert texts(axis) == ["0.90", "0.70", "−0.25"]
    assert axis.get_ylim()[0] > axis.get_ylim()[1], "the best is above"


def test_arrows_of_pairs_that_differ_alike_are_parallel():
    rng = torch.Generator().manual_seed(1)
    step = torch.randn(8, generator=rng)
    starts = torch.randn(4, 8, generator=rng)
    words = {f"a{n}": start for n, start in enumerate(starts)} | {f"b{n}": s + step for n, s in enumerate(starts)}
    axis = relation_arrows(words, {"a to b": [(f"a{n}", f"b{n}") for n in range(4)]}).axes[0]
    places = axis.lines[0].get_xydata().reshape(4, 2, 2)
    arrows = places[:, 1] - places[:, 0]
    assert np.allclose(arrows, arrows[0], atol=1e-5) and np.abs(arrows[0]).max() > 0.1
    assert covered(axis) == []


def test_a_cloud_follows_what_grows():
    x = torch.linspace(0, 1, 500)
    axis = quantile_band([("title", "x", "y", x, 2 * x)]).axes[0]
    middle, median = axis.lines[0].get_data()
    assert len(middle) == 24
    assert np.allclose(median, 2 * np.array(middle), atol=1e-5)


def test_live_bars_grow_with_the_numbers():
    draw = live_bars(["building", "electricity"])
    small, large = (np.asarray(draw(3, torch.tensor([value, -value]))) for value in (1.0, 6.0))
    orange = [(np.abs(image.astype(int) - (0xE6, 0x9F, 0x00)).max(-1) < 8).sum() for image in (small, large)]
    assert orange[1] == pytest.approx(6 * orange[0], rel=0.1)

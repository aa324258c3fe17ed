"""The figures of chapters 3 and 4 show what they are given, named, within the page, in letters that can be read."""

import io

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

from stablediff_edu.diffusion.schedule import NoiseSchedule
from stablediff_edu.layers.embeddings import sinusoidal_embedding
from stablediff_edu.plotting import ch03_diffusion as figures

PICTURES = torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
SCHEDULES = {
    "linear": NoiseSchedule.linear(),
    "scaled linear": NoiseSchedule.scaled_linear(),
    "cosine": NoiseSchedule.cosine(),
}
ENCODING = sinusoidal_embedding(torch.arange(200), 32)

ALL = {
    "noise_strip": lambda: figures.forward_process_strip(
        PICTURES[0], SCHEDULES["cosine"], range(0, 1000, 142), PICTURES[1]
    ),
    "two rows": lambda: figures.forward_process_strip(
        PICTURES[:1], SCHEDULES["linear"], [0, 5, 999], PICTURES[1:2], columns=2
    ),
    "schedule_curves": lambda: figures.schedule_curves(SCHEDULES),
    "encoding_map": lambda: figures.position_encoding_heatmap(ENCODING, marked=(10, 11, 150)),
    "distances": lambda: figures.distance_matrix(ENCODING),
    "lines": lambda: figures.plot_curves([1, 2, 5], {"a": [1, 2, None], "b": [2, 1, 3]}, "steps", "dB", logx=True),
    "cost": lambda: figures.plot_curves(
        [16, 32, 1080], {"a": [0.11, 0.2, 7000]}, "side", "seconds", True, True, ["16", "32", "1080\nHD"], "cost"
    ),
    "trajectory_rows": lambda: figures.image_grid(
        {"1 step": PICTURES[:1], "2 steps\nof Heun": PICTURES[:10]}, [f"step {n} of 10" for n in range(10)]
    ),
    "nearest_pairs": lambda: figures.nearest_neighbor_pairs(PICTURES[:8], PICTURES[4:], ["distance 13.1"] * 8),
    "nearest three": lambda: figures.nearest_neighbor_pairs(PICTURES[:4], PICTURES.reshape(4, 3, 3, 8, 8)),
    "sheet": lambda: figures.contact_sheet_figure(PICTURES, title="twelve"),
    "sheets": lambda: figures.contact_sheets({"one\nand two": PICTURES[:2], "all": PICTURES}, columns=3),
}


def texts(figure) -> list[Text]:
    return [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]


@pytest.mark.parametrize("name", ALL)
def test_fits_the_page_and_can_be_read(name: str):
    figure = ALL[name]()
    data = io.BytesIO()
    figure.savefig(data, bbox_inches="tight", pad_inches=0.08)
    width, height = Image.open(data).size
    assert 100 < width <= 1000 and 80 < height <= 1000, (width, height)
    assert all(text.get_fontsize() >= 8 for text in texts(figure))


@pytest.mark.parametrize("name", ALL)
def test_titles_beside_each_other_do_not_touch(name: str):
    figure = ALL[name]()
    FigureCanvasAgg(figure).draw()  # lays the axes out
    titles = [axis.title for axis in figure.axes if axis.get_visible() and axis.get_title()]
    boxes = [title.get_window_extent() for title in titles]
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[number + 1 :]), titles[number].get_text()


@pytest.mark.parametrize("name", ["schedule_curves", "lines", "cost", "distances", "encoding_map"])
def test_every_axis_says_what_is_measured(name: str):
    for axis in ALL[name]().axes:
        named = axis.get_xlabel() or axis.get_ylabel() or axis.get_title() or axis.get_title(loc="left")
        assert named, axis


def test_noise_strip_shows_the_schedules_mixtures():
    schedule = SCHEDULES["cosine"]
    axes = figures.forward_process_strip(PICTURES[0], schedule, [0, 500], PICTURES[1]).axes
    assert [axis.get_title() for axis in axes] == ["t = 0", "t = 500"]
    mixture = schedule.add_noise(PICTURES[:1], PICTURES[1:2], 500)[0]
    expected = ((mixture + 1) / 2).clamp(0, 1).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(np.asarray(axes[1].images[0].get_array()), expected, atol=1e-6)
    assert axes[1].get_xlabel().startswith(f"{schedule.alpha_bar[500].sqrt():.3f} · image")


def test_curves_differ_in_dash_and_marker_not_only_in_colour():
    for figure in (ALL["schedule_curves"](), ALL["lines"]()):
        drawn = figure.axes[0].get_lines()
        for kind in ("get_color", "get_marker", "get_linestyle"):
            assert len({str(getattr(line, kind)()) for line in drawn}) == len(drawn)


def test_shares_of_picture_and_noise_make_one():
    image, noise = ALL["schedule_curves"]().axes
    for shares in zip(image.get_lines(), noise.get_lines(), strict=True):
        np.testing.assert_allclose(sum(line.get_ydata() ** 2 for line in shares), 1, atol=1e-9)


def test_what_was_not_measured_is_left_out():
    line = ALL["lines"]().axes[0].get_lines()[0]
    assert np.isnan(line.get_ydata()[2]) and line.get_ydata()[:2].tolist() == [1, 2]


def test_a_logarithmic_axis_names_the_measured_places():
    axis = ALL["lines"]().axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1", "2", "5"]
    assert [label.get_text() for label in ALL["cost"]().axes[0].get_xticklabels()] == ["16", "32", "1080\nHD"]


def test_marked_positions_are_drawn_as_they_are():
    figure = ALL["encoding_map"]()
    drawn = {axis.get_title(loc="left"): axis for axis in figure.axes}
    heights = [bar.get_height() for bar in drawn["timestep 150"].patches]
    np.testing.assert_allclose(heights, ENCODING[150], atol=1e-6)
    assert "10 and 11" in [text.get_text() for text in texts(figure)]


def test_distances_are_those_between_the_vectors():
    matrix = np.asarray(ALL["distances"]().axes[0].images[0].get_array())
    np.testing.assert_allclose(matrix[3, 77], (ENCODING[3] - ENCODING[77]).norm(), atol=1e-4)


def test_rows_are_named_and_a_short_one_ends_empty():
    axes = np.array(ALL["trajectory_rows"]().axes).reshape(2, 10)
    assert [axis.get_ylabel() for axis in axes[:, 0]] == ["1 step", "2 steps\nof Heun"]
    assert [axis.get_visible() for axis in axes[0]] == [True] + [False] * 9


def test_pairs_stand_below_each_other():
    above, below = np.array(ALL["nearest_pairs"]().axes).reshape(2, 8)
    for number in range(8):
        for axis, image in ((above[number], PICTURES[number]), (below[number], PICTURES[4 + number])):
            expected = ((image + 1) / 2).permute(1, 2, 0).numpy()
            np.testing.assert_allclose(np.asarray(axis.images[0].get_array()), expected, atol=1e-6)
    assert len(ALL["nearest three"]().axes) == 16


def test_a_sheet_holds_every_picture_in_its_place():
    laid = figures.contact_sheet(PICTURES, columns=5)  # 3 rows of 5, a line of 1 between
    assert laid.shape == (3 * 9 - 1, 5 * 9 - 1, 3)
    np.testing.assert_allclose(laid[9:17, 18:26], ((PICTURES[7] + 1) / 2).permute(1, 2, 0), atol=1e-6)
    assert (laid[8] == 1).all() and (laid[18:, 18:] == 1).all()  # between, and where there is none, it is white

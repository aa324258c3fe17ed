"""Grids, heat maps and curves show what they are given, on the page, in letters that can be read."""

import io

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

from stablediff_edu.data.fish.synthetic import render_fish
from stablediff_edu.diffusion.schedule import NoiseSchedule
from stablediff_edu.layers.embeddings import sinusoidal_embedding
from stablediff_edu.plotting import ch02_segmentation, ch03_diffusion, ch05_latents, curves, grids, heatmaps

IMAGES = torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
RAW = torch.linspace(-0.5, 1.5, 64).view(1, 1, 8, 8)
SCHEDULES = {"linear": NoiseSchedule.linear(), "cosine": NoiseSchedule.cosine()}
ENCODING = sinusoidal_embedding(torch.arange(200), 32)
SCENE = render_fish(10, 96, num_fish=3)

ALL = {
    "strip": lambda: ch03_diffusion.forward_process_strip(
        IMAGES[0], SCHEDULES["cosine"], [0, 500, *range(1, 7)], IMAGES[1]
    ),
    "schedules": lambda: ch03_diffusion.schedule_curves(SCHEDULES),
    "encoding": lambda: ch03_diffusion.position_encoding_heatmap(ENCODING, marked=(10, 11, 150)),
    "distances": lambda: heatmaps.plot_heatmaps(
        {"distance": torch.cdist(ENCODING, ENCODING)}, xlabel="t", ylabel="t", bar="distance", width=5.6
    ),
    "curves": lambda: curves.plot_curves([1, 2, 5], {"a": [1, 2, None], "b": [2, 1, 3]}, "steps", "dB", logx=True),
    "cost": lambda: curves.cost_extrapolation([16, 32], [0.25, 1], {"HD 1920×1080": 1920 * 1080}),
    "bars": lambda: curves.grouped_bars({"one": {"a": 0.5, "b": 0.25}, "two": {"a": 0.1, "b": 0.2}}, "IoU"),
    "row": lambda: grids.image_row([torch.zeros(8, 8)] * 5, list("abcde"), columns=3, scale=["signed"] * 5),
    "grid": lambda: grids.image_grid(
        {"1 step": IMAGES[:1], "2 steps\nof Heun": IMAGES[:10]}, [f"step {n} of 10" for n in range(10)]
    ),
    "sheets": lambda: grids.contact_sheets({"one\nand two": IMAGES[:2], "all": IMAGES}, columns=3),
    "vision tasks": lambda: ch02_segmentation.plot_vision_tasks(SCENE),
    "outputs": lambda: ch02_segmentation.compare_outputs(
        {"a": RAW.expand(3, -1, -1, -1)}, IMAGES[:3], RAW[[0] * 3] > 1
    ),
    "logits": lambda: ch02_segmentation.logits_and_mask(RAW[0], RAW[0] > 0.5, IMAGES[0]),
    "fields": lambda: ch02_segmentation.plot_receptive_fields(IMAGES[0], {"down 1": 3, "middle": 7}),
    "correlations": lambda: ch02_segmentation.plot_channel_correlations(
        IMAGES[0], {"fish": RAW[0] > 0}, {"fish": (3, -0.5, RAW[0, 0])}
    ),
    "last layer": lambda: ch02_segmentation.last_layer_sum(IMAGES[:, 0], torch.linspace(-1, 1, 12), RAW[0]),
    "latents": lambda: ch05_latents.latent_channels(IMAGES[:5, :1], torch.ones(5, 2, 4, 4), IMAGES[:5, :1]),
    "latent space": lambda: ch05_latents.latent_space_overview(
        torch.rand(40, 2), torch.arange(40) % 10, lambda z: z.sum(1).view(-1, 1, 1, 1).expand(-1, 1, 4, 4), count=6
    ),
}


def pixels(axis) -> np.ndarray:
    return np.asarray(axis.images[-1].get_array())


def as_shown(image: torch.Tensor) -> torch.Tensor:
    return ((image + 1) / 2).clamp(0, 1).permute(1, 2, 0)


@pytest.mark.parametrize("name", ALL)
def test_fits_the_page_and_can_be_read(name: str):
    figure = ALL[name]()
    data = io.BytesIO()
    figure.savefig(data, bbox_inches="tight", pad_inches=0.08)
    width, height = Image.open(data).size
    assert 100 < width <= 1000 and 80 < height <= 1000, (width, height)
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    assert all(text.get_fontsize() >= 8 for text in texts)
    FigureCanvasAgg(figure).draw()  # lays the axes out
    titles = [axis.title for axis in figure.axes if axis.get_visible() and axis.get_title()]
    boxes = [title.get_window_extent() for title in titles]
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[number + 1 :]), titles[number].get_text()


@pytest.mark.parametrize("name", ["schedules", "curves", "cost", "distances", "encoding", "bars", "latent space"])
def test_every_axis_says_what_is_measured(name: str):
    for axis in ALL[name]().axes:
        assert axis.get_xlabel() or axis.get_ylabel() or axis.get_title() or axis.get_title(loc="left"), axis


def test_rows_are_named_and_a_short_one_ends_empty():
    axes = np.array(ALL["grid"]().axes).reshape(2, 10)
    assert [axis.get_ylabel() for axis in axes[:, 0]] == ["1 step", "2 steps\nof Heun"]
    assert [axis.get_visible() for axis in axes[0]] == [True] + [False] * 9
    assert axes[0, 0].get_title() == "step 0 of 10"
    np.testing.assert_allclose(pixels(axes[1, 7]), as_shown(IMAGES[7]), atol=1e-6)
    assert sum(axis.get_visible() for axis in ALL["row"]().axes) == 5
    with pytest.raises(ValueError, match="no image"):
        grids.image_row([])


def test_a_sheet_holds_every_image_at_its_position():
    sheet = grids.contact_sheet(IMAGES, columns=5)  # 3 rows of 5, a line of 1 between
    assert sheet.shape == (3 * 9 - 1, 5 * 9 - 1, 3)
    np.testing.assert_allclose(sheet[9:17, 18:26], as_shown(IMAGES[7]) * 255, atol=1)
    assert (sheet[8] == 255).all() and (sheet[18:, 18:] == 255).all()  # between, and where there is none, it is white


def test_curves_differ_in_dash_and_marker_not_only_in_color():
    for figure in (ALL["schedules"](), ALL["curves"]()):
        lines = figure.axes[0].get_lines()
        for kind in ("get_color", "get_marker", "get_linestyle"):
            assert len({str(getattr(line, kind)()) for line in lines}) == len(lines)


def test_what_was_not_measured_is_left_out_and_measured_values_are_named():
    axis = ALL["curves"]().axes[0]
    assert axis.get_lines()[0].get_xydata().tolist() == [[1, 1], [2, 2]]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1", "2", "5"]


def test_cost_grows_with_the_pixels_beyond_what_was_measured():
    axis = ALL["cost"]().axes[0]
    measured, beyond = (line.get_xydata().tolist() for line in axis.get_lines())
    assert measured == [[256, 0.25], [1024, 1]] and beyond == [[1024, 1], [1920 * 1080, 1920 * 1080 / 1024]]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["16×16", "32×32", "HD\n1920×1080"]


def test_the_strip_shows_the_noisy_images_of_the_schedule():
    schedule, axis = SCHEDULES["cosine"], ALL["strip"]().axes[1]
    assert axis.get_title() == "t = 500"
    np.testing.assert_allclose(pixels(axis), as_shown(schedule.add_noise(IMAGES[:1], IMAGES[1:2], 500)[0]), atol=1e-6)
    assert axis.get_xlabel().startswith(f"{schedule.alpha_bar[500].sqrt():.3f} · image")
    for factors in zip(*(axis.get_lines() for axis in ALL["schedules"]().axes), strict=True):
        np.testing.assert_allclose(sum(line.get_ydata() ** 2 for line in factors), 1, atol=1e-9)


def test_marked_positions_and_distances_are_those_of_the_vectors():
    axes = {axis.get_title(loc="left"): axis for axis in ALL["encoding"]().axes}
    np.testing.assert_allclose([bar.get_height() for bar in axes["timestep 150"].patches], ENCODING[150], atol=1e-6)
    distance = pixels(ALL["distances"]().axes[0])[3, 77]
    np.testing.assert_allclose(distance, (ENCODING[3] - ENCODING[77]).norm(), atol=1e-4)


def test_vision_tasks_name_every_fish():
    axes = ALL["vision tasks"]().axes
    words = [text.get_text() for axis in axes for text in axis.texts]
    assert len(words) == 2 and set(words) <= set(SCENE.species)  # tasks 1 and 2: the largest fish
    assert [text.get_text() for text in axes[3].get_legend().get_texts()] == list(SCENE.species)


def test_raw_outputs_beyond_zero_and_one_are_seen():
    colors = ch02_segmentation.colorize_logits(torch.tensor([[[-0.4, 0.0, 1.0, 1.4]]]))[0]
    assert len({tuple(color) for color in colors.tolist()}) == 4
    axes = ALL["logits"]().axes
    assert axes[1].images[0].get_clim() == (-0.5, 1.5) and pixels(axes[2]).max() == 1


def test_decoded_images_are_where_their_latent_vectors_are():
    sheet = pixels(ALL["latent space"]().axes[1]).reshape(6, 4, 6, 4)[:, 0, :, 0]
    assert (np.diff(sheet, axis=0) < 0).all() and (np.diff(sheet, axis=1) > 0).all()  # rows downwards, columns right

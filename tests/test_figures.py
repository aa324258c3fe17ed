"""Figures carry their caption, and images, signed maps and masks are drawn as the course promises."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from stablediff_edu.data.fish.synthetic import render_fish
from stablediff_edu.data.sample_image import sample_image
from stablediff_edu.plotting import core as core_plotting
from stablediff_edu.plotting.ch02_vision_tasks import plot_vision_tasks


@pytest.fixture
def shown(monkeypatch):
    """What a cell would put on the page: (data, metadata) of each output."""
    outputs = []
    monkeypatch.setattr(
        "IPython.display.display", lambda data, metadata=None, raw=False: outputs.append((data, metadata or {}))
    )
    return outputs


def test_show_stores_the_caption_and_prints_it(shown):
    figure = core_plotting.image_row([sample_image(32)], ["Grace Hopper"])
    core_plotting.show_figure(figure, "  A portrait,\n     cropped <square>. ")
    (picture, metadata), (line, _) = shown
    assert metadata["image/png"]["alt"] == "A portrait, cropped <square>."
    assert "A portrait, cropped &lt;square&gt;." in line["text/html"]
    image = Image.open(io.BytesIO(base64.b64decode(picture["image/png"])))
    assert image.width > 100


@pytest.mark.parametrize("caption", ["", "   \n "])
def test_show_refuses_an_empty_caption(shown, caption):
    with pytest.raises(ValueError, match="caption"):
        core_plotting.show_figure(core_plotting.subplots()[0], caption)
    assert shown == []


def test_large_figures_stay_small_and_white(shown):
    rng = torch.Generator().manual_seed(0)
    noise = torch.rand(3, 300, 300, generator=rng) * 2 - 1
    core_plotting.show_figure(core_plotting.image_row([noise] * 3), "noise")
    data = base64.b64decode(shown[0][0]["image/png"])
    image = Image.open(io.BytesIO(data))
    assert image.mode == "P" and image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_show_closes_a_pyplot_figure(shown):
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure = pyplot.figure()
    core_plotting.show_figure(figure, "nothing in it")
    assert not pyplot.fignum_exists(figure.number)


def test_to_image():
    assert core_plotting.to_numpy_image(torch.full((3, 4, 5), -1.0)).shape == (4, 5, 3)
    assert core_plotting.to_numpy_image(torch.zeros(1, 4, 5)).tolist() == np.full((4, 5), 0.5).tolist()
    assert core_plotting.to_numpy_image(torch.full((2, 2), 7.0)).max() == 1.0
    assert core_plotting.to_numpy_image(torch.ones(1, 1, 2, 2), scale="unit").min() == 1.0
    assert core_plotting.to_numpy_image(torch.ones(2, 2, dtype=torch.bool)).min() == 1.0
    assert core_plotting.to_numpy_image(torch.full((2, 2), 255, dtype=torch.uint8)).min() == 1.0
    with pytest.raises(ValueError, match="shape"):
        core_plotting.to_numpy_image(torch.zeros(7, 4, 4))
    with pytest.raises(ValueError, match="scale"):
        core_plotting.to_numpy_image(torch.zeros(4, 4), scale="log")


def test_signed_maps_have_zero_in_the_middle():
    figure = core_plotting.image_row([torch.tensor([[-1.0, 0.0, 3.0]])], scale="signed", labels="difference")
    image = figure.axes[0].images[0]
    assert image.norm.vmin == -image.norm.vmax
    red, green, blue, _ = image.cmap(image.norm(0.0))
    assert min(red, green, blue) > 0.9
    core_plotting.annotate_values(figure.axes[0], torch.tensor([[-1.0, 0.0, 3.0]]))
    assert [text.get_text() for text in figure.axes[0].texts] == ["−1", "0", "3"]


def test_masks_are_outline_and_hatch_even_at_the_rim():
    mask = torch.zeros(1, 20, 20)
    mask[:, :8, :8] = 1
    figure = core_plotting.image_row([torch.zeros(3, 20, 20)] * 2, ["with", "without"], masks=[mask, None])
    assert len(figure.axes[0].collections) == 2 and not figure.axes[1].collections
    core_plotting.overlay_mask(figure.axes[1], torch.zeros(20, 20), label="nothing")  # an empty mask draws nothing
    assert not figure.axes[1].collections
    figure.canvas.draw()


def test_rows_and_empty_rows():
    figure = core_plotting.image_row([torch.zeros(8, 8)] * 5, columns=2)
    assert sum(axis.get_visible() for axis in figure.axes) == 5
    with pytest.raises(ValueError, match="no image"):
        core_plotting.image_row([])


def test_five_levels_name_every_fish():
    scene = render_fish(10, 96, num_fish=3)
    figure = plot_vision_tasks(scene)
    words = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert len(words) == 2 and set(words) <= set(scene.species)  # levels 1 and 2: the largest fish
    assert [text.get_text() for text in figure.axes[3].get_legend().get_texts()] == list(scene.species)


def test_photo():
    color, gray = sample_image(40), sample_image(40, gray=True)
    assert color.shape == (3, 40, 40) and gray.shape == (1, 40, 40)
    assert color.dtype == torch.float32 and color.min() >= -1 and color.max() <= 1
    assert color.std() > 0.3

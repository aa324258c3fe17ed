"""Figures carry their caption, and pictures, signed maps and masks are drawn as the course promises."""

import base64
import io
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from stablediff_edu.datasets.drawn_fish import draw_fish
from stablediff_edu.datasets.photo import load_photo
from stablediff_edu.display import figures
from stablediff_edu.display.levels import five_levels


@pytest.fixture
def shown(monkeypatch):
    """What a cell would put on the page: (data, metadata) of each output."""
    outputs = []
    monkeypatch.setattr(
        "IPython.display.display", lambda data, metadata=None, raw=False: outputs.append((data, metadata or {}))
    )
    return outputs


def test_show_stores_the_caption_and_prints_it(shown):
    figure = figures.picture_row([load_photo(32)], ["Grace Hopper"])
    figures.show(figure, "  A portrait,\n     cropped <square>. ")
    (picture, metadata), (line, _) = shown
    assert metadata["image/png"]["alt"] == "A portrait, cropped <square>."
    assert "A portrait, cropped &lt;square&gt;." in line["text/html"]
    image = Image.open(io.BytesIO(base64.b64decode(picture["image/png"])))
    assert image.width > 100


@pytest.mark.parametrize("caption", ["", "   \n "])
def test_show_refuses_an_empty_caption(shown, caption):
    with pytest.raises(ValueError, match="caption"):
        figures.show(figures.new_figure()[0], caption)
    assert shown == []


def test_large_figures_stay_small_and_white(shown):
    random = torch.Generator().manual_seed(0)
    noise = torch.rand(3, 300, 300, generator=random) * 2 - 1
    figures.show(figures.picture_row([noise] * 3), "noise")
    data = base64.b64decode(shown[0][0]["image/png"])
    image = Image.open(io.BytesIO(data))
    assert image.mode == "P" and image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_show_closes_a_pyplot_figure(shown):
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure = pyplot.figure()
    figures.show(figure, "nothing in it")
    assert not pyplot.fignum_exists(figure.number)


def test_to_image():
    assert figures.to_image(torch.full((3, 4, 5), -1.0)).shape == (4, 5, 3)
    assert figures.to_image(torch.zeros(1, 4, 5)).tolist() == np.full((4, 5), 0.5).tolist()
    assert figures.to_image(torch.full((2, 2), 7.0)).max() == 1.0
    assert figures.to_image(torch.ones(1, 1, 2, 2), scale="unit").min() == 1.0
    assert figures.to_image(torch.ones(2, 2, dtype=torch.bool)).min() == 1.0
    assert figures.to_image(torch.full((2, 2), 255, dtype=torch.uint8)).min() == 1.0
    with pytest.raises(ValueError, match="shape"):
        figures.to_image(torch.zeros(7, 4, 4))
    with pytest.raises(ValueError, match="scale"):
        figures.to_image(torch.zeros(4, 4), scale="log")


def test_signed_maps_have_zero_in_the_middle():
    figure = figures.picture_row([torch.tensor([[-1.0, 0.0, 3.0]])], scale="signed", labels="difference")
    image = figure.axes[0].images[0]
    assert image.norm.vmin == -image.norm.vmax
    red, green, blue, _ = image.cmap(image.norm(0.0))
    assert min(red, green, blue) > 0.9
    figures.draw_numbers(figure.axes[0], torch.tensor([[-1.0, 0.0, 3.0]]))
    assert [text.get_text() for text in figure.axes[0].texts] == ["−1", "0", "3"]


def test_masks_are_outline_and_hatch_even_at_the_rim():
    mask = torch.zeros(1, 20, 20)
    mask[:, :8, :8] = 1
    figure = figures.picture_row([torch.zeros(3, 20, 20)] * 2, ["with", "without"], masks=[mask, None])
    assert len(figure.axes[0].collections) == 2 and not figure.axes[1].collections
    figures.draw_mask(figure.axes[1], torch.zeros(20, 20), label="nothing")  # an empty mask draws nothing
    assert not figure.axes[1].collections
    figure.canvas.draw()


def test_rows_and_empty_rows():
    figure = figures.picture_row([torch.zeros(8, 8)] * 5, columns=2)
    assert sum(axis.get_visible() for axis in figure.axes) == 5
    with pytest.raises(ValueError, match="no picture"):
        figures.picture_row([])


def test_five_levels_name_every_fish():
    scene = draw_fish(10, 96, fish=3)
    figure = five_levels(scene)
    words = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert len(words) == 2 and set(words) <= set(scene.species)  # levels 1 and 2: the largest fish
    assert [text.get_text() for text in figure.axes[3].get_legend().get_texts()] == list(scene.species)


def test_photo():
    colour, grey = load_photo(40), load_photo(40, grey=True)
    assert colour.shape == (3, 40, 40) and grey.shape == (1, 40, 40)
    assert colour.dtype == torch.float32 and colour.min() >= -1 and colour.max() <= 1
    assert colour.std() > 0.3


def test_the_photo_is_found_without_importing_matplotlib():
    code = "import sys, stablediff_edu as sd; sd.load_photo(8); print('matplotlib' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"

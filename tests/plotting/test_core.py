"""Figures carry their caption; images, signed maps and masks show what they are given."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from stablediff_edu.data.sample_image import sample_image
from stablediff_edu.plotting import core
from stablediff_edu.plotting.grids import image_row


@pytest.fixture
def shown(monkeypatch):
    """What a cell would put on the page: (data, metadata) of each output."""
    outputs = []
    monkeypatch.setattr(
        "IPython.display.display", lambda data, metadata=None, raw=False: outputs.append((data, metadata or {}))
    )
    return outputs


def test_a_figure_stores_its_caption_and_prints_it(shown):
    core.show_figure(image_row([sample_image(32)], ["Grace Hopper"]), "  A portrait,\n     cropped <square>. ")
    (image, metadata), (line, _) = shown
    assert metadata["image/png"]["alt"] == "A portrait, cropped <square>."
    assert "A portrait, cropped &lt;square&gt;." in line["text/html"]
    assert Image.open(io.BytesIO(base64.b64decode(image["image/png"]))).width > 100
    with pytest.raises(ValueError, match="caption"):
        core.show_figure(core.subplots()[0], "   \n ")
    assert len(shown) == 2


def test_large_figures_stay_small_and_white(shown):
    noise = torch.rand(3, 300, 300, generator=torch.Generator().manual_seed(0)) * 2 - 1
    core.show_figure(image_row([noise] * 3), "noise")
    image = Image.open(io.BytesIO(base64.b64decode(shown[0][0]["image/png"])))
    assert image.mode == "P" and image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_a_pyplot_figure_is_closed(shown):
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure = pyplot.figure()
    core.show_figure(figure, "nothing in it")
    assert not pyplot.fignum_exists(figure.number)


def test_values_of_images_of_every_shape_and_type():
    assert core.to_numpy_image(torch.full((3, 4, 5), -1.0)).shape == (4, 5, 3)
    assert core.to_numpy_image(torch.zeros(1, 4, 5)).tolist() == np.full((4, 5), 0.5).tolist()
    assert core.to_numpy_image(torch.full((2, 2), 7.0)).max() == 1.0
    assert core.to_numpy_image(torch.ones(1, 1, 2, 2), scale="unit").min() == 1.0
    assert core.to_numpy_image(torch.ones(2, 2, dtype=torch.bool)).min() == 1.0
    assert core.to_numpy_image(torch.full((2, 2), 255, dtype=torch.uint8)).min() == 1.0
    with pytest.raises(ValueError, match="shape"):
        core.to_numpy_image(torch.zeros(7, 4, 4))
    with pytest.raises(ValueError, match="scale"):
        core.to_numpy_image(torch.zeros(4, 4), scale="log")


def test_signed_maps_are_white_at_zero():
    values = torch.tensor([[-1.0, 0.0, 3.0]])
    axis = image_row([values], scale="signed", labels="difference").axes[0]
    image = axis.images[0]
    assert image.norm.vmin == -image.norm.vmax
    assert min(image.cmap(image.norm(0.0))[:3]) > 0.9
    core.annotate_values(axis, values)
    assert [text.get_text() for text in axis.texts] == ["−1", "0", "3"]


def test_masks_are_outline_and_hatch_even_at_the_rim():
    mask = torch.zeros(1, 20, 20)
    mask[:, :8, :8] = 1
    figure = image_row([torch.zeros(3, 20, 20)] * 2, ["with", "without"], masks=[mask, None])
    assert len(figure.axes[0].collections) == 2 and not figure.axes[1].collections
    core.overlay_mask(figure.axes[1], torch.zeros(20, 20), label="nothing")  # an empty mask adds nothing
    assert not figure.axes[1].collections
    figure.canvas.draw()


def test_photo():
    color, gray = sample_image(40), sample_image(40, gray=True)
    assert color.shape == (3, 40, 40) and gray.shape == (1, 40, 40)
    assert color.dtype == torch.float32 and color.min() >= -1 and color.max() <= 1
    assert color.std() > 0.3

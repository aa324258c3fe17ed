"""The panel of notebook 02 in JupyterLab, with the shipped weights: another level, channel by keyboard, picture."""

import pytest
from on_page import change, number

CELLS = [
    "import stablediff_edu as sd",
    "model, card = sd.load_fish_unet('fish')\ndata = sd.load_fish(4, 128, 'drawn', seed=7)",
    "panel = sd.inside_unet(model, data)\npanel",
]


@pytest.fixture(scope="module")
def page(lab):
    page = lab.run("02_unet_fish_segmentation.ipynb", sources=CELLS)
    page.wait_for_selector("img.sd-channel", timeout=30_000)
    yield page
    page.close()


def test_all_four_pictures_are_drawn(page):
    for name in ("picture", "channel", "raw-output", "mask"):
        assert page.locator(f"img.sd-{name}").evaluate("image => image.naturalWidth") >= 100


def test_another_level_gives_another_channel(page):
    # chosen from the list, as with a mouse: JupyterLab keeps the arrow keys of a list for moving between cells
    level = page.get_by_label("level", exact=True)
    change(page, "channel", lambda: level.select_option("up 4"))
    assert page.get_by_text("channels of “up 4”").count() == 1


def test_the_channel_is_chosen_by_keyboard(page):
    channel = number(page, "channel number")
    channel.focus()
    change(page, "channel", lambda: channel.press("ArrowUp"))
    assert channel.input_value() == "1"


def test_another_picture_gives_another_mask(page):
    picture = page.get_by_label("picture", exact=True)
    change(page, "mask", lambda: picture.select_option(index=2))

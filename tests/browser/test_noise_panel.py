"""The panels of notebook 03 in JupyterLab: noise level, number of steps and step; a position. All by keyboard."""

import pytest
from on_page import change, number

CELLS = [
    """import stablediff_edu as sd
import torch
from stablediff_edu.diffusion.schedule import Schedule
from stablediff_edu.display.panels.noise import noise_panel
from stablediff_edu.display.panels.position import position_panel
torch.manual_seed(0)
model = sd.UNet(3, 3, (8, 16), time=16).eval()
fish = sd.load_fish(1, 64, 'drawn', seed=3).pictures""",
    "noise_panel(model, Schedule.cosine(), fish, 'velocity', steps=(1, 2, 5))",
    "position_panel()",
]
PICTURES = ("noisy", "noise-put-in", "noise-found", "noise-taken-away", "mixture", "picture-seen")


@pytest.fixture(scope="module")
def page(lab):
    page = lab.run("03_denoising_one_image.ipynb", sources=CELLS)
    page.wait_for_selector("img.sd-position", timeout=30_000)
    yield page
    page.close()


def test_all_pictures_are_drawn_as_large_as_they_should(page):
    for name in (*PICTURES, "true-picture"):
        shown = page.locator(f"img.sd-{name}")
        assert shown.evaluate("image => [image.naturalWidth, image.clientWidth]") == [192, 192]
    assert page.locator("img.sd-position").evaluate("image => image.clientWidth") == 860


def test_the_noise_level_moves_by_keyboard(page):
    level = number(page, "level number")
    level.focus()
    before = int(level.input_value())
    change(page, "noise-taken-away", lambda: level.press("ArrowUp"))
    assert int(level.input_value()) == before + 1


def test_another_number_of_steps_goes_another_way(page):
    # chosen from the list, as with a mouse: JupyterLab keeps the arrow keys of a list for moving between cells
    steps = page.get_by_label("number of steps", exact=True)
    change(page, "picture-seen", lambda: steps.select_option("2"))
    page.get_by_text("all 2 steps done").wait_for(timeout=15_000)
    assert number(page, "step number").input_value() == "2"


def test_the_way_is_scrubbed_by_keyboard(page):
    step = number(page, "step number")
    step.focus()
    change(page, "mixture", lambda: step.press("ArrowDown"))
    page.get_by_text("1 of 2 steps done").wait_for(timeout=15_000)


def test_a_position_is_chosen_by_keyboard(page):
    position = number(page, "position number")
    position.focus()
    change(page, "position", lambda: position.press("ArrowUp"))
    assert page.get_by_text("64 numbers from").count() == 1

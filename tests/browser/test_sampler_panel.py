"""The sampler panel of notebook 04 in JupyterLab: sampler, steps, seed, and every step on the way."""

import pytest
from on_page import change, number

CELLS = [
    """import stablediff_edu as sd
import torch
from stablediff_edu.diffusion.schedule import Schedule
from stablediff_edu.display.panels.sampler import sampler_panel
torch.manual_seed(0)
model = sd.UNet(3, 3, (8, 16), time=16).eval()""",
    "sampler_panel(model, Schedule.cosine(), 32, 'velocity', steps=5)",
]


@pytest.fixture(scope="module")
def page(lab):
    page = lab.run("04_cifar10_ships.ipynb", sources=CELLS)
    page.wait_for_selector("img.sd-sheet", timeout=30_000)
    yield page
    page.close()


def says(page, text):
    page.locator(".sd-sampler-note").get_by_text(text).wait_for(timeout=15_000)


def test_sixteen_pictures_are_drawn(page):
    sheet = page.locator("img.sd-sheet")
    assert sheet.evaluate("image => [image.naturalWidth, image.clientWidth]") == [4 * 132 - 4] * 2
    says(page, "5 steps")


def test_another_sampler_draws_anew(page):
    # chosen from the list, as with a mouse: JupyterLab keeps the arrow keys of a list for moving between cells
    sampler = page.get_by_label("sampler", exact=True)
    change(page, "sheet", lambda: sampler.select_option("euler-ancestral"))
    says(page, "euler-ancestral")


def test_the_number_of_steps_and_the_seed_are_typed(page):
    for name, text in (("steps number", "3"), ("seed", "7")):
        box = number(page, name)
        box.fill(text)
        change(page, "sheet", lambda box=box: box.press("Enter"))
    says(page, "3 steps")


def test_the_way_is_scrubbed_by_keyboard(page):
    step = number(page, "step number")
    assert step.input_value() == "3"
    step.focus()
    step.press("ArrowDown")  # what the network sees before the last step is the result
    says(page, "after step 2 of 3")
    change(page, "sheet", lambda: step.press("ArrowDown"))
    says(page, "after step 1 of 3")


def test_the_mixtures_are_shown_at_a_press(page):
    change(page, "sheet", lambda: page.get_by_role("button", name="mixtures (xt)").click())

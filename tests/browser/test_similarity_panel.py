"""The panel of pictures against sentences in JupyterLab: type a sentence, choose a group, use an unknown word."""

import pytest
from on_page import change, number

CELLS = [
    """import torch
from stablediff_edu.datasets.scene_set import load_scenes
from stablediff_edu.display.panels.similarity import similarity_panel
from stablediff_edu.models.clip import CLIP, ImageConfig
from stablediff_edu.training.clip_training import SMALL_TEXT, tokenizer_of
torch.manual_seed(0)
clip = CLIP(SMALL_TEXT, ImageConfig(size=32, channels=(8, 16))).eval();""",
    "similarity_panel(clip, tokenizer_of(SMALL_TEXT), load_scenes(18, 32))",
]


@pytest.fixture(scope="module")
def page(lab):
    page = lab.run("07_attention.ipynb", sources=CELLS)
    page.wait_for_selector("img.sd-similarities", timeout=30_000)
    yield page
    page.close()


def test_both_pictures_are_drawn_as_large_as_they_should(page):
    for name in ("similarities", "best"):
        shown = page.locator(f"img.sd-{name}")
        assert shown.evaluate("image => [image.naturalWidth, image.clientWidth]") == [860, 860]


def test_a_sentence_is_typed_and_finds_pictures(page):
    sentence = page.get_by_role("textbox", name="sentence")
    sentence.fill("a large blue whale at night")
    change(page, "best", lambda: sentence.press("Enter"))
    page.get_by_text("the nearest to “a large blue whale at night”").wait_for(timeout=15_000)


def test_an_unknown_word_is_told_in_a_sentence(page):
    sentence = page.get_by_role("textbox", name="sentence")
    sentence.fill("a red submarine")
    sentence.press("Enter")
    page.get_by_text("'submarine' is not among").wait_for(timeout=15_000)
    sentence.fill("a red boat")
    change(page, "best", lambda: sentence.press("Enter"))


def test_another_group_is_chosen_by_keyboard(page):
    group = number(page, "group number")
    group.focus()
    change(page, "similarities", lambda: group.press("ArrowUp"))
    assert group.input_value() == "2"

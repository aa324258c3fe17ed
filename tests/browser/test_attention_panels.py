"""The panels of notebook 07's first half in JupyterLab: type a sentence, choose a head, move a matrix by keyboard."""

import pytest
from on_page import change, number

CELLS = [
    """import torch
from stablediff_edu.datasets.sentences import CLASSES, WORDS, encode
from stablediff_edu.display.panels.attention import attention_panel
from stablediff_edu.display.panels.matrix import matrix_panel
from stablediff_edu.models.sentence_reader import SentenceReader
torch.manual_seed(0)
reader = SentenceReader(len(WORDS)).eval()
torch.nn.init.normal_(reader.words.weight);""",
    "attention_panel(reader, encode, WORDS, CLASSES)",
    "matrix_panel()",
]


@pytest.fixture(scope="module")
def page(lab):
    page = lab.run("07_attention.ipynb", sources=CELLS)
    page.wait_for_selector("img.sd-matrices", timeout=30_000)
    yield page
    page.close()


def test_both_pictures_are_drawn_as_large_as_they_should(page):
    for name in ("attention", "matrices"):
        shown = page.locator(f"img.sd-{name}")
        assert shown.evaluate("image => [image.naturalWidth, image.clientWidth]") == [860, 860]


def test_a_sentence_is_typed_and_read(page):
    sentence = page.get_by_role("textbox", name="sentence")
    sentence.fill("The walk was very good")
    change(page, "attention", lambda: sentence.press("Enter"))
    page.get_by_text("the network's answer").wait_for(timeout=15_000)


def test_an_unknown_word_is_told_in_a_sentence(page):
    sentence = page.get_by_role("textbox", name="sentence")
    sentence.fill("the walk was goood")
    sentence.press("Enter")
    page.get_by_text("nearest spelling: 'good'").wait_for(timeout=15_000)
    sentence.fill("the walk was good")
    change(page, "attention", lambda: sentence.press("Enter"))


def test_a_head_is_chosen_by_keyboard(page):
    head = number(page, "head number")
    head.focus()
    change(page, "attention", lambda: head.press("ArrowUp"))
    assert head.input_value() == "2"


def test_a_causal_mask_is_chosen(page):
    mask = page.get_by_label("mask", exact=True)
    change(page, "attention", lambda: mask.select_option("causal"))


def test_a_matrix_moves_by_keyboard(page):
    entry = page.get_by_role("slider", name="row 1, column 2")
    entry.focus()
    change(page, "matrices", lambda: entry.press("ArrowRight"))
    assert number(page, "row 1, column 2 value").input_value() == "0.05"
    page.get_by_text("not the same both ways").wait_for(timeout=15_000)


def test_another_matrix_is_chosen_and_set(page):
    page.get_by_role("button", name="key", exact=True).click()
    change(page, "matrices", lambda: page.get_by_label("preset", exact=True).select_option("turn by 90°"))
    assert number(page, "row 2, column 1 value").input_value() == "1"

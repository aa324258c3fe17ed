"""Chapter 8 as the learner sees it: the notebook's own cells and the shipped weights, in JupyterLab and Chromium."""

import pytest
from on_page import change, number

OWN_CELLS = ["sd.begin(", "sd.load_tiny_sd()", 'sd.prompt_box(pipe, "a red sailboat on a calm sea")']


@pytest.fixture(scope="module")
def page(lab):
    page = lab.run("08_stable_diffusion.ipynb", only=OWN_CELLS)
    page.wait_for_selector("img.sd-picture", timeout=30_000)
    yield page
    page.close()


def drawn(page, *texts: str) -> None:
    """Wait until the result of these wishes is on the page."""
    page.locator(".sd-prompt-note").get_by_text("the result").wait_for(timeout=15_000)
    for text in texts:
        page.locator(".sd-picture-title").get_by_text(text).wait_for(timeout=15_000)


def test_the_box_has_drawn_its_first_prompt(page):
    drawn(page, "“a red sailboat on a calm sea”", "20 steps")


def test_a_prompt_is_typed_and_its_picture_comes(page):
    prompt = page.get_by_role("textbox", name="prompt", exact=True)
    prompt.fill("")
    change(page, "picture", lambda: prompt.press_sequentially("a white lighthouse at night", delay=40))
    drawn(page, "“a white lighthouse at night”")


def test_an_unknown_word_is_told_kindly(page):
    prompt = page.get_by_role("textbox", name="prompt", exact=True)
    prompt.fill("a yellow submarine")
    page.get_by_text("It has not learned “submarine”").wait_for(timeout=15_000)
    drawn(page, "“a yellow”")


def test_guidance_is_moved_and_draws_anew(page):
    guidance = page.get_by_role("slider", name="guidance")
    guidance.focus()
    change(page, "picture", lambda: guidance.press("End"))
    drawn(page, "guidance 15")
    change(page, "picture", lambda: guidance.press("Home"))
    drawn(page, "guidance 0 ")


def test_the_steps_are_gone_through_one_by_one(page):
    step = number(page, "step number")
    assert step.input_value() == "20"
    step.focus()
    for there in (19, 18):
        change(page, "picture", lambda: step.press("ArrowDown"))
        page.get_by_text(f"what it sees after step {there} of 20").wait_for(timeout=15_000)

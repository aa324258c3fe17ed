"""The prompt box in JupyterLab: type a prompt and wait for the picture, move guidance, go through the steps."""

import pytest
from on_page import change, number

CELLS = [
    """import torch
from stablediff_edu.datasets.captions import VOCABULARY
from stablediff_edu.tokenizers.words import WordTokenizer
from stablediff_edu.display.panels.prompt_box import prompt_box
from stablediff_edu.stable_diffusion import TINY, StableDiffusion
torch.manual_seed(0)
pipe = StableDiffusion(TINY, WordTokenizer(VOCABULARY, 28)).eval();""",
    "prompt_box(pipe, 'a red boat', steps=3)",
]
KEPT = "img.sd-kept"


@pytest.fixture(scope="module")
def page(lab):
    page = lab.run("07_attention.ipynb", sources=CELLS)
    page.wait_for_selector("img.sd-picture", timeout=30_000)
    yield page
    page.close()


def drawn(page, text: str) -> None:
    page.locator(".sd-prompt-note").get_by_text("the result").wait_for(timeout=15_000)
    page.get_by_text(text).first.wait_for(timeout=15_000)


def test_the_picture_is_drawn_as_large_as_it_should(page):
    shown = page.locator("img.sd-picture")
    assert shown.evaluate("image => [image.naturalWidth, image.clientWidth, image.clientHeight]") == [256, 256, 256]


def test_a_prompt_is_typed_letter_by_letter_and_drawn_as_it_stands_at_the_end(page):
    prompt = page.get_by_role("textbox", name="prompt", exact=True)
    prompt.fill("")
    change(page, "picture", lambda: prompt.press_sequentially("a large whale at night", delay=30))
    drawn(page, "“a large whale at night”")
    assert prompt.input_value() == "a large whale at night"


def test_a_word_is_completed_by_a_click_and_by_keyboard(page):
    prompt = page.get_by_role("textbox", name="prompt", exact=True)
    prompt.fill("a green fishi")
    offers = page.get_by_role("group", name="words that may come next in prompt")
    offers.get_by_role("button", name="fishing", exact=True).click()
    assert prompt.input_value() == "a green fishing "
    offers.get_by_role("button", name="boat", exact=True).press("Enter")
    assert prompt.input_value() == "a green fishing boat "
    prompt.fill("a green fishing boat")  # a whole word: what may follow it is offered
    assert offers.get_by_role("button").count() > 2
    drawn(page, "“a green fishing boat”")


def test_an_unknown_word_is_told_kindly_and_the_rest_is_drawn(page):
    prompt = page.get_by_role("textbox", name="prompt", exact=True)
    prompt.fill("a yellow submarine")
    page.get_by_text("It has not learned “submarine”").wait_for(timeout=15_000)
    drawn(page, "“a yellow”")


def test_guidance_is_moved_by_keyboard_and_draws(page):
    guidance = page.get_by_role("slider", name="guidance")
    guidance.focus()
    change(page, "picture", lambda: guidance.press("ArrowRight"))
    drawn(page, "guidance 4.5")


def test_while_it_draws_the_newest_wish_waits_and_older_ones_are_dropped(page):
    guidance = page.get_by_role("slider", name="guidance")
    guidance.focus()
    page.evaluate(
        """() => {
        window.drawn = new Set();
        const title = document.querySelector(".sd-picture-title");
        const watch = new MutationObserver(() => window.drawn.add(title.textContent));
        watch.observe(title, {subtree: true, childList: true});
    }"""
    )
    for _ in range(20):
        guidance.press("ArrowRight")
    drawn(page, "guidance 14.5")
    titles = page.evaluate("[...window.drawn]")
    assert "guidance 14.5" in titles[-1] and len(titles) < 15  # of 20


def test_a_kept_picture_stands_beside_the_next_one(page):
    assert not page.locator(KEPT).is_visible()
    page.get_by_role("button", name="keep as A").click()
    page.locator(KEPT).wait_for(timeout=15_000)
    change(page, "picture", lambda: page.get_by_role("button", name="again").click())
    drawn(page, "seed 1")
    left, right = (page.locator(f"img.sd-{name}").bounding_box() for name in ("kept", "picture"))
    assert left["x"] + left["width"] <= right["x"] and left["y"] == right["y"]


def test_the_steps_are_scrubbed(page):
    step = number(page, "step number")
    assert step.input_value() == "3"
    step.focus()
    change(page, "picture", lambda: step.press("ArrowDown"))
    page.get_by_text("what it sees after step 2 of 3").wait_for(timeout=15_000)


# -- words, a sketch, a box --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def others(lab):
    """The page of the other panels."""
    imports = """from stablediff_edu.display.panels.inpainting import inpainting_panel
from stablediff_edu.display.panels.sketch import sketch_panel
from stablediff_edu.display.panels.words_on_picture import words_on_picture"""
    panels = ["words_on_picture(pipe, 'a red boat', steps=2)", "sketch_panel(pipe, strength=0.1)"]
    cells = [CELLS[0] + "\n" + imports, *panels, "inpainting_panel(pipe, steps=2)"]
    page = lab.run("07_attention.ipynb", sources=cells)
    page.wait_for_selector("img.sd-changed", timeout=30_000)
    yield page
    page.close()


def test_every_word_has_a_map_in_every_step(others):
    maps = others.locator(".sd-word-maps figure")
    assert [text.split(" · ")[0] for text in maps.all_inner_texts()] == ["a", "red", "boat"]
    before = maps.first.inner_html()
    number(others, "step number").press("ArrowDown")
    others.get_by_text("in step 1 of 2").wait_for(timeout=15_000)
    assert maps.first.inner_html() != before


def test_a_words_weight_is_moved_and_draws(others):
    weight = others.get_by_role("slider", name="weight")
    weight.focus()
    change(others, "weighted", lambda: weight.press("PageUp"))
    others.get_by_text("“red” times 1.", exact=False).wait_for(timeout=15_000)


def test_a_sketch_is_drawn_by_mouse_and_by_keyboard(others):
    pad = others.locator(".sd-sketch canvas")
    others.locator(".sd-colours").get_by_role("button", name="yellow").click()
    pad.scroll_into_view_if_needed()
    pixels = "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.join()"
    place, before = pad.bounding_box(), pad.evaluate(pixels)

    def drag():
        others.mouse.move(place["x"] + 40, place["y"] + 40)
        others.mouse.down()
        others.mouse.move(place["x"] + 200, place["y"] + 90, steps=5)
        others.mouse.up()

    change(others, "sketched", drag)
    dragged = pad.evaluate(pixels)
    assert dragged != before
    pad.press(" ")
    for _ in range(5):
        pad.press("ArrowDown")
    assert pad.evaluate(pixels) != dragged
    change(others, "sketched", lambda: others.get_by_role("button", name="start again").click())
    others.wait_for_function(
        "([canvas, before]) => canvas.getContext('2d').getImageData(0, 0, 64, 64).data.join() == before",
        arg=[pad.element_handle(), before],
        timeout=15_000,
    )


def test_the_box_is_moved_by_keyboard_and_drawn_anew(others):
    left = others.get_by_role("slider", name="left", exact=True)
    left.focus()
    change(others, "changed", lambda: left.press("ArrowRight"))
    text = others.get_by_role("textbox", name="in the box")
    text.fill("a black duck")
    change(others, "changed", lambda: text.press_sequentially(" at night", delay=30))

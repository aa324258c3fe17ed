"""The panels of notebook 06 in JupyterLab: the cloud of words by mouse and keyboard, its search, the calculator."""

import pytest
from on_page import change, number

CELLS = [
    """import torch
from stablediff_edu.display.panels.analogies import analogy_panel
from stablediff_edu.display.panels.projector import projector
from stablediff_edu.training.analogies import WordVectors
torch.manual_seed(0)
royal, he, she, city, british, far = torch.eye(24)[:6]
made = {"king": royal + he, "queen": royal + she, "man": he, "woman": she, "london": city + british}
made |= {"england": british, "tokyo": city + far, "japan": far}
made |= {f"word{number}": torch.randn(24) for number in range(40)}
vectors = WordVectors(list(made), torch.stack(list(made.values())) + 0.02 * torch.randn(48, 24))""",
    """panel = projector(vectors, {"people": ["king", "queen", "man", "woman"]}, "king", nearest=5)
panel""",
    "analogy_panel(vectors)",
]


@pytest.fixture(scope="module")
def page(lab):
    page = lab.run("06_word2vec.ipynb", sources=CELLS)
    page.wait_for_selector(".sd-cloud canvas", timeout=30_000)
    page.locator(".sd-projector-table table").wait_for(timeout=30_000)
    yield page
    page.close()


def box(page, name: str):
    """The text box of this name."""
    return page.get_by_role("combobox", name=name, exact=True)


def search(page, word: str) -> None:
    box(page, "word").fill(word)
    box(page, "word").press("Enter")


def chosen(page, word: str) -> None:
    """Wait until a word is chosen: table, search box and what is spoken say so."""
    page.locator(".sd-projector-table caption b", has_text=word).wait_for(timeout=15_000)
    spoken = page.locator(".sd-cloud-spoken")
    page.wait_for_function(
        "([spoken, word]) => spoken.textContent.startsWith(word + ';')", arg=[spoken.element_handle(), word]
    )
    assert box(page, "word").input_value() == word


def view(page, name: str) -> int:
    return int(number(page, f"{name} number").input_value())


def place_of(page, word: str) -> tuple[float, float]:
    """Move the mouse over the cloud until it stands on this word, as the cloud itself says; return where."""
    canvas = page.locator(".sd-cloud canvas")
    canvas.scroll_into_view_if_needed()
    frame = canvas.bounding_box()
    found = canvas.evaluate(
        """(canvas, word) => {
            const { left, top } = canvas.getBoundingClientRect();
            for (let y = 4; y < canvas.clientHeight; y += 4) for (let x = 4; x < canvas.clientWidth; x += 4) {
                canvas.dispatchEvent(new PointerEvent("pointermove", { clientX: left + x, clientY: top + y }));
                if (canvas.title === word) return [x, y];
            }
        }""",
        word,
    )
    assert found, f"the mouse finds {word} nowhere"
    return frame["x"] + found[0], frame["y"] + found[1]


def test_a_click_on_a_word_lights_up_its_nearest(page):
    search(page, "king")
    chosen(page, "king")
    before = page.locator(".sd-cloud canvas").screenshot()
    page.mouse.click(*place_of(page, "woman"))
    chosen(page, "woman")
    page.wait_for_timeout(200)
    assert page.locator(".sd-cloud canvas").screenshot() != before
    rows = page.locator(".sd-projector-table tr").all_inner_texts()[1:]
    assert len(rows) == 5 and rows[0].split()[0] == "queen"
    distances = [float(row.replace("●", "").split()[1]) for row in rows]
    assert distances == sorted(distances) and distances[0] > 0


def test_a_drag_turns_the_cloud_and_chooses_nothing(page):
    search(page, "king")
    chosen(page, "king")
    turn, tilt = view(page, "turn"), view(page, "tilt")
    x, y = place_of(page, "woman")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 40, y + 20, steps=5)
    page.mouse.up()
    page.wait_for_timeout(300)
    assert (view(page, "turn"), view(page, "tilt")) == (turn + 20, tilt - 10)
    chosen(page, "king")


def test_the_keyboard_turns_the_cloud_and_walks_to_the_nearest(page):
    search(page, "man")
    chosen(page, "man")
    canvas = page.locator(".sd-cloud canvas")
    canvas.focus()
    turn, tilt, zoom = (view(page, name) for name in ("turn", "tilt", "zoom"))
    for key in ("ArrowLeft", "ArrowUp", "+"):
        canvas.press(key)
    page.wait_for_timeout(300)
    assert (view(page, "turn"), view(page, "tilt")) == (turn + 5, tilt + 5) and view(page, "zoom") > zoom
    canvas.press("Enter")
    chosen(page, "king")


def test_the_sliders_turn_the_cloud(page):
    canvas = page.locator(".sd-cloud canvas")
    for name in ("turn", "tilt", "zoom"):
        before = canvas.screenshot()
        one = number(page, f"{name} number")
        one.fill("75")
        one.press("Enter")
        page.wait_for_timeout(300)
        assert canvas.screenshot() != before, name


def test_the_search_answers_an_unknown_word_in_plain_words(page):
    search(page, "tokyo")
    chosen(page, "tokyo")
    search(page, "quene")
    page.get_by_text("'quene' is not among the 48 words; nearest spelling: 'queen'.").wait_for(timeout=15_000)
    search(page, "queen")
    chosen(page, "queen")
    assert page.locator(".sd-projector-note").inner_text().strip() == ""


def test_more_neighbours_light_up(page):
    count = number(page, "nearest number")
    count.fill("9")
    count.press("Enter")
    page.wait_for_function("document.querySelectorAll('.sd-projector-table tr').length === 10", timeout=15_000)


def ask(page, *words: str) -> None:
    for name, word in zip("abc", words, strict=True):
        box(page, name).fill(word)
        box(page, name).press("Enter")


def test_the_calculator_answers_by_keyboard(page):
    note = page.locator(".sd-analogy-note")
    assert "queen" in note.inner_text()
    change(page, "answer", lambda: ask(page, "london", "england", "japan"))
    note.get_by_text("tokyo").wait_for(timeout=15_000)


def test_the_calculator_answers_an_unknown_word_in_plain_words(page):
    ask(page, "london", "england", "japann")
    page.get_by_text("'japann' is not among the 48 words; nearest spelling: 'japan'.").wait_for(timeout=15_000)
    change(page, "answer", lambda: ask(page, "king", "man", "woman"))

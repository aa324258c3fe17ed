"""The panels of notebook 05 in JupyterLab, and the map in a page without Python: by mouse, finger and keyboard."""

import json
import statistics
import subprocess
import sys

import nbformat
import numpy as np
import pytest
import torch
from on_page import change, number

from stablediff_edu.display.live import to_bytes
from stablediff_edu.display.panels.latent_page import pad_page, show_pad_page

TRAIN = """import torch
from stablediff_edu.datasets.digits import draw_digits
from stablediff_edu.models.autoencoder import Autoencoder
torch.manual_seed(0)
digits = draw_digits(400)
def learn(latent, steps=150):
    model = Autoencoder(latent)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for step in range(steps):
        pictures = digits.pictures[torch.randint(len(digits), (64,))]
        optimizer.zero_grad()
        (model(pictures) - pictures).square().mean().backward()
        optimizer.step()
    return model.eval()"""
CELLS = [
    TRAIN,
    """import stablediff_edu as sd
from stablediff_edu.display.panels.jpeg import jpeg_panel
from stablediff_edu.display.panels.latent_pad import latent_pad
from stablediff_edu.display.panels.latent_sliders import latent_sliders""",
    "latent_pad(learn(2), digits.pictures, digits.labels)",
    "latent_sliders(learn(10, 20), digits.pictures, digits.labels)",
    "jpeg_panel(sd.load_photo(256))",
]
PIXELS = """() => {
    const canvas = document.querySelector("canvas.sd-decoded");
    const { data } = canvas.getContext("2d").getImageData(0, 0, 28, 28);
    return Array.from({ length: 784 }, (_, n) => data[4 * n]);
}"""
OWN_PIXELS = "canvas => Array.from(canvas.getContext('2d').getImageData(0, 0, 28, 28).data)"
# From the moment at which the browser got the mouse's move to the frame in which the digit is another one.
NOTE_TIMES = """() => {
    window.times = [];
    let moved = 0;
    const pixels = %s;
    let old = pixels().join();
    document.querySelector(".sd-hand").addEventListener("pointermove", (event) => { moved ||= event.timeStamp; });
    (function look() {
        const now = pixels().join();
        if (now != old && moved) { window.times.push(performance.now() - moved); moved = 0; }
        old = now;
        requestAnimationFrame(look);
    })();
}"""


@pytest.fixture(scope="module")
def page(lab):
    page = lab.run("05_latent_space.ipynb", sources=CELLS)
    page.wait_for_selector("canvas.sd-decoded", timeout=30_000)
    yield page
    page.close()


def pixels(page) -> list[int]:
    return page.evaluate(PIXELS)


def changes(page, act) -> None:
    """Do something, and wait until the decoded digit is another one."""
    old = pixels(page)
    act()
    page.wait_for_function(f"old => ({PIXELS})().join() != old.join()", arg=old, timeout=15_000)


def numbers(page) -> list[float]:
    """The place of the point, as its caption says."""
    text = page.locator(".sd-numbers").inner_text().replace("−", "-")
    return [float(part.split()[0]) for part in text.split("=")[1:]]


def says(page, wanted: list[float]) -> None:
    """Wait until the caption says this place: picture and caption come in messages of their own."""
    for _ in range(150):
        if numbers(page) == wanted:
            return
        page.wait_for_timeout(100)
    assert numbers(page) == wanted


def centre(page) -> tuple[float, float]:
    page.locator(".sd-hand").scroll_into_view_if_needed()
    box = page.locator(".sd-hand").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


# -- in JupyterLab -----------------------------------------------------------------------------------------------------


def test_the_digit_follows_the_mouse(page):
    x, y = centre(page)
    page.mouse.move(x, y)
    changes(page, page.mouse.down)
    page.evaluate(NOTE_TIMES % PIXELS)
    for move in range(1, 41):
        page.mouse.move(x - 4 * move, y - 3 * (move % 20))
        page.wait_for_function(f"window.times.length >= {move}", timeout=15_000)
    page.mouse.up()
    times = page.evaluate("window.times")
    print(f"\nmove of the mouse to new digit: median {statistics.median(times):.0f} ms, worst {max(times):.0f} ms")
    assert statistics.median(times) < 500


def test_moves_do_not_pile_up(page):
    x, y = centre(page)
    page.evaluate("""() => {
        const hand = document.querySelector(".sd-hand");
        hand.addEventListener("pointerdown", (event) => { window.pointerId = event.pointerId; });
        const pen = document.querySelector("canvas.sd-decoded").getContext("2d");
        const { putImageData } = pen;
        window.drawn = 0;
        pen.putImageData = (...how) => { window.drawn++; putImageData.apply(pen, how); };
    }""")
    page.mouse.move(x, y)
    page.mouse.down()
    changes(page, lambda: page.mouse.move(x + 20, y + 20))
    page.evaluate("""() => {
        window.drawn = 0;
        const hand = document.querySelector(".sd-hand");
        const { left, top } = hand.getBoundingClientRect();
        for (let move = 1; move <= 100; move++) {
            const place = { clientX: left + 60 + 3 * move, clientY: top + 50 + 2 * move };
            hand.dispatchEvent(new PointerEvent("pointermove", { pointerId: window.pointerId, ...place }));
        }
    }""")
    page.wait_for_function("window.drawn > 0", timeout=15_000)
    page.wait_for_timeout(2000)
    page.mouse.up()
    assert 1 <= page.evaluate("window.drawn") <= 4, "100 moves at once: the first, and the last"
    shown = [float(number(page, f"number {n} value").first.input_value()) for n in (1, 2)]
    assert numbers(page) == shown


def test_the_arrow_keys_move_the_point(page):
    hand = page.locator(".sd-hand")
    hand.focus()
    changes(page, lambda: hand.press("ArrowRight"))
    x, y = numbers(page)
    changes(page, lambda: hand.press("ArrowUp"))
    small = numbers(page)
    assert small[0] == x and small[1] > y
    changes(page, lambda: hand.press("Shift+ArrowDown"))
    assert small[1] - numbers(page)[1] > 5 * (small[1] - y)
    page.wait_for_timeout(800)
    spoken, shown = (page.locator(f".sd-{name}").inner_text().split() for name in ("spoken", "numbers"))
    assert spoken == shown


@pytest.mark.parametrize("axis", [0, 1])
def test_both_sliders_and_their_boxes_move_by_keyboard(page, axis: int):
    bar = page.get_by_role("slider", name=f"number {axis + 1}", exact=True).first
    box = number(page, f"number {axis + 1} value").first
    bar.focus()
    before = numbers(page)
    changes(page, lambda: bar.press("PageUp"))
    after = [float(number(page, f"number {n} value").first.input_value()) for n in (1, 2)]
    assert after[axis] > before[axis] and after[1 - axis] == before[1 - axis]
    assert float(bar.input_value()) == after[axis]
    says(page, after)
    box.fill(str(before[axis]))
    changes(page, lambda: box.press("Enter"))
    says(page, before)


def test_the_walk_goes_to_another_digit_by_keyboard(page):
    walk = page.get_by_role("slider", name="walk", exact=True)
    walk.focus()
    changes(page, lambda: walk.press("End"))
    there = numbers(page)
    page.get_by_text("0.00 · A + 1.00 · B").wait_for(timeout=15_000)
    changes(page, lambda: walk.press("Home"))
    assert numbers(page) != there
    change(page, "to-B", lambda: page.get_by_label("to B", exact=True).select_option("7"))
    changes(page, lambda: walk.press("End"))
    assert numbers(page) != there


def test_one_of_ten_numbers_changes_the_digit(page):
    bar = page.get_by_role("slider", name="number 10", exact=True)
    bar.focus()
    change(page, "decoded", lambda: bar.press("PageDown"))
    change(page, "decoded", page.get_by_role("button", name="back to the start").click)


def test_the_quality_of_jpeg_changes_the_bytes_by_keyboard(page):
    note = page.locator(".sd-jpeg-note")
    before = note.inner_text()
    quality = number(page, "quality number")
    quality.fill("3")
    change(page, "JPEG", lambda: quality.press("Enter"))
    page.wait_for_function(
        "([note, old]) => note.innerText != old", arg=[note.element_handle(), before], timeout=15_000
    )
    assert "bytes instead of 196,608" in note.inner_text()


# -- in a page without Python ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def learned():
    room: dict = {}
    exec(TRAIN, room)
    return room["learn"](2), room["digits"]


@pytest.fixture(scope="module")
def alone(lab, learned, tmp_path_factory):
    """The page of the map, opened from a file, on a screen that can be touched."""
    model, digits = learned
    path = tmp_path_factory.mktemp("page") / "map.html"
    path.write_text(pad_page(model, digits.pictures, digits.labels), encoding="utf-8")
    page = lab.browser.new_context(has_touch=True, viewport={"width": 1000, "height": 500}).new_page()
    _cut_the_network(page)
    page.goto(path.as_uri())
    page.wait_for_selector("canvas.sd-decoded")
    yield page
    page.context.close()


def _cut_the_network(page) -> None:
    page.route("**", lambda route: route.continue_() if route.request.url.startswith("file:") else route.abort())


def test_the_page_draws_what_torch_draws(alone, learned):
    boxes = [number(alone, f"number {n} value") for n in (1, 2)]
    ends = [[float(box.get_attribute(end)) for end in ("min", "max")] for box in boxes]
    worst = 0
    for place in np.random.default_rng(0).uniform(*np.transpose(ends), (12, 2)):
        for box, value in zip(boxes, place, strict=True):
            box.fill(f"{value:.3f}")
            box.press("Enter")
        z = torch.tensor([[float(box.input_value()) for box in boxes]])
        with torch.no_grad():
            wanted = to_bytes(learned[0].decode(z)[0]).flatten().astype(int)
        found = np.array(pixels(alone))
        assert wanted.max() - wanted.min() > 100, "a picture of something"
        worst = max(worst, abs(found - wanted).max())
    print(f"\nthe page against torch, 12 places: largest difference {worst} of 255")
    assert worst <= 2


def test_a_finger_drags_the_point_and_not_the_page(alone):
    x, y = centre(alone)
    cdp = alone.context.new_cdp_session(alone)

    def touch(kind: str, *points: dict) -> None:
        cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

    changes(alone, lambda: touch("touchStart", dict(x=x, y=y)))
    before, scrolled = numbers(alone), alone.evaluate("scrollY")
    for step in range(1, 10):
        touch("touchMove", dict(x=x, y=y - 10 * step))
    alone.wait_for_timeout(200)
    touch("touchEnd")
    assert numbers(alone)[1] > before[1]
    assert alone.evaluate("scrollY") == scrolled


def test_the_keyboard_moves_everything_without_python(alone):
    hand = alone.locator(".sd-hand")
    hand.focus()
    changes(alone, lambda: hand.press("Shift+ArrowLeft"))
    for name in ("number 1", "number 2"):
        bar = alone.get_by_role("slider", name=name, exact=True)
        bar.focus()
        changes(alone, lambda bar=bar: bar.press("PageUp"))
        changes(alone, lambda bar=bar: bar.press("PageDown"))


def test_the_map_lives_in_a_notebook_saved_as_a_web_page(lab, learned, tmp_path, monkeypatch):
    bundles: list[dict] = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, **how: bundles.append(bundle))
    show_pad_page(learned[0], learned[1].pictures, learned[1].labels)
    output = nbformat.v4.new_output("display_data", data=bundles[0])
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("show_pad_page(…)", outputs=[output])])
    (tmp_path / "map.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    convert = [sys.executable, "-m", "nbconvert", "--to", "html", str(tmp_path / "map.ipynb")]
    subprocess.run(convert, check=True, capture_output=True)

    page = lab.browser.new_page(viewport={"width": 1100, "height": 1000})
    _cut_the_network(page)
    page.goto((tmp_path / "map.html").as_uri(), wait_until="load")
    page.locator("summary").click()
    frame = page.frame_locator("iframe")
    numbers, shown = frame.locator(".sd-numbers", has_text="number 1"), frame.locator(".sd-decoded")
    numbers.wait_for(timeout=15_000)
    place, before = numbers.inner_text(), shown.evaluate(OWN_PIXELS)
    frame.locator(".sd-hand").scroll_into_view_if_needed()
    box = frame.locator(".sd-hand").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y - 80, steps=8)
    page.mouse.up()
    handle = numbers.element_handle()
    for _ in range(100):
        if handle.inner_text() != place:
            break
        page.wait_for_timeout(100)
    assert handle.inner_text() != place
    assert shown.evaluate(OWN_PIXELS) != before
    page.close()

"""The table of the panels in Chromium: panel × (mouse, keyboard, dark theme, narrow window), each cell a test.

One JupyterLab, one notebook with every panel. The other columns are in ../widgets/test_base.py.
"""

import time
from typing import NamedTuple

import panel_factory
import pytest
from conftest import notebook

from stablediff_edu.widgets.ch05_latent_map import latent_map_html


class Row(NamedTuple):
    """How a panel is changed: by the mouse on an element, and by keys on an element, each by role and name."""

    mouse: tuple[str, str]
    keyboard: tuple[str, str]
    keys: tuple[str, ...]


SLIDER, LIST, BOX, TEXT, CANVAS, CHECK = "slider", "combobox", "spinbutton", "textbox", "application", "checkbox"
PART = "g"  # of a diagram
TABLE = {
    "kernel_editor": Row((SLIDER, "row"), (BOX, "values row 1 column 1"), ("ArrowUp",)),
    "unet_inspector": Row((PART, "down 1"), (PART, "up 1"), ("Enter",)),
    "position_encoding": Row((SLIDER, "position"), (SLIDER, "position"), ("PageUp",)),
    "denoising": Row((SLIDER, "timestep t"), (LIST, "sampling steps"), ("ArrowUp",)),
    "sampler": Row((SLIDER, "sampling step"), (LIST, "sampler"), ("ArrowUp",)),
    "jpeg": Row((SLIDER, "quality"), (SLIDER, "quality"), ("End",)),
    "latent_map": Row((CANVAS, "latent space"), (CANVAS, "latent space"), ("Shift+ArrowLeft",)),
    "latent_sliders": Row(("button", "another start from"), (BOX, "z₁ value"), ("Control+a", "1", "Enter")),
    "embedding_projector": Row((SLIDER, "neighbors"), (CANVAS, "cloud of words"), ("Enter",)),
    "analogies": Row((CHECK, "exclude the question words"), (LIST, "+ c"), ("Control+a", *"king", "Enter")),
    "attention": Row((LIST, "mask"), (TEXT, "sentence"), ("Control+a", *"film", "Enter")),
    "qkv_matrices": Row((SLIDER, "row 1, column 2"), (CANVAS, "column 1"), ("ArrowUp",)),
    "clip_search": Row((SLIDER, "page"), (TEXT, "query"), ("Control+a", *"boat", "Enter")),
    "text_to_image": Row((SLIDER, "guidance scale"), (TEXT, "prompt"), (*" at night ",)),
    "training_replay": Row((SLIDER, "snapshot"), (SLIDER, "snapshot"), ("Home",)),
    "cross_attention": Row((SLIDER, "weight"), (LIST, "token"), ("ArrowDown",)),
    "sketch": Row((CANVAS, "sketch pad"), (CANVAS, "sketch pad"), ("Space", "ArrowRight", "ArrowRight")),
    "inpainting": Row((SLIDER, "left"), (SLIDER, "right"), ("ArrowLeft",)),
}
NAMES = list(TABLE)
LIGHT, DARK = "JupyterLab Light", "JupyterLab Dark"
TEXTS = ".sd-note-text, .sd-values, .sd-columns, .sd-table, figcaption"
STATE = f"""panel => [...panel.querySelectorAll("img")].map((image) => image.src).join()
    + [...panel.querySelectorAll("{TEXTS}")].map((one) => one.innerText).join()"""

# The lowest contrast of the texts of a panel against what is painted behind them, and that text.
CONTRAST = """panel => {
  const parse = (color) => (color.match(/[\\d.]+/g) ?? []).map(Number);
  const luminance = (color) => color.slice(0, 3).map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, n) => sum + value * [0.2126, 0.7152, 0.0722][n], 0);
  function behind(node) {
    for (; node; node = node.parentElement) {
      const color = parse(getComputedStyle(node).backgroundColor);
      if (color.length === 3 || color[3] > 0.9) return color;
    }
    return [255, 255, 255];
  }
  const found = [...panel.querySelectorAll("*")]
    .filter((node) => node.innerText?.trim() && node.offsetWidth)
    .filter((node) => !node.closest("svg, .sd-colors, .sd-spoken, .sd-legend > span > span"))
    .filter((node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim()))
    .map((node) => {
      const [a, b] = [parse(getComputedStyle(node).color), behind(node)].map(luminance);
      return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), node.innerText.slice(0, 40)];
    });
  return found.sort((a, b) => a[0] - b[0])[0];
}"""


@pytest.fixture(scope="module")
def page(server):
    cells = ["import panel_factory; panels = {}"]
    cells += [f"panels['{name}'] = panel_factory.make('{name}'); panels['{name}']" for name in NAMES]
    page = server.run("panels.ipynb", cells)
    page.wait_for_function(f"document.querySelectorAll('.sd-panel').length === {len(NAMES)}", timeout=60_000)
    page.keyboard.press("Control+b")  # the file browser leaves the panels its room
    yield page
    page.close()


@pytest.fixture(params=NAMES)
def name(request) -> str:
    return request.param


def panel_of(page, name: str):
    panel = page.locator(".sd-panel").nth(NAMES.index(name))
    panel.scroll_into_view_if_needed()
    return panel


def element(panel, role: str, name: str):
    """The control of this role whose name begins so."""
    if role == CANVAS:
        return panel.locator(f'[role=application][aria-label^="{name}"]')
    if role == PART:
        return panel.locator(f'g[aria-label^="{name},"]')
    return panel.get_by_role(role, name=name, exact=True).first


def wait_for_change(page, panel, before: str) -> None:
    page.wait_for_function(f"([panel, before]) => ({STATE})(panel) !== before", arg=[panel.element_handle(), before])


def test_the_table_has_every_panel():
    assert set(NAMES) == set(panel_factory.NAMES)


def test_mouse(page, name):
    panel = panel_of(page, name)
    role, label = TABLE[name].mouse
    target = element(panel, role, label)
    before = panel.evaluate(STATE)
    if role == LIST:
        target.select_option(index=1)
    else:
        box = target.bounding_box()
        share = {SLIDER: 0.7, CANVAS: 0.27}.get(role, 0.5)
        target.click(position={"x": share * box["width"], "y": box["height"] / 2})
    wait_for_change(page, panel, before)
    assert not panel.locator(".sd-error").count(), panel.locator(".sd-note").all_inner_texts()


def test_keyboard(page, name):
    panel = panel_of(page, name)
    target = element(panel, *TABLE[name].keyboard)
    target.focus()
    if TABLE[name].keyboard[0] == TEXT:
        target.press("End")
    before = panel.evaluate(STATE)
    for key in TABLE[name].keys:
        target.press(key)
    wait_for_change(page, panel, before)
    assert target.evaluate("(target) => target === document.activeElement"), "the page took a key, or the focus"
    assert not panel.locator(".sd-error").count(), panel.locator(".sd-note").all_inner_texts()


def test_every_control_and_image_has_a_name(page, name):
    panel = panel_of(page, name)
    fields = "input, select, button, [tabindex='0'], img"
    nameless = panel.evaluate(
        """(panel, fields) => [...panel.querySelectorAll(fields)]
        .filter((one) => one.offsetWidth && !(one.labels?.[0]?.innerText || one.ariaLabel || one.alt
            || (one.tagName === "BUTTON" && one.innerText)))
        .map((one) => one.outerHTML.slice(0, 200))""",
        fields,
    )
    assert nameless == []


@pytest.mark.parametrize("name", ["latent_map", "embedding_projector", "sketch"])
def test_a_canvas_is_drawn_as_soon_as_it_is_seen(page, name):
    canvas = panel_of(page, name).locator("canvas.sd-hand")
    page.wait_for_function(
        """(canvas) => canvas.width
            && canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((n) => n)""",
        arg=canvas.element_handle(),
    )


def theme(page, name: str) -> None:
    page.click("text=Settings >> nth=0")
    page.hover("text=Theme >> nth=0")
    page.click(f"text={name} >> nth=0")
    page.wait_for_function(f"document.body.dataset.jpThemeName === '{name}'")


@pytest.fixture(scope="module", params=[LIGHT, DARK])
def themed(page, request):
    theme(page, request.param)
    yield page
    theme(page, LIGHT)


def test_contrast_in_both_themes(themed, name):
    ratio, text = panel_of(themed, name).evaluate(CONTRAST)
    assert ratio >= 4.5, text
    marks = panel_of(themed, name).locator(".sd-legend")
    assert not marks.count() or marks.evaluate("one => getComputedStyle(one).backgroundColor") == "rgb(255, 255, 255)"


@pytest.fixture(scope="module", params=[900, 650], ids=["900 px", "200 % zoom of 1300 px"])
def narrow(page, request):
    page.set_viewport_size({"width": request.param, "height": 900})
    page.wait_for_timeout(500)
    yield page
    page.set_viewport_size({"width": 1300, "height": 1400})


def test_nothing_is_cut_off_in_a_narrow_window(narrow, name):
    panel = panel_of(narrow, name)
    parts = "img, canvas, svg, input, select, button, table, .sd-note"
    cut = panel.evaluate(
        """(panel, parts) => [...panel.querySelectorAll(parts)]
        .filter((one) => one.offsetWidth !== 0)
        .filter((one) => one.getBoundingClientRect().right > panel.getBoundingClientRect().right + 1)
        .map((one) => one.outerHTML.slice(0, 120))""",
        parts,
    )
    assert cut == []
    assert panel.evaluate("panel => panel.getBoundingClientRect().right") <= narrow.viewport_size["width"]


# -- what the page keeps -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role, label, panel", [
    (SLIDER, "position", "position_encoding"), (LIST, "image", "unet_inspector"), (TEXT, "query", "clip_search"),
    (CANVAS, "latent space", "latent_map"), (CHECK, "update live", "sketch"),
])  # fmt: skip
def test_shortcuts_do_what_they_do_elsewhere(page, role, label, panel):
    target = element(panel_of(page, panel), role, label)
    cell = page.locator(".jp-CodeCell").nth(1 + NAMES.index(panel))
    cell.locator(".jp-InputPrompt").click()  # the active cell
    target.focus()
    saved = []
    page.on("request", lambda request: saved.append(request.url) if request.method == "PUT" else None)
    page.keyboard.press("Control+s")
    page.wait_for_timeout(300)
    assert any("panels.ipynb" in url for url in saved)
    for key in ("Space", "Space") if role == CHECK else ("ArrowDown", "ArrowUp"):
        target.press(key)
    assert "jp-mod-active" in cell.get_attribute("class")  # these keys are the control's
    target.press("Tab")
    assert not target.evaluate("target => target === document.activeElement")
    count = cell.locator(".jp-InputPrompt").inner_text()
    element(panel_of(page, panel), role, label).focus()
    page.keyboard.press("Shift+Enter")
    changed = "([prompt, count]) => /\\d/.test(prompt.innerText) && prompt.innerText !== count"
    page.wait_for_function(changed,
        arg=[cell.locator(".jp-InputPrompt").element_handle(), count])  # fmt: skip
    page.wait_for_function(f"document.querySelectorAll('.sd-panel').length === {len(NAMES)}")


def test_an_error_is_told_on_the_page(page):
    panel = panel_of(page, "jpeg")
    run(page, "panels['jpeg'].show = None")
    element(panel, SLIDER, "quality").press("Home")
    panel.locator(".sd-error").get_by_text("TypeError").wait_for(timeout=15_000)
    run(page, "del panels['jpeg'].show")
    element(panel, SLIDER, "quality").press("End")
    panel.locator(".sd-error").wait_for(state="detached", timeout=15_000)


def test_a_long_computation_shows_cancel_which_ends_it(page):
    run(page, SLOW)
    panel = panel_of(page, "sampler")
    seed = element(panel, BOX, "seed")
    seed.press("ArrowUp")
    panel.get_by_role("button", name="Cancel").click(timeout=15_000)
    panel.get_by_text("Stopped.").wait_for(timeout=15_000)
    run(page, "panels['sampler'].model = model")
    before = panel.evaluate(STATE)
    seed.press("ArrowUp")
    wait_for_change(page, panel, before)
    assert not panel.locator(".sd-busy").count() or panel.locator(".sd-busy").wait_for(state="detached") is None


SLOW = """import time
model = panels['sampler'].model
def slow(x, t):
    time.sleep(1.5)
    return model(x, t)
panels['sampler'].model = slow"""


def run(page, source: str) -> None:
    """Run a new last cell."""
    page.locator(".jp-CodeCell").last.locator(".jp-InputPrompt").click()
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    page.keyboard.insert_text(source)
    cell = page.locator(".jp-CodeCell").last
    page.keyboard.press("Control+Enter")
    page.wait_for_function("prompt => /\\d/.test(prompt.innerText)",
        arg=cell.locator(".jp-InputPrompt").element_handle())  # fmt: skip


# -- without a kernel, on a phone, in Notebook 7 -----------------------------------------------------------------------


def test_an_untrusted_notebook_shows_stills(server):
    outputs = []
    for name in NAMES:
        data, metadata = panel_factory.make(name)._repr_mimebundle_()
        data["application/vnd.jupyter.widget-view+json"] = dict(model_id="0", version_major=2, version_minor=0)
        outputs.append([dict(output_type="display_data", data=data, metadata=metadata)])
    (server.root / "untrusted.ipynb").write_text(notebook(["panel"] * len(NAMES), outputs), encoding="utf-8")
    page = server.open("untrusted.ipynb")
    page.wait_for_timeout(2000)
    stills = page.locator(".jp-OutputArea img")
    assert stills.count() == len(NAMES)
    for still in stills.all():
        assert still.evaluate("still => still.naturalWidth") == 900
    text = page.locator(".jp-Notebook").inner_text()
    assert "VBox(" not in text and "Error displaying widget" not in text
    page.close()


def test_a_finger_scrolls_past_a_canvas_until_it_taps(browser):
    html = latent_map_html(panel_factory.make("latent_map").model, *panel_factory.blobs())
    context = browser.new_context(viewport={"width": 390, "height": 700}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.set_content(html.replace("<body ", '<body style="height: 2500px" data-old='))
    page.wait_for_selector(".sd-values:has-text('=')")
    box = page.locator(".sd-hand").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + 300
    touch = context.new_cdp_session(page)

    def swipe() -> tuple[float, str]:
        start = page.evaluate("scrollY")
        touch.send("Input.dispatchTouchEvent", dict(type="touchStart", touchPoints=[dict(x=x, y=y)]))
        for n in range(1, 9):
            touch.send("Input.dispatchTouchEvent", dict(type="touchMove", touchPoints=[dict(x=x, y=y - 20 * n)]))
            time.sleep(0.02)
        touch.send("Input.dispatchTouchEvent", dict(type="touchEnd", touchPoints=[]))
        time.sleep(0.3)
        return page.evaluate("scrollY") - start, page.locator(".sd-values").inner_text()

    before = page.locator(".sd-values").inner_text()
    scrolled, values = swipe()
    assert scrolled > 50 and values == before  # the page moves, the point does not
    page.evaluate("scrollTo(0, 0)")
    page.touchscreen.tap(x, y)
    scrolled, values = swipe()
    assert scrolled == 0 and values != before  # now the finger drags the point
    context.close()


def test_notebook_7_shows_and_moves_the_panels(server):
    pytest.importorskip("notebook", reason="Notebook 7 is not installed")
    names = ("jpeg", "unet_inspector", "latent_map")
    page = server.run(
        "seven.ipynb", ["import panel_factory", *(f"panel_factory.make('{one}')" for one in names)], "notebooks"
    )
    page.wait_for_function(f"document.querySelectorAll('.sd-panel').length === {len(names)}", timeout=60_000)
    for n, name in enumerate(names):
        panel = page.locator(".sd-panel").nth(n)
        panel.scroll_into_view_if_needed()
        target = element(panel, *TABLE[name].keyboard)
        before = panel.evaluate(STATE)  # focus alone shows a part of the U diagram; Enter keeps it
        target.focus()
        target.press(TABLE[name].keys[0])
        wait_for_change(page, panel, before)
    page.close()

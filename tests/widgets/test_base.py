"""The table of the panels: panel × (error in a callback, interrupt, still image, alternative text, every control, on an
accelerator), each cell a test.

Its columns mouse, keyboard and dark theme are in ../browser/test_panels.py. What needs a kernel is in
test_base_kernel.py.
"""

import base64
import io
import json
import re
import threading
from pathlib import Path
from typing import NamedTuple

import panel_factory
import pytest
from accelerator import DEVICE, Accelerator, use
from PIL import Image

from stablediff_edu.errors import UserError
from stablediff_edu.plotting.ch05_latents import DIGIT_COLORS
from stablediff_edu.widgets import base
from stablediff_edu.widgets.ch07_qkv_matrices import MATRICES
from stablediff_edu.widgets.controls import STYLE, Button


class Row(NamedTuple):
    """How to change a panel: a control and a value; the image whose alternative text must follow; what to break."""

    control: str
    value: object
    image: str
    breaks: str = "show"


TABLE = {
    "kernel_editor": Row("kernel", "box blur", "after"),
    "unet_inspector": Row("stage", "down 1", "receptive field"),
    "position_encoding": Row("position", 7, "encoding"),
    "denoising": Row("timestep t", 700, "noisy image xₜ"),
    "sampler": Row("sampling step", 2, "samples"),
    "jpeg": Row("quality", 90, "JPEG"),
    "latent_map": Row("from A", "4", "from A: example"),
    "latent_sliders": Row("start from", "8", "start from: example"),
    "embedding_projector": Row("neighbors", 3, "", "_as_table"),
    "analogies": Row("− b", "tea", "nearest words"),
    "attention": Row("sentence", "a good film", "attention"),
    "qkv_matrices": Row("row 1, column 2", 1, "matrices"),
    "clip_search": Row("query", "a large whale at night", "best images"),
    "text_to_image": Row("seed", 5, "generated"),
    "training_replay": Row("snapshot", 1, "samples"),
    "cross_attention": Row("weight", 3.0, "weighted"),
    "sketch": Row("template", "whale", "generated"),
    "inpainting": Row("fill prompt", "a whale", "inpainted"),
}


@pytest.fixture(params=TABLE, scope="module")
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def made(name: str):
    return panel_factory.make(name)


@pytest.fixture
def panel(name: str, made):
    """The panel, with the control of the table moved back afterwards."""
    control = made.controls[TABLE[name].control]
    before = control.value
    yield made
    control.value = before


def act(name: str, panel) -> None:
    panel.controls[TABLE[name].control].value = TABLE[name].value


def fail_with(error: BaseException):
    def fail(*_args, **_options):
        raise error

    return fail


def test_the_table_has_every_panel():
    assert set(TABLE) == set(panel_factory.NAMES) == panel_factory.files()


def test_a_control_changes_what_is_shown_and_the_alternative_text_follows(name, panel):
    shown = TABLE[name].image
    assert all(image.alt.strip() for image in panel.images.values() if image.value)

    def state() -> tuple:
        image = panel.images.get(shown)
        return (bytes(image.value), image.alt) if image else (panel.table.value, panel.note.value)

    before = state()
    act(name, panel)
    assert all(a != b for a, b in zip(before, state(), strict=True)) and not panel.note.state


def test_an_error_becomes_a_sentence_and_the_log_has_the_traceback(name, panel, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        patch.setattr(panel, TABLE[name].breaks, fail_with(RuntimeError("a <bug>")))
        act(name, panel)
    assert panel.note.state == "error" and "RuntimeError: a &lt;bug&gt;" in panel.note.value
    assert "in fail" in caplog.text
    panel.run(lambda: None)
    assert panel.note.state != "error"


def test_an_interrupt_is_told(name, panel, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(base, "_is_widget_message", lambda: True)
        patch.setattr(panel, TABLE[name].breaks, fail_with(KeyboardInterrupt()))
        act(name, panel)
    assert panel.note.state == "error" and "Stopped." in panel.note.value
    assert panel._job is None


def test_a_still_image_stands_for_the_panel(name, panel):
    data, metadata = panel._repr_mimebundle_()
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")  # which GitHub takes before text/plain
    still = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert still.width == 900 and 100 < still.height < 1400 and len(data["image/png"]) < 200_000
    assert len(still.convert("RGB").getcolors(1 << 20)) > 20  # more than text on white
    assert data["text/plain"] == metadata["image/png"]["alt"]
    assert data["text/plain"].startswith(f"Panel: {panel.title}. ") and "VBox" not in data["text/plain"]


def values(control) -> list:
    """Values that a learner may give a control."""
    if hasattr(control, "low"):
        return [control.low, control.high]
    if hasattr(control, "labels"):
        return list(control.labels)[:3]
    words = {"film": "the film was good", " ": "a blue duck", "": "queen"}
    return {
        "button": lambda: [control.value + 1],
        "check": lambda: [not control.value],
        "diagram": lambda: list(control.parts),
        "grid": lambda: [[value + 1 for value in control.value]],
    }.get(control.kind, lambda: [next(text for part, text in words.items() if part in control.value)])()


@pytest.mark.parametrize("mps", [None, False, True], ids=["cpu", "cuda", "mps"])
def test_every_control_has_a_name_and_moves_over_its_range(name, mps: bool | None, monkeypatch):
    def move_all(panel) -> None:
        for control in list(panel.controls.values()):
            assert control.name.strip()
            for value in values(control)[: 3 if mps is None else 1]:
                control.value = value
                assert panel.note.state != "error" or "box is empty" in panel.note.value, panel.note.plain()
        assert "nan" not in panel.note.value
        json.dumps(panel.settings())

    if mps is None:
        move_all(panel_factory.make(name))
    else:
        use(monkeypatch.setattr)
        with Accelerator(mps=mps):
            move_all(panel_factory.make(name, DEVICE))


# -- Panel -------------------------------------------------------------------------------------------------------------


class Slow(base.Panel):
    """A panel whose handler takes three steps."""

    def __init__(self) -> None:
        super().__init__("Slow", Button("go"))
        self.button, self.steps = self.controls["go"], []
        self.follow(self.work, "go")

    def work(self):
        number = self["go"]
        for step in range(3):
            self.steps.append((number, step))
            yield


class Loop:
    """An event loop of which the test turns the crank."""

    def __init__(self) -> None:
        self.calls = []

    def call_later(self, _delay, function, *args) -> None:
        self.calls.append((function, args))

    def call_soon_threadsafe(self, function, *args) -> None:
        self.calls.append((function, args))

    def turn(self) -> None:
        calls, self.calls = self.calls, []
        for function, args in calls:
            function(*args)


@pytest.fixture
def slow(monkeypatch):
    monkeypatch.setattr(base, "_is_widget_message", lambda: True)
    monkeypatch.setattr(base, "SLICE", 0)  # one step, then the kernel looks at its messages
    monkeypatch.setattr(base, "_watch_interrupts", lambda: None)
    panel = Slow()
    panel._loop = Loop()
    return panel


def test_the_newest_value_wins_and_cancel_ends_it_at_the_next_step(slow):
    slow.button.click()
    assert slow.steps == [(1, 0)] and slow.note.state == "busy"
    slow.button.click()
    for _ in range(2):
        slow._loop.turn()
    assert slow.steps == [(1, 0), (2, 0), (2, 1), (2, 2)]
    slow._loop.turn()
    assert slow.note.state == ""
    slow.button.click()
    slow.note._handle_custom_msg("cancel", [])
    for _ in range(3):
        slow._loop.turn()
    assert slow.steps[4:] == [(3, 0)] and "Stopped" in slow.note.value and slow.note.state == ""


def test_from_another_thread_it_waits_for_the_main_thread(slow):
    thread = threading.Thread(target=slow.button.click)
    thread.start()
    thread.join()
    assert slow.steps == []
    slow._loop.turn()
    assert slow.steps == [(1, 0)]


@pytest.mark.parametrize("name, control", [
    ("analogies", "a"), ("embedding_projector", "word"), ("clip_search", "query"), ("text_to_image", "prompt"),
])  # fmt: skip
def test_what_the_learner_types_is_never_taken_for_html(name: str, control: str, monkeypatch):
    panel = panel_factory.make(name)
    if name == "text_to_image":  # its own tokenizer would read "b x b"
        monkeypatch.setattr(type(panel), "prompt", lambda self, name="prompt": "")
        monkeypatch.setitem(panel.generation.settings, "prompt", "<b>x</b>")
        panel.run(panel._show)
    else:
        panel.controls[control].value = "<b>x</b>"
    assert "<b>x" not in panel.note.value and len(panel.note.value) > 9


@pytest.mark.parametrize("panel, control", [("kernel_editor", "kernel"), ("unet_inspector", "stage")])
def test_an_unknown_option_gets_one_sentence(panel: str, control: str):
    with pytest.raises(UserError, match=f"{control} has no option 'blurr'; choose one of "):
        panel_factory.make(panel).controls[control].value = "blurr"


# -- contrast, from the style sheet ------------------------------------------------------------------------------------

PAGES = {"light": ["#ffffff", "#f7f7f7"], "dark": ["#111111", "#1e1e1e", "#212121"]}  # JupyterLab, VS Code


def luminance(color: str) -> float:
    values = [int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_has_enough_contrast_in_both_themes():
    blocks = re.findall(r"\{([^{}]*--sd-ink: #[^{}]*)\}", STYLE)
    light, dark, sheet = (dict(re.findall(r"(--sd-\w+): (#\w{6})", block)) for block in blocks)
    assert set(light) == set(dark)
    for theme, tokens in (("light", light), ("dark", dark)):
        for page in PAGES[theme]:
            for text in ("--sd-ink", "--sd-muted", "--sd-error"):
                assert contrast(tokens[text], page) >= 4.5, (theme, text, page)
            for line in ("--sd-line", "--sd-accent"):  # borders of controls and the focus ring: WCAG 1.4.11
                assert contrast(tokens[line], page) >= 3, (theme, line, page)
        for back in ("--sd-field", "--sd-button"):
            assert contrast(tokens["--sd-ink"], tokens[back]) >= 4.5, (theme, back)
    scripts = "".join(path.read_text(encoding="utf-8") for path in Path(base.__file__).parent.glob("js/*.js"))
    inks = re.findall(r"const \[INK, MUTED.*\] = \[\"(#\w{6})\", \"(#\w{6})\"", scripts)
    assert len(inks) == 2
    for color in (*sheet.values(), *DIGIT_COLORS, *MATRICES.values(), *sum(inks, ())):
        assert contrast(color, "#ffffff") >= 4.5, color
    # every text color of the sheet is a token or stands on a white sheet
    for color in re.findall(r"(?<![-\w])color: ([^;}]+)", STYLE):
        assert color.startswith("var(--sd-") or contrast(color.strip(), "#ffffff") >= 4.5

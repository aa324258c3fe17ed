"""Labelled controls that work by mouse, finger and keyboard, and images with alternative text."""

import html
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import anywidget
import torch
import traitlets
from PIL import Image
from traitlets import Bool, Bytes, Float, Int, List, Unicode

from stablediff_edu.errors import UserError

_JS = Path(__file__).with_name("js")
STYLE = (_JS / "style.css").read_text(encoding="utf-8")
INNER = (0.01, 0.99)  # quantiles: a few values lie far out and would leave little space for the others
MARGIN = 0.08
MIN_STEPS = 400


def script(*names: str) -> str:
    """Return the shared script and the named ones as one module; only the last one exports."""
    texts = [(_JS / f"{name}.js").read_text(encoding="utf-8") for name in ("shared", *names)]
    return "\n".join([*(text.partition("export default")[0] for text in texts[:-1]), texts[-1]])


def minus(text: str) -> str:
    """Return a text with real minus signs before its negative numbers."""
    return re.sub(r"(?<!\w)-(?=\d)", "−", text)


def known(name: str, value: str, options: Iterable[str]) -> str:
    """Return the value; raise a UserError if it is none of the options."""
    if value not in options:
        raise UserError(f"{name} has no option {value!r}; choose one of {', '.join(options)}.")
    return value


class SliderRange(NamedTuple):
    """The values of a slider: its ends and its step, all round numbers."""

    low: float
    high: float
    step: float = 1

    def snap(self, value: float) -> float:
        """Return the nearest value of the slider, an int where its step is one."""
        digits = max(0, math.ceil(-math.log10(self.step) - 1e-9))  # value · step is not quite round
        snapped = round(min(max(round(value / self.step) * self.step, self.low), self.high), digits)
        return snapped if self.step % 1 else int(snapped)


def range_for(values: torch.Tensor) -> SliderRange:
    """Return the range in which nearly all of the values (N,) lie, with a margin, in 400 to 1000 steps."""
    low, high = torch.quantile(values.double(), torch.tensor(INNER, dtype=torch.double)).tolist()
    margin = MARGIN * (high - low) or 1.0
    low, high = low - margin, high + margin
    largest = (high - low) / MIN_STEPS
    power = 10.0 ** math.floor(math.log10(largest))
    step = max(times * power for times in (1, 2, 5) if times * power <= largest)
    unbounded = SliderRange(-math.inf, math.inf, step)
    return SliderRange(unbounded.snap(low), unbounded.snap(high), step)


class Control(anywidget.AnyWidget):
    """A control with a label, which is also its accessible name and its name in the panel. It has a `value`."""

    _esm, _css = script("controls"), STYLE
    kind = Unicode().tag(sync=True)
    name = Unicode().tag(sync=True)

    def __init__(self, name: str = "", value: Any = None, **others: Any) -> None:
        super().__init__(name=name, **others)
        if value is not None:
            self.value = value  # last: the other traits limit it

    @property
    def chosen(self) -> Any:
        """What the value stands for."""
        return self.value

    def told(self) -> str:
        """Return the value for the caption of a still image, or ""."""
        return f"“{self.value}”" if isinstance(self.value, str) and self.value else ""


class Slider(Control):
    """A slider and a number box that show one `value`, snapped to the slider's range.

    Args:
        low, high, step: of the values.
        live: whether the value changes while the slider is dragged, or at its end.
    """

    kind = Unicode("slider").tag(sync=True)
    low = Float().tag(sync=True)
    high = Float().tag(sync=True)
    step = Float().tag(sync=True)
    live = Bool(True).tag(sync=True)
    disabled = Bool(False).tag(sync=True)
    value = traitlets.Union([Int(), Float()]).tag(sync=True)

    def __init__(self, name: str, low: float, high: float, value: float, step: float = 1, live: bool = True) -> None:
        super().__init__(name, value, low=low, high=high, step=step, live=live)

    @traitlets.validate("value")
    def _snap(self, proposal: dict) -> float:
        return SliderRange(self.low, self.high, self.step).snap(proposal["value"])

    def told(self) -> str:
        return f"{self.value:g}"

    def set_max(self, high: float, value: float | None = None) -> None:
        """Move the upper end, and the value into the range or to the given one."""
        with self.hold_sync():
            self.high = high
            self.value = min(self.value, high) if value is None else value


class Number(Slider):
    """A number box without a slider, for values such as seeds."""

    kind = Unicode("number").tag(sync=True)


class Select(Control):
    """A list of labels, of which `value` is chosen; `chosen` is the option with this label.

    Args:
        options: label -> option, or options that are their own labels.
        option: the first one by default.
    """

    kind = Unicode("select").tag(sync=True)
    labels: List = List(Unicode()).tag(sync=True)
    value = Unicode().tag(sync=True)

    def __init__(self, name: str, options: Sequence | Mapping[str, Any], option: Any = None) -> None:
        super().__init__(name)
        self.offer(options, option)

    def offer(self, options: Sequence | Mapping[str, Any], option: Any = None) -> None:
        """Offer other options."""
        self.options = dict(options) if isinstance(options, Mapping) else {str(one): one for one in options}
        with self.hold_sync():
            self.labels = list(self.options)
            self.value = next(label for label, one in self.options.items() if option is None or one == option)

    @property
    def chosen(self) -> Any:
        return self.options[self.value]

    def told(self) -> str:
        return self.value

    @traitlets.validate("value")
    def _known(self, proposal: dict) -> str:
        return known(self.name, proposal["value"], self.labels)


class Text(Control):
    """A line of text; `value` changes at Enter or when the box is left. `suggestions` complete what is typed."""

    kind = Unicode("text").tag(sync=True)
    suggestions: List = List(Unicode()).tag(sync=True)
    value = Unicode().tag(sync=True)


class Check(Control):
    """A check box."""

    kind = Unicode("check").tag(sync=True)
    value = Bool().tag(sync=True)


class Button(Control):
    """A button; `value` counts the clicks, `about` is shown when the pointer rests on it."""

    kind = Unicode("button").tag(sync=True)
    about = Unicode().tag(sync=True)
    value = Int(0).tag(sync=True)

    def __init__(self, name: str, about: str = "") -> None:
        super().__init__(name, about=about)

    def click(self) -> None:
        """Do what a click does."""
        self.value += 1


class Grid(Control):
    """The values of a matrix as number boxes, row by row in `value`."""

    kind = Unicode("grid").tag(sync=True)
    columns = Int().tag(sync=True)
    value: List = List(Float()).tag(sync=True)

    def fill(self, columns: int, value: Sequence[float]) -> None:
        """Show another matrix."""
        with self.hold_sync():
            self.columns, self.value = columns, list(map(float, value))


class Diagram(Control):
    """An SVG whose parts can be chosen: pointing at a part or Tab shows it, a click, a tap or Enter keeps it.

    Attributes:
        svg: the markup; the parts are the groups with a name of `parts` as their id.
        parts: name -> what a screen reader says of it.
        value: the name of the chosen part.
    """

    kind = Unicode("diagram").tag(sync=True)
    svg = Unicode().tag(sync=True)
    parts: traitlets.Dict = traitlets.Dict().tag(sync=True)
    value = Unicode().tag(sync=True)

    @traitlets.validate("value")
    def _known(self, proposal: dict) -> str:
        return known(self.name, proposal["value"], self.parts)


class ImageView(Control):
    """An image with a title above it and an alternative text.

    Attributes:
        value: a PNG; `pixels` says that its pixels are enlarged without smoothing.
        alt: what is to be seen now.
        width, height: on the screen, in CSS pixels; narrower where the page is.
    """

    kind = Unicode("image").tag(sync=True)
    value = Bytes().tag(sync=True)
    alt = Unicode().tag(sync=True)
    title = Unicode().tag(sync=True)
    width = Int().tag(sync=True)
    height = Int().tag(sync=True)
    pixels = Bool(False).tag(sync=True)

    def pil(self) -> Image.Image:
        """Return the image in the size in which it is shown."""
        how = Image.Resampling.NEAREST if self.pixels else Image.Resampling.LANCZOS
        return Image.open(io.BytesIO(self.value)).convert("RGB").resize((self.width, self.height), how)


class Note(Control):
    """What a panel says: HTML; `state` is "", "busy" (with a button to cancel) or "error"."""

    kind = Unicode("note").tag(sync=True)
    value = Unicode().tag(sync=True)
    state = Unicode().tag(sync=True)

    def plain(self) -> str:
        """Return the text without its tags."""
        return " ".join(html.unescape(re.sub("<[^>]+>", " ", self.value)).split())

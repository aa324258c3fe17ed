"""Panel: what all panels share. Controls, images with alternative text, guarded callbacks, and a still image."""

import asyncio
import base64
import html
import logging
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

import ipywidgets
import numpy as np
import torch
from PIL import Image

from stablediff_edu.errors import UserError
from stablediff_edu.notebook.progress import encode_png, to_uint8
from stablediff_edu.widgets.controls import Control, ImageView, Note, minus
from stablediff_edu.widgets.still import compose

SLICE = 0.2  # seconds that a generator computes before the kernel looks at its messages
PAUSE = 0.005  # seconds in which it does
CANCELED = "Canceled. The images show what was computed until then."
STOPPED = "Stopped. The images show what was computed until then."
STALE = "The images still show the previous settings."
log = logging.getLogger(__name__)
_one_at_a_time = threading.RLock()


class Panel(ipywidgets.VBox):
    """Controls and images that follow them.

    A handler is a function, or a generator function that yields between the steps of a long computation. Whatever it
    raises becomes a sentence in the note; the traceback goes to the log. A generator can be canceled, and ends when a
    newer one starts. Handlers run in the main thread alone, so never beside a running cell: hooks on shared models, the
    stop button and seeds need that.

    Attributes:
        controls: name -> control; each has a `value`.
        images: name -> `ImageView`.
        note: `Note`, what the panel says in words.
    """

    def __init__(self, title: str) -> None:
        super().__init__()
        self.add_class("sd-panel")
        self.title, self.controls, self.images, self.note = title, {}, {}, Note()
        self.note.on_msg(lambda *_: self.cancel())
        self._job: Generator | None = None
        self._quiet = False
        self._waiting: set[Callable] = set()
        try:
            self._loop = asyncio.get_running_loop()  # the kernel's
        except RuntimeError:
            self._loop = None

    # -- parts -------------------------------------------------------------------------------------------------------

    def image(self, name: str, width: int, height: int | None = None, title: str | None = None, **more) -> ImageView:
        """Add an image of width × height CSS pixels; `title` stands above it, its name by default."""
        self.images[name] = ImageView(name, width, height, title, **more)
        return self.images[name]

    def value(self, name: str) -> object:
        """Return the value of a control."""
        return self.controls[name].value

    def lay_out(self, *rows: object) -> None:
        """Set the rows: a widget, the name of a control, a heading, or a list of widgets and names side by side.

        A list is wrapped where it does not fit; it leaves out names of controls that the panel does not have.
        """
        self.children = [self.row(*row) if isinstance(row, list) else self._part(row) for row in rows]

    def row(self, *parts: object) -> ipywidgets.HBox:
        """Return widgets and controls side by side."""
        shown = [self._part(part) for part in parts if not isinstance(part, str) or part in self.controls]
        align = "flex-start" if any(isinstance(part, ImageView | ipywidgets.Box) for part in shown) else "center"
        return ipywidgets.HBox(shown, layout={"flex_flow": "row wrap", "align_items": align})

    def _part(self, part: object) -> ipywidgets.Widget:
        if isinstance(part, str):
            return self.controls[part] if part in self.controls else ipywidgets.HTML(f"<b>{part}</b>")
        return part

    def show(self, name: str, image: object, alt: str) -> None:
        """Show an image: a tensor (3, H, W) or (1, H, W) in [-1, 1], uint8 pixels, or a PIL image."""
        place = self.images[name]
        if isinstance(image, torch.Tensor):
            image = to_uint8(image.detach().cpu())
        pixels = isinstance(image, np.ndarray)
        with place.hold_sync():  # one message to the browser
            place.value, place.alt = encode_png(Image.fromarray(image) if pixels else image), alt
            place.pixels = pixels

    # -- callbacks ---------------------------------------------------------------------------------------------------

    def follow(self, handler: Callable, *controls: Control | str) -> None:
        """Call a handler, guarded, when a control changes; names of controls that the panel lacks are left out."""
        for control in controls:
            control = self.controls.get(control) if isinstance(control, str) else control
            if control is not None:
                control.observe(lambda _change: self.run(handler), getattr(control, "changes", "value"))

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """Change controls without calling their handlers."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    def run(self, handler: Callable) -> None:
        """Run a handler, guarded; from another thread, as soon as the main thread is free."""
        if self._quiet:
            return
        if self._loop is None or threading.current_thread() is threading.main_thread():
            self._start(handler)
        elif handler not in self._waiting:  # the newest values count when its turn comes
            self._waiting.add(handler)
            self._loop.call_soon_threadsafe(self._start, handler)

    def cancel(self) -> None:
        """End the computation that is under way, at its next step."""
        if self._job:
            self._job = None
            self.say(CANCELED)

    def say(self, text: str, state: str = "") -> None:
        """Set the note, HTML."""
        with self.note.hold_sync():
            self.note.value, self.note.state = minus(text), state or ("busy" if self._job else "")

    def _start(self, handler: Callable) -> None:
        self._waiting.discard(handler)
        with self._guard():
            if self.note.state == "error":
                self.say("")
            job = handler()
            if isinstance(job, Generator):
                self._job = job  # an older one ends at its next step
                self.note.state = "busy"
                self._advance(job)

    def _advance(self, job: Generator) -> None:
        """Compute for a moment, then let the kernel look at its messages: at newer values and at Cancel."""
        until = time.monotonic() + SLICE if self._loop and _is_widget_message() else float("inf")
        with self._guard(job):
            while job is self._job:
                if next(job, self) is self:
                    self._job, self.note.state = None, ""
                if time.monotonic() >= until:
                    break
        if job is not self._job:
            job.close()
        elif self._job:
            self._loop.call_later(0, _watch_interrupts)
            self._loop.call_later(PAUSE, self._advance, job)

    @contextmanager
    def _guard(self, job: Generator | None = None) -> Iterator[None]:
        """Turn whatever is raised into a sentence in the note."""
        try:
            with _one_at_a_time, _interruptible():
                yield
            return
        except UserError as error:
            sentence = f"{error} {STALE}"
        except KeyboardInterrupt:
            if not _is_widget_message():
                raise  # a cell is stopped
            sentence = STOPPED
        except Exception as error:
            log.exception("%s", self)
            sentence = f"{type(error).__name__}: {error}. {STALE} The log has the traceback."
        if job is self._job:
            self._job = None
        self.say(html.escape(sentence), "error")

    # -- where no kernel runs ----------------------------------------------------------------------------------------

    def tiles(self) -> list[tuple[str, Image.Image]]:
        """Return the titles and images of which the still image is made."""
        return [(one.title, one.pil()) for one in self.images.values() if one.value and one.shown]

    def settings(self) -> str:
        """Return the values of the controls in a line."""
        told = {name: control.told() for name, control in self.controls.items()}
        return minus(" · ".join(f"{name} {value}" for name, value in told.items() if value))

    def caption(self) -> str:
        """Return in words what the still image shows."""
        alts = "; ".join(one.alt for one in self.images.values() if one.alt and one.shown)
        parts = [f"Panel: {self.title}", self.settings(), alts, self.note.plain(), "Run this cell to use it."]
        return ". ".join(part.rstrip(".") for part in parts if part) + "."

    def _repr_mimebundle_(self, **kwargs) -> tuple[dict, dict]:
        """Return the live panel, and a still image of it for pages without a kernel."""
        data = super()._repr_mimebundle_(**kwargs)
        still = compose(self.title, self.settings(), self.tiles(), self.note.plain())
        data |= {"text/plain": self.caption(), "image/png": base64.b64encode(still).decode("ascii")}
        return data, {"image/png": {"alt": self.caption()}}

    def __repr__(self) -> str:
        return f"Panel({self.title!r})"


def nearest_multiple(size: int, wanted: int) -> int:
    """Return the multiple of `size` nearest to `wanted`: enlarged to it, all pixels of an image are equally large."""
    return size * max(1, round(wanted / size))


def _is_widget_message() -> bool:
    """Return whether this runs for a widget, and not in a cell or in a program without a kernel."""
    from IPython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    return kernel is not None and kernel.get_parent().get("header", {}).get("msg_type") == "comm_msg"


_interrupted = False  # by the stop button, between two slices of a computation


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let the stop button end what runs here: between its messages a kernel ignores it."""
    global _interrupted
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if _interrupted:
            raise KeyboardInterrupt
        yield
    finally:
        _interrupted = False
        signal.signal(signal.SIGINT, signal.SIG_IGN if before is _remember_interrupt else before)


def _remember_interrupt(*_signal) -> None:
    global _interrupted
    _interrupted = True


def _watch_interrupts() -> None:
    signal.signal(signal.SIGINT, _remember_interrupt)

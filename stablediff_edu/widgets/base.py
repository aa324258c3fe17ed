"""Panel: what all panels share. Controls, images with alternative text, guarded callbacks, and a still image."""

import asyncio
import base64
import html
import logging
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import ipywidgets
import numpy as np
import torch
from PIL import Image

from stablediff_edu.config import device_of, synchronize
from stablediff_edu.errors import UserError
from stablediff_edu.notebook.progress import encode_png
from stablediff_edu.plotting.grids import to_uint8
from stablediff_edu.widgets.controls import Control, ImageView, Note, minus
from stablediff_edu.widgets.still import compose

SLICE = 0.2  # seconds that a generator computes before the kernel looks at its messages
PAUSE = 0.005  # seconds in which it does
STOPPED = "Stopped. The images show what was computed until then."
STALE = "The images still show the previous settings."
log = logging.getLogger(__name__)
_one_at_a_time = threading.RLock()
Step = TypeVar("Step")
Job = Generator[None, None, Any]  # a computation that yields between its steps


class Panel(ipywidgets.VBox):
    """Controls and images that follow them.

    A handler is a function, or a generator function that yields between the steps of a long computation. Whatever it
    raises becomes a sentence in the note; the traceback goes to the log. A generator can be canceled, and ends when a
    newer one starts. Handlers run in the main thread alone, so never beside a running cell: hooks on shared models, the
    stop button and seeds need that.

    Args:
        title: of the still image.
        controls: by their names in `controls`; `panel[name]` is what is chosen there.

    Attributes:
        images: name -> `ImageView`.
        note: `Note`, what the panel says in words.
        side: pixels on the screen of an image's longer side, about.
    """

    side = 256

    def __init__(self, title: str, *controls: Control) -> None:
        super().__init__()
        self.add_class("sd-panel")
        self.title, self.note = title, Note()
        self.controls: dict[str, Any] = {control.name: control for control in controls}
        self.images: dict[str, ImageView] = {}
        self.note.on_msg(lambda *_: self.cancel())
        self._job: Job | None = None
        self._quiet = False
        self._waiting: set[Callable] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        with suppress(RuntimeError):
            self._loop = asyncio.get_running_loop()  # the kernel's

    def __getitem__(self, name: str) -> Any:
        return self.controls[name].chosen

    # -- what is on the panel ------------------------------------------------------------------------------------------

    def lay_out(self, *rows: Any) -> None:
        """Set the rows. A row is a widget, the name of a control or an image, a heading that begins with "# ", a list
        of these side by side, or a tuple of these one below the other. What does not fit is wrapped."""
        self.children = [self._part(row) for row in rows]

    def _part(self, part: Any) -> ipywidgets.Widget:
        if isinstance(part, list | tuple):
            return (ipywidgets.HBox if isinstance(part, list) else ipywidgets.VBox)([self._part(one) for one in part])
        if not isinstance(part, str):
            return part
        if part.startswith("# "):
            return ipywidgets.HTML(f"<b>{part[2:]}</b>")
        return self.controls.get(part) or self._image(part)

    def _image(self, name: str) -> ImageView:
        if name not in self.images:
            self.images[name] = ImageView(name)
        return self.images[name]

    def show(self, name: str, image: Any, alt: str, title: str | None = None, side: int = 0) -> None:
        """Show an image.

        Args:
            image: a tensor (3, H, W) or (1, H, W) in [-1, 1], or uint8 pixels (H, W) or (H, W, 3): they are enlarged
                to the multiple nearest to `side`. Or a PIL image as large as it is.
            alt: what is to be seen.
            title: stands above it; its name by default.
        """
        pixels = not isinstance(image, Image.Image)
        if pixels:
            image = Image.fromarray(image if isinstance(image, np.ndarray) else to_uint8(image))
        times = max(1, round((side or self.side) / max(image.size))) if pixels else 1
        view = self._image(name)
        with view.hold_sync():  # one message to the browser
            view.width, view.height = times * image.width, times * image.height
            view.value, view.pixels, view.alt = encode_png(image), pixels, minus(alt)
            view.title = minus(name if title is None else title)

    # -- callbacks -----------------------------------------------------------------------------------------------------

    def follow(self, handler: Callable, *controls: Any) -> None:
        """Call a handler, guarded, when a control, given by its name, or a widget changes."""
        for control in controls:
            control = self.controls[control] if isinstance(control, str) else control
            control.observe(lambda _change: self.run(handler), getattr(control, "changes", "value"))

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """Change controls without calling their handlers."""
        before, self._quiet = self._quiet, True
        try:
            yield
        finally:
            self._quiet = before

    def set(self, name: str, value: object) -> None:
        """Change the value of a control without calling its handlers."""
        with self.quietly():
            self.controls[name].value = value

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
            self.say(STOPPED)

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

    def _advance(self, job: Job) -> None:
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
        elif self._job and self._loop:
            self._loop.call_later(0, _watch_interrupts)
            self._loop.call_later(PAUSE, self._advance, job)

    @contextmanager
    def _guard(self, job: Job | None = None) -> Iterator[None]:
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

    # -- where no kernel runs ------------------------------------------------------------------------------------------

    def tiles(self) -> list[tuple[str, Image.Image]]:
        """Return the titles and images of which the still image is made."""
        return [(one.title, one.pil()) for one in self.images.values() if one.value]

    def settings(self) -> str:
        """Return the values of the controls in a line."""
        told = {name: control.told() for name, control in self.controls.items()}
        return minus(" · ".join(f"{name} {value}" for name, value in told.items() if value))

    def caption(self) -> str:
        """Return in words what the still image shows."""
        alts = "; ".join(one.alt for one in self.images.values() if one.alt)
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


# -- models ------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def evaluate(model: Any, *inputs: torch.Tensor, method: str = "__call__") -> torch.Tensor:
    """Return the output of a model, or of another method of it, for inputs from anywhere, on the CPU."""
    device = device_of(model)
    return getattr(model, method)(*(one.to(device) for one in inputs)).cpu()


def collect(
    steps: Iterable[Step], device: torch.device, preview: Callable[[Step, float], None] = lambda *_: None
) -> Generator[None, None, tuple[list[Step], float]]:
    """Compute all steps and yield after each; return them, and the seconds that they took.

    `preview` gets each step and the seconds until then; its own time does not count.
    """
    taken, seconds, began = [], 0.0, time.perf_counter()
    for step in steps:
        taken.append(step)
        seconds += time.perf_counter() - began
        preview(step, seconds)
        yield
        began = time.perf_counter()
    synchronize(device)
    return taken, seconds + time.perf_counter() - began


# -- the kernel --------------------------------------------------------------------------------------------------------


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

"""Ctrl-C, a notebook's stop button and SIGTERM as a request that a training answers between two steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether the training should stop, and by which signal."""

    signal: int | None = None


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Within the block these signals interrupt nothing, however often they come: they set the request's signal."""
    request = StopRequest()

    def note(number: int, frame: object) -> None:
        request.signal = max(number, request.signal or 0)  # SIGTERM, which ends the process, counts more

    if threading.current_thread() is not threading.main_thread():  # only the main thread is ever interrupted
        yield request
        return
    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

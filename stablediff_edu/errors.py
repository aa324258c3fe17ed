"""The one exception that a learner is meant to read, and the sentence for too little memory."""

from collections.abc import Iterator
from contextlib import contextmanager

# how torch's allocators for the CPU and for MPS say it, in a plain RuntimeError
OTHERS = ("DefaultCPUAllocator: ", "out of memory", "not enough memory")


class UserError(Exception):
    """Something the learner can fix: one plain sentence that says what is wrong and what to do next.

    Commands print the sentence and end with exit code 2; notebooks show the sentence instead of a traceback.
    """

    def _render_traceback_(self) -> list[str]:
        """Tell IPython to show the sentence alone (it looks for this method before it prints a traceback)."""
        return [f"{type(self).__name__}: {self}"]


@contextmanager
def oom_guard(
    otherwise: str = "; generate fewer or smaller images at once, or load the weights with half=True.",
) -> Iterator[None]:
    """Say in one sentence that the memory does not suffice: "There is not enough memory" and what is left to do."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        from torch import OutOfMemoryError  # a RuntimeError; not imported above, where commands begin

        if not isinstance(error, MemoryError | OutOfMemoryError) and not any(text in str(error) for text in OTHERS):
            raise
        raise UserError(f"There is not enough memory{otherwise}") from error

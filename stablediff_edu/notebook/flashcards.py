"""Flashcards that turn over without a kernel, and exercises that check themselves and say where to look."""

import html
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

# the marker is a shape as well as a word, so that nothing hangs on a color
_DIFFICULTY = {"easy": "●○○", "medium": "●●○", "hard": "●●●"}


class Flashcard(NamedTuple):
    """One flashcard: its difficulty is easy, medium or hard, its time where the video speaks of it, as in 03:23."""

    question: str
    answer: str
    difficulty: str = "medium"
    time: str = ""


def show_flashcards(cards: Sequence[Flashcard]) -> None:
    """Show flashcards: the question stands there, a click or the space bar reveals the answer.

    They are plain ``<details>`` elements: they work in JupyterLab, on a saved web page, without a kernel, and from the
    keyboard (Tab to a card, Space to turn it over).
    """
    from IPython.display import display

    for metadata in cards:
        if metadata.difficulty not in _DIFFICULTY:
            raise ValueError(f"difficulty is easy, medium or hard, not {metadata.difficulty!r}")
    plain = "\n".join(f"{metadata.question} {metadata.answer}" for metadata in cards)
    display({"text/html": "\n".join(map(_card_html, cards)), "text/plain": plain}, raw=True)


def _card_html(metadata: Flashcard) -> str:
    marker = f"{_DIFFICULTY[metadata.difficulty]} {metadata.difficulty}"
    time = f" · video {metadata.time}" if metadata.time else ""
    return (
        '<details style="margin: 6px 0px; padding: 8px 14px; border: 1px solid #bbbbbb; border-radius: 8px; '
        'max-width: 52em">'
        f'<summary style="cursor: pointer"><strong>{html.escape(metadata.question)}</strong> '
        f"<small>&nbsp; {marker}{html.escape(time)}</small></summary>"
        f'<p style="margin: 8px 0px 4px 16px">{html.escape(metadata.answer)}</p></details>'
    )


def check_answer(
    label: str,
    answer: Any,
    expected: Any,
    *,
    tolerance: float = 1e-6,
    common_mistakes: Sequence[tuple[Any, str]] = (),
    hint: str = "",
) -> None:
    """Check an answer to an exercise and print a sentence: right, not answered yet, or what is wrong and where to look.

    A wrong answer is no error: the notebook runs on.

    Args:
        label: the exercise's name, such as "Exercise 1".
        answer: a number, or a tensor (or nested lists) of numbers; ``...`` means not answered yet.
        expected: the right answer, of the same kind.
        tolerance: largest difference that still counts as right, in every number.
        common_mistakes: pairs of a well-known wrong answer and the sentence that says how one comes to it.
        hint: where to look, said after any wrong answer.
    """
    if answer is ...:
        print(_not_answered(label))
        return
    wrong = _what_is_wrong(answer, expected, tolerance)
    if not wrong:
        print(f"{label}: ✓ right.")
        return
    known = [why for value, why in common_mistakes if not _what_is_wrong(answer, value, tolerance)]
    print(f"{label}: not yet: {known[0] if known else wrong}{_where(hint)}")


def check_function(
    label: str,
    function: Callable,
    reference: Callable,
    examples: Sequence[tuple],
    *,
    tolerance: float = 1e-6,
    hint: str = "",
) -> None:
    """Check a function that the learner writes against ``reference`` on ``examples`` (tuples of arguments).

    A function that returns ``...`` or nothing is not answered yet; one that stops with an error is told apart from
    one whose result is wrong.
    """
    for arguments in examples:
        given = ", ".join(map(_describe, arguments))
        try:
            answer = function(*arguments)
        except Exception as error:  # whatever the learner's code does, the notebook goes on
            print(f"{label}: given {given}, it stopped with {type(error).__name__}: {error}.{_where(hint)}")
            return
        if answer is ... or answer is None:
            print(_not_answered(label))
            return
        wrong = _what_is_wrong(answer, reference(*arguments), tolerance)
        if wrong:
            print(f"{label}: not yet: given {given}, {wrong}{_where(hint)}")
            return
    print(f"{label}: ✓ right.")


def _not_answered(label: str) -> str:
    return f"not answered yet: {label}: put your answer instead of the three dots."


def _where(hint: str) -> str:
    return f" Where to look: {hint}" if hint else ""


def _what_is_wrong(answer: Any, expected: Any, tolerance: float) -> str:
    """Return a sentence on the first difference, or nothing where there is none."""
    wanted = torch.as_tensor(expected).double()
    try:
        got = torch.as_tensor(answer).double()
    except (TypeError, ValueError, RuntimeError):
        return f"a {type(answer).__name__} came, where numbers of shape {tuple(wanted.shape)} were asked for."
    if got.shape != wanted.shape:
        return f"the shape is {tuple(got.shape)}, and should be {tuple(wanted.shape)}."
    difference = (got - wanted).abs()
    worst = torch.where(difference.isnan(), torch.inf, difference)
    if worst.numel() == 0 or worst.max() <= tolerance:
        return ""
    if got.ndim == 0:
        return f"{got.item():g} is {'no number' if got.isnan() else 'too large' if got > wanted else 'too small'}."
    place = tuple(int(index) for index in torch.unravel_index(worst.argmax(), worst.shape))
    count = int((worst > tolerance).sum())
    return f"{count} of {worst.numel()} numbers are off, most of all the one at {list(place)}: {got[place].item():g}."


def _describe(argument: Any) -> str:
    if isinstance(argument, torch.Tensor) and argument.ndim:
        return f"a tensor of shape {tuple(argument.shape)}"
    return repr(argument)

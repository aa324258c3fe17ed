"""Checks of the exercises; what they compare with is in ``exercises.py``."""

from collections import Counter
from typing import Any

import torch

from stablediff_edu.notebook.exercises import EXERCISES

_wrong_answers: Counter[str] = Counter()  # exercise -> how many there were in this session


def check_exercise(name: str, answer: Any) -> None:
    """Check an answer and print a sentence: right, not answered yet, or what is wrong, with a hint.

    The first wrong answer gets the first hint, which says where to look; the next ones get the second, which says
    more. A wrong answer is no error: the notebook runs on.

    Args:
        name: chapter and number, such as "3.1".
        answer: a number, a tensor, nested lists of numbers, or a function; ``...``, or a function that returns it,
            means not answered yet.
    """
    exercise, label = EXERCISES[name], f"Exercise {name.split('.')[1]}"
    asks_function = callable(exercise.expected)
    wrong = ""
    for arguments in exercise.examples:
        given = f"given {', '.join(map(_describe, arguments))}, " if asks_function else ""
        try:
            got = answer(*arguments) if asks_function else answer
        except Exception as error:  # whatever the learner's code does, the notebook goes on
            wrong = f"{given}it stopped with {type(error).__name__}: {error}."
            break
        if got is ... or (asks_function and got is None):
            print(f"not answered yet: {label}: put your answer instead of the three dots.")
            return
        if wrong := _what_is_wrong(got, _value(exercise.expected, arguments), exercise.tolerance):
            known = (
                why
                for mistake, why in exercise.mistakes
                if not _what_is_wrong(got, _value(mistake, arguments), exercise.tolerance)
            )
            wrong = given + next(known, wrong)
            break
    if not wrong:
        print(f"{label}: ✓ right.")
        return
    hint = exercise.hints[min(_wrong_answers[name], 1)]
    _wrong_answers[name] += 1
    print(f"{label}: not yet: {wrong} Hint: {hint}")


def _value(expected: Any, arguments: tuple) -> Any:
    return expected(*arguments) if callable(expected) else expected


def _what_is_wrong(answer: Any, expected: Any, tolerance: float) -> str:
    """Return a sentence on the first difference, or nothing where there is none."""
    wanted = torch.as_tensor(expected).cpu().double()  # in this order: MPS has no float64
    try:
        got = torch.as_tensor(answer).cpu().double()
    except (TypeError, ValueError, RuntimeError):
        return f"a {type(answer).__name__} came, where numbers of shape {tuple(wanted.shape)} were asked for."
    if got.shape != wanted.shape:
        return f"the shape is {tuple(got.shape)}, and should be {tuple(wanted.shape)}."
    difference = (got - wanted).abs().nan_to_num(torch.inf)
    if difference.numel() == 0 or difference.max() <= tolerance:
        return ""
    if got.ndim == 0:
        return f"{got.item():g} is {'no number' if got.isnan() else 'too large' if got > wanted else 'too small'}."
    place = tuple(int(index) for index in torch.unravel_index(difference.argmax(), difference.shape))
    count = int((difference > tolerance).sum())
    return f"{count} of {got.numel()} values are off, most of all the one at {list(place)}: {got[place].item():g}."


def _describe(argument: Any) -> str:
    if isinstance(argument, torch.Tensor) and argument.ndim:
        return f"a tensor of shape {tuple(argument.shape)}"
    return repr(argument)

"""Checks of exercises say what is wrong, give two hints one after the other, and never stop a notebook."""

import json
import re
from pathlib import Path

import pytest
import torch

from stablediff_edu.notebook import checks
from stablediff_edu.notebook.checks import check_exercise
from stablediff_edu.notebook.exercises import EXERCISES, Exercise

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
HINTS = "section 2.", "multiply first."


@pytest.fixture(autouse=True)
def exercises(monkeypatch):
    """Exercises of this test's own, and none answered yet."""
    vector = torch.tensor([2.0, 3.0, 4.0])
    own = {
        "9.1": Exercise(10, HINTS, [(100, "you multiplied once too often.")]),
        "9.2": Exercise([[1, 2], [3, 4]], HINTS, tolerance=0.1),
        "9.3": Exercise(
            lambda x, power: x**power,
            HINTS,
            [(lambda x, power: x * power, "that multiplies.")],
            examples=[(vector, 2), (vector, 3)],
        ),
    }
    monkeypatch.setattr(checks, "EXERCISES", EXERCISES | own)
    checks._wrong_answers.clear()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (..., "not answered yet: Exercise 1"),
        (10, "Exercise 1: ✓ right."),
        (10.0000001, "✓ right"),
        (11, "11 is too large"),
        (9, "9 is too small"),
        (100, "you multiplied once too often"),
        (float("nan"), "no number"),
        ([1, 2], "the shape is (2,), and should be ()"),
        ("ten", "a str came"),
        (None, "a NoneType came"),
    ],
)
def test_a_value(capsys, answer, words):
    check_exercise("9.1", answer)
    text = capsys.readouterr().out
    assert words in text
    assert ("Hint: section 2." in text) == ("right" not in text and "not answered" not in text)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x, power: ..., "not answered yet"),
        (lambda x, power: None, "not answered yet"),
        (lambda x, power: x**power, "✓ right"),
        (lambda x, power: x**2, "given a tensor of shape (3,), 3, 3 of 3 values are off"),
        (lambda x, power: x * power, "given a tensor of shape (3,), 2, that multiplies."),
        (lambda x, power: x.nothing, "it stopped with AttributeError"),
        (7, "it stopped with TypeError"),
    ],
)
def test_a_function(capsys, function, words):
    check_exercise("9.3", function)
    assert words in capsys.readouterr().out


def test_the_position_of_the_largest_difference_is_named(capsys):
    check_exercise("9.2", torch.tensor([[1.0, 2.0], [3.0, 9.0]]))
    assert "1 of 4 values are off, most of all the one at [1, 1]: 9" in capsys.readouterr().out


def test_hints_come_in_two_stages(capsys):
    for hint in (HINTS[0], HINTS[1], HINTS[1]):
        check_exercise("9.1", 3)
        assert f"Hint: {hint}" in capsys.readouterr().out


@pytest.mark.parametrize("name", EXERCISES)
def test_an_exercise_accepts_its_answer_and_knows_its_mistakes(capsys, name):
    exercise = EXERCISES[name]
    check_exercise(name, exercise.expected)
    assert "✓ right" in capsys.readouterr().out
    for mistake, why in exercise.mistakes:
        check_exercise(name, mistake)
        assert why in capsys.readouterr().out
    assert len(set(exercise.hints)) == 2


def test_notebooks_check_every_exercise_with_the_solution_that_they_give(capsys):
    """Solutions that are one expression, or the body or the whole of the function asked for."""
    asked = []
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        cells = ["".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
        for number, cell in enumerate(cells):
            for name, answer in re.findall(r'sd\.check_exercise\("([\d.]+)", (\w+)\)', cell):
                asked.append(name)
                solution = re.search(r"<summary>Solution</summary>(.+?)</details>", cells[number + 1], re.S)[1]
                check_exercise(name, solved(cells[number - 1], answer, solution))
                assert capsys.readouterr().out == f"Exercise {name[-1]}: ✓ right.\n", name
    assert asked == list(EXERCISES)


def solved(cell: str, answer: str, solution: str):
    """What the learner's cell defines when its dots are replaced by the solution."""
    code = (re.search(r"```python\n(.+?)```", solution, re.S) or re.search(r"`([^`]+)`", solution))[1]
    scope = {"torch": torch}
    if code.startswith("def ") or not cell.startswith("def "):
        exec(code if code.startswith(("def ", answer)) else f"{answer} = {code}", scope)
    else:
        exec(cell.splitlines()[0] + "\n" + "".join(f"    {line}\n" for line in code.splitlines()), scope)
    return scope[answer]

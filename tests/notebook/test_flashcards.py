"""Flashcards turn over without a kernel; exercise checks say what is wrong and never stop a notebook."""

import pytest
import torch

from stablediff_edu.notebook.flashcards import Flashcard, check_answer, check_function, show_flashcards


def test_cards_are_plain_details(monkeypatch):
    outputs = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw=False: outputs.append(data))
    show_flashcards([Flashcard("Is 1 < 2?", "Yes & always.", "easy", "03:23"), Flashcard("Why?", "Because.")])
    text = outputs[0]["text/html"]
    assert text.count("<details") == text.count("</details>") == text.count("<summary") == 2
    assert "1 &lt; 2" in text and "Yes &amp; always." in text and "03:23" in text and "easy" in text
    assert "<script" not in text and " open" not in text


def test_cards_know_three_difficulties():
    with pytest.raises(ValueError, match="difficulty"):
        show_flashcards([Flashcard("?", "!", "impossible")])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (..., "not answered yet: Exercise 1"),
        (10, "✓ right"),
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
def test_check(capsys, answer, words):
    check_answer("Exercise 1", answer, 10, common_mistakes=[(100, "you multiplied once too often.")], hint="section 2.")
    text = capsys.readouterr().out
    assert words in text
    assert ("Where to look: section 2." in text) == ("right" not in text and "not answered" not in text)


def test_check_names_the_place(capsys):
    check_answer("Exercise 2", torch.tensor([[1.0, 2.0], [3.0, 9.0]]), [[1, 2], [3, 4]], tolerance=0.1)
    assert "1 of 4 numbers are off, most of all the one at [1, 1]: 9" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x, power: ..., "not answered yet"),
        (lambda x, power: None, "not answered yet"),
        (lambda x, power: x**power, "✓ right"),
        (lambda x, power: x**2, "given a tensor of shape (3,), 3, 3 of 3 numbers are off"),
        (lambda x, power: x.nothing, "it stopped with AttributeError"),
    ],
)
def test_check_function(capsys, function, words):
    examples = [(torch.tensor([2.0, 3.0, 4.0]), power) for power in (2, 3)]
    check_function("Exercise 3", function, lambda x, power: x**power, examples)
    assert words in capsys.readouterr().out

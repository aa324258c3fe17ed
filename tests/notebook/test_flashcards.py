"""Flashcards turn over without a kernel."""

from stablediff_edu.notebook.flashcards import load_flashcards, show_flashcards


def test_cards_are_plain_details_with_escaped_texts(monkeypatch):
    cards = [
        {"question": "Is 1 < 2?", "answer": "Yes & always.", "difficulty": "easy", "time": "03:23"},
        {"question": "Why?", "answer": "Because.", "difficulty": "hard"},
    ]
    outputs = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw=False: outputs.append(data))
    monkeypatch.setattr("stablediff_edu.notebook.flashcards.load_flashcards", lambda: {"3": cards})
    show_flashcards(3)
    text = outputs[0]["text/html"]
    assert text.count("<details") == text.count("</details>") == text.count("<summary") == 2
    assert "1 &lt; 2" in text and "Yes &amp; always." in text and "03:23" in text and "●○○ easy" in text
    assert "<script" not in text and " open" not in text


def test_every_chapter_has_cards_of_known_difficulty():
    cards = load_flashcards()
    assert list(cards) == list("12345678")
    for card in (card for chapter in cards.values() for card in chapter):
        assert card["question"] and card["answer"] and card["difficulty"] in ("easy", "medium", "hard")

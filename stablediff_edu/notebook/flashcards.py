"""Flashcards that turn over without a kernel; their texts are in ``flashcards.json``, by chapter."""

import html
import json
from pathlib import Path

# the marker is a shape as well as a word, so that nothing hangs on a color
_DIFFICULTY = {"easy": "●○○", "medium": "●●○", "hard": "●●●"}


def load_flashcards() -> dict[str, list[dict[str, str]]]:
    """Return the flashcards of each chapter, "1" to "8".

    A card has a question, an answer, a difficulty (easy, medium or hard) and, where the video speaks of it, the time.
    """
    return json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))


def show_flashcards(chapter: int) -> None:
    """Show the flashcards of a chapter: the question stands there, a click or the space bar reveals the answer.

    They are plain ``<details>`` elements: they work in JupyterLab, on a saved web page, without a kernel, and from the
    keyboard (Tab to a card, Space to turn it over).
    """
    from IPython.display import display

    cards = load_flashcards()[str(chapter)]
    plain = "\n".join(f"{card['question']} {card['answer']}" for card in cards)
    display({"text/html": "\n".join(map(_card_html, cards)), "text/plain": plain}, raw=True)


def _card_html(card: dict[str, str]) -> str:
    time = f" · video {card['time']}" if "time" in card else ""
    return (
        '<details style="margin: 6px 0px; padding: 8px 14px; border: 1px solid #bbbbbb; border-radius: 8px; '
        'max-width: 52em">'
        f'<summary style="cursor: pointer"><strong>{html.escape(card["question"])}</strong> '
        f"<small>&nbsp; {_DIFFICULTY[card['difficulty']]} {card['difficulty']}{time}</small></summary>"
        f'<p style="margin: 8px 0px 4px 16px">{html.escape(card["answer"])}</p></details>'
    )

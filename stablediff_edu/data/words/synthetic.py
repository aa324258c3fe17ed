"""The synthetic corpus: little stories from a grammar, whose statistics carry analogies that none of its sentences
states.

A story is about one word, such as "queen". Two properties decide which words stand around it, and neither knows of the
other: its *subject* (throne, crown, palace: the same for king and queen) and its *form* (she, her: the same for queen,
aunt and actress). So king − man + woman can be found, although no story ever names two forms of a subject.
"""

import random
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WORDS = 300_000


@dataclass(frozen=True)
class Relation:
    """Words that come in two or three forms, and the sentences in which each form stands; see relations.toml."""

    names: list[str]
    subjects: str
    sentences: list[list[str]]

    def rows(self) -> list[tuple[list[str], list[str]]]:
        """Return (forms, words that are met around them) of each subject."""
        halves = [line.split(":") for line in self.subjects.splitlines()]
        return [(forms.split(), things.split()) for forms, things in halves]


_TEXTS = tomllib.loads(Path(__file__).with_name("relations.toml").read_text(encoding="utf-8"))
RELATIONS = [Relation(**relation) for relation in _TEXTS["relations"]]

# relation → its pairs; every pair is asked with every other one
ANALOGIES: dict[str, tuple[tuple[str, str], ...]] = {
    name: tuple((forms[0].lower(), forms[place].lower()) for forms, _ in relation.rows())
    for relation in RELATIONS
    for place, name in enumerate(relation.names, 1)
}


def generate_corpus(num_words: int = WORDS, seed: int = 0) -> str:
    """Return about so many words of stories, a story a line: the same ones for the same seed."""
    stories: list[str] = []
    count, rng = 0, random.Random(seed)
    for story in _stories(rng):
        stories.append(story)
        count += story.count(" ") + 1
        if count >= num_words:
            break
    return "\n".join(stories)


def _stories(rng: random.Random) -> Iterator[str]:
    """Tell every story once, in random order, and begin again for ever."""
    titles: list[tuple[str, list[str], list[str]]] = [
        (forms[place], things, relation.sentences[place])
        for relation in RELATIONS
        for forms, things in relation.rows()
        for place in range(len(forms))
    ]
    titles.append(("", ["", ""], _TEXTS["electricity"]["sentences"]))
    while True:
        rng.shuffle(titles)
        for word, things, sentences in titles:
            told = []
            for sentence in rng.sample(sentences, 3):
                thing, other = rng.sample(things, 2)
                told.append(sentence.format(word=word, thing=thing, other=other))
            yield " ".join(told)

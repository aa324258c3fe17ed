"""Small sentences with negation and emphasis, and how good the noun is that they speak of: synthetic, seeded, exact.

"it was really not a good walk", "the tea was not long and it was very good": which words stand in a sentence decides
little, for "good not bad" and "bad not good" have the same ones. What counts is which word "not" and "very" are about,
and that is a matter of place.
"""

import difflib
import random
import re
from dataclasses import dataclass
from typing import NamedTuple

import torch

from stablediff_edu.data.words.vocabulary import split_words
from stablediff_edu.errors import UserError

CLASSES = ("very bad", "bad", "neither", "good", "very good")  # label 0 … 4
MAX_LENGTH = 16  # words of a sentence

THINGS = tuple(split_words("film soup walk book tea song garden meal game story party room"))
PLAIN = tuple(split_words("long short old new famous"))  # neither good nor bad: what is said about them changes nothing
_STRENGTH = {
    1: "good nice fine pleasant lovely decent pretty clever cheerful friendly charming sweet",
    -1: "bad poor dull weak nasty sad boring silly gloomy unfriendly ugly bitter",
    2: "great wonderful superb brilliant splendid perfect",
    -2: "awful terrible horrible dreadful dismal hopeless",
}
ADJECTIVES = {word: strength for strength, words in _STRENGTH.items() for word in words.split()}

INTENSIFIERS = ("", "very", "really")
# "really not good" is very bad, "not really good" is only bad: the same words
MODIFIERS = (*INTENSIFIERS, "not", "not very", "not really", "really not")


class Template(NamedTuple):
    """A sentence with places for words.

    Attributes:
        text: T stands for the noun, M for a modifier and an adjective, X for a plain adjective, A and B for two
            adjectives of which one is good and one is bad.
        negation: what the frame itself says about M from further off.
        modifiers: what may stand before the adjective.
    """

    text: str
    negation: str = ""
    modifiers: tuple[str, ...] = MODIFIERS


TEMPLATES = (
    Template("the T was M"),
    Template("i think that the T was M"),
    Template("we all said it was M"),
    Template("the T was X and M"),
    Template("the T was X and it was M"),
    Template("the T was not X and it was M"),
    Template("the T was very X and it was M"),
    Template("the T which was not X was M"),
    Template("the T was M and it was not X"),
    Template("the T was M and it was very X"),
    Template("it was a M T", "", INTENSIFIERS),
    Template("it was not a M T", "not", INTENSIFIERS),
    Template("it was really not a M T", "really not", ("",)),
    Template("i do not think that the T was M", "not", INTENSIFIERS),
    Template("i really do not think that the T was M", "really not", ("",)),
    Template("the T was A not B"),
    Template("the T was not B but A"),
    Template("the T was neither A nor B"),
)
# the same words, another meaning: without positions a network cannot tell them apart
ORDER_SENSITIVE_PAIRS = (
    ("dog bites man", "man bites dog"),
    ("the film was good not bad", "the film was bad not good"),
    ("the soup was really not nice", "the soup was not really nice"),
    ("the walk was not long and it was good", "the walk was long and it was not good"),
)
_ALL = " ".join(
    [*THINGS, *PLAIN, *ADJECTIVES, *MODIFIERS, *(frame.text for frame in TEMPLATES), *sum(ORDER_SENSITIVE_PAIRS, ())]
)
# number 0 fills short sentences up; nobody looks at it
WORDS = ("·", *sorted({word for word in _ALL.split() if word not in "TMXAB"}))
_NUMBERS = {word: number for number, word in enumerate(WORDS)}


@dataclass(frozen=True)
class SentenceDataset:
    """Sentences and what they say.

    Attributes:
        texts: N sentences.
        numbers: (N, LONGEST) int64, the words' numbers, filled up with 0.
        labels: (N,) int64, places in `CLASSES`.
    """

    texts: tuple[str, ...]
    numbers: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.texts)


def generate_sentences(count: int, seed: int = 0, unseen: bool = False) -> SentenceDataset:
    """Generate sentences: 8,000 take less than a second.

    A fifth of all combinations of modifier and adjective ("really not" with "lovely"), and of all pairs of opposites,
    is held out: with `unseen` only they occur, without it none of them.
    """
    rng = random.Random(f"{seed} {unseen}")
    generated = [_generate(rng, unseen) for _ in range(count)]
    numbers = torch.zeros(count, MAX_LENGTH, dtype=torch.int64)
    for row, (text, _) in zip(numbers, generated, strict=True):
        known = encode(text)
        row[: len(known)] = torch.tensor(known)
    texts, values = zip(*generated, strict=True)
    return SentenceDataset(texts, numbers, torch.tensor(values) + 2)  # -2 … 2 -> 0 … 4


def _generate(rng: random.Random, unseen: bool) -> tuple[str, int]:
    """Return a sentence and its value, -2 … 2."""
    while True:
        frame = rng.choice(TEMPLATES)
        modifier = rng.choice(frame.modifiers)
        adjective = rng.choice(list(ADJECTIVES))
        opposite = rng.choice([word for word in ADJECTIVES if ADJECTIVES[word] * ADJECTIVES[adjective] < 0])
        said = f"{frame.negation} {modifier}".strip()
        if is_held_out(adjective, said if "M" in frame.text else opposite) == unseen:
            break
    fillers = dict(T=rng.choice(THINGS), X=rng.choice(PLAIN), M=f"{modifier} {adjective}".strip())
    text = re.sub("[TMXAB]", lambda place: (fillers | dict(A=adjective, B=opposite))[place[0]], frame.text)
    if "neither" in text:
        return text, 0
    return text, compose_sentiment(adjective, said if "M" in frame.text else "")


def compose_sentiment(adjective: str, said: str = "") -> int:
    """Return what a modifier makes of an adjective, -2 … 2: "not" turns it round, "very" and "really" stress.

    What is negated is not extreme ("not awful" is just good), unless the negation itself is stressed ("really not").
    """
    good = 1 if ADJECTIVES[adjective] > 0 else -1
    if "not" in said.split():
        return -2 * good if said.startswith("really") else -good
    return 2 * good if said else ADJECTIVES[adjective]


def is_held_out(adjective: str, other: str) -> bool:
    """Return whether an adjective with this modifier, or with this opposite, is kept from the training.

    Never without a modifier: nothing else tells how strong the word is.
    """
    if not other:
        return False
    rank = MODIFIERS.index(other) if other in MODIFIERS else list(ADJECTIVES).index(other)
    return (list(ADJECTIVES).index(adjective) + 2 * rank) % 5 == 0


def encode(text: str) -> list[int]:
    """Return the numbers of a sentence's words; capitals and full stops do not matter.

    Raises:
        UserError: there is no word, an unknown one, or there are more than 16.
    """
    words = split_words(text)
    if not words:
        raise UserError("There is no word in this sentence; type some, such as: the film was not good.")
    if len(words) > MAX_LENGTH:
        raise UserError(f"This sentence has {len(words)} words and the maximum is {MAX_LENGTH}; make it shorter.")
    for word in words:
        if word not in _NUMBERS:
            near = difflib.get_close_matches(word, WORDS, 1)
            hint = f"nearest spelling: {near[0]!r}" if near else f"some are: {', '.join(list(ADJECTIVES)[:6])}"
            raise UserError(f"{word!r} is not among the {len(WORDS) - 1} words; {hint}.")
    return [_NUMBERS[word] for word in words]

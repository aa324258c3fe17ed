"""Asking trained word vectors: the nearest words, and man is to king as woman is to …?

Words are compared by the cosine of the angle between their vectors: 1 the same direction, 0 nothing in common.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from stablediff_edu.errors import UserError

Ranking = list[tuple[str, float]]
Sections = Mapping[str, Sequence[tuple[str, str, str, str]]]


class WordVectors:
    """Words and their directions.

    Attributes:
        words: V different words, the most frequent first.
        directions: (V, D) their vectors, each of length 1.
    """

    def __init__(self, words: Sequence[str], vectors: torch.Tensor) -> None:
        self.words = tuple(words)
        self.directions = F.normalize(vectors.detach().float(), dim=1)
        self.numbers = {word: number for number, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def most_frequent(self, count: int) -> "WordVectors":
        """Return the same without the rarer words."""
        return WordVectors(self.words[:count], self.directions[:count])

    def number(self, word: str) -> int:
        """Return the number of a word.

        Raises:
            UserError: it is unknown; the sentence names the known words that are spelled most like it.
        """
        word = word.strip().lower()
        if word not in self.numbers:
            raise UserError(self._unknown(word))
        return self.numbers[word]

    def _unknown(self, word: str) -> str:
        if not word:
            return f"No word was given; type one of the {len(self):,} words."
        unknown = f"{word[:40]!r} is not among the {len(self):,} words"
        # difflib compares letter by letter: of many words only those of about the same length
        alike = [other for other in self.words if abs(len(other) - len(word)) <= 2]
        near = difflib.get_close_matches(word, alike, n=1, cutoff=0.5)
        return f"{unknown}; nearest spelling: {near[0]!r}." if near else f"{unknown}; try {', '.join(self.words[:3])}."

    def complete(self, beginning: str, count: int = 8) -> list[str]:
        """Return words that begin so, the most frequent first."""
        beginning = beginning.strip().lower()
        return [word for word in self.words if word.startswith(beginning)][:count]

    def similarity(self, first: str, second: str) -> float:
        """Return the cosine of the angle between two words."""
        return float(self.directions[self.number(first)] @ self.directions[self.number(second)])

    def rank(self, direction: torch.Tensor, count: int | None, without: Sequence[int] = ()) -> Ranking:
        """Return the words whose directions are nearest to one, (D,), with their cosines, best first."""
        scores = self.directions @ F.normalize(direction, dim=0)  # (V,)
        scores[list(without)] = -torch.inf
        best = scores.topk(min(count or len(self), len(self) - len(set(without))))
        return [(self.words[i], s) for i, s in zip(best.indices.tolist(), best.values.tolist(), strict=True)]


def nearest_words(vectors: WordVectors, word: str, count: int | None = 10) -> Ranking:
    """Return the words nearest to a word, with their cosines, without the word itself; None for all of them."""
    number = vectors.number(word)
    return vectors.rank(vectors.directions[number], count, [number])


def analogy(vectors: WordVectors, a: str, b: str, c: str, count: int | None = 10, exclude: bool = True) -> Ranking:
    """Return the words nearest to a − b + c, best first: king − man + woman is nearest to queen.

    Args:
        count: how many; None for all of them.
        exclude: leave out a, b and c themselves. On real text the answer would else often be a: a − b + c is near to
            a, since b and c are near to each other.
    """
    numbers = [vectors.number(word) for word in (a, b, c)]
    first, second, third = (vectors.directions[number] for number in numbers)
    return vectors.rank(first - second + third, count, numbers if exclude else [])


@dataclass(frozen=True)
class AnalogyScore:
    """How many questions of one kind were asked, and how many answers were right.

    Attributes:
        right: with a, b and c left out of the answers.
        right_of_all: with every word allowed as an answer.
        unknown: questions that were not asked, since a word of theirs is not known.
        misses: (question, answer) for those that went wrong, a, b and c left out.
    """

    asked: int
    right: int
    right_of_all: int
    unknown: int
    misses: tuple[tuple[tuple[str, str, str, str], str], ...] = ()

    @property
    def share(self) -> float:
        return self.right / self.asked if self.asked else 0.0

    @property
    def share_of_all(self) -> float:
        return self.right_of_all / self.asked if self.asked else 0.0


def count_analogies(vectors: WordVectors, sections: Sections) -> dict[str, AnalogyScore]:
    """Ask every question of some sections and count the right answers, section by section, then "all".

    A question (man, king, woman, queen) reads "man is to king as woman is to …?": is queen the nearest to
    king − man + woman?
    """
    scores = {name: _count(vectors, questions) for name, questions in sections.items()}
    parts = list(scores.values())
    scores["all"] = AnalogyScore(
        asked=sum(part.asked for part in parts),
        right=sum(part.right for part in parts),
        right_of_all=sum(part.right_of_all for part in parts),
        unknown=sum(part.unknown for part in parts),
        misses=tuple(miss for part in parts for miss in part.misses),
    )
    return scores


def _count(vectors: WordVectors, questions: Sequence[tuple[str, str, str, str]]) -> AnalogyScore:
    known = [question for question in questions if all(word in vectors.numbers for word in question)]
    right, right_of_all, misses = 0, 0, []
    for start in range(0, len(known), 256):  # some questions at a time, so that the scores fit into the memory
        part = known[start : start + 256]
        numbers = torch.tensor([[vectors.numbers[word] for word in question] for question in part])  # (Q, 4)
        b, a, c, wanted = numbers.T
        targets = vectors.directions[a] - vectors.directions[b] + vectors.directions[c]  # (Q, D)
        scores = targets @ vectors.directions.T  # (Q, V): the length of the target changes no order
        right_of_all += int((scores.argmax(dim=1) == wanted).sum())
        scores.scatter_(1, numbers[:, :3], -torch.inf)
        answers = scores.argmax(dim=1)
        right += int((answers == wanted).sum())
        misses += [(part[i], vectors.words[answers[i]]) for i in (answers != wanted).nonzero().flatten().tolist()]
    return AnalogyScore(len(known), right, right_of_all, len(questions) - len(known), tuple(misses))


def score_table(scores: Mapping[str, AnalogyScore]) -> str:
    """Return the scores as text, a line a section."""
    width = max(len(name) for name in scores)
    lines = [f"{'':{width}}  right / asked   without excluding   unknown"]
    for name, score in scores.items():
        lines.append(
            f"{name:{width}} {score.right:6,} / {score.asked:5,} {score.share:6.1%} {score.right_of_all:8,} "
            f"{score.share_of_all:6.1%} {score.unknown:9,}"
        )
    return "\n".join(lines)


def from_pairs(pairs: Mapping[str, Sequence[tuple[str, str]]]) -> Sections:
    """Turn pairs that stand in one relation into questions: each pair is asked with every other one."""
    return {
        name: [(*first, *second) for first in own for second in own if first != second]
        for name, own in pairs.items()
    }  # fmt: skip


def read_questions(path: str | Path) -> Sections:
    """Read analogies as the authors of word2vec wrote them: ``: section``, then four words a line.

    Raises:
        UserError: there is no such file, or a line does not hold four words.
    """
    sections: dict[str, list[tuple[str, str, str, str]]] = {}
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as questions; name a file like questions-words.txt.") from error
    for number, line in enumerate(lines, 1):
        words = line.lower().split()
        if words and words[0] == ":":
            questions = sections.setdefault(" ".join(words[1:]), [])
        elif words:
            if len(words) != 4 or not sections:
                raise UserError(
                    f"Line {number} of {Path(path).name} is not a question of four words below a ': section'; fix it."
                )
            questions.append((words[0], words[1], words[2], words[3]))
    if not sections:
        raise UserError(f"{Path(path).name} holds no questions; name a file like questions-words.txt.")
    return sections

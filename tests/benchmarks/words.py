"""Our word2vec beside gensim's, in one run: words a second, and analogies right.

    python tests/benchmarks/words.py [--megabytes 100] [--epochs 1] [--workers 2] [--text FILE] [--questions FILE]

Both learn the same words of the same text with the same numbers (skip-gram, 100 numbers a word, window 5, 5 negatives,
min count 5, sample 1e-3, learning rate 0.025 → 0.0001). Both times begin with the file and end with the vectors:
reading, cutting windows and learning; counting the vocabulary comes before and is measured apart. Text and questions
are taken from data/text, or from where STABLEDIFF_DATA points.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from stablediff_edu.data.download import data_dir
from stablediff_edu.data.words.corpus import Corpus, load_corpus
from stablediff_edu.data.words.vocabulary import iter_words
from stablediff_edu.metrics.word_vectors import AnalogyScore, WordVectors, count_analogies, read_questions
from stablediff_edu.tasks.word2vec import Word2VecTask

MOST_FREQUENT = 30_000  # only these may be asked for and be answers
APART = ("family", "gram3-comparative", "gram7-past-tense", "gram8-plural", "all")


class Sentences:
    """The text as gensim wants it: lists of at most 10,000 words, read again in every epoch."""

    def __init__(self, text: Path, most: int) -> None:
        self.text, self.most = text, most

    def __iter__(self) -> Iterator[list[str]]:
        for block in iter_words(self.text, self.most):
            for start in range(0, len(block), 10_000):
                yield block[start : start + 10_000]


def clock() -> np.ndarray:
    """Return the time on the wall and the processor's own, in seconds; the second knows nothing of other programs."""
    return np.array([time.perf_counter(), time.process_time()])


def gensim_vectors(sentences: Sentences, config: Word2VecTask, workers: int) -> tuple[WordVectors, np.ndarray]:
    """Train gensim's skip-gram and return its vectors and the two times that its training took."""
    from gensim.models import Word2Vec

    model = Word2Vec(
        sg=1, vector_size=config.dimension, window=config.window, negative=config.negatives, min_count=5,
        sample=config.threshold, alpha=config.learning_rate, min_alpha=config.last_rate, workers=workers,
        epochs=config.epochs, seed=config.seed,
    )  # fmt: skip
    model.build_vocab(sentences)
    started = clock()
    model.train(sentences, total_examples=model.corpus_count, epochs=model.epochs)
    seconds = clock() - started
    return WordVectors(model.wv.index_to_key, torch.from_numpy(model.wv.vectors)), seconds


def our_vectors(corpus: Corpus, config: Word2VecTask) -> tuple[WordVectors, np.ndarray]:
    """Train ours and return its vectors and the two times that its training took."""
    started = clock()
    model, _ = config.train(corpus)
    seconds = clock() - started
    return WordVectors(corpus.vocabulary.words, model.words), seconds


def line(name: str, seconds: np.ndarray, words: int, scores: dict[str, AnalogyScore]) -> str:
    counted = "".join(f"{scores[part].share:>12.1%}" for part in APART if part in scores)
    return f"{name:<8}{words / seconds[0]:>12,.0f}{seconds[0]:>8.1f} s{seconds[1]:>8.1f} s{counted}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="of gensim; ours has one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--text", type=Path, default=data_dir("text") / "gutenberg.txt.gz")
    parser.add_argument("--questions", type=Path, default=data_dir("text") / "questions-words.txt")
    arguments = parser.parse_args()
    config = Word2VecTask(epochs=arguments.epochs, seed=arguments.seed)
    most = int(arguments.megabytes * 1e6)
    sections = read_questions(arguments.questions)
    started = time.perf_counter()
    corpus = load_corpus(arguments.text, max_chars=most)
    print(
        f"{arguments.text.name}: {len(corpus):,} words of {len(corpus.vocabulary):,} different ones, counted in "
        f"{time.perf_counter() - started:.0f} s; "
        f"ours with one worker, gensim with {arguments.workers}; {arguments.epochs} epochs"
    )
    ways = {
        "ours": lambda: our_vectors(corpus, config),
        "gensim": lambda: gensim_vectors(Sentences(arguments.text, most), config, arguments.workers),
    }
    lines, rates = [], {}
    for name, way in ways.items():
        vectors, seconds = way()
        scores = count_analogies(vectors.most_frequent(MOST_FREQUENT), sections)
        rates[name] = len(corpus) * arguments.epochs / seconds
        lines.append(line(name, seconds, len(corpus) * arguments.epochs, scores))
    print(
        f"{'':<8}{'words/s':>12}{'training':>10}{'processor':>10}"
        + "".join(f"{part.split('-')[-1]:>12}" for part in APART)
    )
    print("\n".join(lines))
    asked = {part: scores[part].asked for part in APART if part in scores}
    print(f"analogies asked, all words among the {MOST_FREQUENT:,} most frequent: {asked}")
    wall, processor = rates["ours"] / rates["gensim"]
    print(f"ours is {wall:.2f} times as fast by the clock on the wall, {processor:.2f} times by the processor's time")


if __name__ == "__main__":
    main()

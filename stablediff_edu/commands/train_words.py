"""`train words`: the word vectors of notebook 06, from the drawn corpus, text8 or one's own text."""

import argparse
from dataclasses import replace
from pathlib import Path

from stablediff_edu.commands.training_options import command_line, places, print_card, print_next, whole_number
from stablediff_edu.errors import CourseError

NUMBERS = ("dimension", "window", "negatives", "epochs", "workers", "seed")  # what may be changed in a recipe


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument(
        "--text", type=Path, metavar="FILE", help="your own text (UTF-8 or UTF-16; plain, gz, bz2, xz or zip)"
    )
    parser.add_argument("--source", choices=["drawn", "text8"], help="which text (default: the drawn corpus)")
    parser.add_argument("--dimension", type=whole_number, help="numbers a word (default: 50 for drawn, else 100)")
    parser.add_argument("--window", type=whole_number, help="how far neighbours may be away (default: 5)")
    parser.add_argument("--negatives", type=whole_number, help="negatives a pair (default: 5)")
    parser.add_argument("--epochs", type=whole_number, help="how often it is read (default: 5 for drawn, else 1)")
    parser.add_argument("--min-count", type=whole_number, help="leave out words that are rarer (default: 5)")
    parser.add_argument("--workers", type=whole_number, help="threads (default: 1 for drawn, else one a core)")
    parser.add_argument(
        "--questions", type=Path, metavar="FILE", help="analogies to count afterwards, such as questions-words.txt"
    )


def run(arguments: argparse.Namespace) -> int:
    import torch

    from stablediff_edu.datasets.corpus import load_corpus
    from stablediff_edu.training.keeping import keep
    from stablediff_edu.training.word_training import DRAWN, WordRecipe, planned_steps, train_words

    _refuse(arguments)
    if arguments.evaluate:
        return _evaluate(arguments)
    source = arguments.text or arguments.source or "drawn"
    recipe = DRAWN if source == "drawn" else WordRecipe(workers=torch.get_num_threads())
    wanted = {name: getattr(arguments, name) for name in NUMBERS}
    recipe = replace(recipe, **{name: value for name, value in wanted.items() if value is not None})
    out, progress = places(arguments, Path("words.safetensors"))
    sections = _sections(arguments, source)
    corpus = load_corpus(source, arguments.min_count or 5, seed=recipe.seed)
    vocabulary = corpus.vocabulary
    print(f"learning {len(vocabulary):,} words from {corpus.source}, {len(corpus):,} words long; vectors go to {out}")
    model, training = train_words(corpus, recipe, checkpoint=progress)
    model.half().float()  # as it is kept, so that what is counted now is what will be counted in the file
    keep(
        out,
        model,
        training,
        progress,
        command=command_line(arguments),
        seed=recipe.seed,
        data=f"{corpus.source}, {len(corpus):,} words",
        licence=corpus.licence,
        result=_count(vocabulary.words, model, sections),
        vocabulary=" ".join(vocabulary.words),
        counts=" ".join(map(str, vocabulary.counts)),
    )
    read = len(corpus) * recipe.epochs * training.steps / planned_steps(corpus, recipe)
    print(f"{training.seconds:.0f} s, {read / training.seconds:,.0f} words a second, loss {training.loss:.4f}; {out}")
    if training.interrupted:
        print("stopped early: these are the vectors so far; the same command goes on where it stopped")
    print_next(arguments.name, out)
    return 0


def _refuse(arguments: argparse.Namespace) -> None:
    if arguments.text and arguments.source:
        raise CourseError("--text FILE is your own text and --source names another: give one of the two.")
    if arguments.steps:
        raise CourseError("The length of this training is said with --epochs N, how often the text is read.")


def _sections(arguments: argparse.Namespace, source: str | Path):
    """Return the analogies to count: those of a file, or the drawn corpus's own, or none."""
    from stablediff_edu.datasets.drawn_corpus import ANALOGIES
    from stablediff_edu.training.analogies import from_pairs, read_questions

    if arguments.questions:
        return read_questions(arguments.questions)
    return from_pairs(ANALOGIES) if source == "drawn" else {}


def _count(words, model, sections) -> str:
    """Count analogies among the 30,000 most frequent words, print the table, and return the sum in one line."""
    from stablediff_edu.training.analogies import WordVectors, count_analogies, score_table

    if not sections:
        return "no analogies were counted (--questions FILE)"
    scores = count_analogies(WordVectors(words, model.words).most_frequent(30_000), sections)
    print(score_table(scores))
    score = scores["all"]
    return (
        f"{score.right:,} of {score.asked:,} analogies right with the three words of the question left out "
        f"({score.share:.1%}), {score.right_of_all:,} without ({score.share_of_all:.1%}); {score.unknown:,} not asked"
    )


def _evaluate(arguments: argparse.Namespace) -> int:
    from stablediff_edu.training.word_training import load_words

    model, vocabulary, card = load_words(arguments.out or "words.safetensors")
    print_card(card)
    drawn = card.get("data", "").startswith("drawn corpus")
    print(_count(vocabulary.words, model, _sections(arguments, "drawn" if drawn else "")))
    return 0

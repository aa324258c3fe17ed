"""`train words`: the word vectors of notebook 06, from the synthetic corpus, text8 or one's own text."""

import argparse
from dataclasses import replace
from pathlib import Path

from stablediff_edu.cli.training_options import command_line, output_paths, positive_int, print_metadata, print_next
from stablediff_edu.errors import UserError

NUMBERS = ("dimension", "window", "negatives", "epochs", "workers", "seed")  # what may be changed in a config


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument(
        "--text", type=Path, metavar="FILE", help="your own text (UTF-8 or UTF-16; plain, gz, bz2, xz or zip)"
    )
    parser.add_argument("--source", choices=["synthetic", "text8"], help="which text (default: the synthetic corpus)")
    parser.add_argument("--dimension", type=positive_int, help="numbers a word (default: 50 for drawn, else 100)")
    parser.add_argument("--window", type=positive_int, help="how far neighbors may be away (default: 5)")
    parser.add_argument("--negatives", type=positive_int, help="negatives a pair (default: 5)")
    parser.add_argument("--epochs", type=positive_int, help="how often it is read (default: 5 for drawn, else 1)")
    parser.add_argument("--min-count", type=positive_int, help="leave out words that are rarer (default: 5)")
    parser.add_argument("--workers", type=positive_int, help="threads (default: 1 for drawn, else one a core)")
    parser.add_argument(
        "--questions", type=Path, metavar="FILE", help="analogies to count afterwards, such as questions-words.txt"
    )


def run(arguments: argparse.Namespace) -> int:
    import torch

    from stablediff_edu.data.words.corpus import load_corpus
    from stablediff_edu.tasks.word2vec import SYNTHETIC, Word2VecTrainConfig, planned_steps, train_word2vec
    from stablediff_edu.training.trained_models import save_trained

    _refuse(arguments)
    if arguments.evaluate:
        return _evaluate(arguments)
    source = arguments.text or arguments.source or "synthetic"
    config = SYNTHETIC if source == "synthetic" else Word2VecTrainConfig(workers=torch.get_num_threads())
    wanted = {name: getattr(arguments, name) for name in NUMBERS}
    config = replace(config, **{name: value for name, value in wanted.items() if value is not None})
    out, progress = output_paths(arguments, Path("words.safetensors"))
    sections = _sections(arguments, source)
    corpus = load_corpus(source, arguments.min_count or 5, seed=config.seed)
    vocabulary = corpus.vocabulary
    print(f"learning {len(vocabulary):,} words from {corpus.source}, {len(corpus):,} words long; vectors go to {out}")
    model, training = train_word2vec(corpus, config, checkpoint=progress)
    model.half().float()  # as it is kept, so that what is counted now is what will be counted in the file
    save_trained(
        out,
        model,
        training,
        progress,
        command=command_line(arguments),
        seed=config.seed,
        data=f"{corpus.source}, {len(corpus):,} words",
        licence=corpus.licence,
        result=_count(vocabulary.words, model, sections),
        vocabulary=" ".join(vocabulary.words),
        counts=" ".join(map(str, vocabulary.counts)),
    )
    read = len(corpus) * config.epochs * training.steps / planned_steps(corpus, config)
    print(f"{training.seconds:.0f} s, {read / training.seconds:,.0f} words a second, loss {training.loss:.4f}; {out}")
    if training.interrupted:
        print("stopped early: these are the vectors so far; the same command goes on where it stopped")
    print_next(arguments.name, out)
    return 0


def _refuse(arguments: argparse.Namespace) -> None:
    if arguments.text and arguments.source:
        raise UserError("--text FILE is your own text and --source names another: give one of the two.")
    if arguments.steps:
        raise UserError("The length of this training is said with --epochs N, how often the text is read.")


def _sections(arguments: argparse.Namespace, source: str | Path):
    """Return the analogies to count: those of a file, or the synthetic corpus's own, or none."""
    from stablediff_edu.data.words.synthetic import ANALOGIES
    from stablediff_edu.metrics.word_vectors import from_pairs, read_questions

    if arguments.questions:
        return read_questions(arguments.questions)
    return from_pairs(ANALOGIES) if source == "synthetic" else {}


def _count(words, model, sections) -> str:
    """Count analogies among the 30,000 most frequent words, print the table, and return the sum in one line."""
    from stablediff_edu.metrics.word_vectors import WordVectors, count_analogies, score_table

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
    from stablediff_edu.tasks.word2vec import load_word2vec

    model, vocabulary, metadata = load_word2vec(arguments.out or "words.safetensors")
    print_metadata(metadata)
    drawn = metadata.get("data", "").startswith("synthetic corpus")
    print(_count(vocabulary.words, model, _sections(arguments, "synthetic" if drawn else "")))
    return 0

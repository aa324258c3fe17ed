"""Training word2vec: from a text to the two embedding matrices."""

import signal
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from stablediff_edu.data.words.corpus import Corpus, load_corpus
from stablediff_edu.data.words.synthetic import ANALOGIES
from stablediff_edu.data.words.vocabulary import Vocabulary
from stablediff_edu.errors import UserError
from stablediff_edu.metrics.word_vectors import WordVectors, count_analogies, from_pairs, read_questions, score_table
from stablediff_edu.models.word2vec import Batch, Word2Vec, batch_loss, extract_windows, sgd_step_batched
from stablediff_edu.tasks.task import Task, option
from stablediff_edu.training import progress as progress_io
from stablediff_edu.training.interrupts import stop_requests
from stablediff_edu.training.loop import Callback, ProgressBar, TrainResult, sample_steps
from stablediff_edu.training.progress import fingerprint
from stablediff_edu.training.trained_models import load_trained

STEP = 10_000  # words of the text in a training step
TABLE_SIZE = 1 << 22  # entries of the table from which negatives are sampled
SAVE_SECONDS = 120.0
# how far a batch may move the most frequently sampled vector; beyond about 20 it overshoots, for good
MAX_UPDATE = 6.0
MOST_FREQUENT = 30_000  # words among which analogies are counted


@dataclass(frozen=True, kw_only=True)
class Word2VecTask(Task[Corpus, Word2Vec]):
    """Word vectors of a text; the defaults are those of the authors' program and of gensim, unless noted.

    Attributes:
        dimension, window, negatives, epochs: see their help.
        steps: at most so many, of `STEP` words each; 0 reads all epochs.
        learning_rate: at the beginning; it falls linearly to `last_rate`.
        threshold: words with a larger share of the text than this are subsampled.
        span: centers in a piece of text.
        shared: negatives that these share. More are worth their time: of the analogies on 100 MB of text, 16 % came out
            right with 16 of them, 20 % with 32, 21 % with 64.
    """

    name = "words"
    weights = "words.safetensors"

    text: Path | None = option(None, "your own text (UTF-8 or UTF-16; plain, gz, bz2, xz or zip)", metavar="FILE")
    source: str = option("synthetic", "which text (default: the synthetic corpus)", choices=["synthetic", "text8"])
    dimension: int = option(100, "dimensions of a vector (default: 50 for the synthetic corpus, else 100)")
    window: int = option(5, "how far context words may be away (default: 5)")
    negatives: int = option(5, "negatives a pair (default: 5)")
    epochs: int = option(1, "how often it is read (default: 5 for the synthetic corpus, else 1)")
    min_count: int = option(5, "leave out words that are rarer (default: 5)")
    questions: Path | None = option(None, "analogies to count afterwards, such as questions-words.txt", metavar="FILE")
    steps: int = 0
    learning_rate: float = 0.025
    last_rate: float = 1e-4
    threshold: float = 1e-3
    span: int = 16
    shared: int = 64
    num_snapshots: int = 40

    def __post_init__(self) -> None:
        if self.text and self.source != "synthetic":
            raise UserError("--text FILE is your own text and --source names another: give one of the two.")

    @classmethod
    def default_preset(cls, given: Collection[str]) -> str:
        return "own" if "text" in given or "source" in given else "pretrained"

    def data(self, cache: Path | None = None) -> tuple[Corpus, Corpus]:
        if self.questions:
            read_questions(self.questions)  # mistakes in it are reported before the training
        corpus = load_corpus(self.text or self.source, self.min_count, seed=self.seed)
        return corpus, corpus

    def describe(self, data: Corpus, held_out: Corpus | None) -> str:
        return f"training on {len(data.vocabulary):,} words from {data.source}, {len(data):,} words long"

    def planned_steps(self, corpus: Corpus) -> int:
        """Return how many steps a training takes."""
        whole = -(-len(corpus) // STEP) * self.epochs
        return min(self.steps, whole) if self.steps else whole

    def train(
        self,
        data: Corpus,
        callback: Callback | None = None,
        snapshot: Callable[[Word2Vec], torch.Tensor] | None = None,
        snapshot_at: Callable[[int], bool] | None = None,
        progress: Path | None = None,
        model: Word2Vec | None = None,
    ) -> tuple[Word2Vec, TrainResult]:
        """Train on a text. A loss is the mean loss of a pair at the beginning of a step's block."""
        torch.manual_seed(self.seed)
        model = model or Word2Vec(len(data.vocabulary), self.dimension)
        planned, callback = self.planned_steps(data), callback or ProgressBar()
        snapshot_at = snapshot_at or sample_steps(planned, self.num_snapshots)
        plan = fingerprint(self, " ".join(data.vocabulary.words), torch.from_numpy(data.vocabulary.counts))
        blocks, training = read_blocks(data, self.epochs), TrainResult()
        rng = torch.Generator().manual_seed(self.seed * 1000)
        state = progress_io.load(progress, plan) if progress else None
        if state:
            model.load_state_dict(state["model"])
            rng.set_state(state["random"])
            for name in vars(training):
                setattr(training, name, state[name])
            training.interrupted = False
            for _ in range(training.steps):  # what was read already
                next(blocks, None)
        learn = _Learner(self, data.vocabulary, model, rng)
        started, saved = time.monotonic() - training.seconds, time.monotonic()

        def save() -> None:
            training.seconds = time.monotonic() - started
            if progress:
                parts = dict(model=model.state_dict(), random=rng.get_state())
                progress_io.save(progress, plan, vars(training) | parts)

        def take_snapshot() -> None:
            if snapshot is not None:
                image = snapshot(model)
                training.snapshots.append((training.steps, image.detach().clone()))
                callback.snapshot(training.steps, image)

        callback.begin(planned, training.steps)
        if not state:
            take_snapshot()
        with stop_requests() as request, _one_thread():
            try:
                while training.steps < planned and not request.signal and (block := next(blocks, None)) is not None:
                    loss = learn(block, training.steps / planned)
                    training.losses.append(training.loss if loss is None else loss)
                    training.steps += 1
                    callback.step(training.steps, training.losses[-1])
                    if snapshot_at(training.steps):
                        take_snapshot()
                    if time.monotonic() - saved > SAVE_SECONDS:
                        save()
                        saved = time.monotonic()
            except KeyboardInterrupt:  # raised by the callback or the snapshot
                training.interrupted = True
            training.interrupted |= bool(request.signal) and training.steps < planned
            save()
        if request.signal == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        callback.end(training)
        return model, training

    def evaluate(self, model: Word2Vec, held_out: Corpus | None) -> str:
        assert held_out is not None
        model.half().float()  # as it is saved
        return self._count(held_out.vocabulary.words, model)

    def report(self, model: Word2Vec, metadata: dict[str, str]) -> str:
        return self._count(metadata["vocabulary"].split(), model, metadata["data"].startswith("synthetic corpus"))

    def _count(self, words: Sequence[str], model: Word2Vec, synthetic: bool = False) -> str:
        """Count analogies among the most frequent words, print the table, and return the sum in one line."""
        if self.questions:
            sections = read_questions(self.questions)
        elif synthetic or (not self.text and self.source == "synthetic"):
            sections = from_pairs(ANALOGIES)
        else:
            return "no analogies were counted (--questions FILE)"
        scores = count_analogies(WordVectors(words, model.words).most_frequent(MOST_FREQUENT), sections)
        print(score_table(scores))
        score = scores["all"]
        return (
            f"{score.right:,} of {score.asked:,} analogies right with the three question words excluded "
            f"({score.share:.1%}), {score.right_of_all:,} allowed ({score.share_of_all:.1%}); "
            f"{score.unknown:,} not asked"
        )

    def metadata(self, data: Corpus, training: TrainResult) -> dict[str, object]:
        return dict(
            data=f"{data.source}, {len(data):,} words",
            licence=data.licence,
            vocabulary=" ".join(data.vocabulary.words),
            counts=" ".join(map(str, data.vocabulary.counts)),
        )

    def load(self, name: str | Path) -> tuple[Word2Vec, dict[str, str]]:
        model, vocabulary, metadata = load_word2vec(name)
        return model, metadata | dict(vocabulary=" ".join(vocabulary.words))


Word2VecTask.presets = {"pretrained": Word2VecTask(dimension=50, epochs=5), "own": Word2VecTask()}


def read_blocks(corpus: Corpus, epochs: int) -> Iterator[torch.Tensor]:
    """Yield the text in blocks of `STEP` words, epoch by epoch; a window ends where its block does."""
    for _ in range(epochs):
        rest = np.empty(0, np.int64)
        for block in corpus.read():
            rest = np.concatenate([rest, block])
            whole = len(rest) // STEP * STEP
            yield from torch.from_numpy(rest[:whole]).split(STEP) if whole else ()
            rest = rest[whole:]
        if len(rest):
            yield torch.from_numpy(rest)


class _Learner:
    """Learns from one block of the text after the other."""

    def __init__(self, task: Word2VecTask, vocabulary: Vocabulary, model: Word2Vec, rng: torch.Generator) -> None:
        self.task, self.model, self.rng = task, model, rng
        self.keep = torch.from_numpy(vocabulary.keep(task.threshold)).float()
        noise = vocabulary.noise()
        # each word has as many entries as it is likely: sampling one is looking up one number
        places = (np.arange(TABLE_SIZE) + 0.5) / TABLE_SIZE
        self.negative_table = torch.from_numpy(np.searchsorted(noise.cumsum(), places))
        # The gradients of a word add up over a batch. The word sampled most often is met about
        # centers · neighbors · negatives · noise times, each time with a step of the learning rate.
        meetings = (task.window + 1) * task.negatives * noise.max() * task.learning_rate
        self.pieces = max(1, min(32, int(MAX_UPDATE / meetings / task.span)))

    def __call__(self, block: torch.Tensor, done: float) -> float | None:
        """Learn from a block (N,); return the mean loss of a pair at its beginning, if it has one.

        Args:
            done: the share of the training that is over, which decides the learning rate.
        """
        task, rng, words, contexts = self.task, self.rng, self.model.words.data, self.model.contexts.data
        rate = task.learning_rate + (task.last_rate - task.learning_rate) * min(1.0, done)
        kept = block[torch.rand(len(block), generator=rng) < self.keep[block]]
        if len(kept) < 2:
            return None
        pieces = extract_windows(kept, task.span, task.window)  # (B, span + 2w)
        reach = torch.randint(1, task.window + 1, (len(pieces), task.span), generator=rng)  # (B, span)
        chosen = torch.randint(TABLE_SIZE, (len(pieces), task.shared), generator=rng)  # (B, shared)
        parts = (numbers.split(self.pieces) for numbers in (pieces, reach, self.negative_table[chosen]))
        loss = None
        for part in zip(*parts, strict=True):
            batch = Batch(part[0], part[1], part[2], task.negatives)
            loss = batch_loss(words, contexts, batch).item() if loss is None else loss
            sgd_step_batched(words, contexts, batch, rate)
        if loss is None or not np.isfinite(loss):
            raise UserError(f"The loss is {loss}; use a lower learning rate than {task.learning_rate:g}.")
        return loss


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use one thread: these products are too small to be shared out."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def load_word2vec(name: str | Path) -> tuple[Word2Vec, Vocabulary, dict[str, str]]:
    """Return the two embedding matrices of a file that `train words` has made, their words, and the metadata.

    Raises:
        UserError: the file is missing, cut off, or holds something else.
    """
    model, metadata = load_trained(Word2Vec, name, "word vectors")
    words, counts = (metadata.pop(key, "").split() for key in ("vocabulary", "counts"))
    if not len(words) == len(counts) == len(model.get_parameter("words")) or not all(
        count.isdecimal() for count in counts
    ):
        raise UserError(f"{name} does not hold a word for each vector; train it again with: train words.")
    return model, Vocabulary(tuple(words), np.array(counts, np.int64)), metadata

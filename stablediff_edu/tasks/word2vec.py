"""Training word2vec: from a text to the two embedding matrices."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from stablediff_edu.data.words.corpus import Corpus
from stablediff_edu.data.words.vocabulary import Vocabulary
from stablediff_edu.errors import UserError
from stablediff_edu.models.word2vec import Batch, Word2Vec, batch_loss, extract_windows, sgd_step_batched
from stablediff_edu.training import progress
from stablediff_edu.training.interrupts import stop_requests
from stablediff_edu.training.loop import Callback, ProgressBar, TrainResult, sample_steps
from stablediff_edu.training.progress import fingerprint
from stablediff_edu.training.trained_models import load_trained

STEP = 10_000  # words of the text between two looks at the clock, the loss and the learning rate
TABLE_SIZE = 1 << 22  # in the bag from which negatives are drawn
# how far a batch may move the vector that is drawn most often; beyond about 20 it overshoots, for good
MAX_UPDATE = 6.0


@dataclass(frozen=True)
class Word2VecTrainConfig:
    """Hyperparameters; the defaults are those of the authors' program and of gensim, unless noted.

    Attributes:
        dimension: numbers a word.
        window: how far a word's neighbors may be away.
        negatives: how many negatives a pair is worth.
        epochs: how often the text is read.
        learning_rate: at the beginning; it falls in a line to `last_rate`.
        threshold: words with a larger share of the text than this are thinned out.
        span: centers in a piece of text.
        shared: negatives that these share. More are worth their time: of the analogies on 100 MB of text, 16 % came out
            right with 16 of them, 20 % with 32, 21 % with 64.
        workers: threads that learn at the same time on the same two lists, without waiting for each other ("Hogwild",
            Niu et al., 2011): they rarely meet in the same word. With one the result is the same every time.
    """

    dimension: int = 100
    window: int = 5
    negatives: int = 5
    epochs: int = 1
    learning_rate: float = 0.025
    last_rate: float = 1e-4
    threshold: float = 1e-3
    span: int = 16
    shared: int = 64
    workers: int = 1
    seed: int = 0


SYNTHETIC = Word2VecTrainConfig(dimension=50, epochs=5)


def planned_steps(corpus: Corpus, config: Word2VecTrainConfig) -> int:
    """Return how many steps a training takes."""
    return -(-len(corpus) // STEP) * config.epochs


def train_word2vec(
    corpus: Corpus,
    config: Word2VecTrainConfig = SYNTHETIC,
    *,
    snapshot: Callable[[Word2Vec], torch.Tensor] | None = None,
    snapshot_at: Callable[[int], bool] | None = None,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 120.0,
) -> tuple[Word2Vec, TrainResult]:
    """Learn word vectors from a text; Ctrl-C ends it cleanly with what was learned.

    Args:
        corpus: the text. A step is `STEP` words of it.
        config: the numbers.
        snapshot: (model) -> tensor to keep, such as a few dot products.
        snapshot_at: which steps to take a snapshot at, besides the beginning; by default about 40.
        callback: what is reported to; a bar in the terminal if not given.
        checkpoint: a file to save progress to and to resume from; with one worker the result is then the same.
        checkpoint_seconds: how often.

    Returns:
        The two lists, and the record: the mean loss of a pair, a number a step; snapshots; seconds.
    """
    torch.manual_seed(config.seed)
    model = Word2Vec(len(corpus.vocabulary), config.dimension)
    room = _Word2VecTrainer(corpus, config, model, snapshot, snapshot_at, callback or ProgressBar())
    return model, room.train(checkpoint, checkpoint_seconds)


class _Word2VecTrainer:
    """Everything that the workers of one training share."""

    def __init__(self, corpus, config, model, snapshot, snapshot_at, callback) -> None:
        self.corpus, self.config, self.model, self.snapshot, self.callback = corpus, config, model, snapshot, callback
        self.planned = planned_steps(corpus, config)
        self.snapshot_at = snapshot_at or sample_steps(self.planned, 40)
        self.training, self.lock, self.stopped = TrainResult(), threading.Lock(), threading.Event()
        self.keep = torch.from_numpy(corpus.vocabulary.keep(config.threshold)).float()
        noise = corpus.vocabulary.noise()
        # a bag in which each word lies on as many slips as it is likely: drawing one is looking up one number
        self.negative_table = torch.from_numpy(
            np.searchsorted(noise.cumsum(), (np.arange(TABLE_SIZE) + 0.5) / TABLE_SIZE)
        )
        # The gradients of a word add up over a batch. The word drawn most often is met about
        # centers · neighbors · negatives · noise times, each time with a step of the learning rate.
        meetings = (config.window + 1) * config.negatives * noise.max() * config.learning_rate
        self.pieces = max(1, min(32, int(MAX_UPDATE / meetings / config.span)))
        self.blocks = self._read()
        self.reported = 0  # steps that the observer knows of
        self.chances = [torch.Generator().manual_seed(config.seed * 1000 + number) for number in range(config.workers)]

    def train(self, path: Path | None, save_every: float) -> TrainResult:
        vocabulary = self.corpus.vocabulary
        plan = fingerprint(self.config, " ".join(vocabulary.words), torch.from_numpy(vocabulary.counts))
        training, state = self.training, progress.load(path, plan) if path else None
        if state:
            self._restore(state)
        self.path, self.plan, self.save_every = path, plan, save_every
        self.started, self.saved = time.monotonic() - training.seconds, time.monotonic()
        self.callback.begin(self.planned, training.steps)
        if not state:
            self._look()
        with stop_requests() as self.request, _one_thread_each(), ThreadPoolExecutor(self.config.workers) as pool:
            others = [pool.submit(self._work, number) for number in range(1, self.config.workers)]
            try:
                self._work(0)  # this thread works too: it is the one that Ctrl-C interrupts
            except KeyboardInterrupt:
                training.interrupted = True
            finally:
                self.stopped.set()
            for other in others:
                other.result()
            self._report()
            self._save()
        if self.request.signal == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        self.callback.end(training)
        return training

    def _save(self) -> None:
        with self.lock:  # no other worker takes a block meanwhile
            self.training.seconds, self.saved = time.monotonic() - self.started, time.monotonic()
            chances = [rng.get_state() for rng in self.chances]
            if self.path:
                state = vars(self.training) | dict(model=self.model.state_dict(), chances=chances)
                progress.save(self.path, self.plan, state)

    def _restore(self, state: dict) -> None:
        self.model.load_state_dict(state["model"])
        for rng, known in zip(self.chances, state["chances"], strict=True):
            rng.set_state(known)
        for name in vars(self.training):
            setattr(self.training, name, state[name])
        self.training.interrupted, self.reported = False, self.training.steps
        for _ in range(self.training.steps):  # what was read already
            next(self.blocks, None)

    def _read(self) -> Iterator[torch.Tensor]:
        """Give the text in blocks of `STEP` words, epoch by epoch; a window ends where its block does."""
        for _ in range(self.config.epochs):
            rest = np.empty(0, np.int64)
            for block in self.corpus.read():
                rest = np.concatenate([rest, block])
                whole = len(rest) // STEP * STEP
                yield from torch.from_numpy(rest[:whole]).split(STEP) if whole else ()
                rest = rest[whole:]
            if len(rest):
                yield torch.from_numpy(rest)

    def _work(self, number: int) -> None:
        """Take block after block and learn from it, until the text is over or someone has stopped."""
        rng = self.chances[number]
        while not self.stopped.is_set():
            if number == 0 and self.request.signal:
                self.training.interrupted = True
                return
            with self.lock:
                block = next(self.blocks, None)
            if block is None:
                return
            loss = self._learn(block, rng)
            with self.lock:
                self.training.losses.append(loss)
                self.training.steps += 1
            if number == 0:  # one thread alone talks to the notebook
                self._report()
                if time.monotonic() - self.saved > self.save_every:
                    self._save()

    def _learn(self, block: torch.Tensor, rng: torch.Generator) -> float:
        """Learn from one block of the text, (N,), and return the mean loss of a pair at its beginning."""
        config, words, contexts = self.config, self.model.words.data, self.model.contexts.data
        done = min(1.0, self.training.steps / self.planned)
        rate = config.learning_rate + (config.last_rate - config.learning_rate) * done
        kept = block[torch.rand(len(block), generator=rng) < self.keep[block]]
        if len(kept) < 2:
            return self.training.loss
        pieces = extract_windows(kept, config.span, config.window)  # (B, span + 2w)
        reach = torch.randint(1, config.window + 1, (len(pieces), config.span), generator=rng)  # (B, span)
        # (B, shared)
        negatives = self.negative_table[torch.randint(TABLE_SIZE, (len(pieces), config.shared), generator=rng)]
        loss = None
        for part in zip(*(numbers.split(self.pieces) for numbers in (pieces, reach, negatives)), strict=True):
            batch = Batch(*part, config.negatives)
            loss = batch_loss(words, contexts, batch).item() if loss is None else loss
            sgd_step_batched(words, contexts, batch, rate)
        if not np.isfinite(loss):
            raise UserError(f"The loss is {loss}; use a lower learning rate than {config.learning_rate:g}.")
        return loss

    def _report(self) -> None:
        """Tell the observer of all steps that are new, also of those that other workers made."""
        first, self.reported = self.reported, self.training.steps
        new = range(first + 1, self.reported + 1)
        for step in new:
            self.callback.step(step, self.training.losses[step - 1])
        if any(map(self.snapshot_at, new)):
            self._look()

    def _look(self) -> None:
        if self.snapshot is not None:
            image = self.snapshot(self.model)
            self.training.snapshots.append((self.training.steps, image.detach().clone()))
            self.callback.snapshot(self.training.steps, image)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let torch use one thread for each worker: these products are too small to be shared out."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def load_word2vec(name: str | Path) -> tuple[Word2Vec, Vocabulary, dict[str, str]]:
    """Return the two lists of a file that `train words` has made, their words, and the metadata.

    Raises:
        UserError: the file is missing, cut off, or holds something else.
    """
    model, metadata = load_trained(Word2Vec, name, "word vectors")
    words, counts = (metadata.pop(key, "").split() for key in ("vocabulary", "counts"))
    if not len(words) == len(counts) == len(model.words) or not all(count.isdecimal() for count in counts):
        raise UserError(f"{name} does not hold a word for each vector; train it again with: train words.")
    return model, Vocabulary(tuple(words), np.array(counts, np.int64)), metadata

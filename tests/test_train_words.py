"""Training word vectors, on the command line and from a notebook: what is learned, kept and refused."""

import numpy as np
import pytest
import torch
from ctrl_c import train_and_interrupt

from stablediff_edu.__main__ import main
from stablediff_edu.data.words.corpus import Corpus, load_corpus
from stablediff_edu.data.words.synthetic import ANALOGIES
from stablediff_edu.data.words.vocabulary import Vocabulary
from stablediff_edu.errors import UserError
from stablediff_edu.io import checkpoint
from stablediff_edu.metrics.word_vectors import WordVectors, analogy, count_analogies, from_pairs
from stablediff_edu.models.word2vec import Word2Vec
from stablediff_edu.tasks import word2vec as word2vec_task
from stablediff_edu.tasks.word2vec import Word2VecTask, load_word2vec

SMALL = Word2VecTask(dimension=8, epochs=2)
SYNTHETIC = Word2VecTask.presets["pretrained"]


class Notes:
    """An observer that writes down what it is told."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.steps, self.images, self.ended, self.stop_at = [], [], 0, stop_at

    def begin(self, steps: int, first: int) -> None:
        self.planned = steps

    def step(self, step: int, loss: float) -> None:
        self.steps.append(step)
        if step == self.stop_at:
            raise KeyboardInterrupt

    def snapshot(self, step: int, image: torch.Tensor) -> None:
        self.images.append(step)

    def end(self, training) -> None:
        self.ended += 1


@pytest.fixture
def corpus() -> Corpus:
    """A text of random words, some of them much more frequent than others, in three blocks."""
    rng = np.random.default_rng(0)
    text = np.minimum(rng.zipf(1.5, 3000) - 1, 29)
    counts = np.bincount(text, minlength=30)
    blocks = np.split(text, [700, 701])
    return Corpus(Vocabulary(tuple(f"w{n}" for n in range(30)), counts), lambda: iter(blocks), "random", "none")


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    """Look at the clock more often than every 10,000 words."""
    monkeypatch.setattr(word2vec_task, "STEP", 100)


# --- what is learned --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn():
    """The synthetic corpus learned as the notebook does it, with the two scores of the video at each snapshot."""
    corpus = load_corpus("synthetic")
    tall, building, electricity = (corpus.vocabulary.numbers[word] for word in ("tall", "building", "electricity"))
    model, training = SYNTHETIC.train(
        corpus,
        snapshot=lambda model: model.contexts[[building, electricity]] @ model.words[tall],
        callback=Notes(),
    )
    return corpus, model, training


def test_nine_analogies_of_ten_come_out_of_the_drawn_corpus(drawn):
    corpus, model, training = drawn
    vectors = WordVectors(corpus.vocabulary.words, model.words)
    scores = count_analogies(vectors, from_pairs(ANALOGIES))
    assert scores["all"].share >= 0.9 and scores["all"].unknown == 0, scores["all"]
    assert min(score.share for score in scores.values()) >= 0.7
    assert analogy(vectors, "king", "man", "woman")[0][0] == "queen"
    assert analogy(vectors, "london", "england", "japan")[0][0] == "tokyo"
    assert training.loss < 2 < training.losses[0]


def test_a_tall_building_becomes_likelier_than_tall_electricity(drawn):
    _, _, training = drawn
    steps, scores = zip(*training.snapshots, strict=True)
    assert steps[0] == 0 and list(steps) == sorted(set(steps)) and len(steps) > 20
    assert scores[0].tolist() == [0, 0] and not torch.equal(scores[1], scores[2])
    assert scores[-1][0] > scores[-1][1] + 1 and scores[-1][0] > 0 > scores[-1][1]


def test_the_same_seed_learns_the_same_vectors(corpus):
    (first, _), (same, _), (other, _) = (
        Word2VecTask(dimension=8, seed=seed).train(corpus, callback=Notes()) for seed in (1, 1, 2)
    )
    assert torch.equal(first.words, same.words) and torch.equal(first.contexts, same.contexts)
    assert not torch.equal(first.words, other.words)


def test_every_word_of_every_epoch_is_read(corpus):
    notes = Notes()
    _, training = SMALL.train(corpus, callback=notes)
    assert training.steps == SMALL.planned_steps(corpus) == notes.planned == 60
    assert notes.steps == list(range(1, 61)) and notes.ended == 1 and not training.interrupted


def test_the_loss_of_every_part_is_below_that_of_the_first(drawn):
    _, _, training = drawn
    parts = torch.tensor(training.losses).chunk(10)
    assert all(part.mean() < parts[0].mean() for part in parts[1:]) and max(training.losses) < 2 * training.losses[0]


def test_torch_gets_its_threads_back(corpus):
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        SMALL.train(corpus, callback=Notes(stop_at=3))
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_what_was_learned_until_a_stop_is_kept(corpus):
    model, training = SMALL.train(corpus, Notes(stop_at=5))
    assert training.interrupted and training.steps == 5 and model.contexts.abs().max() > 0


@pytest.mark.filterwarnings("error")
def test_frequent_words_do_not_blow_up(corpus):
    """One word is half of this text: batches become small enough for its gradients not to overshoot."""
    model, _ = Word2VecTask(dimension=20, epochs=40, threshold=1.0).train(corpus, callback=Notes())
    assert model.words.norm(dim=1).max() < 30


def test_an_absurd_learning_rate_gets_one_sentence(corpus):
    with pytest.raises(UserError, match="lower learning rate"):
        Word2VecTask(dimension=8, epochs=20, learning_rate=1e30).train(corpus, callback=Notes())


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def text(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("The tall building and the tall tower are by the sea. " * 60)
    return file


def train(words: str) -> int:
    return main(f"train words {words}".split())


def test_own_text_becomes_a_file_with_a_card(text, tmp_path, capsys):
    out = tmp_path / "mine.safetensors"
    assert train(f"--text {text} --dimension 6 --seed 3 --out {out}") == 0
    assert "training on 8 words from mine.txt, 660 words long" in capsys.readouterr().out
    model, vocabulary, metadata = load_word2vec(out)
    assert vocabulary.words[:2] == ("the", "tall") and vocabulary.counts.tolist()[:2] == [180, 120]
    assert model.words.shape == model.contexts.shape == (8, 6) and model.contexts.any()
    assert metadata["command"] == "python -m stablediff_edu train words --text mine.txt --dimension 6 --seed 3"
    assert metadata["licence"] == "your own text" and metadata["seed"] == "3" and "no analogies" in metadata["result"]


def test_the_drawn_corpus_is_the_default_and_its_analogies_are_counted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(Word2VecTask.presets, "pretrained", Word2VecTask(dimension=4, epochs=1))
    assert train("") == 0
    assert "man to woman" in capsys.readouterr().out
    metadata = checkpoint.read_metadata("words.safetensors")
    assert metadata["data"].startswith("synthetic corpus") and "of 1,110 analogies right" in metadata["result"]
    assert train("--evaluate") == 0
    assert metadata["result"].partition("; loss")[0] in capsys.readouterr().out


def test_analogies_of_ones_own_are_counted(text, tmp_path, capsys):
    questions = tmp_path / "questions.txt"
    questions.write_text(": mine\ntall building the tower\ntall building the moon\n")
    assert train(f"--text {text} --questions {questions} --out {tmp_path}/a.safetensors") == 0
    assert "of 1 analogies right" in checkpoint.read_metadata(tmp_path / "a.safetensors")["result"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--resume", "leave --resume out"),
        ("--text {text} --min-count 500", "of which 0 stand there 500 times"),
        ("--text {tmp}/nothing.txt", "cannot be read"),
        ("--source text8", "fetch text8"),
        ("--text {text} --questions {text}", "Line 1 of mine.txt is not a question"),
        ("--evaluate --out {tmp}/none.safetensors", "There are no weights at none.safetensors"),
        ("--text {text} --out {tmp}/words.pt", "name it words.safetensors"),
        ("--text {text} --out /proc/words.safetensors", "Cannot write /proc"),
    ],
)
def test_bad_input_gets_one_sentence(text, tmp_path, monkeypatch, capsys, words, sentence):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STABLEDIFF_DATA", str(tmp_path / "no data"))
    assert train(words.format(text=text, tmp=tmp_path)) == 2
    errors = capsys.readouterr().err
    assert sentence in errors and errors.count("\n") == 1


def test_weights_of_something_else_are_no_word_vectors(text, tmp_path, capsys):
    torch_model = torch.nn.Linear(2, 2)
    metadata = dict.fromkeys(checkpoint.REQUIRED_METADATA, "")
    checkpoint.save_checkpoint(tmp_path / "other.safetensors", torch_model, metadata)
    assert train(f"--evaluate --out {tmp_path}/other.safetensors") == 2
    assert "no weights of word vectors" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "counts"), [("a b", "3 x"), ("a", "3"), ("a b c", "1 2 3"), ("", "")])
def test_vectors_without_their_words_get_one_sentence(tmp_path, words, counts):
    metadata = dict.fromkeys(checkpoint.REQUIRED_METADATA, "") | {"vocabulary": words, "counts": counts}
    checkpoint.save_checkpoint(tmp_path / "w.safetensors", Word2Vec(2, 3), metadata)
    with pytest.raises(UserError, match="does not hold a word for each vector"):
        load_word2vec(tmp_path / "w.safetensors")


def test_a_real_ctrl_c_keeps_what_was_learned(tmp_path):
    out = tmp_path / "words.safetensors"
    train_and_interrupt(f"words --epochs 1000 --out {out}")
    assert load_word2vec(out)[0].contexts.any()

"""A training that was stopped in any way goes on as if it had not been: every task, bit for bit."""

import random
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from tiny_tasks import STEPS, TASKS, fish

from stablediff_edu.data.words.corpus import load_corpus
from stablediff_edu.data.words.synthetic import generate_corpus
from stablediff_edu.errors import UserError
from stablediff_edu.tasks import registry, word2vec
from stablediff_edu.tasks.fish import FishTask
from stablediff_edu.tasks.word2vec import Word2VecTask
from stablediff_edu.training import progress
from stablediff_edu.training.loop import NullCallback, train
from stablediff_edu.training.progress import fingerprint

resource = pytest.importorskip("resource")  # not on Windows
FISH = FishTask(channels=(4, 8), size=16, steps=STEPS, batch_size=4, low_res_steps=3)


class StopAt(NullCallback):
    """Sends a signal to the process at a step, as Ctrl-C does."""

    def __init__(self, at: int, number: int = signal.SIGINT, times: int = 1) -> None:
        self.at, self.number, self.times = at, number, times

    def step(self, step: int, loss: float) -> None:
        if step == self.at:
            for _ in range(self.times):
                signal.raise_signal(self.number)


class CrashAt(StopAt):
    """Ends a training at a step without a chance to save."""

    def step(self, step: int, loss: float) -> None:
        if step == self.at:
            raise ZeroDivisionError


def equal(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def fish_net(callback=None, checkpoint=None, config=FISH, data=None):
    return config.train(data or fish(), callback or NullCallback(), progress=checkpoint)


@pytest.mark.parametrize("name", TASKS)
def test_every_task_goes_on_where_it_stopped(name: str, tmp_path):
    at = random.randint(1, STEPS - 1)
    torch.manual_seed(0)
    whole, record = TASKS[name](NullCallback(), None)
    torch.manual_seed(0)
    _, first = TASKS[name](StopAt(at), tmp_path / "progress")
    assert first.interrupted and first.steps == at
    torch.manual_seed(99)  # a new process knows nothing of the old one's generator
    resumed, second = TASKS[name](NullCallback(), tmp_path / "progress")
    assert not second.interrupted and second.losses == record.losses, f"stopped at {at}"
    assert equal(whole, resumed), f"stopped at {at}"


def test_every_training_of_the_command_is_among_these_tasks():
    assert set(registry.TASKS) - set(TASKS) == {"words"}  # for these see below


def test_ctrl_c_twice_and_once_more_while_it_saves_loses_nothing(tmp_path, monkeypatch):
    right = torch.save

    def save(*arguments):
        signal.raise_signal(signal.SIGINT)
        right(*arguments)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(torch, "save", save)
    _, first = fish_net(StopAt(4, times=2), tmp_path / "progress")
    monkeypatch.undo()
    assert first.interrupted and first.steps == 4
    assert equal(fish_net(checkpoint=tmp_path / "progress")[0], fish_net()[0])


def test_sigterm_saves_and_ends_the_process_as_it_should(tmp_path):
    with pytest.raises(SystemExit) as caught:
        fish_net(StopAt(4, signal.SIGTERM), tmp_path / "progress")
    assert caught.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL and torch.load(tmp_path / "progress")["steps"] == 4
    assert equal(fish_net(checkpoint=tmp_path / "progress")[0], fish_net()[0])


class FullDisk(NullCallback):
    """Lets no file grow beyond 1000 bytes from step 3 on."""

    def step(self, step: int, loss: float) -> None:
        if step == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))


def test_a_full_disk_ends_no_training_and_leaves_the_checkpoint_before(tmp_path, capfd):
    fish_net(StopAt(2), tmp_path / "progress")
    before = (tmp_path / "progress").read_bytes()
    try:
        model, training = fish_net(FullDisk(), tmp_path / "progress")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    assert training.steps == STEPS and equal(model, fish_net()[0])
    assert (tmp_path / "progress").read_bytes() == before and len(list(tmp_path.iterdir())) == 1
    assert "The progress was not saved" in capfd.readouterr().out


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from stablediff_edu.training import loop
right, calls = torch.save, []
def save(state, file):
    right(state, file)
    if len(calls) == 2:
        with open(file, "r+b") as half:
            half.truncate(1000)
        os.kill(os.getpid(), signal.SIGKILL)
    calls.append(1)
torch.save = save
sys.path.insert(0, "tests")
from test_resume import line
line(Path(sys.argv[1]))
"""


def line(checkpoint=None):
    torch.manual_seed(0)
    model = torch.nn.Linear(2, 1)
    batches = iter(lambda: torch.randn(4, 2), None)
    train(model, batches, lambda model, x: (model(x) - x.sum()).square().mean(), steps=9, callback=NullCallback(),
          checkpoint=checkpoint, checkpoint_seconds=0.0)  # fmt: skip
    return model


def test_a_process_killed_while_it_saves_leaves_the_checkpoint_before(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "progress"], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert torch.load(tmp_path / "progress")["steps"] == 2
    assert equal(line(tmp_path / "progress"), line())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, None], ids=["SIGINT", "SIGTERM", "crash"])
def test_word_vectors_go_on_where_they_stopped(number: int | None, tmp_path, monkeypatch):
    monkeypatch.setattr(word2vec, "SAVE_SECONDS", 0.0)
    text = tmp_path / "text.txt"
    text.write_text(generate_corpus(25_000))
    corpus, config = load_corpus(text), Word2VecTask(dimension=8, epochs=2)
    whole, record = config.train(corpus, NullCallback())
    stop = StopAt(random.randint(2, 5), number) if number else CrashAt(random.randint(2, 5))
    try:
        config.train(corpus, stop, progress=tmp_path / "progress")
    except (SystemExit, ZeroDivisionError) as ended:
        assert number != signal.SIGINT and getattr(ended, "code", 143) == 143
    assert torch.load(tmp_path / "progress")["steps"] == (stop.at if number else stop.at - 1)
    resumed, second = config.train(corpus, NullCallback(), progress=tmp_path / "progress")
    assert equal(whole, resumed) and second.losses == record.losses and not second.interrupted


# --- which training a checkpoint belongs to ---------------------------------------------------------------------------


def test_the_fingerprint_names_numbers_content_and_version():
    data = torch.arange(6.0)
    same = fingerprint(FISH, data)
    assert same == fingerprint(replace(FISH), data.clone())
    for other in (
        fingerprint(FISH, data + 1),
        fingerprint(FISH, data.view(2, 3)),
        fingerprint(FISH, data, data),
        fingerprint(FISH, data, version=2),
        fingerprint(replace(FISH, seed=1), data),
    ):
        assert len({key for key in same if same[key] != other[key]}) == 1


def test_another_seed_and_another_picture_are_refused_and_named(tmp_path):
    path = tmp_path / "progress"
    fish_net(StopAt(2), path)
    changed = replace(fish(), images=fish().images.clone())
    changed.images[0, 0, 0, 0] += 0.1
    with pytest.raises(UserError, match="another training, with other data; resume that one, or delete it"):
        fish_net(checkpoint=path, data=changed)
    with pytest.raises(UserError, match="with other seed 0 instead of 1"):
        fish_net(checkpoint=path, config=replace(FISH, seed=1))
    assert progress.load(path, progress.torch.load(path)["plan"])["steps"] == 2

"""Where to compute, how big to go, and the same image twice; and the cheap import of the package."""

import numpy as np
import pytest
import torch

from stablediff_edu import config
from stablediff_edu.errors import UserError

QUICK, FULL = {"steps": 10, "minutes": 1}, {"steps": 1000, "minutes": 5}


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in ("DEVICE", "BUDGET", "THREADS"):
        monkeypatch.delenv(f"STABLEDIFF_{name}", raising=False)


def pretend(monkeypatch, *, cuda=False, mps=False, without_kernels=()):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2 * cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(config, "runs_kernels", lambda name: name not in without_kernels)


@pytest.mark.parametrize(
    ("there", "expected"),
    [(dict(cuda=True, mps=True), "cuda"), (dict(mps=True), "mps"), ({}, "cpu")],
)
def test_the_best_device_is_picked(monkeypatch, there, expected):
    pretend(monkeypatch, **there)
    assert config.pick_device().type == expected


def test_a_gpu_without_kernels_is_passed_over(monkeypatch):
    pretend(monkeypatch, cuda=True, mps=True, without_kernels=("cuda", "cuda:1"))
    assert config.pick_device().type == "mps"
    monkeypatch.setenv("STABLEDIFF_DEVICE", "cuda:1")
    with pytest.raises(UserError, match="no kernels; unset it"):
        config.pick_device()


def test_a_device_is_tried_with_a_small_product(monkeypatch, capsys):
    def no_kernel(*_, **__):
        raise RuntimeError("CUDA error: no kernel image is available\nCompile with …")

    assert config.runs_kernels("cpu")
    monkeypatch.setattr(torch, "ones", no_kernel)
    assert not config.runs_kernels("cuda:5")
    assert "torch cannot compute on cuda:5 here (CUDA error: no kernel image is available)" in capsys.readouterr().err


def test_the_variable_decides(monkeypatch):
    pretend(monkeypatch, cuda=True)
    monkeypatch.setenv("STABLEDIFF_DEVICE", " CPU ")
    assert config.pick_device().type == "cpu"
    monkeypatch.setenv("STABLEDIFF_DEVICE", "cuda:1")
    assert config.pick_device() == torch.device("cuda", 1)


@pytest.mark.parametrize("name", ["mps", "tpu", "cuda:7", "cuda:", "cuda:x", "cuda:-1", "cpu:1"])
def test_a_device_that_is_not_there_is_one_sentence(monkeypatch, name):
    pretend(monkeypatch, cuda=True)
    monkeypatch.setenv("STABLEDIFF_DEVICE", name)
    with pytest.raises(UserError, match="does not have; set it to one of: cuda, cpu"):
        config.pick_device()


def test_the_budget_is_quick_unless_it_is_said(monkeypatch):
    assert config.preset() == "quick"
    monkeypatch.setenv("STABLEDIFF_PRESET", "Full")
    assert config.preset() == "full"
    monkeypatch.setenv("STABLEDIFF_PRESET", "huge")
    with pytest.raises(UserError, match="set it to quick or full"):
        config.preset()


def test_threads(monkeypatch):
    before = torch.get_num_threads()
    try:
        monkeypatch.setenv("STABLEDIFF_THREADS", "1")
        assert config.set_num_threads() == 1
        for wrong in ("none", "0", "-1"):
            monkeypatch.setenv("STABLEDIFF_THREADS", wrong)
            with pytest.raises(UserError, match="whole number of threads"):
                config.set_num_threads()
    finally:
        torch.set_num_threads(before)


def test_one_seed_gives_the_same_numbers_everywhere():
    drawn = []
    for _ in range(2):
        generator = config.seed_everything(3)
        drawn.append((torch.rand(2).tolist(), np.random.rand(), torch.rand(2, generator=generator).tolist()))
    assert drawn[0] == drawn[1]


def test_begin_prints_both_budgets_and_returns_the_chosen_numbers(monkeypatch, capsys):
    pretend(monkeypatch)
    numbers = config.setup_notebook(QUICK, FULL, data="synthetic fish")
    printed = capsys.readouterr().out
    assert (numbers.steps, numbers.preset, numbers.device.type) == (10, "quick", "cpu")
    for part in ("device   cpu", "preset   quick", "data     synthetic fish", "1 min quick", "5 min full", "1000"):
        assert part in printed
    monkeypatch.setenv("STABLEDIFF_PRESET", "full")
    assert config.setup_notebook(QUICK, FULL).steps == 1000


def test_budgets_must_name_the_same_numbers():
    with pytest.raises(ValueError, match="width"):
        config.setup_notebook(QUICK | {"width": 3}, FULL)


def test_a_course_error_shows_as_one_sentence_in_a_notebook():
    assert UserError("Do this.")._render_traceback_() == ["UserError: Do this."]

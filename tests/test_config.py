"""Where to compute, how big to go, and the same image twice."""

import numpy as np
import pytest
import torch

from stablediff_edu import config
from stablediff_edu.errors import UserError

QUICK, FULL = {"steps": 10, "minutes": 1}, {"steps": 1000, "minutes": 5}


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in ("DEVICE", "THREADS"):
        monkeypatch.delenv(f"STABLEDIFF_{name}", raising=False)


def pretend(monkeypatch, *, cuda=False, mps=False, without_kernels=()):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2 * cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(config, "runs_kernels", lambda name: name not in without_kernels)


@pytest.mark.parametrize(
    ("there", "requested", "expected"),
    [
        (dict(cuda=True, mps=True), "", "cuda"),
        (dict(mps=True), "", "mps"),
        ({}, "", "cpu"),
        (dict(cuda=True, mps=True, without_kernels=("cuda",)), "", "mps"),
        (dict(cuda=True), " CPU ", "cpu"),
        (dict(cuda=True), "cuda:1", "cuda:1"),
    ],
)
def test_the_best_device_is_picked_or_the_one_requested(monkeypatch, there, requested, expected):
    pretend(monkeypatch, **there)
    monkeypatch.setenv("STABLEDIFF_DEVICE", requested)
    assert str(config.pick_device()) == expected


@pytest.mark.parametrize("name", ["mps", "tpu", "cuda:7", "cuda:", "cuda:x", "cuda:-1", "cpu:1", "cuda:0"])
def test_a_device_that_cannot_be_used_is_one_sentence(monkeypatch, name):
    pretend(monkeypatch, cuda=True, without_kernels=("cuda:0",))
    monkeypatch.setenv("STABLEDIFF_DEVICE", name)
    reason = "has no kernels" if name == "cuda:0" else "does not have"
    with pytest.raises(UserError, match=f"{reason}; set it to one of: cuda, cpu"):
        config.pick_device()


def test_a_device_is_tried_with_a_small_product(monkeypatch, capsys):
    def no_kernel(*_, **__):
        raise RuntimeError("CUDA error: no kernel image is available\nCompile with …")

    assert config.runs_kernels("cpu")
    monkeypatch.setattr(torch, "ones", no_kernel)
    assert not config.runs_kernels("cuda:5")
    assert "torch cannot compute on cuda:5 here (CUDA error: no kernel image is available)" in capsys.readouterr().err


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


def test_one_seed_gives_the_same_values_everywhere():
    sampled = []
    for _ in range(2):
        generator = config.seed_everything(3)
        sampled.append((torch.rand(2).tolist(), np.random.rand(), torch.rand(2, generator=generator).tolist()))
    assert sampled[0] == sampled[1]


def test_setup_prints_both_presets_and_returns_the_chosen_values(monkeypatch, capsys):
    pretend(monkeypatch)
    values = config.setup_notebook(QUICK, FULL, data="synthetic fish", test={"steps": 2})
    printed = capsys.readouterr().out
    assert (values.steps, values.preset, values.device.type) == (10, "quick", "cpu")
    for part in ("device   cpu", "preset   quick", "data     synthetic fish", "1 min quick", "5 min full", "1000"):
        assert part in printed
    for preset, steps in {"Full": 1000, "test": 2}.items():
        monkeypatch.setenv("STABLEDIFF_PRESET", preset)
        assert config.setup_notebook(QUICK, FULL, test={"steps": 2}).steps == steps
    monkeypatch.setenv("STABLEDIFF_PRESET", "huge")
    with pytest.raises(UserError, match="set it to quick or full"):
        config.setup_notebook(QUICK, FULL)


def test_presets_must_have_the_same_names():
    with pytest.raises(ValueError, match="width"):
        config.setup_notebook(QUICK | {"width": 3}, FULL)


def test_a_user_error_shows_as_one_sentence_in_a_notebook():
    assert UserError("Do this.")._render_traceback_() == ["UserError: Do this."]

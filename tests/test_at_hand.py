"""Are Stable Diffusion's weights here? Found where they may lie, never fetched, and half a download does not count."""

import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants
from zero_weights import write_folder

from stablediff_edu.errors import UserError
from stablediff_edu.io import local_weights
from stablediff_edu.io.diffusers_config import V1_NAME
from stablediff_edu.io.local_weights import find_local_weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_folder(tmp_path_factory.mktemp("weights"))


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch) -> Path:
    """An empty computer; what the Hub's library would have kept of a download lies in the folder that is returned."""
    monkeypatch.delenv("STABLEDIFF_WEIGHTS", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody is to be asked
    monkeypatch.setattr(local_weights, "DATA", tmp_path / "data")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    place = tmp_path / "hub" / f"models--{V1_NAME.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("c" * 40)
    return place / "snapshots" / ("c" * 40)


def test_on_an_empty_computer_there_are_none():
    assert find_local_weights() is None


def test_those_that_are_named_come_first(folder, monkeypatch):
    monkeypatch.setenv("STABLEDIFF_WEIGHTS", str(folder))
    assert find_local_weights() == folder


def test_a_name_with_nothing_behind_it_is_told(monkeypatch):
    monkeypatch.setenv("STABLEDIFF_WEIGHTS", "/nowhere/at all")
    with pytest.raises(UserError, match="nothing is there; set it to a folder or a file"):
        find_local_weights()


def test_a_folder_in_data_is_found_and_must_be_whole(folder):
    own = Path(shutil.copytree(folder, local_weights.DATA / local_weights.FOLDER))
    assert find_local_weights() == own
    (own / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(UserError, match="lacks the weights of vae"):
        find_local_weights()


def test_an_earlier_download_is_found_and_half_of_one_is_not(folder, kept):
    shutil.copytree(folder, kept)
    assert find_local_weights() == kept
    (kept / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    assert find_local_weights() is None

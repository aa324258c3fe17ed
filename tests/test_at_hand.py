"""Are Stable Diffusion's weights here? Found where they may lie, never fetched, and half a download does not count."""

import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants
from zero_weights import write_folder

from stablediff_edu.errors import CourseError
from stablediff_edu.weights import at_hand
from stablediff_edu.weights.at_hand import weights_at_hand
from stablediff_edu.weights.part_configs import V1_NAME


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_folder(tmp_path_factory.mktemp("weights"))


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch) -> Path:
    """An empty computer; what the Hub's library would have kept of a download lies in the folder that is returned."""
    monkeypatch.delenv("STABLEDIFF_WEIGHTS", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody is to be asked
    monkeypatch.setattr(at_hand, "DATA", tmp_path / "data")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    place = tmp_path / "hub" / f"models--{V1_NAME.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("c" * 40)
    return place / "snapshots" / ("c" * 40)


def test_on_an_empty_computer_there_are_none():
    assert weights_at_hand() is None


def test_those_that_are_named_come_first(folder, monkeypatch):
    monkeypatch.setenv("STABLEDIFF_WEIGHTS", str(folder))
    assert weights_at_hand() == folder


def test_a_name_with_nothing_behind_it_is_told(monkeypatch):
    monkeypatch.setenv("STABLEDIFF_WEIGHTS", "/nowhere/at all")
    with pytest.raises(CourseError, match="nothing is there; set it to a folder or a file"):
        weights_at_hand()


def test_a_folder_in_data_is_found_and_must_be_whole(folder):
    own = Path(shutil.copytree(folder, at_hand.DATA / at_hand.FOLDER))
    assert weights_at_hand() == own
    (own / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(CourseError, match="lacks the weights of vae"):
        weights_at_hand()


def test_an_earlier_download_is_found_and_half_of_one_is_not(folder, kept):
    shutil.copytree(folder, kept)
    assert weights_at_hand() == kept
    (kept / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    assert weights_at_hand() is None

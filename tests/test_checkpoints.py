"""Checkpoints: a card is demanded, half precision is loaded whole, files that lie get one sentence."""

import errno
import json

import pytest
import torch

from stablediff_edu.errors import UserError
from stablediff_edu.io import checkpoint
from stablediff_edu.models.unet import UNet

CARD = dict.fromkeys(checkpoint.REQUIRED_METADATA, "x")
SIZES = dict(channels=(4, 8, 12))


def test_what_is_saved_is_loaded_again(tmp_path):
    model = UNet(**SIZES)
    path = checkpoint.save_checkpoint(tmp_path / "a.safetensors", model, CARD | {"seed": 3})
    other = UNet(**SIZES)
    metadata = checkpoint.load_into(other, path)
    assert metadata["seed"] == "3" and json.loads(metadata["config"])["channels"] == [4, 8, 12]
    for (name, a), b in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a.half().float(), b), name
    exact = checkpoint.save_checkpoint(tmp_path / "b.safetensors", model, CARD, half=False)
    assert torch.equal(checkpoint.load_checkpoint(exact)[0]["conv_out.weight"], model.conv_out.weight)
    assert path.stat().st_size < exact.stat().st_size
    model.register_buffer("count", torch.tensor([2**24 + 1]))  # a whole number that float32 lacks
    assert checkpoint.load_checkpoint(checkpoint.save_checkpoint(path, model, CARD))[0]["count"].tolist() == [2**24 + 1]


@pytest.mark.parametrize("lost", checkpoint.REQUIRED_METADATA)
def test_no_weights_without_their_recipe(tmp_path, lost):
    with pytest.raises(ValueError, match=lost):
        checkpoint.save_checkpoint(
            tmp_path / "a.safetensors", UNet(**SIZES), {k: v for k, v in CARD.items() if k != lost}
        )
    assert not list(tmp_path.iterdir())


def test_files_that_lie_get_one_sentence(tmp_path):
    good = checkpoint.save_checkpoint(tmp_path / "good.safetensors", UNet(**SIZES), CARD).read_bytes()
    lies = {
        "cut": good[: len(good) // 2],
        "html": b"<!DOCTYPE html><html>404</html>",
        "empty": b"",
        "header": good[:100],
    }
    for name, content in lies.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"not a whole safetensors file.*again\.$"):
            checkpoint.load_checkpoint(path)
        with pytest.raises(UserError):
            checkpoint.read_metadata(path)


def test_a_missing_file_names_what_is_shipped(tmp_path):
    with pytest.raises(UserError, match="pretrained name"):
        checkpoint.load_checkpoint(tmp_path / "nothing.safetensors")
    with pytest.raises(UserError, match="no weights at whale"):
        checkpoint.load_checkpoint("whale")


def test_weights_of_another_model_are_refused(tmp_path):
    path = checkpoint.save_checkpoint(tmp_path / "a.safetensors", UNet(**SIZES), CARD)
    with pytest.raises(UserError, match="does not fit this model"):
        checkpoint.load_into(UNet(channels=(4, 8, 16)), path)


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = checkpoint.save_checkpoint(tmp_path / "a.safetensors", UNet(**SIZES), CARD)
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(UserError, match="No space left on device"):
        checkpoint.save_checkpoint(path, UNet(**SIZES), CARD)
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch):
    def forbidden(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", forbidden)
    with pytest.raises(UserError, match="Permission denied"):
        checkpoint.save_checkpoint(tmp_path / "a.safetensors", UNet(**SIZES), CARD)
    with pytest.raises(UserError, match="Permission denied"):
        checkpoint.check_writable(tmp_path / "a.safetensors")


def test_looking_whether_a_file_can_be_written_leaves_nothing(tmp_path):
    checkpoint.check_writable(tmp_path / "deep" / "a.safetensors")
    assert not list((tmp_path / "deep").iterdir())

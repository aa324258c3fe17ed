"""`train fish`: on synthetic fish, on images that are not fish, with every kind of bad input; and the pretrained
weights."""

import json

import numpy as np
import pytest
import torch
from ctrl_c import train_and_interrupt
from PIL import Image

from stablediff_edu.__main__ import main
from stablediff_edu.data.fish.dataset import load_fish
from stablediff_edu.data.fish.synthetic import render_batch
from stablediff_edu.data.segmentation_folder import load_segmentation_folder
from stablediff_edu.io import checkpoint
from stablediff_edu.tasks import fish as fish_task
from stablediff_edu.tasks import segmentation


@pytest.fixture
def no_photographs(tmp_path, monkeypatch):
    monkeypatch.setenv("STABLEDIFF_DATA", str(tmp_path / "no data"))


@pytest.fixture
def microscope(tmp_path):
    """Thirty gray images of 512×512, bright cells on dark ground, with masks of 0/255 and of 0/1 values."""
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    y, x = np.mgrid[:512, :512]
    for number in range(30):
        mask = np.zeros((512, 512), bool)
        for _ in range(6):
            mask |= np.hypot(x - rng.integers(512), y - rng.integers(512)) < rng.integers(25, 70)
        gray = np.clip(60 + 110 * mask + rng.normal(0, 12, mask.shape), 0, 255).astype(np.uint8)
        Image.fromarray(gray).save(tmp_path / "images" / f"cell{number:02}.png")
        Image.fromarray(mask.astype(np.uint8) * (255 if number % 2 else 1)).save(
            tmp_path / f"masks/cell{number:02}.png"
        )
    return tmp_path


def test_it_learns_from_pictures_that_are_not_fish(microscope, no_photographs, capsys):
    out = microscope / "cells.safetensors"
    words = f"train fish --images {microscope}/images --masks {microscope}/masks --size 64 --steps 60 --out {out}"
    assert main(words.split()) == 0
    printed = capsys.readouterr().out
    assert "24 images" in printed and "6 held out" in printed and "Dice" in printed
    metadata = checkpoint.read_metadata(out)
    assert metadata["steps"] == "60" and "--images images --masks masks" in metadata["command"]
    model, _ = fish_task.load_fish_unet(out)
    data = load_segmentation_folder(microscope / "images", microscope / "masks", 64)
    assert segmentation.iou_dice(segmentation.predict(model, data.images), data.masks).iou.mean() > 0.8
    assert sorted(path.name for path in microscope.iterdir()) == ["cells.safetensors", "images", "masks"]
    assert printed.splitlines()[-1] == f"next: python -m stablediff_edu segment --weights {out} --images DIR"


def test_segment_writes_a_mask_for_each_image_in_its_size(tmp_path, capsys):
    pixels, masks, _ = render_batch(2, size=128, seed=7)
    for number, (image, mask) in enumerate(zip(pixels, masks, strict=True)):
        for folder, values in (("images", (image.permute(1, 2, 0) + 1) * 127.5), ("truth", mask[0] * 255)):
            (tmp_path / folder).mkdir(exist_ok=True)
            stored = Image.fromarray(values.numpy().astype(np.uint8)).resize((200, 150), Image.Resampling.BICUBIC)
            stored.save(tmp_path / folder / f"{number}.png")
    (tmp_path / "images/notes.txt").write_text("")
    (tmp_path / "images/cut.jpg").write_bytes(b"cut")
    words = ["segment", "--images", str(tmp_path / "images"), "--out", str(tmp_path / "images/found")]
    assert main(words) == 0 and main(words) == 0  # what it has made is no image of the second run
    printed = capsys.readouterr().out
    assert "2 masks in " in printed and "left out: 2 files (notes.txt: not an image; " in printed
    (tmp_path / "images/cut.jpg").unlink()
    found = load_segmentation_folder(tmp_path / "images", tmp_path / "images/found", 128)
    (tmp_path / "images/found").rename(tmp_path / "found")
    truth = load_segmentation_folder(tmp_path / "images", tmp_path / "truth", 128)
    assert found.names == ["0", "1"] and segmentation.iou_dice(found.masks, truth.masks).iou.min() > 0.8
    assert main([*words, "--overlay"]) == 0
    overlay = np.asarray(Image.open(tmp_path / "images/found/0.png.png"), int)
    assert overlay.shape == (150, 200, 3) and ((overlay[..., 0] > overlay[..., 1] + 40).mean() > 0.02)
    (tmp_path / "empty").mkdir()
    for wrong in (["--images", str(tmp_path / "empty")], ["--weights", "ships"], ["--weights", "none.safetensors"]):
        assert main([*words, *wrong]) == 2 and capsys.readouterr().err.count("\n") == 1


def test_quick_numbers_on_drawn_fish_and_evaluate(tmp_path, no_photographs, capsys):
    out = tmp_path / "few.safetensors"
    assert main(f"train fish --quick --num-images 8 --steps 3 --out {out}".split()) == 0
    assert (
        checkpoint.read_metadata(out)["command"]
        == "python -m stablediff_edu train fish --preset quick --num-images 8 --steps 3"
    )
    assert main(f"train fish --quick --evaluate --out {out}".split()) == 0
    printed = capsys.readouterr().out
    assert "weights: command python -m" in printed and "real photographs: none here" in printed


def test_without_skips_has_fewer_weights(tmp_path, no_photographs):
    out = tmp_path / "blind.safetensors"
    assert main(f"train fish --quick --num-images 4 --steps 1 --no-skips --out {out}".split()) == 0
    assert json.loads(checkpoint.read_metadata(out)["config"])["skips"] is False


def spoil_mask(folder):
    (folder / "masks/cell00.png").unlink()


def spoil_size(folder):
    Image.new("L", (100, 90)).save(folder / "masks/cell01.png")


def spoil_png(folder):
    path = folder / "images/cell02.png"
    path.write_bytes(path.read_bytes()[:700])


def spoil_all(folder):
    for path in (folder / "images").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (spoil_mask, "cell00"),
        (spoil_size, "cell01"),
        (spoil_png, "cell02"),
        (spoil_all, "images"),
    ],
)
def test_bad_pictures_are_one_sentence_and_exit_code_2(microscope, no_photographs, capsys, spoil, named):
    spoil(microscope)
    out = microscope / "cells.safetensors"
    out.write_bytes(b"an older good file")
    words = f"train fish --images {microscope}/images --masks {microscope}/masks --size 64 --steps 2 --out {out}"
    assert main(words.split()) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and named in error and "Traceback" not in error
    assert out.read_bytes() == b"an older good file"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--images images", "both --images DIR and --masks DIR"),
        ("--size 50", "multiple of 16, such as 48"),
        ("--out weights.pt", "weights.safetensors"),
        ("--evaluate --out missing.safetensors", "no weights at missing.safetensors"),
        ("--images nowhere --masks nowhere", "nowhere"),
    ],
)
def test_bad_words_are_one_sentence_and_exit_code_2(no_photographs, capsys, words, expected):
    assert main(["train", "fish", *words.split()]) == 2
    error = capsys.readouterr().err
    assert expected in error and error.count("\n") == 1


@pytest.mark.parametrize("words", ["--steps 0", "--steps many", "--steps 3.5", "--num-images -3", "--seed -1"])
def test_numbers_that_are_none_are_refused_in_one_sentence(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", "fish", *words.split()])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1 and words.split()[1] in error


def test_resume_without_a_stopped_training_is_one_sentence(tmp_path, no_photographs, capsys):
    assert main(f"train fish --quick --num-images 4 --steps 1 --resume --out {tmp_path}/a.safetensors".split()) == 2
    assert "no a.progress" in capsys.readouterr().err and list(tmp_path.iterdir()) == []


def test_a_real_ctrl_c_keeps_what_was_learned(tmp_path):
    out = tmp_path / "some.safetensors"
    train_and_interrupt(f"fish --quick --num-images 8 --steps 100000 --out {out}")
    assert 0 < int(checkpoint.read_metadata(out)["steps"]) < 100000 and out.with_suffix(".progress").exists()


def test_the_same_seed_gives_the_same_network_twice():
    config = fish_task.FishTask(channels=(4, 8, 12), size=32, num_images=12, held_out=4, steps=6, batch_size=4)
    weights = []
    for _ in range(2):
        model, _ = config.train(config.data()[0])
        weights.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    assert torch.equal(*weights)


def test_a_folder_that_cannot_be_written_is_told_before_the_training(tmp_path, no_photographs, capsys):
    (tmp_path / "file").write_text("not a folder")
    assert main(f"train fish --quick --num-images 4 --steps 1 --out {tmp_path}/file/weights.safetensors".split()) == 2
    assert capsys.readouterr().err.startswith("stablediff_edu: Cannot write")


def test_a_disk_that_fills_up_keeps_the_training(tmp_path, no_photographs, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    out = tmp_path / "some.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr("safetensors.torch.save_file", full)
        assert main(f"train fish --quick --num-images 4 --steps 2 --out {out}".split()) == 2
    assert "No space left" in capsys.readouterr().err and not out.exists()
    assert main(f"train fish --quick --num-images 4 --steps 2 --out {out}".split()) == 0
    assert checkpoint.read_metadata(out)["steps"] == "2" and not out.with_suffix(".progress").exists()


class TestShippedWeights:
    """data/checkpoints/fish.safetensors: small, with its config, good on new synthetic fish and on real photographs."""

    def test_card_and_size(self):
        metadata = checkpoint.read_metadata("fish")
        assert metadata["command"] == "python -m stablediff_edu train fish"
        assert int(metadata["steps"]) == fish_task.FISH_PRESETS["pretrained"].steps and "fish" in metadata["data"]
        assert checkpoint.checkpoint_path("fish").stat().st_size <= 6e6

    def test_the_network_without_skips_has_the_quick_recipe(self):
        model, metadata = fish_task.load_fish_unet("fish_no_skips")
        assert metadata["command"] == "python -m stablediff_edu train fish --quick --no-skips"
        assert not model.skips and int(metadata["steps"]) == fish_task.QUICK.steps

    def test_drawn_fish_never_seen(self):
        model, _ = fish_task.load_fish_unet("fish")
        images, masks, _ = render_batch(40, size=128, seed=31)
        assert segmentation.iou_dice(segmentation.predict(model, images), masks).iou.mean() >= 0.9

    def test_nine_real_photographs(self, real_data, monkeypatch):
        monkeypatch.setenv("STABLEDIFF_DATA", str(real_data))
        model, _ = fish_task.load_fish_unet("fish")
        real = load_fish(9, 128, source="kaggle")
        assert len(real) == 9 and real.images.shape == (9, 3, 128, 128)
        scores = segmentation.evaluate_segmentation(model, real)
        assert scores.iou.mean() >= 0.75

    def test_evaluate_prints_them(self, real_data, monkeypatch, capsys):
        monkeypatch.setenv("STABLEDIFF_DATA", str(real_data))
        monkeypatch.setitem(fish_task.FISH_PRESETS, "pretrained", fish_task.FishTask(held_out=4))
        assert main(["train", "fish", "--evaluate"]) == 0
        printed = capsys.readouterr().out
        assert "real photographs: IoU 0." in printed and "Trout" in printed


def test_recipes_are_the_videos_in_the_full_budget():
    assert fish_task.FULL.channels == (64, 128, 256, 512, 1024) and fish_task.FULL.num_images == 500
    assert torch.equal(fish_task.QUICK.model().conv_out.weight, fish_task.QUICK.model().conv_out.weight)

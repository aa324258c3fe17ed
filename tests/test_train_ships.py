"""`train ships`, `train cifar10-all` and `train ship-classifier` on the command line, with every kind of bad input."""

import numpy as np
import pytest
import torch
from ctrl_c import train_and_interrupt
from PIL import Image

from stablediff_edu.__main__ import main
from stablediff_edu.data.ships.cifar10 import CLASSES
from stablediff_edu.io import checkpoint
from stablediff_edu.tasks import ddpm as ddpm_task
from stablediff_edu.tasks import ddpm_evaluation
from stablediff_edu.tasks.ddpm import load_diffusion
from stablediff_edu.tasks.ship_classifier import ShipClassifierTask
from stablediff_edu.training import losses

TINY = dict(channels=(8, 8), time=8, patch=2, attention=0, steps=4, batch_size=4)


@pytest.fixture(autouse=True)
def tiny(monkeypatch, tmp_path):
    """Tiny configs, no photographs, and pretrained weights in a folder of the test's own."""
    presets = ddpm_task.ShipsTask.presets
    for name in ("pretrained", "own", "quick"):
        monkeypatch.setitem(presets, name, ddpm_task.ShipsTask(**TINY, source=presets[name].source))
    monkeypatch.setitem(ddpm_task.Cifar10Task.presets, "pretrained", ddpm_task.Cifar10Task(**TINY))
    classifier = ShipClassifierTask(channels=(4, 8), steps=4, batch_size=8)
    monkeypatch.setitem(ShipClassifierTask.presets, "pretrained", classifier)
    monkeypatch.setenv("STABLEDIFF_DATA", str(tmp_path / "no data"))
    monkeypatch.setattr(checkpoint, "PRETRAINED", tmp_path / "shipped")


@pytest.fixture
def folder(tmp_path):
    """Images of mixed size and mode: colored, gray, with a palette, see-through, tall and wide."""
    rng = np.random.default_rng(0)
    own = tmp_path / "own"
    own.mkdir()
    modes = ["RGB", "L", "P", "RGBA", "RGB", "CMYK"]
    for number, (mode, size) in enumerate(
        zip(modes, [(40, 30), (8, 8), (100, 20), (33, 65), (5, 5), (32, 32)], strict=True)
    ):
        image = Image.fromarray(rng.integers(0, 255, (*size, 3)).astype(np.uint8)).convert(mode)
        image.save(own / f"{number}.{'jpg' if mode == 'CMYK' else 'png'}")
    return own


@pytest.fixture
def little_cifar(tmp_path, monkeypatch):
    """A folder like the JPEG copies of CIFAR-10, with three images a class."""
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in CLASSES:
            place = tmp_path / "data/cifar10" / part / name
            place.mkdir(parents=True)
            for number in range(3):
                Image.fromarray(rng.integers(0, 255, (32, 32, 3)).astype(np.uint8)).save(place / f"{number}.png")
    monkeypatch.setenv("STABLEDIFF_DATA", str(tmp_path / "data"))


def train(words):
    return main(f"train {words}".split())


# --- what it learns from ----------------------------------------------------------------------------------------------


def test_own_pictures_of_mixed_size_and_mode(folder, tmp_path, capsys):
    out = tmp_path / "mine.safetensors"
    assert train(f"ships --images {folder} --size 16 --steps 3 --seed 7 --out {out}") == 0
    printed = capsys.readouterr().out
    assert "training on 6 images" in printed
    assert printed.splitlines()[-1].startswith("next: python -m stablediff_edu generate --weights ")
    model, metadata = load_diffusion(out)
    assert metadata["command"] == "python -m stablediff_edu train ships --images own --size 16 --steps 3 --seed 7"
    assert (metadata["steps"], metadata["seed"], metadata["size"], metadata["licence"]) == (
        "3",
        "7",
        "16",
        "your own images",
    )
    assert (
        (metadata["schedule"], metadata["prediction"]) == ("cosine", "v_prediction")
        and metadata["device"]
        and metadata["date"]
    )
    assert model(torch.zeros(1, 3, 16, 16), torch.zeros(1)).shape == (1, 3, 16, 16)
    assert not out.with_suffix(".progress").exists()


@pytest.fixture
def few_ships(monkeypatch):
    from stablediff_edu.data.ships import dataset as ships_dataset

    monkeypatch.setattr(
        ships_dataset, "render_ships", lambda count, size, seed, right=ships_dataset.render_ships: right(6, size, seed)
    )


def test_drawn_ships_by_wish_or_for_the_quick_numbers(few_ships, tmp_path, capsys):
    for words in ("ships --source synthetic", "ships --quick"):
        assert train(f"{words} --out {tmp_path}/drawn.safetensors") == 0
        assert "synthetic ships" in capsys.readouterr().out
    metadata = checkpoint.read_metadata(tmp_path / "drawn.safetensors")
    assert metadata["command"] == "python -m stablediff_edu train ships --preset quick"
    assert "MIT" in metadata["licence"]


def test_photographs_where_they_are_there_go_to_the_shipped_weights(little_cifar):
    assert train("ships") == 0
    metadata = checkpoint.read_metadata("ships")
    assert metadata["command"] == "python -m stablediff_edu train ships"
    assert metadata["data"] == "3 images of 32×32, CIFAR-10 (JPEG copies)" and "Krizhevsky" in metadata["licence"]


def test_anything_else_does_not_go_to_the_shipped_weights(little_cifar, few_ships, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in ("--steps 2", "--seed 1", "--source synthetic", f"--images {folder}", "--size 16"):
        assert train(f"ships {words}") == 0
        (tmp_path / "ships_own.safetensors").unlink()
    assert not checkpoint.PRETRAINED.exists()


def test_all_ten_classes(little_cifar):
    assert train("cifar10-all") == 0
    assert "30 images of 32×32" in checkpoint.read_metadata("cifar10-all")["data"]


def test_the_judge(little_cifar, capsys):
    assert train("ship-classifier") == 0
    assert "of 3 test ships ships" in capsys.readouterr().out
    metadata = checkpoint.read_metadata("ship_classifier")
    assert "3 ships, 27 images of other classes" in metadata["data"] and "of 3 test ships" in metadata["result"]
    assert train("ship-classifier --evaluate") == 0
    assert metadata["result"].partition("; loss")[0] in capsys.readouterr().out


def test_evaluate_prints_the_measures(little_cifar, monkeypatch, capsys):
    assert train("ships") == 0 and train("ship-classifier") == 0
    right = ddpm_evaluation.sample_images
    monkeypatch.setattr(
        ddpm_evaluation, "sample_images", lambda *a, **o: right(*a[:2], min(a[2], 4), *a[3:], **o | dict(steps=1))
    )
    assert train("ships --evaluate") == 0
    printed = capsys.readouterr().out
    for measure in ("weights: command python -m", "called ship", "nearest training ship", "variety", "16 ships in 25"):
        assert measure in printed


# --- stopped and gone on with -----------------------------------------------------------------------------------------


def test_ctrl_c_and_resume_give_the_same_weights_as_no_ctrl_c(folder, tmp_path, monkeypatch, capsys):
    once, twice = tmp_path / "once.safetensors", tmp_path / "twice.safetensors"
    words = f"ships --images {folder} --size 16 --steps 6"
    assert train(f"{words} --out {once}") == 0
    right, calls = losses.diffusion_loss, []

    def stop(*arguments, **options):
        value = right(*arguments, **options)
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return value

    monkeypatch.setattr(losses, "diffusion_loss", stop)
    assert train(f"{words} --out {twice}") == 0
    assert "stopped early" in capsys.readouterr().out
    assert load_diffusion(twice)[1]["steps"] == "3" and twice.with_suffix(".progress").exists()
    assert train(f"{words} --out {twice} --resume") == 0
    weights, metadata = checkpoint.load_checkpoint(twice)
    assert metadata["steps"] == "6" and metadata["result"] == checkpoint.read_metadata(once)["result"]
    assert all(torch.equal(value, weights[name]) for name, value in checkpoint.load_checkpoint(once)[0].items())
    assert train(f"{words} --out {twice} --resume") == 2
    assert "no twice.progress" in capsys.readouterr().err


def test_a_real_ctrl_c_keeps_what_was_learned(folder, tmp_path):
    out = tmp_path / "some.safetensors"
    train_and_interrupt(f"ships --images {folder} --size 8 --quick --steps 100000 --out {out}")
    assert 0 < int(load_diffusion(out)[1]["steps"]) < 100000 and out.with_suffix(".progress").exists()


# --- bad input --------------------------------------------------------------------------------------------------------


def keep_one(folder):
    for path in sorted(folder.iterdir())[1:]:
        path.unlink()


def keep_none(folder):
    for path in folder.iterdir():
        path.unlink()


def cut_off(folder):
    (folder / "0.png").write_bytes((folder / "0.png").read_bytes()[:900])


@pytest.mark.parametrize(
    ("spoil", "expected"), [(keep_one, "holds one image that can be read"), (keep_none, "There are no images")]
)
def test_bad_pictures_are_one_sentence_and_exit_code_2(folder, tmp_path, capsys, spoil, expected):
    spoil(folder)
    out = tmp_path / "mine.safetensors"
    out.write_bytes(b"an older good file")
    assert train(f"ships --images {folder} --steps 1 --out {out}") == 2
    error = capsys.readouterr().err
    assert expected in error and error.count("\n") == 1 and out.read_bytes() == b"an older good file"


def test_a_broken_image_is_left_out_and_named(folder, tmp_path, capsys):
    cut_off(folder)
    assert train(f"ships --images {folder} --steps 1 --out {tmp_path / 'mine.safetensors'}") == 0
    printed = capsys.readouterr().out
    assert "left out: 1 files" in printed and "0.png is broken or not an image" in printed


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("ships", "fetch cifar10"),
        ("ships --source cifar10", "fetch cifar10"),
        ("cifar10-all", "fetch cifar10"),
        ("ship-classifier", "fetch cifar10"),
        ("ships --images nowhere", "nowhere"),
        ("ships --source synthetic --size 30", "multiple of 4 and at most 256, such as 28"),
        ("ships --source synthetic --size 100000", "such as 256"),
        ("ships --source synthetic --out weights.pt", "weights.safetensors"),
        ("ships --evaluate --out missing.safetensors", "no weights at missing.safetensors"),
        ("ships --evaluate", "no weights at ships.safetensors"),
        ("ship-classifier --evaluate", "no weights at ship_classifier.safetensors"),
    ],
)
def test_bad_words_are_one_sentence_and_exit_code_2(capsys, words, expected):
    assert train(words) == 2
    error = capsys.readouterr().err
    assert expected in error and error.count("\n") == 1


@pytest.mark.parametrize("words", ["--steps 0", "--steps 3.5", "--steps -1", "--steps ten", "--size 0", "--seed x"])
def test_numbers_that_are_none_are_refused_in_one_sentence(words, capsys):
    with pytest.raises(SystemExit) as stop:
        train(f"ships --source synthetic {words}")
    error = capsys.readouterr().err
    assert stop.value.code == 2 and error.count("\n") == 1 and words.split()[1] in error


@pytest.mark.parametrize("content", [b"", b"not weights", (2**62).to_bytes(8, "little") + b"{}"])
def test_broken_weights_are_one_sentence_and_exit_code_2(tmp_path, capsys, content):
    (tmp_path / "broken.safetensors").write_bytes(content)
    assert train(f"ships --evaluate --out {tmp_path}/broken.safetensors") == 2
    error = capsys.readouterr().err
    assert "broken.safetensors is not a whole safetensors file" in error and error.count("\n") == 1


def test_evaluate_without_photographs_says_what_is_missing(folder, tmp_path, little_cifar, monkeypatch, capsys):
    out = tmp_path / "mine.safetensors"
    assert train(f"ships --images {folder} --out {out}") == 0 and train("ship-classifier") == 0
    monkeypatch.setenv("STABLEDIFF_DATA", str(tmp_path / "nothing"))
    assert train(f"ships --evaluate --out {out}") == 2
    error = capsys.readouterr().err
    assert "fetch cifar10" in error and error.count("\n") == 1

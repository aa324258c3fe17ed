"""`train digit-vae` and `train latent-digits` on the command line, and the benchmark of both, at tiny sizes."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stablediff_edu.__main__ import main
from stablediff_edu.data import real_data
from stablediff_edu.data.digits.synthetic import render_digits_uint8
from stablediff_edu.io import checkpoint
from stablediff_edu.models.autoencoder_kl import VAEConfig
from stablediff_edu.tasks import latent_diffusion, latent_diffusion_evaluation
from stablediff_edu.tasks import vae as vae_task
from stablediff_edu.tasks.autoencoder import AUTOENCODER_PRESETS, AutoencoderTask
from stablediff_edu.tasks.ddpm import load_diffusion
from stablediff_edu.tasks.digit_classifier import DigitClassifierTask
from stablediff_edu.tasks.vae import load_vae
from stablediff_edu.training import losses

CONFIG = VAEConfig(
    in_channels=1,
    block_out_channels=(4, 4),
    layers_per_block=1,
    latent_channels=4,
    norm_num_groups=4,
    scaling_factor=1.0,
)
COUNTS = dict(digits=30, held_out=20, steps=6, batch_size=4)
TINY_LATENTS = latent_diffusion.LatentDigitsTask(channels=(8, 8), time=8, attention=1, **COUNTS)


@pytest.fixture(autouse=True)
def tiny(monkeypatch, tmp_path):
    """Tiny configs, few digits, no MNIST, a classifier who knows nothing, and pretrained weights in the test's own
    folder."""
    vae = latent_diffusion.DigitVAETask(sizes=CONFIG, **COUNTS)
    monkeypatch.setitem(latent_diffusion.DigitVAETask.presets, "pretrained", vae)
    monkeypatch.setitem(latent_diffusion.LATENT_PRESETS, "pretrained", TINY_LATENTS)
    classifier = DigitClassifierTask(channels=(4, 8)).model().eval()
    monkeypatch.setattr(latent_diffusion_evaluation, "load_digit_classifier", lambda: (classifier, {}))
    monkeypatch.setenv("STABLEDIFF_DATA", str(tmp_path / "no data"))
    monkeypatch.setattr(checkpoint, "PRETRAINED", tmp_path / "shipped")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def some_mnist(monkeypatch):
    """A handful of digits in MNIST's place."""

    def read_file(name: str, file: str) -> bytes:
        images, labels = render_digits_uint8(40, (7, int(file.startswith("train"))))
        return bytes(16) + images.tobytes() if "images" in file else bytes(8) + labels.astype("uint8").tobytes()

    monkeypatch.setattr(real_data, "find_files", lambda name: {"train-images-idx3-ubyte": Path()})
    monkeypatch.setattr(real_data, "read_file", read_file)


def train(words: str) -> int:
    return main(f"train {words}".split())


# --- what is trained on what, and where it goes -----------------------------------------------------------------------


def test_the_two_shipped_weights(capsys):
    assert train("digit-vae") == 0
    printed = capsys.readouterr().out
    assert (
        "training on 30 images (synthetic digits), 20 held out" in printed
        and "on 20 unseen synthetic digits" in printed
    )
    vae, metadata = load_vae()
    assert metadata["command"] == "python -m stablediff_edu train digit-vae"
    assert (metadata["steps"], metadata["data"]) == ("6", "30 synthetic digits") and vae.config.scaling_factor != 1
    assert train("latent-digits") == 0
    _, metadata = load_diffusion("latent-digits", channels=4)
    assert metadata["command"] == "python -m stablediff_edu train latent-digits"
    assert metadata["data"].endswith("trained with: python -m stablediff_edu train digit-vae")
    assert sorted(file.name for file in checkpoint.PRETRAINED.iterdir()) == [
        "digit-vae.safetensors", "latent-digits.safetensors"
    ]  # fmt: skip


def test_anything_else_does_not_go_to_the_shipped_weights(tmp_path, some_mnist):
    assert train("digit-vae --out vae.safetensors") == 0
    for words in ("digit-vae", "latent-digits --vae vae.safetensors"):
        for more in ("--steps 2", "--seed 1", "--source mnist"):
            assert train(f"{words} {more}") == 0
            (tmp_path / f"{words.split()[0]}_own.safetensors").unlink()
    assert train("latent-digits --vae vae.safetensors") == 0  # nor latents of another autoencoder
    assert (tmp_path / "latent-digits_own.safetensors").exists() and not checkpoint.PRETRAINED.exists()


def test_mnist_by_wish(some_mnist, capsys):
    assert train("digit-vae --source mnist --steps 2 --seed 5 --out real.safetensors") == 0
    assert "training on 30 images (MNIST)" in capsys.readouterr().out
    metadata = checkpoint.read_metadata("real.safetensors")
    assert metadata["command"] == "python -m stablediff_edu train digit-vae --source mnist --steps 2 --seed 5"
    assert metadata["data"] == "30 MNIST" and "20 unseen MNIST" in metadata["result"] and "BY-SA" in metadata["licence"]


def test_drawn_digits_are_the_default_even_where_mnist_is(some_mnist, capsys):
    assert train("digit-vae --out drawn.safetensors") == 0
    assert checkpoint.read_metadata("drawn.safetensors")["data"] == "30 synthetic digits"


# --- evaluate ---------------------------------------------------------------------------------------------------------


def test_evaluate_scores_the_autoencoder_on_its_kind_of_digits_or_on_others(some_mnist, capsys):
    assert train("digit-vae") == 0 and train("digit-vae --source mnist") == 0
    capsys.readouterr()
    assert train("digit-vae --evaluate") == 0
    printed = capsys.readouterr().out
    assert "weights: command python -m stablediff_edu train digit-vae" in printed
    assert printed.endswith("on 20 unseen synthetic digits\n")
    assert checkpoint.read_metadata("digit-vae")["result"][:27] in printed  # the weights lie there in half precision
    for words in ("--out digit-vae_own.safetensors", "--source mnist"):
        assert train(f"digit-vae --evaluate {words}") == 0
        assert capsys.readouterr().out.endswith("on 20 unseen MNIST\n")


def test_evaluate_judges_500_samples(monkeypatch, capsys):
    assert train("digit-vae") == 0 and train("latent-digits") == 0
    right, asked = latent_diffusion_evaluation.sample_images, []

    def few(model, metadata, count, seed, **options):
        asked.append(count)
        return right(model, metadata, min(count, 4), seed, **options | dict(steps=1))

    monkeypatch.setattr(latent_diffusion_evaluation, "sample_images", few)
    assert train("latent-digits --evaluate") == 0
    printed = capsys.readouterr().out
    assert asked == [1, 500]
    for measure in ("weights: command python -m", "the classifier is sure", "nearest digit learned from", "variety"):
        assert measure in printed


def test_latents_are_not_decoded_by_an_autoencoder_they_do_not_come_from(capsys):
    assert train("digit-vae") == 0 and train("latent-digits") == 0
    assert train("digit-vae --steps 2") == 0
    assert train("latent-digits --evaluate --vae digit-vae_own.safetensors") == 2
    error = capsys.readouterr().err
    assert "latents of another autoencoder than digit-vae_own.safetensors" in error and error.count("\n") == 1


# --- stopped and gone on with -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "room", "function"), [("digit-vae", vae_task, "vae_loss"), ("latent-digits", losses, "diffusion_loss")]
)
def test_ctrl_c_and_resume_give_the_same_weights_as_no_ctrl_c(name, room, function, tmp_path, monkeypatch, capsys):
    assert train("digit-vae") == 0
    once, twice = tmp_path / "once.safetensors", tmp_path / "twice.safetensors"
    assert train(f"{name} --out {once}") == 0
    right, calls = getattr(room, function), []

    def stop(*arguments, **options):
        value = right(*arguments, **options)
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return value

    monkeypatch.setattr(room, function, stop)
    assert train(f"{name} --out {twice}") == 0
    assert "stopped early" in capsys.readouterr().out
    assert checkpoint.read_metadata(twice)["steps"] == "3" and twice.with_suffix(".progress").exists()
    assert train(f"{name} --out {twice} --seed 1") == 2  # not the training that was stopped
    assert train(f"{name} --out {twice} --resume") == 0
    weights, metadata = checkpoint.load_checkpoint(twice)
    assert metadata["steps"] == "6" and metadata["config"] == checkpoint.read_metadata(once)["config"]
    assert all(torch.equal(value, weights[key]) for key, value in checkpoint.load_checkpoint(once)[0].items())
    assert train(f"{name} --out {twice} --resume") == 2
    assert "no twice.progress" in capsys.readouterr().err


def test_a_stopped_training_does_not_replace_finished_shipped_weights(monkeypatch):
    assert train("digit-vae") == 0
    before = checkpoint.checkpoint_path("digit-vae").read_bytes()

    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(vae_task, "vae_loss", stop)
    assert train("digit-vae") == 0
    assert checkpoint.checkpoint_path("digit-vae").read_bytes() == before
    assert checkpoint.checkpoint_path("digit-vae_unfinished").exists()


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("latent-digits", "no weights at digit-vae.safetensors"),
        ("latent-digits --vae mine.safetensors", "no weights at mine.safetensors"),
        ("digit-vae --evaluate", "no weights at digit-vae.safetensors"),
        ("digit-vae --source mnist", "fetch mnist"),
        ("digit-vae --resume", "no digit-vae.progress"),
        ("digit-vae --out weights.pt", "weights.safetensors"),
    ],
)
def test_bad_words_are_one_sentence_and_exit_code_2(capsys, words, expected):
    assert train(words) == 2
    error = capsys.readouterr().err
    assert expected in error and error.count("\n") == 1


@pytest.mark.parametrize("words", ["digit-vae --source cifar10", "latent-digits --vae", "latent-digits --steps 0"])
def test_words_that_are_none_are_refused_in_one_sentence(words, capsys):
    with pytest.raises(SystemExit) as stop:
        train(words)
    assert stop.value.code == 2 and capsys.readouterr().err.count("\n") == 1


def test_weights_of_another_kind_are_refused_in_one_sentence(capsys):
    assert train("digit-vae") == 0 and train("latent-digits") == 0
    for words in ("digit-vae --evaluate --out {}latent-digits.safetensors", "latent-digits --vae {}latent-digits"):
        words = words.format("" if "--vae" in words else f"{checkpoint.PRETRAINED}/")
        assert train(words) == 2
        assert "holds no weights of an autoencoder with latents" in capsys.readouterr().err
    assert train(f"latent-digits --evaluate --out {checkpoint.PRETRAINED}/digit-vae.safetensors") == 2
    assert "holds no weights of a network that finds noise" in capsys.readouterr().err


# --- the benchmark ----------------------------------------------------------------------------------------------------


def test_the_benchmark_prints_its_three_tables(monkeypatch, capsys):
    assert train("digit-vae") == 0
    file = Path(__file__).parent / "benchmarks/latent.py"
    spec = importlib.util.spec_from_file_location("latent_benchmark", file)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    monkeypatch.setitem(AUTOENCODER_PRESETS, "quick", AutoencoderTask(widths=(8,), steps=3, batch_size=4))
    load = benchmark.load_digits
    monkeypatch.setattr(benchmark, "load_digits", lambda count, *where, **how: load(min(count, 40), *where, **how))
    values = dict(LATENT_DIGITS_QUICK=TINY_LATENTS, SAMPLES=3, TO_MEASURE=2, LARGE=64, LARGE_LATENT=8)
    values["PIXEL_DIGITS"] = replace(TINY_LATENTS, image_channels=1, batch_size=2)
    for name, value in values.items():
        monkeypatch.setattr(benchmark, name, value)
    benchmark.main(["--seconds", "0.2"])
    printed = capsys.readouterr().out
    lines = ("PCA", "latent, 4 × 16 × 16", "pixel, 1 × 28 × 28", "newness", "unseen digits", "to see as many images")
    for line in (*lines, "but first: the autoencoder's own training", "3 × 64 × 64"):
        assert line in printed

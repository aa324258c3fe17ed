"""`generate` on the command line: what it draws, saves and says, and every kind of bad input."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_stable_diffusion import SMALLER, make
from vocabulary import write_vocabulary

from stablediff_edu.__main__ import main
from stablediff_edu.cli import generate
from stablediff_edu.data.image_files import as_rgb
from stablediff_edu.data.scenes.captions import VOCABULARY
from stablediff_edu.io import checkpoint
from stablediff_edu.models.autoencoder_kl import AutoencoderKL
from stablediff_edu.models.unet import UNet
from stablediff_edu.pipelines.stable_diffusion import StableDiffusion
from stablediff_edu.tasks import ddpm_evaluation, latent_diffusion
from stablediff_edu.tasks.ddpm import load_diffusion
from stablediff_edu.tasks.text_to_image_evaluation import DEFAULT_SAMPLING
from stablediff_edu.tokenizers.clip_bpe import CLIPTokenizer

OWN = dict(guidance=DEFAULT_SAMPLING["guidance"])  # what the course's own model is drawn with

CARD = dict.fromkeys(checkpoint.REQUIRED_METADATA, "a test") | {"words": " ".join(VOCABULARY)}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    """A folder of the test's own, on the CPU, without pretrained weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STABLEDIFF_DEVICE", "cpu")
    monkeypatch.setattr(checkpoint, "PRETRAINED", tmp_path / "shipped")
    return tmp_path


@pytest.fixture
def shipped(here) -> StableDiffusion:
    """A tiny model of random weights among the pretrained ones."""
    model = make()
    checkpoint.save_checkpoint("tiny-sd", model, CARD, half=False)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A model with CLIP's kind of tokenizer, as diffusers would have it on disk."""
    folder = tmp_path_factory.mktemp("model")
    tokenizer = CLIPTokenizer(*write_vocabulary(folder / "words"), max_length=16)
    torch.manual_seed(0)
    text = type(SMALLER.text_encoder)(len(tokenizer), 16, 16, 1, 2)
    return StableDiffusion(type(SMALLER)(text, SMALLER.unet, SMALLER.vae, size=32), tokenizer).save_pretrained(
        folder / "sd"
    )


def pixels(path: Path | str) -> np.ndarray:
    return np.asarray(Image.open(path))


def as_bytes(image: torch.Tensor) -> np.ndarray:
    return ((image + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()


def draw(*words: str) -> int:
    return main(["generate", "a red ship", "--steps", "2", *words])


# --- what it draws ----------------------------------------------------------------------------------------------------


def test_without_weights_it_says_in_one_sentence_how_to_get_them_and_what_they_weigh(capsys):
    assert main(["generate", "a red ship"]) == 2
    said = capsys.readouterr().err
    assert re.fullmatch(
        r"stablediff_edu: There are no weights to draw with; --weights stable-diffusion-v1-5/stable-diffusion-v1-5 "
        r"downloads .* \(4\.3 GB; 2\.1 GB with --half\), and --weights PATH reads a folder or a file\.\n",
        said,
    )
    assert not Path("generated.png").exists()


def test_it_draws_with_the_shipped_model_and_says_so(shipped, capsys):
    assert draw("--seed", "3", "--guidance", "4", "--sampler", "ddim", "--negative", "a fish", "--out", "ship.png") == 0
    expected = shipped("a red ship", "a fish", steps=2, seed=3, guidance=4, sampler="ddim")
    assert np.array_equal(pixels("ship.png"), as_bytes(expected[0]))
    captured = capsys.readouterr()
    assert "the course's tiny model" in captured.out and "4.3 GB" in captured.out and "ship.png" in captured.out
    assert "2/2" in captured.err  # the bar


def test_it_draws_with_weights_from_a_folder_or_a_file(folder, here):
    pipe = StableDiffusion.from_pretrained(folder)
    assert draw("--weights", str(folder)) == 0
    assert np.array_equal(pixels("generated.png"), as_bytes(pipe("a red ship", steps=2)[0]))
    pipe.save_pretrained(here / "one.safetensors")
    (here / "tokenizer").mkdir()  # a single file has no place for the vocabulary
    for file in pipe.tokenizer.files:
        (here / "tokenizer" / file.name).write_bytes(file.read_bytes())
    assert draw("--weights", "one.safetensors", "--out", "again.png") == 0
    assert np.array_equal(pixels("again.png"), pixels("generated.png"))
    assert draw("--weights", str(folder), "--half", "--out", "half.png") == 0
    assert np.abs(pixels("half.png").astype(int) - pixels("generated.png")).mean() < 3


def test_several_pictures_go_on_one_sheet(shipped):
    assert draw("--count", "3", "--size", "16x24") == 0
    sheet, drawn = pixels("generated.png"), shipped("a red ship", steps=2, count=3, size=(16, 24), **OWN)
    assert sheet.shape == (32, 48, 3)
    for number, (row, column) in enumerate([(0, 0), (0, 24), (16, 0)]):
        expected = as_bytes(drawn[number]).astype(int)
        assert np.abs(sheet[row : row + 16, column : column + 24] - expected).max() <= 1
    assert (sheet[16:, 24:] == 255).all()


def test_previews_show_every_step(shipped):
    assert draw("--previews", "steps") == 0
    assert sorted(file.name for file in Path("steps").iterdir()) == ["step_001.png", "step_002.png"]
    first, last = (step.preview() for step in shipped.stream("a red ship", steps=2, **OWN))
    assert np.array_equal(pixels("steps/step_001.png"), as_bytes(first[0]))
    assert np.array_equal(pixels("steps/step_002.png"), as_bytes(last[0]))


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.webp", "new/folder/a.png"])
def test_other_kinds_of_files_and_new_folders(shipped, name: str):
    assert draw("--out", name) == 0
    assert pixels(name).shape == (32, 32, 3)


def test_an_image_is_cut_to_the_middle_and_stays_where_the_mask_is_black(shipped, here):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (32, 40, 3), dtype=np.uint8)).save("image.png")
    mask = np.zeros((32, 40), np.uint8)
    mask[:, 20:] = 255
    Image.fromarray(mask).save("mask.png")
    assert draw("--image", "image.png", "--mask", "mask.png") == 0
    drawn, middle = pixels("generated.png"), pixels("image.png")[:, 4:36]
    assert np.array_equal(drawn[:, :16], middle[:, :16])
    assert (drawn[:, 16:] != middle[:, 16:]).any(axis=2).mean() > 0.9
    assert draw("--image", "image.png", "--strength", "0.5", "--out", "half.png") == 0
    assert not np.array_equal(pixels("half.png"), pixels("generated.png"))


def test_a_long_prompt_is_read_in_chunks(folder):
    words = ["generate", "! " * 14 + "? and THE  end", "--weights", str(folder), "--steps", "1"]
    assert main(words) == 0
    assert np.array_equal(
        pixels("generated.png"), as_bytes(StableDiffusion.from_pretrained(folder)(words[1], steps=1)[0])
    )


@pytest.mark.parametrize("invert", [False, True])
def test_the_transparent_part_of_an_image_is_drawn_anew(shipped, capsys, invert):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (32, 32, 4), dtype=np.uint8)
    image[..., 3] = 255
    image[:, 8:, 3] = rng.integers(0, 100, (32, 24))
    Image.fromarray(image).save("image.png")
    assert draw("--image", "image.png", *(["--invert"] if invert else [])) == 0
    stays = np.s_[:, 8:] if invert else np.s_[:, :8]
    changes = np.s_[:, :8] if invert else np.s_[:, 8:]
    drawn, given = pixels("generated.png"), np.asarray(as_rgb(Image.open("image.png")))
    assert np.array_equal(drawn[stays], given[stays]) and (drawn[changes] != given[changes]).any(axis=2).mean() > 0.9
    assert f"the mask is its {'opaque' if invert else 'transparent'} part" in capsys.readouterr().out
    Image.fromarray(image | np.uint8(128) * (np.arange(4) == 3).astype(np.uint8)).save(
        "image.png"
    )  # hardly transparent
    assert draw("--image", "image.png") == 0 and "the mask is" not in capsys.readouterr().out


# --- weights of `train` -----------------------------------------------------------------------------------------------

SMALL = dict(time=16, patch=1, attention=0)


def trained(channels: int, size: int, data: str) -> Path:
    """Write weights as `train` writes them."""
    metadata = CARD | dict(size=size, schedule="cosine", prediction="v_prediction", data=data, command="train x")
    return checkpoint.save_checkpoint(
        Path("mine.safetensors").resolve(), UNet(channels, channels, (8, 16), **SMALL), metadata, half=False
    )


@pytest.mark.parametrize("out", ["grid.png", "numbered"])
@pytest.mark.parametrize("kind", ["pixels", "latents"])
def test_any_weights_of_train_generate(here, capsys, kind, out):
    if kind == "pixels":
        mine = trained(3, 16, "own images")
        expected, side = ddpm_evaluation.sample_images(*load_diffusion(mine), 5, seed=3, steps=2), 16
    else:
        torch.manual_seed(0)
        vae = AutoencoderKL(latent_diffusion.DIGIT_LATENTS)
        checkpoint.save_checkpoint(here / "vae.safetensors", vae, CARD | dict(command="train digit-vae"), half=False)
        mine = trained(4, 4, "latents of digits, encoded by what was trained with: train digit-vae")
        z = ddpm_evaluation.sample_images(*load_diffusion(mine, 4), 5, seed=3, steps=2, sampler="ddpm", clip=False)
        expected, side = latent_diffusion.decode_digits(vae.eval(), z).expand(-1, 3, -1, -1), 28
    words = f"generate --weights {mine} --count 5 --seed 3 --steps 2 --out {out}".split()
    assert main(words + ["--vae", "vae.safetensors"] * (kind == "latents")) == 0
    if out == "numbered":
        got = np.stack([pixels(f"numbered/{number:04}.png") for number in range(1, 6)])
    else:
        tiles = pixels(out).reshape(2, side, 3, side, 3).transpose(0, 2, 1, 3, 4).reshape(6, side, side, 3)
        got = tiles[:5]
    assert np.abs(got.astype(int) - np.stack([as_bytes(image) for image in expected])).max() <= 1
    capsys.readouterr()
    assert main(["generate", "a ship", *words[1:]]) == 2
    assert (
        "no text input and generates what it was trained on; omit the prompt" in capsys.readouterr().err
        or kind != "pixels"
    )


def test_weights_of_train_that_generate_nothing_and_a_missing_prompt_get_one_sentence(shipped, here, capsys):
    for model in (UNet(3, 1, (8, 16)), torch.nn.Linear(2, 2)):
        checkpoint.save_checkpoint(here / "mine.safetensors", model, CARD | dict(command="train fish"))
        assert main(["generate", "--weights", "mine.safetensors"]) == 2
        assert "was made by 'train fish'; that network does not generate images" in capsys.readouterr().err
    assert main(["generate", "a red ship", "--steps", "1", "--weights", str(here / "shipped/tiny-sd.safetensors")]) == 0
    assert main(["generate"]) == 2 and "There is no prompt; say what to generate" in capsys.readouterr().err


# --- bad input --------------------------------------------------------------------------------------------------------


REFUSED = {
    "an unknown word": (["generate", "a quark"], "'quark' is not among the"),
    "no such sampler": (["--sampler", "fast"], "There is no sampler 'fast'; choose one of"),
    "a size that does not go": (["--size", "30"], "Images of 30×30 pixels cannot be generated: both sides must be"),
    "strength too large": (["--image", "image.png", "--strength", "1.5"], "strength must be more than 0 and at most 1"),
    "strength without image": (["--strength", "0.5"], "strength and mask are about an image"),
    "mask without image": (["--mask", "image.png"], "--mask says what of an image is generated again"),
    "no such image": (["--image", "none.png"], "none.png"),
    "an image that is none": (["--image", "text.png"], "text.png is broken or not an image"),
    "a mask of another size": (
        ["--image", "image.png", "--mask", "small.png"],
        "small.png and image.png differ",
    ),
    "no name of an image": (["--out", "ship.txt"], "ship.txt is no name of an image; let it end in one of .png"),
    "a place that cannot be": (["--out", "image.png/ship.png"], "Cannot write image.png/ship.png"),
    "previews that cannot be": (["--previews", "image.png"], "Cannot write image.png/step_001.png"),
    "no such weights": (["--weights", "nowhere/at/all"], "There is nothing at nowhere/at/all"),
    "weights that are none": (["--weights", "text.png"], "text.png"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_gets_one_sentence(name: str, shipped, capsys):
    Image.new("RGB", (32, 32)).save("image.png")
    Image.linear_gradient("L").point(lambda value: 255 * (value > 127)).resize((16, 16), 0).save("small.png")
    Path("text.png").write_text("no image")
    words, sentence = REFUSED[name]
    assert (main(words) if words[0] == "generate" else draw(*words)) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("stablediff_edu: ")]
    assert len(said) == 1 and sentence in said[0] and said[0].endswith(".")
    assert not Path("generated.png").exists()


@pytest.mark.parametrize(
    "words",
    [
        "--steps 0",
        "--steps many",
        "--count 0",
        "--seed -1",
        "--seed x",
        "--size big",
        "--size 1x2x3",
        "--guidance much",
        "ship",
    ],
)
def test_words_that_mean_nothing_get_one_sentence(words: str, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["generate", "a red ship", *words.split()])
    said = capsys.readouterr().err
    assert ended.value.code == 2 and said.count("\n") == 1 and "--help" in said


def test_a_full_disk_leaves_the_picture_that_was_there(shipped, capsys, monkeypatch):
    assert draw() == 0
    before = Path("generated.png").read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(generate.Image.Image, "save", full)
    assert draw("--seed", "9") == 2
    assert "Cannot write generated.png (No space left on device)" in capsys.readouterr().err
    assert Path("generated.png").read_bytes() == before and [p.name for p in Path().glob(".*")] == []


def test_no_memory_is_one_sentence(shipped, capsys, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(StableDiffusion, "predict_noise", fail)
    assert draw() == 2
    assert "There is not enough memory; generate fewer or smaller images" in capsys.readouterr().err


def test_shipped_weights_of_something_else_get_one_sentence(here, capsys):
    checkpoint.save_checkpoint("tiny-sd", torch.nn.Linear(2, 2), CARD)
    assert draw() == 2
    assert "tiny-sd.safetensors does not hold what its card says" in capsys.readouterr().err

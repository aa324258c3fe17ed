"""`train text-to-image`: from a folder of captioned images to a folder that generates, stopping and resuming."""

import json
from dataclasses import replace
from pathlib import Path

import colored_shapes
import pytest
import torch
from PIL import Image

import stablediff_edu as sd
from stablediff_edu.__main__ import main
from stablediff_edu.data.caption_tokens import make_tokenizer, sample_prompts, tokenize_captions
from stablediff_edu.data.captioned_folder import load_captioned_folder
from stablediff_edu.errors import UserError
from stablediff_edu.io import checkpoint
from stablediff_edu.metrics.memorization import measure_memorization
from stablediff_edu.models.autoencoder_kl import VAEConfig
from stablediff_edu.models.clip import CLIPTextConfig
from stablediff_edu.models.unet_2d_condition import UNetConfig
from stablediff_edu.pipelines.stable_diffusion import StableDiffusion, StableDiffusionConfig
from stablediff_edu.tasks import custom_text_to_image as own
from stablediff_edu.tokenizers.word_files import save_word_tokenizer
from stablediff_edu.tokenizers.words import WordTokenizer
from stablediff_edu.training.loop import ProgressBar

UNET = UNetConfig(
    block_out_channels=(8, 16),
    layers_per_block=1,
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
    num_attention_heads=2,
    cross_attention_dim=8,
    norm_num_groups=4,
)
SMALL = own.OwnImagesTask(
    unet=UNET, steps=4, batch_size=4, bfloat16=False, vae_steps=1, vae_batch=2, text_layers=1, size=16
)
TRAIN = ["train", "text-to-image", "--images", "shapes", "--out", "mine", "--size", "16"]


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path: Path) -> Path:
    """Twelve captioned images, small networks, no pretrained weights."""
    monkeypatch.setenv("STABLEDIFF_DEVICE", "cpu")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoint, "PRETRAINED", tmp_path / "pretrained")
    monkeypatch.setitem(own.OwnImagesTask.presets, "quick", SMALL)
    monkeypatch.setattr(
        own,
        "TINY",
        replace(own.TINY, vae=VAEConfig(block_out_channels=(4, 4, 4, 8), layers_per_block=1, norm_num_groups=4)),
    )
    monkeypatch.setitem(own.DEFAULT_SAMPLING, "steps", 2)
    colored_shapes.write_set(tmp_path / "shapes", 12)
    return tmp_path


def stop_at(monkeypatch, step: int, of: str) -> None:
    """Press Ctrl-C after a step of one of the two trainings."""
    whole = ProgressBar.step

    def stop(self, number: int, loss: float) -> None:
        whole(self, number, loss)
        if number == step and self.log.stem == of:
            raise KeyboardInterrupt

    monkeypatch.setattr(ProgressBar, "step", stop)


def test_the_command_writes_one_folder_that_generates(here: Path, capsys):
    (here / "shapes/broken.png").write_bytes(b"nothing")
    (here / "shapes/copy.png").write_bytes((here / "shapes/0000.png").read_bytes())
    (here / "shapes/copy.txt").write_text("a copy", encoding="utf-8")
    assert main(TRAIN) == 0
    said = capsys.readouterr().out
    for part in ("12 images of 16×16", "left out: 2 files (broken.png", "copy.png: the same image as 0000.png",
                 "are too few", "minutes here (cpu)", "copies of a training image"):  # fmt: skip
        assert part in said
    assert sorted(path.name for path in Path("mine").iterdir()) == [
        "model_index.json", "samples.png", "scheduler", "text_encoder", "tokenizer", "training.json", "unet", "vae",
    ]  # fmt: skip
    metadata = json.loads(Path("mine/training.json").read_text(encoding="utf-8"))
    assert metadata["command"].startswith("python -m stablediff_edu train text-to-image --images shapes")
    assert not list(Path("mine_training").glob("*.progress"))
    assert Image.open("mine_training/unet_samples/000004.png").size == (48, 48)
    pipe = StableDiffusion.from_pretrained("mine")
    assert pipe.config.size == 16 and "copy" in pipe.tokenizer.words
    assert pipe("a red circle", steps=2).shape == (1, 3, 16, 16)
    panel = sd.widgets.TextToImagePanel(pipe, "a red circle", steps=2)
    assert panel.note.state != "error" and panel.images["generated"].value
    assert main(["generate", "a red circle", "--weights", "mine", "--steps", "2"]) == 0
    assert main(["generate", "a red zebra", "--weights", "mine"]) == 2
    assert "'zebra' is not among" in capsys.readouterr().err
    assert main([*TRAIN, "--evaluate"]) == 0
    assert "copies of a training image" in capsys.readouterr().out


def test_stopped_in_both_trainings_it_ends_as_if_it_had_not_been(here: Path, monkeypatch, capsys):
    assert main([*TRAIN, "--out", "whole"]) == 0
    for of, code in (("autoencoder", 130), ("unet", 0)):
        with monkeypatch.context() as patch:
            stop_at(patch, 2, of)
            assert main(TRAIN) == code
        assert Path("mine").exists() == (of == "unet") and Path("mine_training/autoencoder.progress").exists()
    capsys.readouterr()
    (here / "shapes/0003.png").rename(here / "elsewhere.png")
    assert main(TRAIN) == 2, "other images"
    assert "belongs to another training" in capsys.readouterr().err
    (here / "elsewhere.png").rename(here / "shapes/0003.png")
    assert main([*TRAIN, "--resume"]) == 0
    assert "resuming the training" in capsys.readouterr().out
    one, whole = (StableDiffusion.from_pretrained(name).state_dict() for name in ("mine", "whole"))
    assert all(torch.equal(one[name], whole[name]) for name in whole)


def test_it_begins_with_the_pretrained_weights_and_the_words_of_both(here: Path):
    images = load_captioned_folder(here / "shapes", 16)
    _, scratch = SMALL.parts(images, None)
    tokenizer = WordTokenizer(["other", "red", "a"], 9)
    config = StableDiffusionConfig(CLIPTextConfig(5, 9, 8, 1, 4), UNET, own.TINY.vae)
    torch.manual_seed(5)
    pretrained = StableDiffusion(config, tokenizer)
    vae, model = SMALL.parts(images, pretrained)
    tokenizer = make_tokenizer(images)
    assert vae is pretrained.vae and SMALL.vae_task(False).steps == 1 and SMALL.vae_task(True).steps == 3
    assert torch.equal(model.unet.conv_in.weight, pretrained.unet.conv_in.weight)
    assert torch.equal(model.text_encoder.encoder["layers"][0].state_dict().popitem()[1],
                       pretrained.text_encoder.encoder["layers"][0].state_dict().popitem()[1])  # fmt: skip
    tables = (pipe.text_encoder.embeddings.token_embedding for pipe in (model, pretrained))
    words, theirs = (table.weight for table in tables)
    assert torch.equal(words[tokenizer.numbers["red"]], theirs[1]) and torch.equal(words[-2:], theirs[-2:])
    new = tokenizer.numbers["circle"]
    assert torch.equal(words[new], scratch.text_encoder.embeddings.token_embedding.weight[new])
    wider = replace(SMALL, unet=replace(UNET, block_out_channels=(8, 24)))
    assert torch.equal(wider.parts(images, pretrained)[1].unet.conv_in.weight, pretrained.unet.conv_in.weight)


def test_captions_become_tokens_in_all_their_wordings(here: Path):
    images = load_captioned_folder(here / "shapes", 16)
    images.captions[0] = ("one two", "three", "one")
    images.captions[1] = ("word " * 100,)
    tokenizer = make_tokenizer(images)
    tokens = tokenize_captions(images, tokenizer)
    assert tokens.shape == (12, 3, 77) and tokens[0, 0, 1] == tokenizer.numbers["one"]
    assert torch.equal(tokens[2, 0], tokens[2, 2]) and not torch.equal(tokens[0, 0], tokens[0, 2])
    assert (tokens[1, 0] == tokenizer.numbers["word"]).sum() == 75
    assert len(set(sample_prompts(images, tokenizer, 5))) == 5


def test_measuring_the_time_leaves_weights_and_seed_as_they_are(here: Path):
    images = load_captioned_folder(here / "shapes", 16)
    networks = SMALL.parts(images, None)

    def weights() -> torch.Tensor:
        return torch.cat([p.flatten() for network in networks for p in network.parameters()]).clone()

    before = weights()
    torch.manual_seed(3)
    assert SMALL.seconds(images, SMALL.vae_task(True), networks[0], SMALL.unet_task(images), networks[1]) > 0
    assert torch.equal(before, weights())
    assert torch.get_rng_state().equal(torch.manual_seed(3).get_state())


def test_copies_are_told_from_new_images():
    training = torch.rand(20, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = measure_memorization(training[:5] + 0.01, training)
    assert found.copies == 5 and str(found).startswith("This model memorizes its training set: 5 of 5")
    fresh = measure_memorization(torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(1)), training)
    assert fresh.copies == 0 and str(fresh).startswith("0 of 8 samples")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--size", "60"], "--size must be a multiple of 16"),
        (["--background", "nocolor"], "--background must be a color"),
        (["--out", "mine.safetensors"], "saved as a folder"),
        (["--resume"], "There is no autoencoder.progress"),
        (["--images", "nothing"], "is not there"),
        (["--out", "shapes"], "holds other files"),
    ],
)
def test_bad_input_is_one_sentence(words: list[str], sentence: str, capsys):
    assert main([*TRAIN, *words]) == 2
    assert sentence in capsys.readouterr().err


def test_a_tokenizer_of_another_model_is_one_sentence(here: Path):
    images = load_captioned_folder(here / "shapes", 16)
    vae, model = SMALL.parts(images, None)
    SMALL.unet_task(images).pipeline(SMALL.latents(images, vae, model).parts, model).save_pretrained("mine")
    save_word_tokenizer(Path("mine/tokenizer"), WordTokenizer(["a", "red"]))
    with pytest.raises(UserError, match="has 4 tokens"):
        StableDiffusion.from_pretrained("mine")

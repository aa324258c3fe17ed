"""`train tiny-sd`: the parts in order, the lesson, one file with its card, stopping anywhere, and several processes."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from two_processes import run_two

from stablediff_edu.__main__ import main
from stablediff_edu.cli.generate import load_default_model
from stablediff_edu.data.scenes.captions import VOCABULARY, parse_caption
from stablediff_edu.data.scenes.dataset import make_scenes
from stablediff_edu.data.scenes.labels import is_held_out, labels_of
from stablediff_edu.data.scenes.scene import Scene
from stablediff_edu.errors import UserError
from stablediff_edu.io import checkpoint
from stablediff_edu.models.autoencoder_kl import AutoencoderKL, VAEConfig
from stablediff_edu.models.clip import CLIP, CLIPTextConfig, ImageConfig
from stablediff_edu.models.unet import count_parameters
from stablediff_edu.models.unet_2d_condition import UNetConfig
from stablediff_edu.pipelines.stable_diffusion import TINY, StableDiffusion
from stablediff_edu.tasks import runner, tiny_sd
from stablediff_edu.tasks.scene_classifier import SceneClassifierTask
from stablediff_edu.tasks.tiny_sd import (
    PROMPTS,
    TINY_SD_PRESETS,
    FrozenParts,
    TinySDTask,
    cache_latents,
    frozen_parts,
    load_tiny_sd,
    make_parts,
    prompts_for,
    render_dataset,
)
from stablediff_edu.training.loop import NullCallback, ProgressBar, TrainResult
from stablediff_edu.training.sample_logger import SampleLogger

TINY_SD, QUICK = TINY_SD_PRESETS["pretrained"], TINY_SD_PRESETS["quick"]
TEXT = CLIPTextConfig(
    vocab_size=len(VOCABULARY) + 2,
    max_position_embeddings=28,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
)
UNET = UNetConfig(
    block_out_channels=(8, 16),
    layers_per_block=1,
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
    num_attention_heads=2,
    cross_attention_dim=8,
    norm_num_groups=4,
)
# Muon makes all directions of a gradient equal, those that are rounding too: so two processes agree with AdamW only
SMALL = TinySDTask(unet=UNET, scenes=5, captions_per_image=2, steps=3, batch_size=4, optimizer="adamw", bfloat16=False)
CARD = dict.fromkeys(checkpoint.REQUIRED_METADATA, "1")


def vae() -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(
        VAEConfig(block_out_channels=(4, 4, 4, 8), layers_per_block=1, norm_num_groups=4, scaling_factor=1.0)
    ).eval()


def save_vae(*_) -> None:
    checkpoint.save_checkpoint("scene-vae", vae(), CARD | {"command": "made the autoencoder"})


def save_clip(*_) -> None:
    torch.manual_seed(0)
    clip = CLIP(TEXT, ImageConfig(size=16, patch=2, channels=(8, 16), heads=2), 8)
    checkpoint.save_checkpoint(
        "clip-scenes", clip, CARD | {"command": "made the text encoder", "words": " ".join(VOCABULARY)}
    )


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path) -> Path:
    """Small configs, and pretrained weights in the test's own folder, where there are none."""
    monkeypatch.setenv("STABLEDIFF_DEVICE", "cpu")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoint, "PRETRAINED", tmp_path)
    monkeypatch.setattr(tiny_sd.text_to_image_evaluation, "PROMPTS", 10)
    monkeypatch.setitem(TINY_SD_PRESETS, "pretrained", SMALL)
    monkeypatch.setitem(TINY_SD_PRESETS, "quick", replace(SMALL, steps=2))
    monkeypatch.setattr(tiny_sd, "PROMPTS", ("a red duck at sunset", "a blue fish"))
    return tmp_path


@pytest.fixture
def parts(small) -> FrozenParts:
    save_vae()
    save_clip()
    return make_parts()


# --- the configs ------------------------------------------------------------------------------------------------------


def test_the_model_fits_into_32_megabytes_and_the_one_for_a_gpu_is_larger():
    numbers = count_parameters(StableDiffusion(replace(TINY, unet=TINY_SD.unet)))
    assert 2 * numbers < 32e6 and TINY_SD_PRESETS["full"].size == 128
    quick, full = QUICK, TINY_SD_PRESETS["full"]
    assert count_parameters(quick.model()) < count_parameters(TINY_SD.model()) / 2
    assert count_parameters(full.model()) > 1.5 * count_parameters(TINY_SD.model())


def test_the_prompts_are_told_as_captions_are_and_one_row_was_never_learned_from():
    assert len(PROMPTS) == 16 and all(set(parse_caption(prompt)) & {"object_class", "sky"} for prompt in PROMPTS)
    row = [parse_caption(prompt) for prompt in PROMPTS[4:8]]
    assert all(is_held_out(Scene(known["object_class"], known["color"], sky=known["sky"])) for known in row)
    assert len(prompts_for(TINY_SD)) == 2, "those of the test"


# --- the parts and the lesson -----------------------------------------------------------------------------------------


def test_missing_parts_are_made_in_order_and_those_that_are_there_are_not(monkeypatch):
    made = []

    def run(task, out: Path, command: str):
        made.append((task.name, out.name, command))
        (save_vae if task.name == "scene-vae" else save_clip)()
        return out, TrainResult()

    monkeypatch.setattr(runner, "run", run)
    parts = make_parts()
    assert made == [
        (name, f"{name}.safetensors", f"python -m stablediff_edu train {name}") for name in ("clip-scenes", "scene-vae")
    ]
    assert "made the autoencoder" in parts.provenance and "made the text encoder" in parts.provenance
    assert make_parts().provenance == parts.provenance and len(made) == 2
    checkpoint.checkpoint_path("scene-vae").with_suffix(".progress").touch()  # stopped: not finished yet
    make_parts()
    assert [name for name, *_ in made] == ["clip-scenes", "scene-vae", "scene-vae"]
    monkeypatch.setattr(runner, "run", lambda *_: (None, TrainResult(interrupted=True)))
    with pytest.raises(KeyboardInterrupt):  # a part that is stopped stops all
        make_parts()


def test_a_lesson_is_the_mean_latents_of_the_scenes_and_true_sentences(parts):
    dataset, scenes = cache_latents(SMALL, parts), make_scenes(5, 64)
    with torch.no_grad():
        mean = parts.vae.encode(scenes.images)
    assert dataset.latents.shape == (5, 4, 8, 8) and torch.allclose(dataset.latents.float(), mean, atol=2e-3)
    words = parts.tokenizer.words
    for scene, rows in zip(scenes.scenes, dataset.tokens.tolist(), strict=True):
        for row in rows:
            said = parse_caption(" ".join(words[number] for number in row if number < len(words)))
            assert said and all(labels_of(scene)[field] == name for field, name in said.items())
    assert torch.equal(dataset.null_tokens, parts.tokenizer(""))


def test_a_recipe_of_few_things_shows_these_alone():
    config = replace(SMALL, object_classes=("duck", "buoy"), scenes=6)
    scenes = render_dataset(config)
    assert len(scenes) == 6 and {scene.object_class for scene in scenes.scenes} <= {"duck", "buoy"}
    assert not any(map(is_held_out, scenes.scenes))
    assert torch.equal(render_dataset(SMALL).pixels, make_scenes(5, 64).pixels)


def test_a_lesson_is_kept_and_made_anew_for_another_recipe_or_other_parts(parts, small, monkeypatch):
    file = small / "kept.latents"
    dataset = cache_latents(SMALL, parts, file)
    monkeypatch.setattr(tiny_sd, "render_dataset", lambda *_: pytest.fail("it is made again"))
    assert all(torch.equal(a, b) for a, b in zip(dataset[:3], cache_latents(SMALL, parts, file)[:3], strict=True))
    for config, other in ((replace(SMALL, scenes=6), parts), (SMALL, parts._replace(provenance="another"))):
        with pytest.raises(pytest.fail.Exception):
            cache_latents(config, other, file)


# --- the whole --------------------------------------------------------------------------------------------------------


def test_snapshots_are_what_the_averaged_network_draws_and_take_no_chance(parts):
    dataset = cache_latents(SMALL, parts)
    torch.manual_seed(0)
    pipe, training = replace(SMALL, prompts=("a red duck",)).train(dataset, NullCallback())
    torch.manual_seed(0)
    again, other = replace(SMALL, prompts=("a red duck", "a fish")).train(dataset, NullCallback())
    assert training.losses == other.losses
    step, last = training.snapshots[-1]
    assert step == 3 and torch.equal(
        last, pipe("a red duck", seed=1, **tiny_sd.text_to_image_evaluation.DEFAULT_SAMPLING)
    )
    assert other.snapshots[0][1].shape == (2, 3, 64, 64) and again.vae is parts.vae


def test_the_command_makes_one_file_that_draws_with_a_card_of_all_parts(parts, small, capsys):
    checkpoint.save_checkpoint("scene_classifier", SceneClassifierTask(channels=(8, 8, 8, 8)).model(), CARD)
    assert main(["train", "tiny-sd"]) == 0
    assert sorted(path.name for path in small.glob("tiny-sd*")) == ["tiny-sd.safetensors", "tiny-sd_samples"]
    sheets = sorted((small / "tiny-sd_samples").iterdir())
    assert [sheet.name for sheet in sheets][-1] == "000003.png"
    assert Image.open(sheets[-1]).size == (128, 64)
    pipe, metadata = load_tiny_sd()
    assert metadata["command"] == "python -m stablediff_edu train tiny-sd" and metadata["steps"] == "3"
    assert "made the autoencoder" in metadata["parts"] and metadata["words"].split() == list(VOCABULARY)
    assert "all three of combinations never seen" in metadata["result"]
    assert pipe.config.unet == UNET and pipe.config.vae == parts.vae.config and pipe.config.prediction == "v_prediction"
    assert pipe("a red duck", steps=2).shape == (1, 3, 64, 64)
    assert torch.equal(load_default_model()("a red duck", steps=2), pipe("a red duck", steps=2))
    capsys.readouterr()
    assert main(["train", "tiny-sd", "--quick"]) == 0, "another config does not take the pretrained one's place"
    assert "tiny-sd_own.safetensors" in capsys.readouterr().out
    assert load_tiny_sd("tiny-sd_own.safetensors")[1]["steps"] == "2" and load_tiny_sd()[1] == metadata


def test_the_shipped_model_has_the_parts_where_they_do_not_lie_by_themselves(parts, small):
    assert main(["train", "tiny-sd"]) == 0
    checkpoint.checkpoint_path("scene-vae").unlink()
    pipe, metadata = load_tiny_sd()
    again = make_parts()
    assert again.provenance == parts.provenance == frozen_parts(pipe, metadata).provenance
    ours, theirs = again.vae.state_dict(), parts.vae.state_dict()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-3) for name in theirs)


def test_stopped_by_ctrl_c_the_same_command_goes_on_where_it_was(parts, small, monkeypatch, capsys):
    assert main(["train", "tiny-sd", "--out", "whole.safetensors"]) == 0
    step = ProgressBar.step

    def stop(self, number: int, loss: float) -> None:
        step(self, number, loss)
        if number == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(ProgressBar, "step", stop)
    words = ["train", "tiny-sd", "--out", "one.safetensors"]
    assert main(words) == 0
    assert "the same command resumes" in capsys.readouterr().out
    assert Path("one.progress").exists() and Path("one.latents").exists()
    monkeypatch.setattr(ProgressBar, "step", step)
    assert main([*words, "--resume"]) == 0
    assert not Path("one.progress").exists() and not Path("one.latents").exists()
    one, whole = (checkpoint.load_checkpoint(name)[0] for name in ("one.safetensors", "whole.safetensors"))
    assert all(torch.equal(one[name], whole[name]) for name in whole)


def test_the_log_has_a_line_now_and_then(tmp_path, capsys):
    diary = SampleLogger(tmp_path / "mine.progress", every=2)
    diary.begin(4, 0)
    for number, loss in enumerate((1.0, 3.0, 5.0, 6.0), 1):
        diary.step(number, loss)
    assert (tmp_path / "mine.log").read_text() == "step 2, mean loss 2.00000\nstep 4, mean loss 5.50000\n"


def test_weights_of_something_else_and_missing_words_are_one_sentence(parts, small):
    with pytest.raises(UserError, match="holds no weights of a tiny model"):
        load_tiny_sd("scene-vae")
    assert main(["train", "tiny-sd"]) == 0
    pipe, metadata = load_tiny_sd()
    checkpoint.save_checkpoint("other.safetensors", pipe, metadata | {"words": "a red ship"})
    with pytest.raises(UserError, match="does not name the words"):
        load_tiny_sd("other.safetensors")


SCRIPT = """
import sys
from pathlib import Path
import torch
import test_tiny_sd as small
from stablediff_edu.__main__ import main
from stablediff_edu.tasks import tiny_sd
from stablediff_edu.io import checkpoint

torch.set_num_threads(1)
checkpoint.PRETRAINED = Path(sys.argv[1])
tiny_sd.TINY_SD_PRESETS["pretrained"], tiny_sd.PROMPTS = small.SMALL, ("a red duck",)
sys.exit(main(["train", "tiny-sd"]))
"""


def test_two_processes_make_the_file_of_one(parts, small, monkeypatch):
    assert main(["train", "tiny-sd", "--out", "alone.safetensors"]) == 0
    (small / "train.py").write_text(SCRIPT)
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    _, said = run_two(small / "train.py", lambda: small)
    assert said.count("3 steps in") == 1 and said.count("rendering 5 scenes") == 1
    both, alone = (checkpoint.load_checkpoint(name)[0] for name in ("tiny-sd", "alone.safetensors"))
    assert all(torch.allclose(both[name], alone[name], atol=2e-3) for name in alone)

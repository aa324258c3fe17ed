"""Training CLIP: it learns on a few scenes, comes back from disk, and is scored on scenes it has not seen."""

import importlib.util
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stablediff_edu.__main__ import main
from stablediff_edu.config import seed_everything
from stablediff_edu.data.scenes.canvas import COLORS
from stablediff_edu.data.scenes.captions import SYNONYMS, VOCABULARY, caption_matches, parse_caption
from stablediff_edu.data.scenes.dataset import SceneDataset, make_scenes
from stablediff_edu.data.scenes.labels import is_held_out, labels_of
from stablediff_edu.errors import UserError
from stablediff_edu.io import checkpoint
from stablediff_edu.models.clip import CLIP, CLIPTextConfig, ImageConfig, contrastive_loss
from stablediff_edu.tasks import clip_evaluation, runner
from stablediff_edu.tasks.clip import (
    CLIP_PRESETS,
    CLIPTask,
    batches,
    load_clip,
    loss,
    tokenize_captions,
    tokenizer_of,
)
from stablediff_edu.tasks.clip_evaluation import evaluate_clip, group_distinct, similarities

TEXT = CLIPTextConfig(
    vocab_size=len(VOCABULARY) + 2,
    max_position_embeddings=28,
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
)
IMAGE = ImageConfig(size=16, patch=2, channels=(8, 16), heads=2)
TINY = CLIPTask(text=TEXT, image=IMAGE, scenes=80, held_out=80, steps=3, batch_size=8)


@pytest.fixture(scope="module")
def scenes() -> SceneDataset:
    return make_scenes(80, size=16)


# --- what is learned from ---------------------------------------------------------------------------------------------


def test_the_recipes_know_every_word_and_fit_into_four_megabytes():
    for config in CLIP_PRESETS.values():
        assert config.text.vocab_size == len(VOCABULARY) + 2 == len(tokenizer_of(config.text))
    assert sum(weight.numel() for weight in CLIPTask().model().parameters()) * 2 < 4e6


def test_nothing_that_is_held_out_is_learned_from():
    known, unseen = TINY.data()
    assert not any(map(is_held_out, known.scenes)) and all(map(is_held_out, unseen.scenes))


def test_every_wording_of_a_scene_is_true_of_it(scenes: SceneDataset):
    tokenizer = tokenizer_of(TEXT)
    tokens = tokenize_captions(scenes, tokenizer, 3)
    assert tokens.shape == (80, 3, 28) and len(tokens[:, 0].unique(dim=0)) > 40
    for scene, rows in zip(scenes.scenes, tokens.tolist(), strict=True):
        for row in rows:
            assert caption_matches(
                " ".join(tokenizer.words[number] for number in row if number < len(VOCABULARY)), scene
            )


def test_a_batch_pairs_pictures_with_their_own_sentences(scenes: SceneDataset):
    tokens = tokenize_captions(scenes, tokenizer_of(TEXT), 3)
    images, rows = next(batches(scenes.pixels, tokens, 20))
    assert images.shape == (20, 3, 16, 16) and rows.shape == (20, 28) and rows.dtype == torch.int64
    for image, row in zip(images, rows, strict=True):
        number = (scenes.images == image).flatten(1).all(dim=1).nonzero().item()
        assert (tokens[number] == row).all(dim=1).any()


def test_the_loss_uses_the_learned_temperature(scenes: SceneDataset):
    model = TINY.model().eval()
    batch = next(batches(scenes.pixels, tokenize_captions(scenes, tokenizer_of(TEXT), 1), 8))
    assert loss(model, batch).item() == pytest.approx(contrastive_loss(model(*batch), 1 / 0.07).item(), rel=1e-5)


# --- learning ---------------------------------------------------------------------------------------------------------


def test_it_learns_which_sentence_belongs_to_which_picture(scenes: SceneDataset):
    few, tokenizer = scenes.first(8), tokenizer_of(TEXT)
    config = replace(TINY, steps=120, learning_rate=5e-3)
    model, training = config.train(few, snapshot=lambda m: m(few.images, tokenizer(few.captions)))
    before, after = training.snapshots[0][1], training.snapshots[-1][1]
    pairs = torch.arange(8)
    assert contrastive_loss(before, 10) > 0.9 * math.log(8) and not model.training
    assert (after.argmax(dim=0) == pairs).float().mean() >= 0.75  # two of eight may be told nearly alike
    assert after.diagonal().mean() > after.mean() + 0.2


def test_one_seed_is_one_training(scenes: SceneDataset):
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(1)
        model, _ = replace(TINY, seed=seed).train(scenes)
        return torch.cat([parameter.flatten() for parameter in model.parameters()])

    assert torch.equal(weights(0), weights(0)) and not torch.equal(weights(0), weights(1))


# --- the score --------------------------------------------------------------------------------------------------------


class Oracle(CLIP):
    """Embeds the truth itself: a sentence by what it says, an image by what it was drawn from."""

    def __init__(self, scenes: SceneDataset, wrong: float = 0.0) -> None:
        super().__init__(TEXT, TINY.image)
        self.words = tokenizer_of(TEXT).words
        flags = [(field, name) for field, names in (SYNONYMS | {"accent_color": COLORS}).items() for name in names]
        self.flag = {pair: number for number, pair in enumerate(flags)}
        self.truths = torch.stack([self.vector(labels_of(scene)) for scene in scenes.scenes])
        self.truths[torch.rand(len(scenes), generator=torch.Generator().manual_seed(0)) < wrong] = 0

    def vector(self, known: dict) -> torch.Tensor:
        row = torch.zeros(len(self.flag))
        row[[self.flag[pair] for pair in known.items() if pair in self.flag]] = 1
        return row

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        said = [" ".join(self.words[n] for n in row if n < len(self.words)) for row in tokens.tolist()]
        return torch.stack([self.vector(parse_caption(sentence)) for sentence in said])

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        return self.truths[images[:, 0, 0, 0].add(1).mul(127.5).round().long()]  # the number is in the first pixel


def numbered(scenes: SceneDataset) -> SceneDataset:
    pixels = scenes.pixels.clone()
    pixels[:, 0, 0, 0] = torch.arange(len(scenes))
    return replace(scenes, pixels=pixels)


@pytest.fixture(scope="module")
def unseen() -> SceneDataset:
    return numbered(make_scenes(200, size=16, train=False))


def test_a_network_that_knows_everything_gets_full_marks(unseen: SceneDataset):
    score = evaluate_clip(Oracle(unseen), tokenizer_of(TEXT), unseen)
    assert (score.retrieval, score.object_class, score.color, score.sky) == (1, 1, 1, 1)
    assert score.groups == 2 and score.count == 200 and "100.0% right in 2 groups" in str(score)


def test_a_network_that_is_blind_to_some_pictures_loses_as_many(unseen: SceneDataset):
    score = evaluate_clip(Oracle(unseen, wrong=0.3), tokenizer_of(TEXT), unseen)
    assert all(0.6 < share < 0.85 for share in (score.retrieval, score.object_class, score.color, score.sky))


def test_an_untrained_network_guesses(unseen: SceneDataset):
    score = evaluate_clip(TINY.model().eval(), tokenizer_of(TEXT), unseen)
    assert score.retrieval < 0.15 and score.object_class < 0.3 and score.color < 0.35
    assert score.line().startswith("finds ") and "\n" not in score.line()


def test_groups_hold_no_two_captions_alike():
    captions = [f"caption {number % 150}" for number in range(400)]
    groups = group_distinct(captions)
    assert [len(group) for group in groups] == [64, 64] and len({captions[i] for g in groups for i in g}) == 128
    with pytest.raises(UserError, match=r"^50 different captions make no group of 64; draw more scenes\.$"):
        group_distinct(captions[:50])


def test_similarities_do_not_depend_on_the_parts_they_are_computed_in(scenes: SceneDataset):
    model, tokenizer = TINY.model().eval(), tokenizer_of(TEXT)
    whole = similarities(model, tokenizer, scenes.pixels[:7], scenes.captions[:5])
    parts = similarities(model, tokenizer, scenes.pixels[:7], scenes.captions[:5], batch_size=3)
    assert whole.shape == (7, 5) and torch.allclose(whole, parts, atol=1e-5) and not whole.requires_grad


# --- on disk and on the command line ----------------------------------------------------------------------------------


def test_it_comes_back_from_disk_with_its_words(tmp_path, monkeypatch):
    file, training = runner.run(TINY, tmp_path / "mine.safetensors", "train clip-scenes")
    seed_everything(TINY.seed)
    model, _ = TINY.train(TINY.data()[0])
    again, tokenizer, metadata = load_clip(file)
    data = make_scenes(10, size=16)
    close = similarities(model, tokenizer, data.pixels, data.captions)
    assert torch.allclose(similarities(again, tokenizer, data.pixels, data.captions), close, atol=0.02)
    assert tokenizer.words == VOCABULARY == tuple(metadata["words"].split()) and again.text_model.config == TEXT
    assert metadata["steps"] == "3" == str(training.steps) and "MIT" in metadata["licence"]
    assert metadata["data"] == "80 synthetic scenes of 16×16, each told in 8 ways" and "zero-shot" in metadata["result"]


def test_weights_of_something_else_are_refused(tmp_path):
    metadata = dict.fromkeys(checkpoint.REQUIRED_METADATA, "-")
    checkpoint.save_checkpoint(tmp_path / "other.safetensors", torch.nn.Linear(2, 2), metadata)
    with pytest.raises(UserError, match=r"other\.safetensors holds no weights of a CLIP"):
        load_clip(tmp_path / "other.safetensors")


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    monkeypatch.setitem(CLIP_PRESETS, "pretrained", TINY)
    monkeypatch.setitem(CLIP_PRESETS, "quick", replace(TINY, steps=2))
    monkeypatch.setattr(checkpoint, "PRETRAINED", tmp_path / "shipped")
    monkeypatch.chdir(tmp_path)


def test_only_the_shipped_recipe_goes_to_the_shipped_weights(tiny, capsys):
    assert main(["train", "clip-scenes"]) == 0
    assert checkpoint.read_metadata("clip-scenes")["command"] == "python -m stablediff_edu train clip-scenes"
    for words in ("--steps 1", "--seed 5", "--preset quick"):
        assert main(f"train clip-scenes {words}".split()) == 0
        assert checkpoint.read_metadata("clip-scenes_own.safetensors")["command"].endswith(f"train clip-scenes {words}")
    assert [file.stem for file in checkpoint.PRETRAINED.iterdir()] == ["clip-scenes"]
    capsys.readouterr()
    assert main(["train", "clip-scenes", "--evaluate"]) == 0
    printed = capsys.readouterr().out
    assert "weights: command python -m" in printed and "zero-shot color" in printed


def test_resuming_without_progress_is_one_sentence(tiny, capsys):
    assert main(["train", "clip-scenes", "--resume"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_benchmark_prints_what_was_measured(tiny, capsys):
    main(["train", "clip-scenes"])
    path = Path(__file__).parent / "benchmarks" / "clip.py"
    spec = importlib.util.spec_from_file_location("clip_benchmark", path)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    capsys.readouterr()
    benchmark.main(["--count", "80"])
    printed = capsys.readouterr().out
    assert "scenes of 64×64 in" in printed and "caption to image among 64" in printed and "mixed up" in printed


@pytest.mark.skipif(
    not checkpoint.checkpoint_path("clip-scenes").exists(), reason="the pretrained weights are not trained yet"
)
def test_the_shipped_weights_find_pictures_and_name_things():
    model, tokenizer, _ = load_clip()
    scenes = make_scenes(256, model.image_model.config.size, seed=11, train=False)
    score = evaluate_clip(model, tokenizer, scenes)
    for name, share in clip_evaluation.THRESHOLDS.items():
        assert getattr(score, name) >= share - 0.03, (name, score)

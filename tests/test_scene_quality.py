"""The quality of synthetic scenes: fair prompts, and shares that count what is right and what is not."""

import importlib.util
from functools import partial
from pathlib import Path

import pytest
import torch

from stablediff_edu.__main__ import main
from stablediff_edu.data.scenes.captions import VOCABULARY, caption_matches, parse_caption
from stablediff_edu.data.scenes.dataset import make_scenes
from stablediff_edu.data.scenes.labels import is_held_out
from stablediff_edu.data.scenes.scene import OBJECTS, Scene, render_scene
from stablediff_edu.errors import UserError
from stablediff_edu.io import checkpoint
from stablediff_edu.models.autoencoder_kl import VAEConfig
from stablediff_edu.models.clip import CLIPTextConfig
from stablediff_edu.models.unet_2d_condition import UNetConfig
from stablediff_edu.pipelines.stable_diffusion import StableDiffusion, StableDiffusionConfig
from stablediff_edu.tasks import text_to_image_evaluation
from stablediff_edu.tasks.scene_classifier import FIELDS, SceneClassifierTask
from stablediff_edu.tasks.text_to_image_evaluation import (
    DEFAULT_SAMPLING,
    AttributeAccuracy,
    Prompt,
    SceneReport,
    compare_with_scenes,
    evaluate_prompts,
    evaluation_prompts,
    sample_prompts,
    seconds_per_image,
)
from stablediff_edu.tokenizers.words import WordTokenizer

CONFIG = StableDiffusionConfig(
    CLIPTextConfig(
        len(VOCABULARY) + 2, max_position_embeddings=28, hidden_size=8, num_hidden_layers=1, num_attention_heads=2
    ),
    UNetConfig(
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        num_attention_heads=2,
        cross_attention_dim=8,
        norm_num_groups=4,
    ),
    VAEConfig(block_out_channels=(4, 4, 4, 8), layers_per_block=1, norm_num_groups=4),
    prediction="v_prediction",
    size=64,
    schedule="cosine",
)


@pytest.fixture(scope="module")
def pipe() -> StableDiffusion:
    torch.manual_seed(0)
    return StableDiffusion(CONFIG, WordTokenizer(VOCABULARY, 28)).eval()


class PerfectPipe(torch.nn.Module):
    """Draws exactly what is wanted, for half of the prompts."""

    config = CONFIG

    def __init__(self, prompts: list[Prompt], wrong: set[int]) -> None:
        super().__init__()
        self.vae = StableDiffusion(CONFIG).vae
        self.scenes = {prompt.sentence: Scene(*prompt[1:3], sky=prompt.sky) for prompt in prompts}
        for number in wrong:
            self.scenes[prompts[number].sentence] = None

    def forward(self, sentences, seed=0, **options):
        sentences = [sentences] if isinstance(sentences, str) else sentences
        marks = [self.scenes[sentence] for sentence in sentences]
        return torch.stack([mark_of(scene) for scene in marks])


def mark_of(scene: Scene | None) -> torch.Tensor:
    """An image that says what it shows in its first three pixels."""
    image = torch.zeros(3, 64, 64)
    if scene:
        image[0, 0, :3] = torch.tensor(
            [FIELDS[name].index(getattr(scene, name)) for name in ("object_class", "color", "sky")]
        )
    else:
        image[0, 0, :3] = -1
    return image


class Reader(torch.nn.Module):
    """A classifier that reads such marks; what is -1 is read as a wrong object and color."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, images):
        answers = {name: torch.zeros(len(images), len(names)) for name, names in FIELDS.items()}
        for place, name in enumerate(("object_class", "color", "sky")):
            numbers = images[:, 0, 0, place].long() % len(FIELDS[name])
            answers[name].scatter_(1, numbers[:, None], 1.0)
        return answers


# --- the prompts ------------------------------------------------------------------------------------------------------


def test_prompts_are_half_never_seen_and_say_what_they_want_in_known_words():
    prompts = evaluation_prompts(200)
    assert sum(prompt.seen for prompt in prompts) == 100
    for prompt in prompts:
        scene = Scene(prompt.object_class, prompt.color, sky=prompt.sky)
        assert prompt.seen != is_held_out(scene)
        assert caption_matches(prompt.sentence, scene) and len(parse_caption(prompt.sentence)) == 3
    assert {prompt.object_class for prompt in prompts} == set(OBJECTS) and {prompt.sky for prompt in prompts} == set(
        FIELDS["sky"]
    )


def test_prompts_are_the_same_each_time_and_none_of_the_seen_comes_twice():
    prompts = evaluation_prompts()
    assert len(prompts) == 500 and prompts == evaluation_prompts() != evaluation_prompts(seed=1)
    seen = [prompt[1:4] for prompt in prompts if prompt.seen]
    never = [prompt[1:4] for prompt in prompts if not prompt.seen]
    assert len(set(seen)) == 250 and len(set(never)) == 110, "110 combinations are held out"
    assert {prompt.object_class for prompt in evaluation_prompts(20, object_classes=("duck",))} == {"duck"}


# --- what is right ----------------------------------------------------------------------------------------------------


def test_the_shares_count_what_is_right_seen_and_never_seen_apart():
    prompts = evaluation_prompts(20)
    assert all(prompts[number].seen != prompts[number + 1].seen for number in range(0, 20, 2))
    wrong = {number for number in range(20) if not prompts[number].seen and number < 10}  # half of the never seen
    score = evaluate_prompts(PerfectPipe(prompts, wrong), prompts, Reader())
    assert score.seen == AttributeAccuracy(1, 1, 1, 1) and score.count == 20
    assert score.held_out.everything == pytest.approx(0.5) and score.drawn.everything == pytest.approx(0.75)
    assert 0.5 <= score.held_out.object_class <= 0.6 and score.true is None


def test_all_three_right_is_less_than_each():
    right = torch.tensor([[True, True, False], [True, False, True], [True, True, True], [False, True, True]])
    assert text_to_image_evaluation._shares(right) == AttributeAccuracy(0.75, 0.75, 0.75, 0.25)


def test_the_judge_itself_is_scored_on_true_scenes_and_through_the_autoencoder(pipe):
    torch.manual_seed(0)
    classifier = SceneClassifierTask(channels=(8, 8, 8, 8)).model().eval()
    for field, head in classifier.heads.items():  # says always the first name
        torch.nn.init.zeros_(head.weight)
        with torch.no_grad():
            head.bias.copy_(-torch.arange(len(FIELDS[field])))
    score = evaluate_prompts(pipe, evaluation_prompts(4), classifier, scenes=10, steps=1)
    scenes = make_scenes(10, 16, seed=1).scenes + make_scenes(10, 16, seed=1, train=False).scenes
    share = sum(scene.object_class == FIELDS["object_class"][0] for scene in scenes) / 20
    assert score.true.object_class == score.decoded.object_class == pytest.approx(share)


def test_batches_differ_in_their_noise_and_the_same_seed_gives_the_same(pipe, monkeypatch):
    monkeypatch.setattr(text_to_image_evaluation, "BATCH", 2)
    prompts = [evaluation_prompts(1)[0]] * 4
    images = sample_prompts(pipe, prompts, steps=1)
    assert images.shape == (4, 3, 64, 64) and torch.equal(images, sample_prompts(pipe, prompts, steps=1))
    assert not torch.equal(images[0], images[2])
    assert not torch.equal(images, sample_prompts(pipe, prompts, seed=50, steps=1))


def test_the_time_is_that_of_one_picture(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(text_to_image_evaluation.time, "perf_counter", lambda: next(clock) * 0.25)
    calls = []

    def pipe(sentence, **options):
        calls.append((sentence, options["steps"]))
        return torch.zeros(1)

    assert seconds_per_image(pipe, "a duck", times=3) == 0.25
    assert calls == [("a duck", DEFAULT_SAMPLING["steps"])] * 4


def test_the_table_has_the_judges_own_figures_above():
    score = SceneReport(
        AttributeAccuracy(0.96, 0.97, 0.98, 0.93),
        AttributeAccuracy(1, 1, 1, 1),
        AttributeAccuracy(0.9, 0.9, 0.9, 0.86),
        500,
        0.31,
        AttributeAccuracy(0.999, 0.998, 1.0, 0.997),
        AttributeAccuracy(0.99, 0.99, 1.0, 0.98),
    )
    lines = str(score).splitlines()
    assert [line.split()[-4:] for line in lines[1:6]] == [
        ["99.9%", "99.8%", "100.0%", "99.7%"],
        ["99.0%", "99.0%", "100.0%", "98.0%"],
        ["96.0%", "97.0%", "98.0%", "93.0%"],
        ["100.0%", "100.0%", "100.0%", "100.0%"],
        ["90.0%", "90.0%", "90.0%", "86.0%"],
    ]
    assert lines[-1].endswith("0.31 s") and len({len(line) for line in lines[:-1]}) == 1
    assert "\n" not in score.line() and "never seen 86.0%" in score.line() and "500 images" in score.line()


def test_copies_are_found_and_new_scenes_are_as_new_and_varied_as_new_scenes():
    prompts = [Prompt("a duck", "duck", "red", "clear", True), Prompt("a fish", "fish", "pink", "clear", True)]
    words = {prompt[1:4]: prompt.sentence for prompt in prompts}
    known = text_to_image_evaluation._scenes_of(words, range(3000))
    assert all((scene.object_class, scene.color, scene.sky) == key for key in words for scene in known[key])

    def drawer(scenes):
        def pipe(sentence, count, **options):
            of = next(key for key in words if words[key] == sentence)
            return torch.stack([render_scene(scene, 32) for scene in scenes[of][:count]])

        return pipe

    def only_one(sentence, count, **options):
        return drawer(new)(sentence, 1).expand(count, -1, -1, -1)

    new = text_to_image_evaluation._scenes_of(words, range(10_000), seed=2, each=3)
    copies, fresh, same = (
        compare_with_scenes(pipe, prompts, 3000, 3) for pipe in (drawer(known), drawer(new), only_one)
    )
    assert copies.novelty == 0 and copies.diversity > 0.5
    assert 0.6 < fresh.novelty < 1.6 and 0.6 < fresh.diversity < 1.6
    assert same.diversity == 0
    never = [prompt for prompt in evaluation_prompts(2) if not prompt.seen]
    with pytest.raises(UserError, match="None of the first 50 scenes"):
        compare_with_scenes(only_one, never, 50)


# --- the commands -----------------------------------------------------------------------------------------------------


@pytest.fixture
def shipped(pipe, tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(checkpoint, "PRETRAINED", tmp_path)
    monkeypatch.setattr(text_to_image_evaluation, "PROMPTS", 4)
    metadata = dict.fromkeys(checkpoint.REQUIRED_METADATA, "1") | dict(words=" ".join(VOCABULARY), parts="two")
    checkpoint.save_checkpoint("tiny-sd", pipe, metadata)
    checkpoint.save_checkpoint("scene_classifier", SceneClassifierTask(channels=(8, 8, 8, 8)).model(), metadata)
    return tmp_path


def test_evaluate_prints_the_table(shipped, monkeypatch, capsys):
    monkeypatch.setattr("stablediff_edu.tasks.tiny_sd.NUM_EVALUATION_SCENES", 2)
    assert main(["train", "tiny-sd", "--evaluate"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("weights: command 1") and "how well the classifier reads" in out and "4 prompts" in out


def test_the_benchmark_prints_the_table_and_lays_out_sheets(shipped, capsys, monkeypatch):
    monkeypatch.setattr(
        text_to_image_evaluation, "two_sample_accuracy", partial(text_to_image_evaluation.two_sample_accuracy, steps=2)
    )
    path = Path(__file__).parent / "benchmarks" / "tiny_sd.py"
    spec = importlib.util.spec_from_file_location("tiny_sd_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    options = ["--count", "2", "--scenes", "2", "--learned", "1500", "--compare", "8", "--guidance", "1", "3", "--out"]
    module.main([*options, str(shipped / "sheets")])
    out = capsys.readouterr().out
    assert (
        out.count("2 prompts") == out.count("beside new scenes") == out.count("two-sample accuracy") == 2
        and "the classifier: 1" in out
        and "MB (the limit: 32 MB)" in out
    )
    assert sorted(path.name for path in (shipped / "sheets").iterdir()) == [
        "drawn_dpmpp_2m_1.png",
        "drawn_dpmpp_2m_3.png",
        "scenes.png",
    ]

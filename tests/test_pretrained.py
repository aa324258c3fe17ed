"""Weights from others and for others: the same numbers in both layouts, in every spelling and on every kind of file."""

import errno
import json
import random
import re
import shutil
import subprocess
import sys
import warnings
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from parity import randomised
from safetensors.torch import load_file, save_file
from vocabulary import write_vocabulary

from stablediff_edu.errors import UserError
from stablediff_edu.io import save_pretrained
from stablediff_edu.io.from_pretrained import PretrainedParts, read_parts
from stablediff_edu.io.key_mapping import MODELS
from stablediff_edu.io.save_pretrained import save_diffusers, save_single_file
from stablediff_edu.models.autoencoder_kl import VAEConfig
from stablediff_edu.models.clip import CLIPTextConfig
from stablediff_edu.models.unet_2d_condition import UNetConfig
from stablediff_edu.pipelines.stable_diffusion import StableDiffusion, StableDiffusionConfig
from stablediff_edu.tokenizers.clip_bpe import CLIPTokenizer

import diffusers  # isort: skip

LENGTH = 12
# heads, groups and scaling as in version 1, which a single file does not tell
CONFIG = StableDiffusionConfig(
    CLIPTextConfig(max_position_embeddings=LENGTH, hidden_size=64, num_hidden_layers=2, num_attention_heads=1),
    UNetConfig(
        block_out_channels=(32, 64, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D"),
        cross_attention_dim=64,
    ),
    VAEConfig(block_out_channels=(32, 32), layers_per_block=2),
    size=16,
)
TEXT, UNET, VAE = (
    "text_encoder/model.safetensors",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> StableDiffusion:
    """A tiny model of random weights, single precision."""
    tokenizer = CLIPTokenizer(*write_vocabulary(tmp_path_factory.mktemp("words")), LENGTH)
    config = replace(CONFIG, text_encoder=replace(CONFIG.text_encoder, vocab_size=len(tokenizer)))
    return randomised(StableDiffusion(config, tokenizer)).float()


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory) -> Path:
    return save_diffusers(tmp_path_factory.mktemp("ours") / "folder", model)


@pytest.fixture(scope="module")
def single(model, tmp_path_factory) -> Path:
    return save_single_file(tmp_path_factory.mktemp("ours") / "single.safetensors", model)


@pytest.fixture
def copy(folder, tmp_path) -> Path:
    """A folder to change."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))


@pytest.fixture(scope="module")
def pipe(folder) -> diffusers.StableDiffusionPipeline:
    return diffusers.StableDiffusionPipeline.from_pretrained(folder)


def assert_same(model: StableDiffusion, source: Path, half: bool = False, stored: torch.dtype = torch.float32) -> None:
    """All weights of `source` are those of the model as they were stored, bit for bit, and so are the sizes."""
    parts = read_parts(source, half)
    assert StableDiffusionConfig(**{"size": model.config.size} | parts.config) == model.config
    for part in MODELS:
        own, found = getattr(model, part).state_dict(), parts.weights(part)
        assert own.keys() == found.keys()
        for name, tensor in found.items():
            wanted = (own[name].to(stored) if part == "unet" or stored != torch.bfloat16 else own[name]).to(
                torch.float16 if half else torch.float32
            )
            assert tensor.dtype == wanted.dtype and torch.equal(tensor, wanted), name


# --- both ways --------------------------------------------------------------------------------------------------------


def test_diffusers_computes_with_our_folder_what_we_compute(model, pipe):
    ours, theirs = deepcopy(model).double(), {part: deepcopy(getattr(pipe, part)).double() for part in MODELS}
    rng = torch.Generator().manual_seed(1)
    x, z, words = (
        torch.randn(2, *shape, generator=rng, dtype=torch.float64) for shape in [(3, 16, 24), (4, 8, 4), (LENGTH, 64)]
    )
    tokens, t = torch.randint(model.config.text_encoder.vocab_size, (2, LENGTH), generator=rng), torch.tensor([3, 940])
    with torch.no_grad():
        cloud = theirs["vae"].encode(x).latent_dist
        pairs = [
            (ours.text_encoder(tokens), theirs["text_encoder"](tokens).last_hidden_state),
            (ours.unet(z, t, words), theirs["unet"](z, t, words).sample),
            (ours.vae.moments(x)[0], cloud.mean),
            (ours.vae.moments(x)[1], cloud.logvar),
            (ours.vae.decode(z * 0.18215), theirs["vae"].decode(z).sample),
        ]
    assert max((a - b).abs().max() for a, b in pairs) < 1e-9


def test_diffusers_finds_the_settings_and_the_tokenizer_of_our_folder(model, folder, pipe):
    sentence = "A photograph of THE red sea,  2024!"
    assert torch.equal(
        pipe.tokenizer(
            sentence, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt"
        ).input_ids,
        model.tokenizer(sentence)[:, :LENGTH],  # theirs is cut, ours goes on
    )
    settings = json.loads((folder / "scheduler/scheduler_config.json").read_text())  # the pipeline mends some mistakes
    wanted = dict(steps_offset=1, set_alpha_to_one=False, clip_sample=False, prediction_type="epsilon")
    assert {name: settings[name] for name in wanted} == wanted
    assert torch.allclose(pipe.scheduler.alphas_cumprod.double(), model.schedule.alpha_bar, atol=1e-6)
    assert (pipe.safety_checker, pipe.feature_extractor, pipe.vae_scale_factor) == (None, None, 2)
    assert pipe.unet.config.sample_size == 8 and pipe.vae.config.scaling_factor == 0.18215


def test_what_diffusers_writes_we_read(model, pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    assert_same(model, tmp_path)
    sentence = "the ships, isn't it? 東京"
    tokenizer = CLIPTokenizer(*read_parts(tmp_path).tokenizer().files, LENGTH)  # which transformers 5 writes otherwise
    assert torch.equal(tokenizer(sentence), model.tokenizer(sentence))


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("layout", ["folder", "single.safetensors"])
def test_what_we_write_we_read(model, tmp_path, layout, half):
    write = save_single_file if layout.endswith("s") else save_diffusers
    path = write(tmp_path / layout, model, half)
    stored = torch.float16 if half else torch.float32
    assert_same(model, path, stored=stored)
    assert_same(model, path, half=True, stored=stored)
    size = sum(file.stat().st_size for file in tmp_path.rglob("*.safetensors"))
    numbers = sum(tensor.numel() for tensor in model.state_dict().values())
    assert 0 < size - numbers * (2 if half else 4) < 100_000


@pytest.mark.parametrize("half", [False, True])
def test_diffusers_computes_in_single_precision_however_we_stored_it(model, tmp_path, half):
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(save_diffusers(tmp_path / "folder", model, half))
    assert {getattr(pipe, part).dtype for part in MODELS} == {torch.float32}


@pytest.mark.parametrize(
    ("schedule", "prediction"), [("scaled_linear", "v_prediction"), ("linear", "sample"), ("cosine", "epsilon")]
)
def test_the_schedule_and_what_is_predicted_survive_both_layouts(model, tmp_path, schedule, prediction):
    other = StableDiffusion(replace(model.config, schedule=schedule, prediction=prediction), model.tokenizer)
    assert_same(other, save_diffusers(tmp_path / "folder", other))
    assert_same(other, save_single_file(tmp_path / "single.safetensors", other))
    loaded = diffusers.PNDMScheduler.from_pretrained(tmp_path / "folder/scheduler")
    assert torch.allclose(loaded.alphas_cumprod.double(), other.schedule.alpha_bar, atol=1e-6)


def test_a_model_without_clips_tokenizer_is_a_folder_without_one(model, tmp_path):
    path = save_diffusers(tmp_path / "folder", StableDiffusion(model.config, tokenizer=len))
    assert not (path / "tokenizer").exists()
    with pytest.raises(UserError, match=r"^There is no tokenizer: put vocab.json .*folder.tokenizer\.$"):
        read_parts(path).tokenizer()
    assert StableDiffusion.from_pretrained(path, tokenizer=len).tokenizer is len
    assert diffusers.StableDiffusionPipeline.from_pretrained(path, tokenizer=None).tokenizer is None


# --- the single file as others write it -------------------------------------------------------------------------------


def test_the_sizes_of_a_foreign_single_file_follow_from_its_shapes(model, single, tmp_path):
    save_file(load_file(single), tmp_path / "foreign.safetensors")  # without our note
    assert_same(model, tmp_path / "foreign.safetensors")


def test_diffusers_loads_our_single_file(folder, single, pipe):
    loaded = diffusers.StableDiffusionPipeline.from_single_file(single, config=str(folder), local_files_only=True)
    for part in MODELS:
        found, wanted = (getattr(one, part).state_dict() for one in (loaded, pipe))
        assert found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert load_file(single)["first_stage_model.decoder.mid.attn_1.proj_out.weight"].shape == (32, 32, 1, 1)


def test_our_note_tells_what_shapes_do_not(tmp_path):
    config = StableDiffusionConfig(
        CLIPTextConfig(
            vocab_size=9, max_position_embeddings=4, hidden_size=16, num_hidden_layers=1, num_attention_heads=4
        ),
        UNetConfig(
            block_out_channels=(8, 12),
            layers_per_block=2,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            num_attention_heads=2,
            cross_attention_dim=16,
            norm_num_groups=4,
        ),
        VAEConfig(block_out_channels=(6, 6, 9), layers_per_block=1, norm_num_groups=3, scaling_factor=0.7),
        prediction="v_prediction",
        schedule="cosine",
    )
    model = randomised(StableDiffusion(config)).float()
    assert_same(model, save_single_file(tmp_path / "a.safetensors", model))


class ModelCheckpoint:
    """Stands for a class of the training program, which no reader of its weights has."""


ModelCheckpoint.__module__ = "pytorch_lightning.callbacks.model_checkpoint"


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("nested", [True, False])
def test_a_ckpt_as_trainings_leave_it_is_read(model, single, tmp_path, monkeypatch, nested, zipped):
    path = ModelCheckpoint.__module__.split(".")
    packages = {".".join(path[:depth]): type(sys)(path[depth - 1]) for depth in (1, 2, 3)}
    packages[ModelCheckpoint.__module__].ModelCheckpoint = ModelCheckpoint
    for name, package in packages.items():  # the pickler wants to find the class
        monkeypatch.setitem(sys.modules, name, package)
    tensors = {name: tensor.half() for name, tensor in load_file(single).items()}
    tensors |= {
        "model_ema.diffusion_modelout2weight": torch.zeros(3),
        "model_ema.decay": torch.tensor(0.99),
        "betas": torch.zeros(1000),
        "sqrt_alphas_cumprod": torch.zeros(1000),
        "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(LENGTH)[None],
    }
    bookkeeping = {"epoch": 5, "callbacks": {ModelCheckpoint: {"best_model_path": "x"}}, "state_dict": tensors}
    torch.save(bookkeeping if nested else tensors, tmp_path / "v1-4.ckpt", _use_new_zipfile_serialization=zipped)
    for name in packages:
        monkeypatch.delitem(sys.modules, name)
    assert_same(model, tmp_path / "v1-4.ckpt", stored=torch.float16)


def test_the_name_of_a_file_may_say_the_wrong_kind(model, single, tmp_path):
    shutil.copy(single, tmp_path / "a.ckpt")
    assert_same(model, tmp_path / "a.ckpt")


def test_a_single_file_whose_text_encoder_lacks_the_newer_prefix_is_read(model, single, tmp_path):
    tensors = {name.replace("text_model.", ""): tensor for name, tensor in load_file(single).items()}
    save_file(tensors, tmp_path / "a.safetensors")
    assert_same(model, tmp_path / "a.safetensors")


def test_the_tokenizer_beside_a_single_file_is_found_and_missed_before_the_weights_are_read(
    model, single, folder, tmp_path, monkeypatch
):
    path = Path(shutil.copy(single, tmp_path))
    monkeypatch.setattr(PretrainedParts, "weights", lambda *_: pytest.fail("it reads gigabytes first"))
    with pytest.raises(UserError, match=r"^There is no tokenizer"):
        StableDiffusion.from_pretrained(path)
    shutil.copytree(folder / "tokenizer", tmp_path / "tokenizer")
    assert read_parts(path).tokenizer().files == (tmp_path / "tokenizer/vocab.json", tmp_path / "tokenizer/merges.txt")


# --- the folder as others write it ------------------------------------------------------------------------------------


def respelt(file: Path, *pairs: tuple[str, str]) -> None:
    """Write a file of tensors again with other names."""
    tensors = load_file(file)
    for old, new in pairs:
        assert any(old in name for name in tensors)
        tensors = {name.replace(old, new): tensor for name, tensor in tensors.items()}
    save_file(tensors, file)


SPELLINGS = [
    ["to_q", "query", "q"],
    ["to_k", "key", "k"],
    ["to_v", "value", "v"],
    ["to_out.0", "proj_attn", "proj_out"],
]
SPELLINGS += [["group_norm", "norm"]]
EXTRAS = [
    "model_ema.diffusion_modelout2weight", "model_ema.decay", "betas", "alphas_cumprod", "sqrt_recipm1_alphas_cumprod",
    "posterior_variance", "logvar", "first_stage_model.loss.discriminator.main.0.weight", "lvlb_weights",
    "cond_stage_model.transformer.text_model.embeddings.position_ids", "cond_stage_model.transformer.logit_scale",
    "cond_stage_model.transformer.text_projection.weight", "cond_stage_model.logit_scale", "denoiser.sigmas",
    "first_stage_model.model_ema.decay", "cond_stage_model.transformer.vision_model.post_layernorm.bias",
]  # fmt: skip


def spelled(tensors: dict[str, torch.Tensor], rng: random.Random) -> dict[str, torch.Tensor]:
    """Give each tensor of the autoencoder's attention one of its names, and the shape of a 1×1 convolution or not."""
    found = {}
    for name, tensor in tensors.items():
        if match := re.fullmatch(r"(.*(?:attn_1|mid_block.attentions\.0)\.)(.+)(\.weight|\.bias)", name):
            kind = next((kind for kind in SPELLINGS if match[2] in kind), [match[2]])
            if "decoder" in name or "encoder" in name:
                name = match[1] + rng.choice(kind) + match[3]
                if match[2] not in SPELLINGS[-1] and tensor.ndim > 1:
                    tensor = tensor.reshape(*tensor.shape[:2], *[1] * rng.choice([0, 2]))
        found[name] = tensor.contiguous()
    return found


@pytest.mark.parametrize("seed", range(4))
def test_old_and_mixed_spellings_and_ballast_are_read(model, copy, single, tmp_path, seed):
    rng = random.Random(seed)
    extras = {name: torch.ones(2) for name in rng.sample(EXTRAS, 8)}
    save_file(spelled(load_file(copy / VAE), rng), copy / VAE)
    save_file(load_file(copy / TEXT) | {"text_projection.weight": torch.ones(64, 64)}, copy / TEXT)
    assert_same(model, copy)
    save_file(spelled(load_file(single), rng) | extras, tmp_path / "a.safetensors")
    with warnings.catch_warnings(action="error"):
        assert_same(model, tmp_path / "a.safetensors")
    save_file(load_file(single) | {"embedding_manager.x": torch.ones(2)}, tmp_path / "a.safetensors")
    with pytest.warns(UserWarning, match="also holds embedding_manager.x, which Stable Diffusion 1 does not use"):
        assert_same(model, tmp_path / "a.safetensors")


@pytest.mark.parametrize("place", ["one file", "cache", "nested", "several"])
def test_a_folder_that_holds_a_model_somewhere_is_understood(model, folder, single, tmp_path, place):
    if place == "one file":
        shutil.copy(single, tmp_path / "v1-5.safetensors")
    elif place == "cache":
        (tmp_path / "refs").mkdir()
        (tmp_path / "refs/main").write_text("abc")
        shutil.copytree(folder, tmp_path / "snapshots/abc")
        shutil.copytree(folder, tmp_path / "snapshots/older")
    else:
        shutil.copytree(folder, tmp_path / "unpacked" / "sd")
        if place == "several":
            shutil.copy(single, tmp_path / "v1-5.safetensors")
            with pytest.raises(UserError, match=r"holds 2 models; name one of them, such as .*sd\.$"):
                read_parts(tmp_path)
            return
    assert_same(model, tmp_path)


@pytest.mark.parametrize(
    ("keys", "prediction"), [((), "epsilon"), (("v_pred",), "v_prediction"), (("v_pred", "ztsnr"), "v_prediction")]
)
def test_a_single_file_tells_what_its_network_predicts(model, single, folder, tmp_path, keys, prediction):
    save_file(load_file(single) | {key: torch.tensor([]) for key in keys}, tmp_path / "a.safetensors")
    tokenizer = read_parts(folder).tokenizer()
    found = StableDiffusion.from_pretrained(tmp_path / "a.safetensors", tokenizer=tokenizer)
    assert found.config.prediction == prediction and (found.schedule.alpha_bar[-1] == 0) == ("ztsnr" in keys)
    other = StableDiffusion.from_pretrained(tmp_path / "a.safetensors", tokenizer=tokenizer, prediction="v_prediction")
    assert other.config.prediction == "v_prediction"
    assert found("the red sea", steps=2, size=16).isfinite().all()
    if "ztsnr" in keys:
        theirs = diffusers.DDIMScheduler.from_pretrained(save_diffusers(tmp_path / "b", found) / "scheduler")
        assert torch.allclose(theirs.alphas_cumprod.double(), found.schedule.alpha_bar, atol=1e-6)
        assert read_parts(tmp_path / "b").config["schedule"] == found.config.schedule
    save_file(load_file(single), tmp_path / "a.safetensors", {"modelspec.prediction_type": "v"})
    assert read_parts(tmp_path / "a.safetensors").config["prediction"] == "v_prediction"


def test_the_text_encoder_is_read_with_and_without_its_prefix(model, copy):
    respelt(copy / TEXT, ("text_model.", ""))
    assert_same(model, copy)


def test_a_folder_of_pickles_is_read(model, copy):
    for file, name in ((TEXT, "pytorch_model.bin"), (UNET, UNET[5:-12] + ".bin"), (VAE, VAE[4:-12] + ".bin")):
        torch.save(load_file(copy / file), (copy / file).with_name(name))
        (copy / file).unlink()
    assert_same(model, copy)


VARIANTS = [
    "{}",
    "{}.fp16",
    "{}.bf16",
    "{}.non_ema",
    "{}-00001-of-00001",
    "{}-0000N-of-00002",
    "{}.fp16-0000N-of-00002",
]


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
@pytest.mark.parametrize("variant", [*VARIANTS, "{}-0000N-of-00002.fp16"])
def test_every_variant_and_weights_in_several_files_are_found(model, copy, variant, ending):
    tensors = {
        name: tensor.bfloat16() if "bf16" in variant else tensor for name, tensor in load_file(copy / UNET).items()
    }
    (copy / UNET).unlink()
    parts = [dict(list(tensors.items())[number::2]) for number in (0, 1)] if "N" in variant else [tensors]
    for number, part in enumerate(parts, 1):
        path = copy / "unet" / f"{variant.format('diffusion_pytorch_model')}.{ending}".replace("N", str(number))
        save_file(part, path) if ending == "safetensors" else torch.save(part, path)
    (copy / f"unet/diffusion_pytorch_model.{ending}.index.json").write_text("{}")
    assert_same(model, copy, stored=torch.bfloat16) if "bf16" in variant else assert_same(model, copy)
    path.unlink()
    with pytest.raises(UserError, match=r"lacks the weights of unet"):
        read_parts(copy)


def test_the_precision_that_is_asked_for_is_looked_for(model, copy):
    for file in (TEXT, UNET, VAE):
        path = copy / file
        save_file(
            {name: 0 * tensor.half() for name, tensor in load_file(path).items()}, path.with_suffix(".fp16.safetensors")
        )
    assert not any(tensor.any() for tensor in read_parts(copy, half=True).weights("unet").values())
    assert_same(model, copy)
    for file in (TEXT, UNET, VAE):
        (copy / file).unlink()
    weights = read_parts(copy).weights("unet")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32} and not weights["conv_in.weight"].any()


def test_an_old_config_that_leaves_out_what_was_fixed_then_is_read(model, copy):
    for file, names in {
        "vae/config.json": ["scaling_factor", "act_fn"],
        "unet/config.json": ["norm_eps", "use_linear_projection"],
        "scheduler/scheduler_config.json": ["prediction_type", "clip_sample"],
    }.items():
        settings = json.loads((copy / file).read_text())
        (copy / file).write_text(json.dumps({name: value for name, value in settings.items() if name not in names}))
    assert_same(model, copy)


# --- strict -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [TEXT, UNET, VAE])
def test_a_missing_a_strange_and_a_misshapen_tensor_are_named(copy, part):
    tensors = load_file(copy / part)
    gone, changed = list(tensors)[3], list(tensors)[5]
    del tensors[gone]
    tensors[changed] = torch.zeros(*tensors[changed].shape, 2)
    save_file(tensors | {"stranger.weight": torch.zeros(1)}, copy / part)
    with pytest.raises(UserError) as caught:
        read_parts(copy).weights(part.partition("/")[0])
    for said in (f"it lacks: {gone}", "it has besides: stranger.weight", f"of another shape: {changed}"):
        assert said in str(caught.value)


def test_of_many_tensors_two_are_named(copy):
    save_file({"a": torch.zeros(1)}, copy / VAE)
    with pytest.raises(UserError, match=r"it lacks: decoder.\S+, decoder.\S+ and \d+ more; it has besides: a\)"):
        read_parts(copy).weights("vae")


def test_in_a_single_file_too(single, tmp_path):
    tensors = load_file(single)
    tensors["first_stage_model.encoder.more"] = tensors.pop("first_stage_model.encoder.norm_out.bias")
    save_file(tensors, tmp_path / "a.safetensors")
    parts = read_parts(tmp_path / "a.safetensors")
    parts.weights("unet")
    with pytest.raises(UserError, match=r"it lacks: first_stage_model.encoder.norm_out.bias; it has besides: first_s"):
        parts.weights("vae")


# --- memory -----------------------------------------------------------------------------------------------------------

MEASURE = """
import sys, torch
from stablediff_edu.io.tensor_files import TensorFile

def own():  # MiB that belong to this process alone, and to no file
    return int(next(line for line in open("/proc/self/status") if line.startswith("RssAnon")).split()[1]) / 1024

for name in sys.argv[1:]:
    before = own()
    file = TensorFile(name)
    tensors = {name: file[name].to(torch.float32) for name in file.shapes}
    print(own() - before, sum(tensor.numel() for tensor in tensors.values()) * 4 / 2**20)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory as Linux tells it")
def test_tensors_stay_in_their_file_until_they_are_used(tmp_path):
    tensors = {str(n): torch.ones(1024, 1024) for n in range(50)}
    save_file(tensors, tmp_path / "a.safetensors")
    torch.save({"state_dict": tensors}, tmp_path / "a.ckpt")
    command = [sys.executable, "-c", MEASURE, *tmp_path.iterdir()]
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        grown, size = map(float, line.split())
        assert size == 200 and grown < 20


def test_who_writes_into_loaded_weights_leaves_the_file_alone(single, tmp_path):
    for path in (shutil.copy(single, tmp_path), tmp_path / "a.ckpt"):
        if not Path(path).exists():
            torch.save(load_file(single), path)
        before = Path(path).read_bytes()
        for tensor in read_parts(path).weights("vae").values():
            tensor.add_(1)
        assert Path(path).read_bytes() == before


# --- saving loses nothing ---------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_second_save_replaces_the_first_even_where_the_model_still_reads_from_it(model, tmp_path):
    path = save_diffusers(tmp_path / "folder", model)
    loaded = StableDiffusion.from_pretrained(path)
    save_diffusers(path, loaded)
    assert_same(model, path)
    assert_same(loaded, path)
    save_diffusers(path, model, half=True)
    assert_same(model, path, stored=torch.float16)
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("name", ["notes.txt", "safety_checker/config.json", "unet/sub/a.safetensors", "vae/a.ckpt"])
def test_a_folder_with_other_things_is_left_alone(model, copy, name):
    (copy / name).parent.mkdir(parents=True, exist_ok=True)
    (copy / name).write_text("mine")
    before = contents(copy)
    with pytest.raises(UserError, match=rf"holds other files, such as {name}; choose another"):
        save_diffusers(copy, model)
    assert contents(copy) == before


def test_a_file_in_the_place_of_the_folder_is_left_alone(model, tmp_path):
    (tmp_path / "a").write_text("mine")
    with pytest.raises(UserError, match="holds other files"):
        save_diffusers(tmp_path / "a", model)
    assert (tmp_path / "a").read_text() == "mine"


def test_a_single_file_has_its_ending(model, tmp_path):
    with pytest.raises(UserError, match=r"^a\.ckpt must end in \.safetensors"):
        save_single_file(tmp_path / "a.ckpt", model)


@pytest.mark.parametrize("write", [save_diffusers, save_single_file])
@pytest.mark.parametrize("problem", ["full", "forbidden", "known beforehand", "interrupted"])
def test_a_save_that_fails_leaves_what_was_there(model, tmp_path, monkeypatch, write, problem):
    path = write(tmp_path / "a.safetensors", model)
    before = contents(tmp_path)
    found = {
        "full": OSError(errno.ENOSPC, "No space left on device"),
        "forbidden": PermissionError(errno.EACCES, "Permission denied"),
        "interrupted": KeyboardInterrupt(),
    }

    def fail(tensors, file, *_):
        if "unet" in str(file) or write is save_single_file:
            raise found[problem]
        Path(file).write_bytes(b"some")

    if problem == "known beforehand":
        monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    else:
        monkeypatch.setattr("safetensors.torch.save_file", fail)
    with pytest.raises(KeyboardInterrupt if problem == "interrupted" else UserError) as caught:
        write(path, model, half=True)
    assert {"full": "No space left", "forbidden": "Permission denied", "known beforehand": "too full"}.get(
        problem, ""
    ) in str(caught.value)
    assert contents(tmp_path) == before


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(model, tmp_path, monkeypatch):
    path = save_diffusers(tmp_path / "folder", model)
    before, rename = contents(path), Path.rename

    def refuse(self, target):
        if self.name == "new":
            raise OSError(errno.EBUSY, "Device or resource busy")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(UserError, match="resource busy"):
        save_diffusers(path, model, half=True)
    assert contents(path) == before and [file.name for file in tmp_path.iterdir()] == ["folder"]


def test_what_safetensors_says_of_a_full_disk_is_one_sentence(model, tmp_path, monkeypatch):
    from safetensors import SafetensorError

    def full(*_):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    for write in (save_diffusers, save_single_file):
        with pytest.raises(UserError, match=r"Cannot write .* \(I/O error: No space left .*\); free some space"):
            write(tmp_path / "a.safetensors", model)
    assert not list(tmp_path.iterdir())


def test_what_is_written_everybody_may_read(folder, single):
    assert {file.stat().st_mode & 0o777 for file in [single, *folder.rglob("*.safetensors")]} == {0o644}
    assert save_pretrained.WRITTEN and not [
        n for n in save_pretrained.list_files(folder) if not save_pretrained.re.fullmatch(save_pretrained.WRITTEN, n)
    ]

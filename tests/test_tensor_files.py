"""Files that lie: each gets one sentence, nothing in it is run, and none is taken for Stable Diffusion 1."""

import argparse
import collections
import contextlib
import datetime
import decimal
import io
import json
import os
import pickle
import re
import shutil
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file
from zero_weights import SIZES, single_file, write_folder

from stablediff_edu.errors import UserError
from stablediff_edu.io import checkpoint
from stablediff_edu.io.from_pretrained import read_parts
from stablediff_edu.io.key_mapping import MODELS
from stablediff_edu.io.tensor_files import TensorFile
from stablediff_edu.models.unet_2d_condition import UNetConfig

TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b.bias": torch.ones(1000).half()}


def pickled(content: object, **options) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


GOOD = {
    "safetensors": save(TENSORS),
    "ckpt": pickled({"state_dict": TENSORS, "epoch": 3}),
    "pt": pickled(TENSORS),
    "bin": pickled(TENSORS, _use_new_zipfile_serialization=False),
}


@pytest.mark.parametrize("kind", GOOD)
def test_a_whole_file_is_read(tmp_path, kind):
    (tmp_path / f"a.{kind}").write_bytes(GOOD[kind])
    file = TensorFile(tmp_path / f"a.{kind}")
    assert file.shapes == {name: tuple(tensor.shape) for name, tensor in TENSORS.items()}
    assert all(torch.equal(file[name], tensor) and file[name].dtype == tensor.dtype for name, tensor in TENSORS.items())


def one_sentence(path: Path) -> str:
    """What is said when the file is opened, by itself or as weights."""
    with pytest.raises(UserError) as caught:
        TensorFile(path)
    with pytest.raises(UserError, match=re.escape(str(caught.value))):
        read_parts(path)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value) and len(str(caught.value)) < 260
    return str(caught.value)


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("share", [0.02, 0.2, 0.6, 0.99])
def test_a_file_that_was_cut_off_says_so(tmp_path, kind, share):
    path = tmp_path / f"a.{kind}"
    path.write_bytes(GOOD[kind][: int(share * len(GOOD[kind]))])
    assert re.search(r"^a\.\w+ is cut off, or is no file of weights.*; download it again\.$", one_sentence(path))


LIES = {
    "a page": (b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>", "is a web page, not weights"),
    "a page with space before it": (b"\n\n  <html lang=en>", "is a web page, not weights"),
    "a page instead of tensors in a longer file": (b"<HTML>" + b" " * 5000, "is a web page, not weights"),
    "an answer of a service": (b'{"error": "Invalid credentials"}' * 9, "no file of weights"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7\nsize 4265146304\n", "git lfs pull"),
    "nothing": (b"", "is empty"),
    "noise": (bytes(range(7, 256)) * 9, "no file of weights"),
    "an image": (b"\x89PNG\r\n\x1a\n" + bytes(200), "no file of weights"),
    "one tensor": (pickled(torch.zeros(3)), "no file of weights"),
    "a pickled number": (pickle.dumps(3), "no file of weights"),
}


@pytest.mark.parametrize("ending", ["safetensors", "ckpt"])
@pytest.mark.parametrize(("content", "said"), LIES.values(), ids=LIES)
def test_what_is_no_file_of_weights_gets_one_sentence(tmp_path, content, said, ending):
    path = tmp_path / f"a.{ending}"
    path.write_bytes(content)
    assert said in one_sentence(path)


def test_a_zip_archive_of_other_things_gets_one_sentence(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.ckpt", "w") as archive:
        archive.writestr("hello.txt", "hello")
    assert "no file of weights" in one_sentence(tmp_path / "a.ckpt")


def test_a_file_that_may_not_be_read_gets_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"cannot be read \(No such file.*\); check the name"):
        TensorFile(tmp_path / "nothing.ckpt")


# --- hostile ----------------------------------------------------------------------------------------------------------


class Hostile:
    """What a malicious checkpoint holds: when it is unpickled the plain way, a command is run."""

    def __init__(self, proof: Path, function=os.system) -> None:
        self.proof, self.function = proof, function

    def __reduce__(self):
        argument = f"touch {self.proof}" if self.function is os.system else f"open({str(self.proof)!r}, 'w')"
        return self.function, (argument,)


WAYS = {
    "beside the tensors": lambda bad: pickled({"state_dict": TENSORS, "callbacks": bad}),
    "among the tensors": lambda bad: pickled({"state_dict": TENSORS | {"c.weight": bad}}),
    "as in old files": lambda bad: pickled({"state_dict": TENSORS, "x": bad}, _use_new_zipfile_serialization=False),
    "alone": lambda bad: pickle.dumps(bad, protocol=2),
    "as text": lambda bad: pickle.dumps(bad, protocol=0),
}


@pytest.mark.parametrize("function", [os.system, eval, exec])
@pytest.mark.parametrize("ending", ["ckpt", "safetensors"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_hostile_file_runs_nothing_and_nobody_is_told_to_let_it(tmp_path, way, ending, function):
    proof, path = tmp_path / "proof", tmp_path / f"a.{ending}"
    path.write_bytes(way(Hostile(proof, function)))
    said = one_sentence(path)
    if ending == "ckpt":
        assert re.search(
            r"asks to run [\w.]*(system|eval|exec), which .* never need, so it is hostile; .* nothing in it was run",
            said,
        )
        assert ".safetensors" in said
    assert "weights_only" not in said and "trust" not in said
    assert not proof.exists()
    with contextlib.suppress(Exception):
        torch.load(io.BytesIO(path.read_bytes()), weights_only=False)
    assert proof.exists()  # it is hostile indeed


class Own(dict):
    """A class of somebody's training program."""


def own_function() -> None: ...


HARMLESS_EXTRAS = [
    np.float64(3), np.arange(3), np.dtype("f4"), np.random.default_rng(0), argparse.Namespace(a=1, b=np.int8(2)),
    collections.defaultdict(list, {"a": [1]}), collections.deque([1, 2]), Own(a=1), Own, int, frozenset([1]), range(3),
    datetime.datetime(2022, 8, 22), datetime.timedelta(1), Path("a"), types.SimpleNamespace(a=1), decimal.Decimal(1),
    torch.optim.Adam([torch.zeros(1)]),
]  # fmt: skip


@given(st.lists(st.sampled_from(HARMLESS_EXTRAS), min_size=1), st.booleans())
@settings(max_examples=25, deadline=None)
def test_what_a_training_left_beside_the_tensors_is_harmless(tmp_path_factory, extras, zipped):
    path = tmp_path_factory.mktemp("extras") / "a.ckpt"
    path.write_bytes(
        pickled({"args": extras, "state_dict": TENSORS | {"x": extras}}, _use_new_zipfile_serialization=zipped)
    )
    file = TensorFile(path)
    assert file.shapes.keys() == TENSORS.keys() and torch.equal(file["a.weight"], TENSORS["a.weight"])


def test_an_unknown_function_is_not_allowed_and_not_called_hostile(tmp_path):
    (tmp_path / "a.ckpt").write_bytes(pickled({"state_dict": TENSORS, "hook": own_function}))
    said = one_sentence(tmp_path / "a.ckpt")
    assert re.search(r"own_function, which is not allowed here, though it may be harmless; nothing .* was run", said)
    assert "hostile" not in said and "delete" not in said


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_a_hostile_file_of_a_newer_kind_runs_nothing_either(tmp_path, protocol):
    proof, path = tmp_path / "proof", tmp_path / "a.ckpt"
    path.write_bytes(pickle.dumps(Hostile(proof), protocol=protocol))
    said = one_sentence(path)
    assert "weights_only" not in said and not proof.exists()
    pickle.loads(path.read_bytes())
    assert proof.exists()


# --- other models -----------------------------------------------------------------------------------------------------


def without(prefix: str) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in single_file().items() if not name.startswith(prefix)}


def another(context: int, *more: str) -> dict[str, torch.Tensor]:
    unet = UNetConfig(4, 4, (32, 32), 1, (True, True), cross_attention_dim=context)
    kept = {name: tensor for name, tensor in single_file(unet=unet).items() if not name.startswith("cond_stage_model")}
    return kept | {name: torch.zeros(2) for name in more}


OTHERS = {
    "stable diffusion 2": (
        lambda: another(1024, "cond_stage_model.model.transformer.resblocks.0.ln_1.weight"),
        r"^These are Stable Diffusion 2 weights: .* of 1024 dimensions, .* Diffusion 1: take its weights, such as",
    ),
    "stable diffusion xl": (
        lambda: another(2048, "conditioner.embedders.1.model.ln_final.weight"),
        r"^These are Stable Diffusion XL weights: ",
    ),
    "stable diffusion 3": (
        lambda: {"model.diffusion_model.joint_blocks.0.context_block.mlp.fc1.weight": torch.zeros(2)},
        r"has no text_encoder and no vae \(one of its tensors is model.diffusion_model.joint_blocks",
    ),
    "flux": (
        lambda: {"double_blocks.0.img_attn.qkv.weight": torch.zeros(2)},
        r"has no text_encoder and no unet and no vae \(one of its tensors is double_blocks",
    ),
    "inpainting": (
        lambda: single_file(unet=UNetConfig(9, 4, (32, 32), 1, (True, True), cross_attention_dim=64)),
        r"inpainting .* takes 9 channels, not the 4",
    ),
    "a lora": (
        lambda: {"lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": torch.zeros(2)},
        r"holds a LoRA, which changes a model",
    ),
    "another lora": (lambda: {"unet.up_blocks.0.attn.to_k.lora_A.weight": torch.zeros(2)}, r"holds a LoRA"),
    "a controlnet": (lambda: {"control_model.time_embed.0.weight": torch.zeros(2)}, r"no whole Stable .*control_model"),
    "the u-net of a folder": (
        lambda: {"down_blocks.0.resnets.0.conv1.weight": torch.zeros(2)},
        r"give what has all parts",
    ),
    "the text encoder of a folder": (
        lambda: {"text_model.final_layer_norm.bias": torch.zeros(2)},
        r"give what has all parts",
    ),
    "without an autoencoder": (
        lambda: without("first_stage_model."),
        r"no whole Stable Diffusion 1: it has no vae \(one",
    ),
    "something else": (
        lambda: {"layer.weight": torch.zeros(2)},
        r"has no text_encoder and no unet and no vae \(one of its tensors is layer.weight\)",
    ),
    "part of a u-net": (
        lambda: {n: t for n, t in single_file().items() if ".input_blocks.0." not in n},
        r"is not whole: it lacks 'model.diffusion_model.input_blocks.0.0.weight'; download it again",
    ),
    "words of another width": (
        lambda: single_file(unet=UNetConfig(4, 4, (32, 32), 1, (True, True), cross_attention_dim=96)),
        r"text embeddings of 96 dimensions, not 64",
    ),
}


@pytest.mark.parametrize("pickle_it", [False, True])
@pytest.mark.parametrize(("tensors", "said"), OTHERS.values(), ids=OTHERS)
def test_another_models_single_file_is_told_apart(tmp_path, tensors, said, pickle_it):
    path = tmp_path / "a.weights"
    torch.save(tensors(), path) if pickle_it else save_file(tensors(), path)
    with pytest.raises(UserError, match=said) as caught:
        read_parts(path)
    assert str(caught.value).endswith(".") and len(str(caught.value)) < 260


def test_the_single_file_that_all_these_are_not_is_read(tmp_path):
    save_file(single_file(), tmp_path / "a.safetensors")
    parts = read_parts(tmp_path / "a.safetensors")
    assert [parts.config[name] for name in SIZES] == list(SIZES.values())
    assert sum(len(parts.weights(part)) for part in MODELS) == len(single_file())


def test_a_shipped_checkpoint_is_no_stable_diffusion():
    with pytest.raises(
        UserError, match=r"ships\.safetensors is no whole Stable Diffusion 1: .* \(one of its tensors is"
    ):
        read_parts(checkpoint.checkpoint_path("ships"))


@pytest.mark.parametrize(
    "note",
    ["", "{", "[]", "{}", '{"text_encoder": 3}', '{"text_encoder": {}, "unet": {"block_out_channels": 3}, "vae": {}}'],
)
def test_a_note_that_lies_gets_one_sentence(tmp_path, note):
    save_file(single_file(), tmp_path / "a.safetensors", {"stablediff_edu": note})
    with pytest.raises(UserError, match=r"a\.safetensors is not whole"):
        read_parts(tmp_path / "a.safetensors")


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder in diffusers' layout, all zeros."""
    return write_folder(tmp_path)


def test_the_folder_that_all_these_are_not_is_read(folder):
    assert sum(len(read_parts(folder).weights(part)) for part in MODELS) == len(single_file())


FILES = [
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    "scheduler/scheduler_config.json",
]


@pytest.mark.parametrize("file", FILES)
def test_the_file_that_a_folder_lacks_is_named(folder, file):
    (folder / file).unlink()
    with pytest.raises(UserError) as caught:
        read_parts(folder)
    assert (file if file.endswith("json") else file.partition("/")[0]) in str(caught.value) and "lacks" in str(
        caught.value
    )


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("content", [b"", b"<html>Not found</html>", b"\xff\xfe\x00", b"[1, 2]"])
def test_the_file_that_lies_in_a_folder_is_named(folder, file, content):
    (folder / file).write_bytes(content)
    with pytest.raises(UserError, match=Path(file).name):
        read_parts(folder)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"model": 3}', '{"model": {"vocab": {}, "merges": [3]}}', '{"model": {"type": "WordLevel"}}'],
)
def test_a_tokenizer_that_lies_is_named(folder, content):
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer/tokenizer.json").write_text(content)
    with pytest.raises(UserError, match=r"tokenizer\.json"):
        read_parts(folder).tokenizer()


def test_an_empty_folder_says_what_it_lacks(tmp_path):
    with pytest.raises(UserError, match=r"lacks scheduler/scheduler_config.json, text_encoder/config.json and 2 more;"):
        read_parts(tmp_path)


SETTINGS = {
    "stable diffusion 2": (
        "unet",
        {"attention_head_dim": [5, 10, 20, 20], "cross_attention_dim": 1024, "use_linear_projection": True},
        r"^These are Stable Diffusion 2 weights: .* of 1024 dimensions",
    ),
    "stable diffusion xl's u-net": (
        "unet",
        {"attention_head_dim": [5, 10, 20], "cross_attention_dim": 2048, "use_linear_projection": True},
        r"^These are Stable Diffusion XL weights: ",
    ),
    "inpainting": ("unet", {"in_channels": 9}, r"inpainting .* takes 9 channels, not the 4"),
    "tanh": ("unet", {"act_fn": "gelu"}, r"unet/config.json says act_fn: gelu, and this course builds only silu"),
    "swapped sines": ("unet", {"flip_sin_to_cos": False}, r"says flip_sin_to_cos: False"),
    "another eps": ("unet", {"norm_eps": 1e-6}, r"says norm_eps: 1e-06"),
    "another gelu": ("text_encoder", {"hidden_act": "gelu"}, r"text_encoder/config.json says hidden_act: gelu"),
    "a wider mlp": ("text_encoder", {"intermediate_size": 100}, r"says intermediate_size: 100"),
    "another text encoder": ("text_encoder", {"hidden_size": 1024}, r"embeddings of 64 dimensions, not 1024"),
    "other blocks": ("vae", {"down_block_types": ["A", "B"]}, r"vae/config.json says down_block_types"),
    "no number": ("vae", {"layers_per_block": "two"}, r"config.json|vae"),
    "another schedule": (
        "scheduler",
        {"beta_end": 0.02},
        r"says scaled_linear and epsilon, a schedule that this course",
    ),
    "another answer": ("scheduler", {"prediction_type": "flow"}, r"says scaled_linear and flow"),
    "fewer steps": ("scheduler", {"num_train_timesteps": 500}, r"a schedule that this course does not"),
    "betas of its own": ("scheduler", {"trained_betas": [0.1, 0.2]}, r"a schedule that this course does not"),
    "an option of the future": ("unet", {"some_new_norm": "ada"}, r"says some_new_norm: ada, .* builds without it"),
    "another text model": ("text_encoder", {"model_type": "roberta"}, r"says model_type: roberta"),
}


@pytest.mark.parametrize(("part", "change", "said"), SETTINGS.values(), ids=SETTINGS)
def test_a_folder_whose_settings_ask_for_another_network_is_refused(folder, part, change, said):
    path = folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=said):
        read_parts(folder)


# what the libraries' own constructors offer: another value of any option is refused by name, or changes nothing
UNET_OPTIONS = {
    "center_input_sample": True, "flip_sin_to_cos": False, "freq_shift": 1, "mid_block_type": "UNetMidBlock2D",
    "only_cross_attention": True, "downsample_padding": 0, "mid_block_scale_factor": 2, "act_fn": "gelu",
    "norm_eps": 1e-6, "transformer_layers_per_block": 2, "encoder_hid_dim": 8, "encoder_hid_dim_type": "text_proj",
    "dual_cross_attention": True, "class_embed_type": "timestep", "addition_embed_type": "text",
    "num_class_embeds": 3, "resnet_time_scale_shift": "scale_shift", "resnet_skip_time_act": True,
    "resnet_out_scale_factor": 0.5, "time_embedding_type": "fourier", "time_embedding_dim": 7,
    "time_embedding_act_fn": "silu", "timestep_post_act": "silu", "time_cond_proj_dim": 256, "conv_in_kernel": 5,
    "conv_out_kernel": 1, "projection_class_embeddings_input_dim": 3, "attention_type": "gated",
    "class_embeddings_concat": True, "mid_block_only_cross_attention": True, "cross_attention_norm": "layer_norm",
    "down_block_types": ["AttnDownBlock2D", "CrossAttnDownBlock2D"], "attention_head_dim": [8, 4],
    "reverse_transformer_layers_per_block": [1, 2], "addition_time_embed_dim": 256,
}  # fmt: skip
VAE_OPTIONS = {
    "act_fn": "relu", "shift_factor": 0.1, "latents_mean": [0.0, 1.0], "latents_std": [0.5], "use_quant_conv": False,
    "use_post_quant_conv": False, "mid_block_add_attention": False, "out_channels": 4,
}  # fmt: skip
HARMLESS = {"upcast_attention": True, "dropout": 0.1, "sample_size": 96, "use_linear_projection": True,
            "attention_head_dim": [8, 8], "layers_per_block": [1, 1], "num_attention_heads": 8,
            "time_cond_proj_dim": None, "_name_or_path": "x"}  # fmt: skip


@pytest.mark.parametrize(("part", "options"), [("unet", UNET_OPTIONS), ("vae", VAE_OPTIONS)])
def test_every_option_that_is_not_built_is_refused_by_name(folder, part, options):
    path = folder / part / "config.json"
    usual = json.loads(path.read_text())
    for name, value in options.items():
        path.write_text(json.dumps(usual | {name: value}))
        with pytest.raises(
            UserError, match=rf"{part}/config.json says {name}: |config.json of .*: {name}|not iterable|int"
        ):
            read_parts(folder)
    if part == "unet":
        path.write_text(json.dumps(usual | HARMLESS))
        assert read_parts(folder).config["unet"] == SIZES["unet"]


def test_folders_of_later_models_are_told_by_what_they_hold(folder):
    shutil.move(folder / "unet", folder / "transformer")
    with pytest.raises(UserError, match=r"lacks unet/config.json; .* \(there is: scheduler, text_encoder, transformer"):
        read_parts(folder)


@pytest.mark.parametrize("source", ["nothing.safetensors", "weights/of/mine", "~/nothing here", "a b/c"])
def test_what_is_neither_here_nor_a_name_is_said_to_be_missing(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^There is nothing at .*; give a folder or a file of weights"):
        read_parts(source)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")])
def test_too_little_memory_is_one_sentence(folder, monkeypatch, error):
    parts = read_parts(folder)

    def fail(self, name):
        raise error

    monkeypatch.setattr(TensorFile, "__getitem__", fail)
    with pytest.raises(
        UserError, match=r"not enough memory for .*; close other programs, or load it with half=True\.$"
    ):
        parts.weights("unet")

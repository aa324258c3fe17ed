"""The Hub, with a server on this machine in its place: fetched once, only what is needed, one sentence for failures."""

import errno
import hashlib
import json
import re
import shutil
import time
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from local_server import Answer, LocalServer, closed_port
from safetensors.torch import load_file, save_file
from zero_weights import SIZES, single_file, write_folder

from stablediff_edu.errors import UserError
from stablediff_edu.io import from_pretrained, hub
from stablediff_edu.io.diffusers_config import V1_NAME
from stablediff_edu.io.from_pretrained import read_parts
from stablediff_edu.io.key_mapping import MODELS

NAME, COMMIT = "somebody/small-diffusion", "c0ffee" * 6 + "beef"
INFO = f"/api/models/{NAME}?blobs=true"
WEIGHTS = [
    "text_encoder/model.safetensors",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
]
SETTINGS = ["scheduler/scheduler_config.json", *(f"{part}/config.json" for part in MODELS)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What lies on the Hub: what is needed, and much that is not."""
    folder = write_folder(tmp_path_factory.mktemp("hub"))
    for file in WEIGHTS:
        half = {name: tensor.half() for name, tensor in load_file(folder / file).items()}
        save_file(half, (folder / file).with_suffix(".fp16.safetensors"))
        torch.save({}, (folder / file).with_suffix(".bin"))
    for file in (
        "README.md",
        "v1-5.ckpt",
        "safety_checker/model.safetensors",
        "unet/diffusion_pytorch_model.non_ema.bin",
    ):
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(b"not needed")
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer/vocab.json").write_text("{}")
    (folder / "tokenizer/merges.txt").write_text("#version: 0.2\n")
    return folder


@pytest.fixture
def server(folder, tmp_path, monkeypatch):
    """The Hub's stand-in, an empty place for what is kept, and no waiting."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "kept"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)  # which asks the Hub's own server
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with LocalServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        serve(server, folder)
        yield server


def serve(server: LocalServer, folder: Path) -> None:
    """Answer as the Hub does."""
    files = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}
    siblings = [{"rfilename": name, "size": file.stat().st_size} for name, file in files.items()]
    about = {"_id": "1", "id": NAME, "modelId": NAME, "sha": COMMIT, "private": False, "siblings": siblings, "tags": []}
    server.routes[INFO] = Answer(json.dumps(about).encode(), headers={"Content-Type": "application/json"})
    for number, (name, file) in enumerate(files.items()):
        headers = {"ETag": f'"{number:040x}"', "X-Repo-Commit": COMMIT}
        server.routes[address(name)] = Answer(file.read_bytes(), headers=headers)


def address(file: str) -> str:
    return f"/{NAME}/resolve/main/{file}"


def fetched(server: LocalServer) -> list[str]:
    """The files that were asked for, in order."""
    found = [path.removeprefix(address("")) for method, path, _ in server.requests if method == "GET" and path != INFO]
    server.requests.clear()
    return found


def assert_whole(half: bool = False) -> None:
    parts = read_parts(NAME, half)
    assert [parts.config[name] for name in SIZES] == list(SIZES.values())
    for part in MODELS:
        assert {tensor.dtype for tensor in parts.weights(part).values()} == {torch.float16 if half else torch.float32}


def test_what_is_needed_is_fetched_once_the_settings_first(server, capfd):
    assert_whole()
    order = fetched(server)
    assert sorted(order[:6]) == sorted([*SETTINGS, "tokenizer/vocab.json", "tokenizer/merges.txt"])
    assert order[6:] == WEIGHTS
    said = capfd.readouterr()
    assert re.search(rf"^Fetching \d+ MB of {NAME} into .*kept$", said.out, re.M)
    assert "model.safetensors: 100%" in said.err
    assert_whole()
    assert fetched(server) == [] and "Fetching" not in capfd.readouterr().out


def test_files_of_another_revision_than_the_listed_one_are_refused(server, folder):
    for answer in server.routes.values():
        answer.headers = {name: value.replace(COMMIT, "0" * 40) for name, value in answer.headers.items()}
    with pytest.raises(UserError, match="was changed on the Hub during the download; try again"):
        read_parts(NAME)


def test_half_precision_is_half_the_download(server):
    assert_whole(half=True)
    assert fetched(server)[6:] == [file.replace(".safe", ".fp16.safe") for file in WEIGHTS]


def test_where_there_is_no_safetensors_file_the_pickle_is_fetched(server, folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other")
    for file in other.rglob("*.safetensors"):
        file.unlink()
    for file in WEIGHTS:
        torch.save(load_file(folder / file), (other / file).with_suffix(".bin"))
    (other / "text_encoder/model.bin").rename(other / "text_encoder/pytorch_model.bin")
    server.routes.clear()
    serve(server, other)
    assert_whole()
    assert [file.rpartition(".")[2] for file in fetched(server)[6:]] == ["bin"] * 3


def test_the_tokenizer_comes_along(server, folder, monkeypatch):
    monkeypatch.setattr(from_pretrained, "CLIPTokenizer", lambda *files: files[:2] + (0,) * 7)  # of 9 tokens
    files = read_parts(NAME).tokenizer()[:2]
    assert [file.read_bytes() for file in files] == [b"{}", b"#version: 0.2\n"] and "kept" in str(files[0])


def test_without_a_network_what_was_fetched_before_is_used(server, monkeypatch):
    assert_whole()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed_port()}")
    assert_whole()
    with pytest.raises(UserError, match=r"nor does the Hub answer to send it .*; check the network and try again\.$"):
        read_parts("somebody/else")


def test_what_was_fetched_in_part_only_is_not_taken_for_the_whole(server, monkeypatch):
    read_parts(NAME)
    kept = Path(constants.HF_HUB_CACHE)
    next(kept.rglob("vae/*.safetensors")).unlink()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(UserError, match=r"lacks the weights of vae"):
        read_parts(NAME)


def test_offline_mode_is_honoured(server, monkeypatch):
    assert_whole()
    server.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert_whole()
    with pytest.raises(UserError, match=r"is not on this computer, and HF_HUB_OFFLINE forbids the network; unset it"):
        read_parts("somebody/else")
    assert server.requests == []


def test_nobody_is_asked_for_what_is_here(server, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder, tmp_path / NAME)
    assert_whole()
    assert server.requests == []


REFUSALS = {
    "no such name": (404, {"X-Error-Code": "RepoNotFound"}, "neither as a folder or file here nor on the Hub"),
    "no such name, or private": (401, {"X-Error-Code": "RepoNotFound"}, "if it is private, run `hf auth login` first"),
    "terms, without a login": (401, {"X-Error-Code": "GatedRepo"}, f"its page https://huggingface.co/{NAME}"),
    "terms": (403, {"X-Error-Code": "GatedRepo"}, "only for those who accept its terms"),
    "a stale login": (401, {"X-Error-Message": "Invalid credentials in Authorization header"}, r"refuses .* \(401\)"),
    "forbidden": (403, {}, r"refuses .* \(403\)"),
    "taken away": (403, {"X-Error-Message": "Access to this resource is disabled."}, r"refuses .* \(403\)"),
    "too many requests": (429, {}, r"cannot send .* just now \(429\); try again in some minutes"),
    "in trouble": (503, {}, r"cannot send .* just now \(503\)"),
}


@pytest.mark.parametrize(
    "where", [INFO, address(SETTINGS[0]), address(WEIGHTS[1])], ids=["listing", "settings", "weights"]
)
@pytest.mark.parametrize(("code", "headers", "said"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_one_sentence(server, code, headers, said, where):
    server.routes[where] = Answer(b"{}", code, headers)
    with pytest.raises(UserError, match=said) as caught:
        read_parts(NAME)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value) and len(str(caught.value)) < 260


def test_a_server_that_is_no_hub_is_one_sentence(server):
    server.routes[INFO] = Answer(b"<html>Welcome to the hotel's network</html>", headers={"Content-Type": "text/html"})
    with pytest.raises(UserError, match=r"nor does the Hub answer"):
        read_parts(NAME)


def test_a_connection_that_is_cut_is_taken_up_again(server):
    answer = server.routes[address(WEIGHTS[1])]
    answer.cut_at, answer.cuts = 10_000, 3  # the first of them the question how large the file is
    assert_whole()


def test_a_file_that_comes_too_short_is_thrown_away(server):
    server.routes[address(WEIGHTS[1])].headers["X-Linked-Size"] = "123456789"
    with pytest.raises(UserError, match=rf"^The download of {NAME} was cut off.* thrown away; try again\.$"):
        read_parts(NAME)
    kept = Path(constants.HF_HUB_CACHE)
    assert not list(kept.rglob("*.incomplete")) and not list(kept.rglob("unet/*.safetensors"))
    del server.routes[address(WEIGHTS[1])].headers["X-Linked-Size"]
    assert_whole()


def test_a_page_in_place_of_weights_is_told(server):
    server.routes[address(WEIGHTS[2])].body = b"<!DOCTYPE html><html>Please log in</html>"
    with pytest.raises(UserError, match=r"diffusion_pytorch_model.safetensors is a web page, not weights"):
        read_parts(NAME)


def test_a_disk_that_will_be_too_full_is_known_before(server, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6, 10**5))
    with pytest.raises(
        UserError, match=r"too full: .* needs \d.* GB more in .*, and only .* free; free some space, or"
    ):
        read_parts(NAME)
    assert WEIGHTS[0] not in fetched(server)


@pytest.mark.parametrize(
    ("number", "said"),
    {
        errno.ENOSPC: "The disk is full, so",
        errno.EACCES: "may not be written to",
        errno.EROFS: "may not be written",
    }.items(),
)
def test_a_disk_that_refuses_is_one_sentence(server, monkeypatch, number, said):
    def refuse(*_, **__):
        raise OSError(number, "refused", "/kept")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", refuse)
    with pytest.raises(UserError, match=rf"{said}.*set HF_HOME"):
        read_parts(NAME)
    assert not list(Path(constants.HF_HUB_CACHE).rglob("*.incomplete"))


def test_stable_diffusion_2_is_refused_before_its_gigabytes_are_fetched(server):
    answer = server.routes[address("unet/config.json")]
    changed = {"attention_head_dim": [5, 10, 20, 20], "cross_attention_dim": 1024, "use_linear_projection": True}
    answer.body = json.dumps(json.loads(answer.body) | changed).encode()
    with pytest.raises(UserError, match=r"^These are Stable Diffusion 2 weights"):
        read_parts(NAME)
    assert not set(WEIGHTS) & set(fetched(server))


ADDRESSES = {
    V1_NAME: (V1_NAME, None, None),
    "my_name/my.model-2": ("my_name/my.model-2", None, None),
    "a/b@fp16": ("a/b", "fp16", None),
    "a/b@refs/pr/3": ("a/b", "refs/pr/3", None),
    "https://huggingface.co/a/b": ("a/b", None, None),
    "huggingface.co/a/b/tree/main/": ("a/b", "main", None),
    "hf.co/a/b?library=diffusers": ("a/b", None, None),
    "a/b/x.ckpt": ("a/b", None, "x.ckpt"),
    "https://huggingface.co/a/b/resolve/main/c/x.safetensors?download=true": ("a/b", "main", "c/x.safetensors"),
}


@pytest.mark.parametrize("source", ADDRESSES)
def test_what_is_meant_on_the_hub(source):
    assert hub.parse(source) == ADDRESSES[source]


@pytest.mark.parametrize("name", ["a", "a/b/c", "../a", "./a", "/a/b", "a/", "a b/c", "~/a"])
def test_a_path_is_no_name(name):
    assert hub.parse(name) is None


def test_another_web_address_is_told_what_to_do():
    with pytest.raises(UserError, match=r"models/1 is not an address on the Hub .*; download the file in a browser"):
        read_parts("https://example.org/models/1")


@pytest.mark.parametrize("source", [f"{NAME}@v2", f"URL/{NAME}/tree/v2"])
def test_a_revision_is_fetched_and_a_missing_one_is_named(server, source):
    for path in list(server.routes):
        moved = path.replace("/resolve/main/", "/resolve/v2/").replace(INFO, INFO.replace("?", "/revision/v2?"))
        server.routes[moved] = server.routes.pop(path)
    parts = read_parts(source.replace("URL", server.url))
    assert len(parts.weights("unet")) and all("main" not in path for _, path, _ in server.requests)
    server.routes[INFO.replace("?", "/revision/v3?")] = Answer(b"{}", 404, {"X-Error-Code": "RevisionNotFound"})
    with pytest.raises(UserError, match=rf"^{NAME} has no revision v3 on the Hub"):
        read_parts(f"{NAME}@v3")


def test_a_single_file_on_the_hub_is_fetched(server, tmp_path):
    server.routes.clear()
    (tmp_path / "hub").mkdir()
    for file in ("a.safetensors", "b.safetensors"):
        save_file(single_file(), tmp_path / "hub" / file)
    serve(server, tmp_path / "hub")
    with pytest.raises(UserError, match=rf"holds several single files .*; name one: {NAME}/a.safetensors"):
        read_parts(NAME)
    assert read_parts(f"{NAME}/b.safetensors").config["unet"] == SIZES["unet"]
    (tmp_path / "hub" / "b.safetensors").unlink()
    serve(server, tmp_path / "hub")
    assert read_parts(NAME).config["unet"] == SIZES["unet"]


def test_clips_vocabulary_is_fetched_for_a_single_file_without_one(server, tmp_path, monkeypatch):
    monkeypatch.setattr(from_pretrained, "CLIP_NAME", NAME)
    monkeypatch.setattr(from_pretrained, "CLIP_TOKENS", 9)
    monkeypatch.setattr(from_pretrained, "CLIPTokenizer", lambda *files: files[:2] + (0,) * 7)
    monkeypatch.setenv("STABLEDIFF_DATA", str(tmp_path))
    save_file(single_file(), tmp_path / "a.safetensors")
    for name in from_pretrained.WORDS:
        server.routes[f"/{NAME}/resolve/main/{name}"] = server.routes[address(f"tokenizer/{name}")]
    with pytest.raises(UserError, match=r"^There is no tokenizer \(what the Hub sent is not CLIP's vocabulary\): put"):
        read_parts(tmp_path / "a.safetensors").tokenizer()
    assert fetched(server) == from_pretrained.WORDS
    monkeypatch.setattr(from_pretrained, "CLIP_SHA256", hashlib.sha256(b"").hexdigest())
    assert read_parts(tmp_path / "a.safetensors").tokenizer()[0].read_bytes() == b"{}"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(UserError, match=r"^There is no tokenizer \(.*nor does the Hub answer.*\): put vocab.json and"):
        read_parts(tmp_path / "a.safetensors").tokenizer()

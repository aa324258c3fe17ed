"""The real data sets, fetched from a server on this machine (Kaggle's by its real client): whole or not at all."""

import base64
import gzip
import hashlib
import io
import json
import os
import pickle
import shutil
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from local_server import Answer, LocalServer, closed_port
from PIL import Image

from stablediff_edu.__main__ import main
from stablediff_edu.data import download as download_module
from stablediff_edu.data.digits.dataset import describe_digits, load_digits, num_mnist_images
from stablediff_edu.data.fish.dataset import load_fish
from stablediff_edu.data.kaggle_client import download_dataset
from stablediff_edu.data.real_data import REAL_DATA, fetch
from stablediff_edu.data.ships.cifar10 import CLASSES, load_cifar10, num_class_images
from stablediff_edu.data.words.corpus import load_corpus
from stablediff_edu.errors import UserError

API = "/v1/datasets.DatasetApiService/DownloadDataset"
TOKEN_API = "/v1/security.OAuthService/IntrospectToken"
STORE = "/store/archive.zip?signature=1"
JSON = {"Content-Type": "application/json"}


def md5(contents: bytes) -> str:
    return hashlib.md5(contents).hexdigest()


def png(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def zip_of(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, contents in files.items():
            archive.writestr(name, contents)
    return file.getvalue()


def tar_of(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, contents in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(contents)
            archive.addfile(info, io.BytesIO(contents))
    return file.getvalue()


def idx(array: np.ndarray) -> bytes:
    """An array of bytes as the files of MNIST hold it."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def batch(seed: int) -> bytes:
    """A batch of CIFAR-10: one image of each class."""
    data = np.random.default_rng(seed).integers(0, 256, (10, 3072), np.uint8)
    return pickle.dumps({"data": data, "labels": list(range(10)), "filenames": []})


def fish_files(species: tuple[str, ...] = ("Trout", "Sea Bass"), each: int = 3) -> dict[str, bytes]:
    """What Kaggle's archive holds; the images are noise."""
    rng, files = np.random.default_rng(0), {}
    for kind in species:
        for number in range(1, each + 1):
            inner = f"Fish_Dataset/Fish_Dataset/{kind}"
            files[f"{inner}/{kind}/{number:05}.png"] = png(rng.integers(0, 256, (45, 59, 3), np.uint8))
            files[f"{inner}/{kind} GT/{number:05}.png"] = png(np.eye(45, 59, dtype=np.uint8) * 255)
        files[f"NA_Fish_Dataset/{kind}/00001.png"] = png(np.zeros((45, 59, 3), np.uint8))
    return files


RANDOM = np.random.default_rng(0)
DIGITS = RANDOM.integers(0, 256, (30, 28, 28))
FILES = {
    "mnist": {
        "train-images-idx3-ubyte": idx(DIGITS),
        "train-labels-idx1-ubyte": idx(np.arange(30) % 10),
        "t10k-images-idx3-ubyte": idx(RANDOM.integers(0, 256, (10, 28, 28))),
        "t10k-labels-idx1-ubyte": idx(np.arange(10)),
    },
    "cifar10": {f"data_batch_{number}": batch(number) for number in range(1, 6)} | {"test_batch": batch(6)},
    "text8": {"text8": b"one two three " * 20},
}
FISH = zip_of(fish_files())
ARCHIVES = {
    "mnist": {f"{name}.gz": gzip.compress(contents, mtime=0) for name, contents in FILES["mnist"].items()},
    "cifar10": {
        "cifar.tar.gz": tar_of({f"cifar-10-batches-py/{name}": file for name, file in FILES["cifar10"].items()})
    },
    "text8": {"text8.zip": zip_of(FILES["text8"])},
}
SETS = list(FILES)


@pytest.fixture(scope="module")
def running_server():
    with LocalServer() as server:
        yield server


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home without keys, and a Kaggle client that has not been imported yet."""
    for name in [name for name in os.environ if name.startswith("KAGGLE_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    for name in [name for name in sys.modules if name.partition(".")[0] == "kaggle"]:
        monkeypatch.delitem(sys.modules, name)
    return home


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    """An empty data folder, and a table of small data sets in the place of the real ones."""
    monkeypatch.setenv("STABLEDIFF_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    for name, archives in ARCHIVES.items():
        small = replace(
            REAL_DATA[name],
            archives={archive: f"md5:{md5(contents)}" for archive, contents in archives.items()},
            files={file: md5(contents) for file, contents in FILES[name].items()},
        )
        monkeypatch.setitem(REAL_DATA, name, small)
    return tmp_path / "data"


@pytest.fixture
def server(running_server, home, data, monkeypatch) -> LocalServer:
    """Two mirrors of each set, and Kaggle: its API sends the client to a store, which serves the archive."""
    from kagglesdk import kaggle_env

    running_server.requests.clear()
    running_server.routes.clear()
    running_server.routes |= {
        API: Answer(status=302, headers={"Location": STORE}),
        STORE: Answer(FISH, headers={"ETag": '"1"'}, ranges=True),
    }
    for name, archives in ARCHIVES.items():
        mirrors = [f"/{name}/first/", f"/{name}/second/"]
        for mirror in mirrors:
            running_server.routes |= {mirror + file: Answer(contents) for file, contents in archives.items()}
        there = tuple(running_server.url + mirror for mirror in mirrors)
        monkeypatch.setitem(REAL_DATA, name, replace(REAL_DATA[name], mirrors=there))
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, running_server.url)
    monkeypatch.setattr(download_module, "RETRY_DELAY", 0.0)
    return running_server


def contents_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- the command ---------------------------------------------------------------------------------------------------


def test_everything_is_fetched_once(server, data, capsys):
    assert main(["fetch", "all"]) == 0
    said = capsys.readouterr().out
    assert "fish: fetched, 9,000 photographs" in said and "mnist: fetched, 70,000 scanned digits" in said
    assert sorted(item.name for item in data.iterdir()) == ["cifar10", "fish", "mnist", "text8"]
    assert len(load_fish(6, size=32, source="kaggle")) == 6 and load_corpus("text8", min_count=1).source == "text8"
    assert len(load_cifar10()[0]) == 50 and len(load_digits()) == 30
    server.requests.clear()
    assert main(["fetch", "all"]) == 0 and server.requests == []
    assert capsys.readouterr().out.count(": complete, ") == 4
    assert main(["fetch", "text8", "--force"]) == 0 and server.requests


@pytest.mark.parametrize("name", [*SETS, "fish"])
def test_what_is_incomplete_is_fetched_again(server, data, name, capsys):
    assert main(["fetch", name]) == 0
    before = contents_of(data / name)
    file = sorted(path for path in (data / name).rglob("*") if path.is_file() and path.name != "unpacked.json")[0]
    file.write_bytes(file.read_bytes()[:-5])
    assert main(["fetch", name]) == 0 and contents_of(data / name) == before
    assert capsys.readouterr().out.count("fetched, ") == 2


BAD = {
    "forbidden": (Answer(status=403), r"(403)"),
    "gone": (Answer(status=404), "no longer at its address (404)"),
    "cut": (None, "was cut 5 times before"),
    "truncated": ("half", "differs"),
    "a page instead": (Answer(b"<html>sign in</html>"), "A web page came instead"),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("there_before", [True, False])
def test_a_bad_answer_leaves_what_was_there(server, data, capsys, kind, name, there_before):
    if there_before:
        assert main(["fetch", name]) == 0
    before = contents_of(data)
    archive, contents = list(ARCHIVES[name].items())[-1]
    answer, match = BAD[kind]
    answer = answer or Answer(contents, cut_at=len(contents) // 2)
    answer = Answer(contents[: len(contents) // 2]) if answer == "half" else answer
    server.routes[f"/{name}/first/{archive}"] = answer
    assert main(["fetch", name, "--force"]) == 0  # from the second mirror
    shutil.rmtree(data / name)
    if there_before:
        fetch(name)
    server.routes[f"/{name}/second/{archive}"] = answer
    capsys.readouterr()
    assert main(["fetch", name, "--force"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]  # above it there may be a progress bar
    assert match in error and error.endswith(".") and "Traceback" not in error
    after = contents_of(data)
    assert {path: file for path, file in after.items() if path.startswith(name)} == before


def bad_archives() -> dict[str, tuple[str, bytes, str]]:
    """Archives whose own hash is right: what is unpacked is looked at as well."""
    flipped = bytearray(FISH)
    flipped[len(FISH) // 3] ^= 1
    cifar = {f"cifar-10-batches-py/{name}": file for name, file in FILES["cifar10"].items()}
    return {
        "truncated": ("fish", FISH[: len(FISH) // 2], "is broken"),
        "flipped": ("fish", bytes(flipped), "is broken"),
        "page": ("fish", b"<html>sign in</html>", "A web page came instead of fish.zip"),
        "hostile": ("fish", zip_of(fish_files() | {"../../evil": b"evil"}), "dangerous path"),
        "no fish": ("fish", zip_of(fish_files(species=()) | {"a": b"b"}), "no fish photographs"),
        "cut tar": ("cifar10", ARCHIVES["cifar10"]["cifar.tar.gz"][:-40], "is broken"),
        "a batch is missing": ("cifar10", tar_of(dict(list(cifar.items())[1:])), "is not CIFAR-10"),
        "a batch is another": ("cifar10", tar_of(cifar | {next(iter(cifar)): batch(9)}), "is not CIFAR-10"),
        "another text": ("text8", zip_of({"text8": b"four"}), "is not text8"),
    }


@pytest.mark.parametrize("kind", bad_archives())
def test_a_bad_archive_leaves_the_good_files(server, data, tmp_path, monkeypatch, capsys, kind):
    name, body, match = bad_archives()[kind]
    assert main(["fetch", name]) == 0
    before = contents_of(data)
    if name == "fish":
        server.routes[STORE] = Answer(body)
    else:
        archive = next(iter(ARCHIVES[name]))
        server.routes[f"/{name}/first/{archive}"] = Answer(body)
        known = replace(REAL_DATA[name], archives={archive: f"md5:{md5(body)}"})
        monkeypatch.setitem(REAL_DATA, name, known)
    assert main(["fetch", name, "--force"]) == 2
    error = capsys.readouterr().err
    assert match in error and "Traceback" not in error
    assert contents_of(data) == before and not list(tmp_path.rglob("evil"))


def test_all_goes_on_after_a_failure(server, capsys):
    server.routes[API] = Answer(status=403)
    assert main(["fetch", "all"]) == 2
    out = capsys.readouterr().out
    assert "fish: not fetched: Kaggle refuses" in out and "text8: fetched" in out


def test_an_archive_left_by_a_full_disk_is_used(server, data, capsys):
    (data / "fish.zip").write_bytes(FISH)
    (data / "cifar.tar.gz").write_bytes(tar_of({"data_batch_1": b"old"}))
    assert main(["fetch", "fish"]) == 0 and main(["fetch", "cifar10"]) == 2 and server.requests == []
    assert [item.name for item in data.iterdir()] == ["fish"]


# --- files placed by hand ------------------------------------------------------------------------------------------


def test_what_a_browser_has_downloaded_is_taken(server, data, tmp_path, capsys):
    server.routes[API] = Answer(status=403)
    assert main(["fetch", "fish"]) == 2
    assert "python -m stablediff_edu download fish --from FILE" in capsys.readouterr().out
    (tmp_path / "Downloads").mkdir()
    archive = tmp_path / "Downloads/archive.zip"
    archive.write_bytes(FISH)
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path / "Downloads/archive")
    for given in (archive, archive.with_suffix("")):  # the zip file, and the folder that an unpacker made of it
        assert main(["download", "fish", "--from", str(given)]) == 0
        assert len(load_fish(6, size=32, source="kaggle")) == 6 and given.exists()
        assert main(["download", "fish", "--from", str(given)]) == 2
        shutil.rmtree(data / "fish")
    capsys.readouterr()
    for name, contents in {"other.zip": b"PK", "page.html": b"<html>", "missing.zip": None}.items():
        given = tmp_path / "Downloads" / name
        if contents:
            given.write_bytes(contents)
        assert main(["download", "fish", "--from", str(given)]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_images_put_there_by_hand_are_left_alone(server, data, capsys):
    for name in ("fish/Trout/Trout/1.png", "fish/Trout/Trout GT/1.png", "cifar10/train/ship/1.png"):
        (data / name).parent.mkdir(parents=True)
        (data / name).write_bytes(png(np.zeros((4, 4), np.uint8)))
    assert main(["fetch", "fish"]) == 0 and main(["fetch", "cifar10"]) == 0 and server.requests == []
    assert capsys.readouterr().out.count("not put there by this command") == 2


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("spelling", ["{}", "{}/{}", "MNIST/raw/{}", "raw-files/{kaggle}"])
def test_digits_placed_by_hand_are_found(server, data, tmp_path, packed, spelling):
    for name, file in FILES["mnist"].items():
        spelled = spelling.format(name, name, kaggle=name.replace("-idx", ".idx"))
        path = data / "mnist" / (spelled + ".gz" * packed)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(file) if packed else file)
    assert load_digits().source == "MNIST" and main(["fetch", "mnist"]) == 0 and server.requests == []
    (data / "mnist").rename(tmp_path / "Downloads")
    assert load_digits(10).source == "synthetic digits"
    assert main(["download", "mnist", "--from", str(tmp_path / "Downloads")]) == 0
    assert len(load_digits(train=False)) == 10


@pytest.mark.parametrize("place", ["{}", "cifar10/{}", "cifar10/cifar-10-python/{}", "cifar10"])
def test_batches_placed_by_hand_are_found(server, data, place):
    for name, contents in FILES["cifar10"].items():
        path = data / place.format("cifar-10-batches-py") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)
    assert len(load_cifar10(["ship"])[0]) == 5 and main(["fetch", "cifar10"]) == 0 and server.requests == []


# --- reading -------------------------------------------------------------------------------------------------------


def test_digits_are_those_of_the_files_in_their_order(server):
    assert main(["fetch", "mnist"]) == 0
    digits = load_digits()
    assert digits.images.shape == (30, 1, 28, 28) and digits.source == "MNIST"
    assert torch.equal(((digits.images[:, 0] + 1) * 127.5).round(), torch.from_numpy(DIGITS).float())
    assert digits.labels.tolist() == [number % 10 for number in range(30)] and digits.labels.dtype == torch.int64
    assert len(load_digits(7)) == 7 and len(load_digits(train=False)) == 10
    assert describe_digits().startswith("MNIST, 60,000 scanned digits in ")


def test_photographs_and_classes_are_those_of_the_batches(server):
    assert main(["fetch", "cifar10"]) == 0
    images, labels = load_cifar10()
    assert images.images.shape == (50, 3, 32, 32) and images.source == "CIFAR-10"
    assert labels.tolist() == [number for number in range(10) for _ in range(5)]
    plane = pickle.loads(FILES["cifar10"]["data_batch_2"])["data"][0].reshape(3, 32, 32)
    assert torch.equal(((images.images[1] + 1) * 127.5).round(), torch.from_numpy(plane).float())
    assert load_cifar10(train=False)[0].images.shape == (10, 3, 32, 32)
    images, labels = load_cifar10(["truck", "ship"], limit=2)
    assert len(images) == 4 and [CLASSES[number] for number in labels] == ["truck", "truck", "ship", "ship"]
    assert load_cifar10("ship")[1].tolist() == [8] * 5
    with pytest.raises(UserError, match="no class 'submarine'; its classes are airplane, "):
        load_cifar10(["ship", "submarine"])


HARMS = {
    "truncated": lambda file: file.write_bytes(file.read_bytes()[:-5]),
    "flipped": lambda file: file.write_bytes(file.read_bytes()[:-1] + b"?"),
    "of 0 bytes": lambda file: file.write_bytes(b""),
    "missing": lambda file: file.unlink(),
    "a pickle that runs code": lambda file: file.write_bytes(b"cos\nabort\n(tR."),
}


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize(("name", "file"), [("mnist", "train-images-idx3-ubyte.gz"), ("cifar10", "data_batch_3")])
def test_a_damaged_file_is_named_and_never_read(server, data, harm, name, file):
    assert main(["fetch", name]) == 0
    HARMS[harm](next((data / name).rglob(file)))
    load = load_digits if name == "mnist" else lambda train=True: load_cifar10(["ship"], train)[0]
    with pytest.raises(UserError, match=rf"{file[:12]}.* is .*get it again with: python -m .* fetch {name}\.$"):
        load()
    assert len(load(train=False)) > 0  # the test set is whole


def test_what_is_not_there_is_said_in_one_sentence(data):
    for load, name in ((lambda: load_digits(source="mnist"), "mnist"), (load_cifar10, "cifar10")):
        with pytest.raises(UserError, match=rf"is not in .*; get it with: python -m stablediff_edu fetch {name}\.$"):
            load()
    with pytest.raises(UserError, match=r"text8 is not in .*; get it with"):
        load_corpus("text8")
    assert load_digits(10).source == "synthetic digits" and num_mnist_images() == 0
    assert describe_digits() == "synthetic digits (built in) · real ones: python -m stablediff_edu fetch mnist"


def test_photographs_in_folders_are_read_too(data):
    for part, count in (("train", 3), ("test", 1)):
        for name in ("ship", "cat"):
            (data / "cifar10" / part / name).mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (32, 32), "red").save(data / f"cifar10/{part}/{name}/{number}.jpg")
    images, labels = load_cifar10(["ship", "cat"], limit=2)
    assert images.images.shape == (4, 3, 32, 32) and labels.tolist() == [8, 8, 3, 3]
    assert images.source == "CIFAR-10 (JPEG copies)" and num_class_images("ship") == 3 and num_class_images("dog") == 0
    assert len(load_cifar10(["cat"], train=False)[0]) == 1
    with pytest.raises(UserError, match="images of the class dog"):
        load_cifar10(["dog"])


def test_real_data_is_read(real_data: Path, monkeypatch):
    monkeypatch.setenv("STABLEDIFF_DATA", str(real_data))
    images, labels = load_cifar10(limit=3)
    assert len(images) == 30 and labels.unique().tolist() == list(range(10))
    digits = load_digits(100_000, train=False)
    assert digits.images.shape == (10_000, 1, 28, 28) and digits.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert num_mnist_images() == 60_000 and "complete" in fetch("mnist")


# --- Kaggle's client -----------------------------------------------------------------------------------------------


@pytest.fixture
def archive(data) -> Path:
    """A good old archive where the new one is to come."""
    path = data / "fish.zip"
    path.write_bytes(b"good old archive")
    return path


def fetch_fish(archive: Path) -> bytes:
    return download_dataset("crowww/a-large-scale-fish-dataset", archive, progress=False).read_bytes()


def fails(match: str, archive: Path, left: tuple[str, ...] = ()) -> None:
    with pytest.raises(UserError, match=match) as error:
        fetch_fish(archive)
    assert str(error.value).count("\n") == 0 and str(error.value).endswith(".")
    assert archive.read_bytes() == b"good old archive"
    assert sorted(item.name for item in archive.parent.iterdir()) == sorted([archive.name, *left])


def key_file(home: Path, text: str = '{"username": "ada", "key": "0815"}') -> None:
    folder = home / ".kaggle"
    folder.mkdir()
    (folder / "kaggle.json").write_text(text)


def test_without_a_key(server, archive, capfd):
    assert fetch_fish(archive) == FISH
    assert all("Authorization" not in headers for _, _, headers in server.requests)
    assert capfd.readouterr() == ("", "")  # the client prints 15 lines
    server.routes[API] = Answer(FISH)  # a server that sends the archive itself
    assert fetch_fish(archive) == FISH


@pytest.mark.parametrize("how", ["file", "environment", "token"])
def test_with_a_key(server, archive, home, monkeypatch, how):
    if how == "file":
        key_file(home)
    elif how == "environment":
        monkeypatch.setenv("KAGGLE_USERNAME", "ada")
        monkeypatch.setenv("KAGGLE_KEY", "0815")
    else:
        monkeypatch.setenv("KAGGLE_API_TOKEN", "token")
        server.routes[TOKEN_API] = Answer(json.dumps({"active": True, "username": "ada"}).encode(), headers=JSON)
    fetch_fish(archive)
    sent = {path: headers.get("Authorization") for _, path, headers in server.requests}
    assert sent[API] == ("Bearer token" if how == "token" else "Basic " + base64.b64encode(b"ada:0815").decode())
    assert sent[STORE] is None  # the store has its signature and needs no key


def test_keys_that_do_not_work(server, archive, home, monkeypatch):
    key_file(home, "{broken")
    assert fetch_fish(archive) == FISH  # passed over
    archive.write_bytes(b"good old archive")
    (home / ".kaggle/kaggle.json").write_text("[1]")
    fails("Kaggle's client cannot be used here .* or make a key at", archive)
    (home / ".kaggle/kaggle.json").unlink()
    monkeypatch.setenv("KAGGLE_API_TOKEN", "stale")
    server.routes[TOKEN_API] = Answer(b"", status=401)
    fails(r"Kaggle refuses .*\(401\): .*a new key from", archive)


def test_a_client_that_cannot_be_imported(server, archive, monkeypatch):
    monkeypatch.setitem(sys.modules, "kaggle", None)
    fails("Kaggle's client cannot be used here .*make lab", archive)


@pytest.mark.parametrize(
    ("status", "match"),
    [(401, r"\(401\): sign in"), (403, r"\(403\): sign in there, accept"), (404, "no longer"), (500, "in trouble")],
)
@pytest.mark.parametrize("path", [API, STORE])
def test_refusals_of_kaggle(server, archive, status, match, path):
    server.routes[path] = Answer(json.dumps({"code": status}).encode(), status=status, headers=JSON)
    fails(match, archive)


def test_no_network(server, archive, monkeypatch):
    from kagglesdk import kaggle_env

    nobody = f"http://127.0.0.1:{closed_port()}"
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, nobody)
    fails("does not answer; check the network", archive)
    monkeypatch.setenv("KAGGLE_API_TOKEN", "token")  # then it fails as early as signing in
    fails("does not answer; check the network", archive)


def test_cut_downloads_go_on(server, archive, monkeypatch):
    monkeypatch.setattr(download_module, "_CHUNK", 1000)
    server.routes[STORE].cut_at, server.routes[STORE].cuts = len(FISH) // 2, 2  # the client's own look, and ours
    assert fetch_fish(archive) == FISH
    assert any("Range" in headers for _, _, headers in server.requests)
    archive.write_bytes(b"good old archive")
    server.routes[STORE] = Answer(FISH, headers={"ETag": '"1"'}, cut_at=len(FISH) // 2)
    fails("cut 5 times before fish.zip was complete", archive, left=("fish.zip.part", "fish.zip.part.tag"))

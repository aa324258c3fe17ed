"""CIFAR-10: fetched from a server on this machine, unpacked whole or not at all, its hashes checked when it is read."""

import hashlib
import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from local_server import Answer, LocalServer
from PIL import Image

from stablediff_edu.__main__ import main
from stablediff_edu.data import download as download_module
from stablediff_edu.data.ships import cifar10
from stablediff_edu.data.ships.cifar10 import CLASSES, load_cifar10, num_class_images
from stablediff_edu.errors import UserError

PATH = "/cifar-10-python.tar.gz"


def md5(contents: bytes) -> str:
    return hashlib.md5(contents).hexdigest()


def batch(seed: int) -> bytes:
    """One batch as the real ones are, of one image a class."""
    data = np.random.default_rng(seed).integers(0, 256, (10, 3072), np.uint8)
    return pickle.dumps({"data": data, "labels": list(range(10)), "filenames": []})


BATCHES = {f"data_batch_{number}": batch(number) for number in range(1, 6)} | {"test_batch": batch(6)}
FILES = BATCHES | {"batches.meta": pickle.dumps({"label_names": list(CLASSES)})}


def tar(files: dict[str, bytes], *hostile: tarfile.TarInfo) -> bytes:
    """An archive with these files in its folder, and members that no archive should have."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as opened:
        for name, contents in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(contents)
            opened.addfile(member, io.BytesIO(contents))
        for member in hostile:
            opened.addfile(member, io.BytesIO(b"evil"))
    return archive.getvalue()


ARCHIVE = tar(FILES)


@pytest.fixture(scope="module")
def running_server():
    with LocalServer() as server:
        yield server


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder, and a torchvision that knows the small archive of this test instead of the real one."""
    known = cifar10.torchvision_class()
    monkeypatch.setattr(known, "tgz_md5", md5(ARCHIVE))
    monkeypatch.setattr(known, "train_list", [[name, md5(BATCHES[name])] for name in list(BATCHES)[:5]])
    monkeypatch.setattr(known, "test_list", [["test_batch", md5(BATCHES["test_batch"])]])
    monkeypatch.setattr(known, "meta", known.meta | {"md5": md5(FILES["batches.meta"])})
    monkeypatch.setenv("STABLEDIFF_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def server(running_server: LocalServer, data: Path, monkeypatch: pytest.MonkeyPatch) -> LocalServer:
    """A server that holds the small archive."""
    running_server.requests.clear()
    running_server.routes.clear()
    running_server.routes[PATH] = Answer(ARCHIVE)
    monkeypatch.setattr(cifar10.torchvision_class(), "url", running_server.url + PATH)
    monkeypatch.setattr(download_module, "RETRY_DELAY", 0.0)
    return running_server


@pytest.fixture
def fetched(server: LocalServer, data: Path, capsys: pytest.CaptureFixture) -> Path:
    """The folder of the fetched data set."""
    assert main(["fetch", "cifar10"]) == 0
    capsys.readouterr()
    server.requests.clear()
    return data / "cifar10"


def fails(capsys: pytest.CaptureFixture, match: str, *options: str) -> None:
    capsys.readouterr()
    assert main(["fetch", "cifar10", *options]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]  # above it there may be a progress bar
    assert match in error and error.endswith(".") and "Traceback" not in error


# --- reading -------------------------------------------------------------------------------------------------------


def test_pictures_and_classes_are_those_of_the_batches(fetched: Path):
    images, labels = load_cifar10()
    assert images.images.shape == (50, 3, 32, 32) and images.source == "CIFAR-10"
    assert labels.tolist() == [number for number in range(10) for _ in range(5)]
    plane = pickle.loads(BATCHES["data_batch_2"])["data"][0].reshape(3, 32, 32)
    assert torch.equal(((images.images[1] + 1) * 127.5).round(), torch.from_numpy(plane).float())
    assert load_cifar10(train=False)[0].images.shape == (10, 3, 32, 32)


def test_classes_come_in_the_order_asked_for(fetched: Path):
    images, labels = load_cifar10(["truck", "ship"], limit=2)
    assert len(images) == 4 and [CLASSES[number] for number in labels] == ["truck", "truck", "ship", "ship"]
    assert load_cifar10("ship")[1].tolist() == [8] * 5


@pytest.mark.parametrize("harm", ["flipped", "truncated", "missing", "unlisted pickle"])
@pytest.mark.parametrize("name", ["data_batch_3", "batches.meta"])
def test_a_damaged_file_is_never_read(fetched: Path, monkeypatch: pytest.MonkeyPatch, harm: str, name: str):
    file = fetched / "cifar-10-batches-py" / name
    contents = bytearray(file.read_bytes())
    contents[len(contents) // 2] ^= 1
    if harm == "missing":
        file.unlink()
    elif harm == "truncated":
        file.write_bytes(contents[: len(contents) // 2])
    elif harm == "flipped":
        file.write_bytes(contents)
    else:  # a pickle may run any code: it must not even be opened
        file.write_bytes(b"cos\nabort\n(tR.")
    with pytest.raises(UserError, match="is damaged or incomplete; fetch it again with: python -m") as error:
        load_cifar10(["ship"])
    assert "\n" not in str(error.value)
    assert main(["fetch", "cifar10"]) == 0  # without --force: it sees the damage
    assert len(load_cifar10(["ship"])[0]) == 5


def test_single_files_in_folders_are_read_too(data: Path):
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


def test_real_pictures(real_data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STABLEDIFF_DATA", str(real_data))
    images, labels = load_cifar10(limit=3)
    assert len(images) == 30 and labels.unique().tolist() == list(range(10))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (dict(classes=["ship", "submarine"]), "no class 'submarine'; its classes are airplane, "),
        (dict(classes=[]), "nothing to show when no class is named"),
        (dict(limit=0), "0 images of each class cannot be loaded"),
        (dict(), r"CIFAR-10 is not in .*; get it with: python -m stablediff_edu fetch cifar10"),
    ],
)
def test_what_cannot_be_loaded_is_refused_in_one_sentence(data: Path, options: dict, match: str):
    with pytest.raises(UserError, match=match):
        load_cifar10(**options)


# --- fetching ------------------------------------------------------------------------------------------------------


def test_it_is_fetched_once(server: LocalServer, data: Path, capsys: pytest.CaptureFixture):
    assert main(["fetch", "cifar10"]) == 0
    assert f"cifar10: fetched, 60,000 photographs in {data / 'cifar10'}" in capsys.readouterr().out
    assert [item.name for item in data.iterdir()] == ["cifar10"]
    server.requests.clear()
    assert main(["fetch", "cifar10"]) == 0 and server.requests == []
    assert "cifar10: complete, 60,000 photographs" in capsys.readouterr().out
    assert main(["fetch", "cifar10", "--force"]) == 0 and server.requests


def test_photographs_put_there_by_hand_are_left_alone(server: LocalServer, data: Path, capsys: pytest.CaptureFixture):
    (data / "cifar10/train/ship").mkdir(parents=True)
    assert main(["fetch", "cifar10"]) == 0 and server.requests == []
    assert "not put there by this command" in capsys.readouterr().out


@pytest.mark.parametrize("place", ["{}", "cifar10/{}", "cifar10/cifar-10-python/{}", "cifar10"])
def test_batches_placed_by_hand_are_found(data: Path, server: LocalServer, place: str):
    for name, contents in FILES.items():
        path = data / place.format("cifar-10-batches-py") / Path(name).name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)
    assert len(load_cifar10(["ship"])[0]) and main(["fetch", "cifar10"]) == 0 and server.requests == []
    taken = data / place.format("cifar-10-batches-py")
    taken.rename(data.parent / "unpacked")
    assert main(["download", "cifar10", "--from", str(data.parent / "unpacked")]) == 0
    assert len(load_cifar10(["ship"])[0])


def test_an_archive_that_is_there_already_is_used_if_it_is_good(
    server: LocalServer, data: Path, capsys: pytest.CaptureFixture
):
    data.mkdir()
    (data / PATH[1:]).write_bytes(tar({"data_batch_1": b"old"}))
    fails(capsys, "is not CIFAR-10")
    assert list(data.iterdir()) == [] and server.requests == []
    (data / PATH[1:]).write_bytes(ARCHIVE)
    assert main(["fetch", "cifar10"]) == 0 and server.requests == []
    assert [item.name for item in data.iterdir()] == ["cifar10"]


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, 4 if kind == tarfile.REGTYPE else 0
    return info


BAD_ARCHIVES = {
    "path that leads out": (tar(FILES, member("../../evil")), "dangerous path"),
    "absolute path": (tar(FILES, member("/tmp/evil")), "dangerous path"),
    "symbolic link": (tar(FILES, member("evil", tarfile.SYMTYPE, "/etc/passwd")), "holds a link"),
    "hard link": (tar(FILES, member("evil", tarfile.LNKTYPE, "../../evil")), "holds a link"),
    "device": (tar(FILES, member("evil", tarfile.CHRTYPE)), "holds a link"),
    "same file twice": (tar(FILES, member("cifar-10-batches-py/test_batch")), "is broken"),
    "truncated": (ARCHIVE[: len(ARCHIVE) // 2], "is broken"),
    "no archive": (b"<html>sign in</html>", "A web page came instead"),
    "empty": (tar({}), "is not CIFAR-10"),
    "a batch is missing": (tar({name: FILES[name] for name in list(FILES)[1:]}), "is not CIFAR-10"),
    "a batch is another": (tar(FILES | {"data_batch_1": batch(9)}), "is not CIFAR-10"),
}


@pytest.mark.parametrize("kind", BAD_ARCHIVES)
def test_a_bad_archive_leaves_the_good_photographs(
    server: LocalServer, fetched: Path, tmp_path: Path, monkeypatch, capsys, kind: str
):
    """Even one whose own hash is right: what is unpacked is looked at as well."""
    before = load_cifar10()[0].images
    body, match = BAD_ARCHIVES[kind]
    server.routes[PATH] = Answer(body)
    monkeypatch.setattr(cifar10.torchvision_class(), "tgz_md5", md5(body))
    fails(capsys, match, "--force")
    assert [item.name for item in fetched.parent.iterdir()] == ["cifar10"]
    assert not list(tmp_path.rglob("*evil*")) and not Path("/tmp/evil").exists()
    assert load_cifar10()[0].images.equal(before)


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        (Answer(status=403), "the server forbids it (403)"),
        (Answer(status=404), "it is no longer at its address (404)"),
        (Answer(status=500), "its server is in trouble (500)"),
        (Answer(ARCHIVE, cut_at=len(ARCHIVE) // 2), "was cut 5 times before"),
        (Answer(ARCHIVE[: len(ARCHIVE) // 2]), "came with other contents than expected (its MD5 differs)"),
        (Answer(ARCHIVE[:100] + b"?" + ARCHIVE[101:]), "its MD5 differs"),
    ],
)
@pytest.mark.parametrize("there_before", [True, False])
def test_a_bad_answer_leaves_what_was_there(
    server: LocalServer, data: Path, capsys, answer: Answer, match: str, there_before: bool
):
    if there_before:
        assert main(["fetch", "cifar10"]) == 0
    server.routes[PATH] = answer
    fails(capsys, match, "--force")
    assert [item.name for item in data.iterdir()] == ["cifar10"] * there_before
    if there_before:
        assert len(load_cifar10()[0]) == 50


def test_torchvision_itself_reads_what_was_fetched(fetched: Path):
    assert len(cifar10.torchvision_class()(fetched, train=True)) == 50

"""MNIST: four files, fetched from two mirrors on this machine, each whole and right or not there at all."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from local_server import Answer, LocalServer, closed_port

from stablediff_edu.__main__ import main
from stablediff_edu.data import download as download_module
from stablediff_edu.data.digits import mnist
from stablediff_edu.data.digits.dataset import describe_digits, load_digits, num_mnist_images
from stablediff_edu.errors import UserError
from stablediff_edu.vision import import_torchvision


def idx(array: np.ndarray) -> bytes:
    """An array of bytes as the files of MNIST hold it."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


RANDOM = np.random.default_rng(0)
ARRAYS = {
    "train-images-idx3-ubyte": RANDOM.integers(0, 256, (30, 28, 28)),
    "train-labels-idx1-ubyte": np.arange(30) % 10,
    "t10k-images-idx3-ubyte": RANDOM.integers(0, 256, (10, 28, 28)),
    "t10k-labels-idx1-ubyte": np.arange(10),
}
UNPACKED = {name: idx(array) for name, array in ARRAYS.items()}
PACKED = {f"{name}.gz": gzip.compress(contents, mtime=0) for name, contents in UNPACKED.items()}
NAMES, SECOND = list(UNPACKED), "t10k-images-idx3-ubyte"


def md5(contents: bytes) -> str:
    return hashlib.md5(contents).hexdigest()


@pytest.fixture(scope="module")
def running_server():
    with LocalServer() as server:
        yield server


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder, and a course that knows the small files of this test instead of the real ones."""
    known = import_torchvision().datasets.MNIST
    monkeypatch.setattr(known, "resources", [(name, md5(contents)) for name, contents in PACKED.items()])
    monkeypatch.setattr(mnist, "FILES", {name: md5(contents) for name, contents in UNPACKED.items()})
    monkeypatch.setenv("STABLEDIFF_DATA", str(tmp_path / "data"))
    return tmp_path / "data/mnist/MNIST/raw"


@pytest.fixture
def server(running_server: LocalServer, raw: Path, monkeypatch: pytest.MonkeyPatch) -> LocalServer:
    """Two mirrors, each with the four files."""
    running_server.requests.clear()
    running_server.routes.clear()
    for mirror in ("/first/", "/second/"):
        running_server.routes |= {mirror + name: Answer(contents) for name, contents in PACKED.items()}
    mirrors = [f"{running_server.url}/first/", f"{running_server.url}/second/"]
    monkeypatch.setattr(import_torchvision().datasets.MNIST, "mirrors", mirrors)
    monkeypatch.setattr(download_module, "RETRY_DELAY", 0.0)
    return running_server


@pytest.fixture
def fetched(server: LocalServer, raw: Path, capsys: pytest.CaptureFixture) -> Path:
    assert main(["fetch", "mnist"]) == 0
    capsys.readouterr()
    server.requests.clear()
    return raw


def asked(server: LocalServer) -> list[str]:
    return [path for _, path, _ in server.requests]


def contents(raw: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in raw.iterdir()} if raw.exists() else {}


# --- reading -------------------------------------------------------------------------------------------------------


def test_digits_are_those_of_the_files_in_their_order(fetched: Path):
    digits = load_digits()
    assert digits.images.shape == (30, 1, 28, 28) and digits.source == "MNIST"
    bytes_again = ((digits.images[:, 0] + 1) * 127.5).round()
    assert torch.equal(bytes_again, torch.from_numpy(ARRAYS["train-images-idx3-ubyte"]).float())
    assert digits.labels.tolist() == [number % 10 for number in range(30)] and digits.labels.dtype == torch.int64
    assert len(load_digits(7)) == 7 and len(load_digits(train=False)) == 10
    assert num_mnist_images() == 30 and describe_digits().startswith("MNIST, 30 scanned digits in ")


def test_torchvision_itself_reads_what_was_fetched(fetched: Path):
    assert len(import_torchvision().datasets.MNIST(fetched.parents[1], train=True)) == 30


HARMS = {
    "truncated": lambda file: file.write_bytes(file.read_bytes()[:-5]),
    "flipped": lambda file: file.write_bytes(file.read_bytes()[:-1] + b"?"),
    "longer": lambda file: file.write_bytes(file.read_bytes() + b"\0"),
    "of 0 bytes": lambda file: file.write_bytes(b""),
    "missing": lambda file: file.unlink(),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
}


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("name", NAMES)
def test_a_bad_file_is_named_and_never_read_and_it_alone_is_fetched_again(
    fetched: Path, server: LocalServer, harm: str, name: str
):
    train = name.startswith("train")
    others = {other: file for other, file in contents(fetched).items() if other != name}
    ages = {other: (fetched / other).stat().st_mtime_ns for other in others}
    HARMS[harm](fetched / name)
    with pytest.raises(UserError, match=rf"{name} is .*get it again with: python -m stablediff_edu fetch mnist\.$"):
        load_digits(train=train)
    assert len(load_digits(train=not train)) > 0  # the other part is whole
    if harm == "a folder":  # nothing that this command made: the learner is told
        assert main(["fetch", "mnist"]) == 2
        return
    assert main(["fetch", "mnist"]) == 0 and asked(server) == [f"/first/{name}.gz"]
    assert contents(fetched) == UNPACKED
    assert {other: (fetched / other).stat().st_mtime_ns for other in others} == ages


def test_what_is_not_there_is_said_in_one_sentence(raw: Path):
    with pytest.raises(UserError, match=r"MNIST is not in .*; get it with: python -m stablediff_edu fetch mnist\.$"):
        load_digits(source="mnist")
    assert load_digits(10).source == "synthetic digits"
    assert describe_digits() == "synthetic digits (built in) · real ones: python -m stablediff_edu fetch mnist"


def test_real_digits(real_data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STABLEDIFF_DATA", str(real_data))
    digits = load_digits(100_000, train=False)
    assert digits.images.shape == (10_000, 1, 28, 28) and digits.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert num_mnist_images() == 60_000
    assert all(mnist.is_intact(mnist.raw_dir() / name) for name in mnist.FILES)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("spelling", ["{}", "{}/{}", "mnist/{}", "raw-files/{kaggle}"])
def test_files_placed_by_hand_are_found(raw: Path, tmp_path: Path, packed: bool, spelling: str):
    for name, file in UNPACKED.items():
        spelled = spelling.format(name, name, kaggle=name.replace("-idx", ".idx"))
        path = tmp_path / "data/mnist" / (spelled + ".gz" * packed)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(file) if packed else file)
    assert load_digits().source == "MNIST" and num_mnist_images() == 30
    assert mnist.fetch() == 0  # there is no server in this test
    (tmp_path / "data/mnist").rename(tmp_path / "Downloads")
    assert load_digits(10).source == "synthetic digits"
    assert main(["download", "mnist", "--from", str(tmp_path / "Downloads")]) == 0
    assert len(load_digits(train=False)) == 10


# --- fetching ------------------------------------------------------------------------------------------------------


def test_it_is_fetched_once(server: LocalServer, raw: Path, capsys: pytest.CaptureFixture):
    assert main(["fetch", "mnist"]) == 0
    assert f"mnist: fetched, 70,000 scanned digits in {raw.parents[1]}" in capsys.readouterr().out
    assert contents(raw) == UNPACKED and asked(server) == [f"/first/{name}" for name in PACKED]
    server.requests.clear()
    assert main(["fetch", "mnist"]) == 0 and server.requests == []
    assert "mnist: complete, 70,000 scanned digits" in capsys.readouterr().out
    assert main(["fetch", "mnist", "--force"]) == 0 and len(server.requests) == 4


GOOD = PACKED[f"{SECOND}.gz"]
BAD = {
    "forbidden": Answer(status=403),
    "gone": Answer(status=404),
    "in trouble": Answer(status=500),
    "cut": Answer(GOOD, cut_at=len(GOOD) // 2),
    "truncated": Answer(GOOD[: len(GOOD) // 2]),
    "flipped": Answer(GOOD[:-1] + b"?"),
    "a page instead": Answer(b"<html>sign in</html>"),
    "of 0 bytes": Answer(b""),
}


@pytest.mark.parametrize("kind", BAD)
def test_where_one_mirror_fails_the_other_is_asked(server: LocalServer, raw: Path, capsys, kind: str):
    server.routes[f"/first/{SECOND}.gz"] = BAD[kind]
    assert main(["fetch", "mnist"]) == 0
    assert contents(raw) == UNPACKED and f"/second/{SECOND}.gz" in asked(server)
    assert f"{server.url}/first/ failed: " in capsys.readouterr().out


def test_a_mirror_that_is_down_is_passed_over(server: LocalServer, raw: Path, monkeypatch: pytest.MonkeyPatch):
    known = import_torchvision().datasets.MNIST
    monkeypatch.setattr(known, "mirrors", [f"http://127.0.0.1:{closed_port()}/", known.mirrors[1]])
    assert main(["fetch", "mnist"]) == 0 and contents(raw) == UNPACKED


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("there_before", [True, False])
def test_where_both_fail_one_sentence_is_said_and_good_files_stay(
    server: LocalServer, raw: Path, capsys, kind: str, there_before: bool
):
    if there_before:
        assert main(["fetch", "mnist"]) == 0
    for mirror in ("/first/", "/second/"):
        server.routes[f"{mirror}{SECOND}.gz"] = BAD[kind]
    capsys.readouterr()
    assert main(["fetch", "mnist", "--force"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]  # above it there may be a progress bar
    assert f"{SECOND}.gz" in error and error.endswith(".") and "Traceback" not in error
    assert contents(raw) == (UNPACKED if there_before else {name: UNPACKED[name] for name in NAMES[:2]})


@pytest.mark.parametrize("packed", [b"no gzip at all", gzip.compress(b"not MNIST"), GOOD[:-9], GOOD[:40] + b"?" * 90])
def test_what_is_unpacked_is_checked_too_even_if_the_packed_hash_is_right(
    fetched: Path, server: LocalServer, monkeypatch: pytest.MonkeyPatch, capsys, packed: bytes
):
    for mirror in ("/first/", "/second/"):
        server.routes[f"{mirror}{SECOND}.gz"] = Answer(packed)
    resources = {**{name: md5(contents) for name, contents in PACKED.items()}, f"{SECOND}.gz": md5(packed)}
    monkeypatch.setattr(import_torchvision().datasets.MNIST, "resources", list(resources.items()))
    assert main(["fetch", "mnist", "--force"]) == 2
    assert f"{SECOND}.gz" in capsys.readouterr().err and contents(fetched) == UNPACKED


def test_ctrl_c_while_a_file_is_unpacked_leaves_nothing_half(fetched: Path, monkeypatch: pytest.MonkeyPatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", stopped)  # the unpacked file is there, but not yet under its name
    with pytest.raises(KeyboardInterrupt):
        mnist.fetch(force=True)
    assert contents(fetched) == UNPACKED


def test_leftovers_of_a_run_that_was_killed_do_no_harm(server: LocalServer, raw: Path):
    raw.mkdir(parents=True)
    for ending in (".unpacking", ".gz", ".gz.part"):
        (raw / (NAMES[0] + ending)).write_bytes(b"half")
    assert load_digits(10).source == "synthetic digits"  # nothing is there yet
    assert main(["fetch", "mnist"]) == 0 and contents(raw) == UNPACKED


def test_a_folder_that_cannot_be_written_is_said_in_one_sentence(server: LocalServer, raw: Path, capsys):
    raw.parents[2].mkdir()
    raw.parents[1].write_text("not a folder")
    assert main(["fetch", "mnist"]) == 2
    assert "could not be written" in capsys.readouterr().err
